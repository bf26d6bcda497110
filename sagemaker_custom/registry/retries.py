"""An attempt that may fail at first → its result, or the last failure after a number of tries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

from sagemaker_custom.errors import DigestMismatchError, RegistryUnavailableError

logger = logging.getLogger(__name__)

_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
# A registry that wants more than this is better reported than waited for.
_LONGEST_RETRY_AFTER_S = 120.0
# What is damaged again and again is damaged where it is stored.
_DAMAGED_TRIES = 3
# How late, at most, work that waits learns that it was called off.
_SLICE_S = 0.2

_T = TypeVar("_T")


class RetryLaterError(RegistryUnavailableError):
    """The registry said when to come back.

    Args:
        message: What failed.
        hint: What to do next.
        delay_s: Seconds to wait; ``None`` leaves it to the client.
    """

    def __init__(self, message: str, *, hint: str | None = None, delay_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.delay_s = delay_s


class Retries:
    """Exponential backoff with jitter.

    Args:
        attempts: How often an attempt is made in all.
        sleep: Waits that many seconds.
        random: A number from 0 to 1; spreads clients that failed at the same time.
        check: Called before each attempt, and again and again during a wait; what it raises ends both.
    """

    def __init__(
        self,
        *,
        attempts: int,
        sleep: Callable[[float], None],
        random: Callable[[], float],
        check: Callable[[], None] | None = None,
    ) -> None:
        self.attempts = max(attempts, 1)
        self._sleep = sleep
        self._random = random
        self._check = check

    def checked(self, check: Callable[[], None]) -> Retries:
        """Return the same, ended by what ``check`` raises."""
        return Retries(attempts=self.attempts, sleep=self._sleep, random=self._random, check=check)

    def run(self, attempt: Callable[[], _T]) -> _T:
        """Call ``attempt`` until it gives something else than :class:`RegistryUnavailableError`.

        Raises:
            RegistryUnavailableError: The last attempt failed as well.
        """
        number = 0
        while True:
            number += 1
            if self._check:
                self._check()
            try:
                return attempt()
            except RegistryUnavailableError as error:
                if number >= self.attempts:
                    times = f" (tried {number} times)" if number > 1 else ""
                    raise RegistryUnavailableError(f"{error.message}{times}", hint=error.hint) from error
                self.pause(number, error)

    def run_verified(self, attempt: Callable[[], _T]) -> _T:
        """Call ``attempt`` as :meth:`run` does, and again where what came, or what was stored, was damaged on its way.

        Raises:
            DigestMismatchError: It stays damaged.
            RegistryUnavailableError: The last attempt failed as well.
        """
        for _ in range(_DAMAGED_TRIES - 1):
            try:
                return self.run(attempt)
            except DigestMismatchError as error:
                logger.info("%s; trying again", error.message)
        return self.run(attempt)

    def pause(self, number: int, error: RegistryUnavailableError) -> None:
        """Wait after failure ``number``, counted from 1: what the registry asked for, else ever longer."""
        delay = error.delay_s if isinstance(error, RetryLaterError) else None
        if delay is None:
            delay = min(_FIRST_DELAY_S * 2 ** (number - 1), _LONGEST_DELAY_S) * (1 + self._random()) / 2
        delay = min(delay, _LONGEST_RETRY_AFTER_S)
        logger.info("%s; trying again in %.1f s", error.message, delay)
        self._wait(delay)

    def _wait(self, delay: float) -> None:
        if self._check is None:
            self._sleep(delay)
            return
        while delay > 0:
            self._check()
            self._sleep(min(delay, _SLICE_S))
            delay -= _SLICE_S


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in ``Retry-After``; a date in it is compared with the registry's own clock."""
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("Date", ""))
        return max((until - now).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None
