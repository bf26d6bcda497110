"""A lock → its wheels as files of a folder, each under its hash; what is there is not downloaded again."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO

from sagemaker_custom.errors import BuildError, DigestMismatchError, DiskFullError
from sagemaker_custom.partial_files import replacing
from sagemaker_custom.progress import Progress, Task
from sagemaker_custom.wheels.download import Download, DownloadInterruptedError
from sagemaker_custom.wheels.lock import Lock, LockedWheel

_FIRST_DELAY_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedWheel:
    """A wheel and the file that holds it."""

    wheel: LockedWheel
    path: Path


class WheelStore:
    """Wheels by their hash.

    Args:
        folder: Where they are kept; safe to delete.
        download: Gets those that are not there.
        workers: How many at a time.
        attempts: How often one is tried.
        sleep: Waits that many seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        download: Download,
        workers: int = 6,
        attempts: int = 5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._download = download
        self._workers = workers
        self._attempts = attempts
        self._sleep = sleep

    def fetch(self, lock: Lock, progress: Progress) -> tuple[FetchedWheel, ...]:
        """Return the wheels of ``lock``, in its order.

        Raises:
            BuildError: One of them cannot be had.
            DigestMismatchError: What came is not what the lock says.
        """
        wheels = tuple(FetchedWheel(wheel=wheel, path=self._path(wheel)) for wheel in lock.wheels)
        missing = [wheel for wheel in wheels if not _is_there(wheel)]
        if missing:
            sizes = [fetched.wheel.size for fetched in missing]
            total = None if None in sizes else sum(size or 0 for size in sizes)
            names = " ".join(fetched.wheel.name for fetched in missing)
            task = progress.task(f"downloading {len(missing)} wheels: {names}", total=total)
            try:
                self._fetch_all(missing, task)
            finally:
                task.finish()
        return wheels

    def _path(self, wheel: LockedWheel) -> Path:
        return self._folder / wheel.sha256 / wheel.filename

    def _fetch_all(self, missing: list[FetchedWheel], task: Task) -> None:
        stop = Event()
        # The largest ones first, so that none is left for the end.
        ordered = sorted(missing, key=lambda fetched: -(fetched.wheel.size or 0))
        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            futures = [pool.submit(self._fetch, fetched, task, stop) for fetched in ordered]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _fetch(self, fetched: FetchedWheel, task: Task, stop: Event) -> None:
        try:
            # Not beside the wheel, where it would be found again only by who wants the same wheel.
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(fetched.path, beside=self._folder) as file:
                self._fill(file, fetched.wheel, task, stop)
                fetched.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(
                    f"no space left for {fetched.wheel.filename} in {self._folder}",
                    hint="free some, or put the cache elsewhere: the setting cache_dir",
                ) from error
            raise

    def _fill(self, file: BinaryIO, wheel: LockedWheel, task: Task, stop: Event) -> None:
        for attempt in range(self._attempts):
            try:
                self._continue(file, wheel, task, stop)
                break
            except DownloadInterruptedError:
                if attempt == self._attempts - 1:
                    raise
                self._sleep(_FIRST_DELAY_S * 2**attempt)
        file.seek(0)
        found = hashlib.sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
        if found.hexdigest() != wheel.sha256:
            raise DigestMismatchError(
                f"{wheel.url} has the sha256 {found.hexdigest()} instead of {wheel.sha256}",
                hint="the index, or something between, has changed the file: do not install it",
            )

    def _continue(self, file: BinaryIO, wheel: LockedWheel, task: Task, stop: Event) -> None:
        with self._download.open(wheel.url, start=file.seek(0, os.SEEK_END)) as content:
            file.truncate(content.start)
            file.seek(content.start)
            for chunk in content.chunks:
                if stop.is_set():
                    raise BuildError(f"the download of {wheel.filename} was called off")
                file.write(chunk)
                task.advance(len(chunk))
                if wheel.size is not None and file.tell() > wheel.size:
                    raise DigestMismatchError(
                        f"{wheel.url} has more than {wheel.size} bytes, which the lock says that it has",
                        hint="the index, or something between, has changed the file: do not install it",
                    )


def _is_there(fetched: FetchedWheel) -> bool:
    try:
        size = fetched.path.stat().st_size
    except OSError:
        return False
    return fetched.wheel.size in (None, size)
