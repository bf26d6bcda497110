"""An object store with conditional writes → one build of an image at a time among machines that share nothing else.

A lease is one small object. Who creates it, or replaces what another one has ended, has the lease, and writes it anew
every few seconds. Who waits compares no times of day: a lease has expired when its ETag has not changed for as long as
it says, by the own clock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Event, Thread
from types import TracebackType
from typing import Protocol

from sagemaker_custom.errors import AwsError
from sagemaker_custom.leases.interface import (
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

LONGEST_S = 3600.0
"""What a record may ask for at most: it is another's to write."""
_BEATS = 4
_LOOKS = 30
_SHORTEST_POLL_S = 0.02
_JOIN_S = 5.0


class StoredVersion(Protocol):
    """An object as it is now."""

    @property
    def content(self) -> bytes:
        """All of it."""

    @property
    def etag(self) -> str:
        """Another one after each write."""


class VersionedStore(Protocol):
    """What is wanted of S3; :class:`sagemaker_custom.aws.conditional.ConditionalObjects` has it."""

    def read(self, bucket: str, key: str) -> StoredVersion | None:
        """Return an object; ``None`` when there is none."""

    def create(self, bucket: str, key: str, content: bytes) -> str | None:
        """Write an object that is not there; return its ETag, or ``None`` when another one was first."""

    def replace(self, bucket: str, key: str, content: bytes, *, etag: str) -> str | None:
        """Write an object that still has ``etag``; return its new one, or ``None`` when another one was first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """One lease object."""

    store: VersionedStore
    bucket: str
    key: str

    def read(self) -> StoredVersion | None:
        with _told_apart():
            return self.store.read(self.bucket, self.key)

    def create(self, holder: Holder) -> str | None:
        with _told_apart():
            return self.store.create(self.bucket, self.key, holder.content)

    def replace(self, holder: Holder, etag: str) -> str | None:
        with _told_apart():
            return self.store.replace(self.bucket, self.key, holder.content, etag=etag)


class _NoLeaseError(Exception):
    """The store of leases fails; not to be taken for what a registry behind AWS's credentials raises."""


@contextmanager
def _told_apart() -> Iterator[None]:
    try:
        yield
    except AwsError as error:
        raise _NoLeaseError(error.message) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Taken:
    """A lease that is this caller's."""

    etag: str
    last: Holder | None
    """Who had it before."""


class SharedLease:
    """Locks among machines.

    Args:
        store: Where the leases are.
        bucket: Its bucket.
        prefix: What keys begin with; empty, or ending in ``/``.
        lease_s: After how long without a sign of life others take over.
        new_holder: Says who takes a lease.
        sleep: Waits between two looks.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        store: VersionedStore,
        *,
        bucket: str,
        prefix: str = "",
        lease_s: float,
        new_holder: Callable[[], Holder] = this_process,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._prefix = prefix
        self._lease_s = lease_s
        self._new_holder = new_holder
        self._sleep = sleep
        self._monotonic = monotonic

    @contextmanager
    def hold(self, key: LockKey, *, is_there: Callable[[], bool], progress: Progress) -> Iterator[Turn]:
        """Wait for the turn; see :meth:`BuildLock.hold`."""
        with ExitStack() as held:
            yield self._turn(key, is_there, progress, held)

    def _turn(self, key: LockKey, is_there: Callable[[], bool], progress: Progress, held: ExitStack) -> Turn:
        place = _Place(store=self._store, bucket=self._bucket, key=f"{self._prefix}leases/{key.name}.json")
        holder = replace(self._new_holder(), lease_s=self._lease_s)
        waiting = Waiting(key, is_there, progress, self._monotonic)
        try:
            taken = self._take(place, holder, waiting)
        except _NoLeaseError as error:
            progress.step(
                f"there is no lease for {key.reference} ({error}): "
                "another machine may make it as well, and whose comes first is used"
            )
            return OwnTurn()
        if taken is None:
            return NothingToDo()
        heart = _Heart(place, holder, taken.etag, interval_s=self._lease_s / _BEATS)
        held.push(heart.stop)
        heart.start()
        if is_there():
            return NothingToDo()
        return OwnTurn(predecessor=waiting.ended(taken.last) if waiting.holder else None)

    def _take(self, place: _Place, holder: Holder, waiting: Waiting) -> _Taken | None:
        """Wait for the lease; ``None`` when there is nothing left to do."""
        etag = place.create(holder)
        seen, since, last = "", 0.0, None
        while etag is None:
            found = place.read()
            if found is None:
                etag = place.create(holder)
            else:
                last = read_holder(found.content)
                if last is not None and last.token == holder.token:
                    # Written by an attempt whose answer was lost.
                    return _Taken(etag=found.etag, last=None)
                if found.etag != seen:
                    seen, since = found.etag, self._monotonic()
                if waiting.see(last):
                    return None
                if self._is_free(last, self._monotonic() - since):
                    etag = place.replace(holder, found.etag)
            if etag is None:
                self._sleep(max(self._lease_s / _LOOKS, _SHORTEST_POLL_S))
        return _Taken(etag=etag, last=last)

    def _is_free(self, holder: Holder | None, unchanged_s: float) -> bool:
        if holder is not None and holder.state != "building":
            return True
        return unchanged_s >= min(LONGEST_S, holder.lease_s if holder else self._lease_s)


class _Heart:
    """Gives signs of life until it is stopped, and then ends the lease."""

    def __init__(self, place: _Place, holder: Holder, etag: str, *, interval_s: float) -> None:
        self._place = place
        self._holder = holder
        self._etag: str | None = etag
        self._interval_s = interval_s
        self._stopped = Event()
        # A daemon: nothing wakes a thread that waits for S3, and Ctrl-C must not wait for it.
        self._thread = Thread(target=self._run, name="sagemaker-custom-lease", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del kind, traceback
        self._stopped.set()
        self._thread.join(_JOIN_S)
        if not self._thread.is_alive() and self._etag:
            self._write(self._holder.ended(error))

    def _run(self) -> None:
        while self._etag and not self._stopped.wait(self._interval_s):
            self._holder = replace(self._holder, beat=self._holder.beat + 1)
            self._write(self._holder)

    def _write(self, holder: Holder) -> None:
        try:
            etag = self._place.replace(holder, self._etag or "")
            if etag is None:
                own = self._own_etag()
                etag = self._place.replace(holder, own) if own else None
        except _NoLeaseError as error:
            logger.warning("the lease of the build gives no sign of life, and others may begin it: %s", error)
            return
        self._etag = etag
        if etag is None:
            logger.warning("another machine has taken over the build, since this one gave no sign of life for too long")

    def _own_etag(self) -> str | None:
        """Return the ETag of what an attempt wrote whose answer was lost; ``None`` when the lease is another's."""
        found = self._place.read()
        now = read_holder(found.content) if found else None
        return found.etag if found and now and now.token == self._holder.token else None
