"""A folder → one build of an image at a time on this machine, by file locks, which the kernel frees after a crash."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from sagemaker_custom.leases.interface import (
    LARGEST_BYTES,
    Holder,
    LockKey,
    NothingToDo,
    OwnTurn,
    Turn,
    read_holder,
    this_process,
)
from sagemaker_custom.leases.waiting import Waiting
from sagemaker_custom.progress import Progress

logger = logging.getLogger(__name__)

_POLL_S = 0.2


class _NoLockError(Exception):
    """The folder cannot hold locks."""


class MachineLock:
    """Locks among the processes of one machine, or of those that share the folder.

    Args:
        folder: Where the locks are; made when it is missing.
        new_holder: Says who takes a lock.
        sleep: Waits between two looks.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        folder: Path,
        *,
        new_holder: Callable[[], Holder] = this_process,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._new_holder = new_holder
        self._sleep = sleep
        self._monotonic = monotonic

    @contextmanager
    def hold(self, key: LockKey, *, is_there: Callable[[], bool], progress: Progress) -> Iterator[Turn]:
        """Wait for the turn; see :meth:`BuildLock.hold`."""
        with ExitStack() as held:
            yield self._turn(key, is_there, progress, held)

    def _turn(self, key: LockKey, is_there: Callable[[], bool], progress: Progress, held: ExitStack) -> Turn:
        record = self._folder / f"{key.name}.json"
        waiting = Waiting(key, is_there, progress, self._monotonic)
        has_waited = False
        try:
            lock = self._open(key)
            while not _is_taken(lock):
                has_waited = True
                if waiting.see(_read(record)):
                    return NothingToDo()
                self._sleep(_POLL_S)
        except _NoLockError as error:
            progress.step(f"{error}: another process may make {key.reference} as well, and whose comes first is used")
            return OwnTurn()
        held.callback(lock.release)
        if is_there():
            return NothingToDo()
        predecessor = waiting.ended(_read(record)) if has_waited else None
        holder = self._new_holder()
        _write(record, holder)
        held.push(lambda _, error, __: _write(record, holder.ended(error)))
        return OwnTurn(predecessor=predecessor)

    def _open(self, key: LockKey) -> BaseFileLock:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_lock(self._folder, error) from error
        return FileLock(self._folder / f"{key.name}.lock")


def _is_taken(lock: BaseFileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        raise _no_lock(Path(lock.lock_file), error) from error
    if isinstance(lock, SoftFileLock):
        # What filelock makes of a file system without flock would stay locked for ever after a crash.
        lock.release()
        raise _no_lock(Path(lock.lock_file), OSError(errno.ENOSYS, "its file system has no locks"))
    return True


def _no_lock(path: Path, error: Exception) -> _NoLockError:
    reason = error.strerror if isinstance(error, OSError) else "its file system has no locks"
    return _NoLockError(f"{path} cannot be locked ({reason})")


def _read(record: Path) -> Holder | None:
    try:
        with record.open("rb") as file:
            return read_holder(file.read(LARGEST_BYTES + 1))
    except OSError:
        return None


def _write(record: Path, holder: Holder) -> None:
    # Who cannot be named is waited for all the same.
    try:
        record.write_bytes(holder.content)
    except OSError as error:
        logger.debug("%s cannot be written: %s", record, error.strerror)
