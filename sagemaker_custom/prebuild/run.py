"""Images that shall be there → an outcome each: several are made at a time, and Ctrl-C ends all of them cleanly."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread

from sagemaker_custom.errors import InterruptedRunError, SageMakerCustomError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.prebuild.images import ImageMaker, Outcome, Wanted
from sagemaker_custom.prebuild.order import interleaved, waits
from sagemaker_custom.prebuild.rows import Attendant, Board, Interruption, Row
from sagemaker_custom.progress import confirm
from sagemaker_custom.settings import Settings

logger = logging.getLogger(__name__)

LOCAL_JOBS = 2
"""One machine has one disk and one uplink: while one image is sent, another one can be built."""
REMOTE_JOBS = 4
"""CodeBuild has a machine for each; a new account may run few at once."""
_LOOK_S = 0.2


def default_jobs(builder: str, settings: Settings) -> int:
    """Return how many images are made at a time where nobody says it."""
    wanted = settings.builder if builder == "auto" else builder
    return REMOTE_JOBS if wanted == "codebuild" else LOCAL_JOBS


class Prebuild:
    """Makes sure of images, several at a time; an error of one keeps none of the others from being made.

    Args:
        maker: Makes one.
        board: Shows how it goes.
        jobs: How many at a time.
        ask: Asks a person a question on a terminal; ``None`` where nobody can be asked.
        monotonic: Seconds that never go back.
        interruption: What ends the work, besides Ctrl-C: whoever begins it.
    """

    def __init__(
        self,
        maker: ImageMaker,
        *,
        board: Board,
        jobs: int,
        ask: Callable[[str], bool | None] = confirm,
        monotonic: Callable[[], float] = time.monotonic,
        interruption: Interruption | None = None,
    ) -> None:
        self._maker = maker
        self._board = board
        self._jobs = jobs
        self._ask = ask
        self._monotonic = monotonic
        self._interruption = interruption

    def run(self, wanted: Sequence[Wanted]) -> tuple[Outcome, ...]:
        """Make sure of all, and return how each of them went, in the same order.

        After Ctrl-C nothing more is begun, and what runs is ended; those images have failed by
        :class:`~sagemaker_custom.errors.InterruptedRunError`. A second Ctrl-C waits for nothing.
        """
        rows = [Row(number=number, of=len(wanted), name=one.describe()) for number, one in enumerate(wanted, 1)]
        interruption = self._interruption or Interruption()
        attendants = [Attendant(row, self._board, interruption, monotonic=self._monotonic) for row in rows]
        work = _Work(self._maker, wanted, attendants, jobs=self._jobs)
        with self._board.open(rows):
            try:
                self._planned(work)
                self._followed(work, interruption)
            except KeyboardInterrupt:
                # The second one, or one before anything was begun.
                interruption.begin()
            finally:
                interruption.answer(None)
            return work.ended()

    def _planned(self, work: _Work) -> None:
        for warning in work.plan():
            self._board.say(f"warning: {warning}")

    def _followed(self, work: _Work, interruption: Interruption) -> None:
        while True:
            try:
                if not (work.is_running if interruption.has_begun else work.goes_on()):
                    return
                work.wait(_LOOK_S)
                if interruption.is_question_open:
                    interruption.answer(self._answer())
            except KeyboardInterrupt:
                if interruption.has_begun:
                    raise
                self._board.say("interrupted: no more images are begun, and those that are built now are ended")
                interruption.begin()

    def _answer(self) -> bool | None:
        with self._board.paused():
            try:
                return self._ask("Stop the builds that run in CodeBuild? Otherwise they go on without you")
            except KeyboardInterrupt:
                return False


class _Work:
    """Who works on what. All that is known of an image is what its thread wrote down, whenever Ctrl-C comes."""

    def __init__(
        self, maker: ImageMaker, wanted: Sequence[Wanted], attendants: Sequence[Attendant], *, jobs: int
    ) -> None:
        self._maker = maker
        self._wanted = wanted
        self._attendants = attendants
        self._jobs = jobs
        self._plans: dict[int, BuildPlan] = {}
        self._waits: dict[int, frozenset[int]] = {}
        self._order: tuple[int, ...] = ()
        self._threads: dict[int, Thread] = {}
        self._outcomes: dict[int, Outcome] = {}
        self._wake = Event()

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    @property
    def _running(self) -> list[int]:
        threads = self._threads.items()
        return [number for number, thread in threads if number not in self._outcomes and thread.is_alive()]

    def plan(self) -> tuple[str, ...]:
        """Plan all, and return what users should know, each sentence once."""
        for number, one in enumerate(self._wanted):
            try:
                self._plans[number] = self._maker.plan(one)
            except SageMakerCustomError as error:
                self._end(number, Outcome(wanted=one, status="failed", error=error))
        self._waits, self._order = waits(self._plans), interleaved(self._plans)
        return tuple(dict.fromkeys(warning for plan in self._plans.values() for warning in plan.warnings))

    def goes_on(self) -> bool:
        """Begin as many as there is room for, and return whether anything goes on."""
        running = self._running
        ready = [
            number
            for number in self._order
            if number not in self._threads and self._waits[number] <= self._outcomes.keys()
        ]
        begun = ready[: max(self._jobs - len(running), 0)]
        for number in begun:
            # Of threads that nobody waits for any more, none shall keep the process.
            thread = Thread(target=self._work, args=(number,), name=f"prebuild-{number}", daemon=True)
            self._threads[number] = thread
            thread.start()
        return bool(running or begun)

    def wait(self, seconds: float) -> None:
        """Wait until something ends."""
        self._wake.wait(seconds)
        self._wake.clear()

    def ended(self) -> tuple[Outcome, ...]:
        """Return how all went; what has no end by now was interrupted."""
        for number, one in enumerate(self._wanted):
            if number not in self._outcomes:
                self._end(number, self._interrupted(number, one, has_begun=number in self._threads))
        return tuple(self._outcomes[number] for number in range(len(self._wanted)))

    def _work(self, number: int) -> None:
        one, plan, attendant = self._wanted[number], self._plans[number], self._attendants[number]
        try:
            outcome = self._made(one, plan, attendant)
        except SageMakerCustomError as error:
            outcome = Outcome(wanted=one, status="failed", plan=plan, error=error)
        except KeyboardInterrupt:
            outcome = self._interrupted(number, one, has_begun=True)
        except Exception as error:
            logger.debug("%s", one.describe(), exc_info=True)
            outcome = Outcome(wanted=one, status="failed", plan=plan, error=_unknown(error))
        self._end(number, outcome)

    def _made(self, one: Wanted, plan: BuildPlan, attendant: Attendant) -> Outcome:
        attendant.enter("waiting", "looking for it")
        found = self._maker.find(plan, attendant)
        if found is not None:
            return Outcome(wanted=one, status="present", plan=plan, image=str(found))
        attendant.enter("building")
        made = self._maker.make(plan, attendant)
        return Outcome(wanted=one, status="built" if plan.needs_build else "present", plan=plan, image=str(made))

    def _interrupted(self, number: int, one: Wanted, *, has_begun: bool) -> Outcome:
        if self._attendants[number].left_running:
            error = InterruptedRunError("interrupted; its build goes on", hint="the next call joins it")
        elif has_begun:
            error = InterruptedRunError("interrupted while it was made", hint="build again: what is there stays")
        else:
            error = InterruptedRunError("interrupted before it was begun", hint="build again")
        return Outcome(wanted=one, status="failed", plan=self._plans.get(number), error=error)

    def _end(self, number: int, outcome: Outcome) -> None:
        reason = outcome.error.message.partition("\n")[0] if outcome.error else ""
        self._attendants[number].enter(outcome.status, reason)
        self._outcomes[number] = outcome
        self._wake.set()


def _unknown(error: Exception) -> SageMakerCustomError:
    lines = str(error).strip().splitlines()
    return SageMakerCustomError(
        f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__,
        hint="this package does not know this error: please report it, with what --debug shows",
    )
