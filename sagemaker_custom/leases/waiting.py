"""Who holds a lock, look after look → what the waiting caller is told, and whom it waited for."""

from __future__ import annotations

from collections.abc import Callable

from sagemaker_custom.leases.interface import Holder, LockKey
from sagemaker_custom.progress import Progress

_REMINDER_S = 60.0
# A holder writes down who it is just after it got the lock.
_GRACE_S = 2.0


class Waiting:
    """One caller's wait for one lock.

    Args:
        key: What it waits for.
        is_there: Asks whether it has been made.
        progress: Told whom it waits for.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self, key: LockKey, is_there: Callable[[], bool], progress: Progress, monotonic: Callable[[], float]
    ) -> None:
        self._key = key
        self._is_there = is_there
        self._progress = progress
        self._monotonic = monotonic
        self._began = self._told = monotonic()
        self._holder: Holder | None = None
        self._is_told = False
        self._looked_after = ""

    @property
    def holder(self) -> Holder | None:
        """Who was waited for last."""
        return self._holder

    def see(self, holder: Holder | None) -> bool:
        """Take a look at the lock, which somebody has.

        Returns:
            Whether the wait is over because the image is there.
        """
        now = self._monotonic()
        if holder is not None and holder.state == "done" and holder.token != self._looked_after:
            # All who wait look at once, instead of one after the other when the lock is theirs.
            self._looked_after = holder.token
            if self._is_there():
                return True
        if holder is not None and holder.state == "building" and holder.token != (self._holder and self._holder.token):
            self._holder = holder
            self._tell(f"waiting for {holder}, who makes {self._key.reference} since {holder.since}", now)
        elif not self._is_told and now - self._began > _GRACE_S:
            self._tell(f"waiting for another process, which makes {self._key.reference}", now)
        elif self._is_told and now - self._told >= _REMINDER_S:
            self._told = now
            self._progress.log(f"still waiting for {self._holder or 'it'}, for {now - self._began:.0f} s so far")
        return False

    def ended(self, last: Holder | None) -> Holder | None:
        """Return who was waited for in vain, as it is at the end of the wait; ``None`` for nobody known."""
        if self._holder is None or last is None or last.token != self._holder.token:
            return self._holder
        return last

    def _tell(self, text: str, now: float) -> None:
        self._is_told, self._told = True, now
        self._progress.step(text)
