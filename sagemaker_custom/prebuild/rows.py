"""What the work on one image tells → its row, for whatever shows it; and Ctrl-C → the threads that work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sagemaker_custom.progress import Task, Unit

if TYPE_CHECKING:
    from sagemaker_custom.building import Copy
    from sagemaker_custom.mirror import Mirrored, Watch
    from sagemaker_custom.progress import Progress
    from sagemaker_custom.reference import ImageReference

State: TypeAlias = Literal["waiting", "mirroring", "building", "built", "present", "failed"]
"""Where an image is on its way; the last three are the end of it."""


@dataclass(kw_only=True, slots=True)
class Row:
    """One image, as people see it; written by the thread that works on it alone."""

    number: int
    """From 1."""
    of: int
    """How many there are."""
    name: str
    state: State = "waiting"
    step: str = ""
    """What is being done, or why it failed."""
    done: int = 0
    """Of the bar that moved last."""
    total: int | None = None
    unit: Unit = "steps"
    began: float | None = None
    """On the clock that :class:`Attendant` was given."""
    ended: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in {"built", "present", "failed"}


class Board(Protocol):
    """Shows all rows; called by several threads."""

    def open(self, rows: Sequence[Row]) -> AbstractContextManager[object]:
        """Show the rows until the context ends."""

    def changed(self, row: Row) -> None:
        """Take note of another state."""

    def step(self, row: Row, text: str) -> None:
        """Take note of what is being done."""

    def log(self, row: Row, line: str) -> None:
        """Take note of a line of a tool's output."""

    def say(self, text: str) -> None:
        """Tell something that is of no one row."""

    def paused(self) -> AbstractContextManager[object]:
        """Leave the screen to a question until the context ends."""


class Interruption:
    """Ctrl-C, which reaches the main thread alone, and the one answer to what shall become of builds elsewhere."""

    def __init__(self) -> None:
        self._began = Event()
        self._asked = Event()
        self._answered = Event()
        self._answer: bool | None = None

    @property
    def has_begun(self) -> bool:
        """Whether all shall end."""
        return self._began.is_set()

    @property
    def is_question_open(self) -> bool:
        """Whether a thread waits for an answer."""
        return self._asked.is_set() and not self._answered.is_set()

    def begin(self) -> None:
        """Have all end at the next thing that they tell, or wait for."""
        self._began.set()

    def wait(self, seconds: float) -> bool:
        """Wait, and return whether it has begun."""
        return self._began.wait(seconds)

    def answer(self, answer: bool | None) -> None:
        """Answer all threads that ask, now and later."""
        self._answer = answer
        self._answered.set()

    def ask(self) -> bool | None:
        """Wait for the answer, in a thread."""
        self._asked.set()
        self._answered.wait()
        return self._answer


class Attendant:
    """Looks after the work on one image: takes what it tells, has it wait, and ends it after Ctrl-C.

    Work that ends by ``KeyboardInterrupt`` cleans up after itself wherever it is; here it gets one in its own thread.

    Args:
        row: Of the image.
        board: Shows the row.
        interruption: Ends the work.
        monotonic: Seconds that never go back.
        sleep: Waits, once the work cleans up.
    """

    def __init__(
        self,
        row: Row,
        board: Board,
        interruption: Interruption,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.row = row
        self._board = board
        self._interruption = interruption
        self._monotonic = monotonic
        self._sleep = sleep
        self._is_told = False
        self.left_running = False
        """Whether a build elsewhere goes on."""

    def step(self, text: str) -> None:
        """Take note of a step."""
        self.row.step, self.row.done, self.row.total = text, 0, None
        self._board.step(self.row, text)
        self._check()

    def log(self, line: str) -> None:
        """Take note of a line."""
        self._board.log(self.row, line)
        self._check()

    def task(self, text: str, *, total: int | None = None, unit: Unit = "bytes") -> Task:
        """Start a bar, which the row shows in place of the step."""
        self.row.step, self.row.done, self.row.total, self.row.unit = text, 0, total, unit
        self._board.step(self.row, text)
        return _RowTask(self.row, text, self._interruption)

    def enter(self, state: State, step: str = "") -> None:
        """Take note of another state."""
        now = self._monotonic()
        self.row.state, self.row.step, self.row.done, self.row.total = state, step, 0, None
        self.row.began = now if self.row.began is None else self.row.began
        self.row.ended = now if self.row.is_over else None
        self._board.changed(self.row)

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until Ctrl-C."""
        if self._is_told:
            self._sleep(seconds)
        else:
            self._interruption.wait(seconds)
            self._check()

    def confirm(self, question: str) -> bool | None:
        """Ask what shall become of a build elsewhere: a person is asked once for all of them."""
        del question
        answer = self._interruption.ask()
        self.left_running = not answer
        return answer

    def mirroring(self, copy: Copy) -> Copy:
        """Return what brings images and shows that it does."""

        def copied(
            source: ImageReference,
            target: ImageReference,
            *,
            platform: str,
            progress: Progress,
            watch: Watch | None = None,
        ) -> Mirrored:
            self.enter("mirroring", f"bringing {source.repository}")
            try:
                return copy(source, target, platform=platform, progress=progress, watch=watch)
            finally:
                self.enter("building")

        return copied

    def _check(self) -> None:
        # Once: what cleans up afterwards tells of it, too.
        if self._interruption.has_begun and not self._is_told:
            self._is_told = True
            raise KeyboardInterrupt


class _RowTask:
    def __init__(self, row: Row, text: str, interruption: Interruption) -> None:
        self._row = row
        self._text = text
        self._interruption = interruption

    def advance(self, amount: int) -> None:
        self._row.done += amount
        # Each of the threads that move bytes for one image has to end.
        if self._interruption.has_begun:
            raise KeyboardInterrupt

    def set_total(self, total: int) -> None:
        self._row.total = total

    def finish(self) -> None:
        if self._row.step == self._text:
            self._row.step, self._row.done, self._row.total = "", 0, None
