"""Layers and a config → blobs of a repository, several at a time; what is there is not sent again."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from sagemaker_custom.builders.blob_places import BlobPlaces
from sagemaker_custom.errors import RegistryError, SageMakerCustomError
from sagemaker_custom.progress import Progress, SharedTask, Task
from sagemaker_custom.reference import Digest, ImageReference, digest_of
from sagemaker_custom.registry import RegistryClient

_WORKERS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """What is uploaded."""

    digest: Digest
    size: int
    open_content: Callable[[], BinaryIO]


def file_blob(digest: Digest, size: int, path: Path) -> Blob:
    """Return a file as what is uploaded."""
    return Blob(digest=digest, size=size, open_content=lambda: path.open("rb"))


def bytes_blob(content: bytes) -> Blob:
    """Return bytes as what is uploaded."""
    return Blob(digest=digest_of(content), size=len(content), open_content=lambda: io.BytesIO(content))


def upload(
    registry: RegistryClient,
    target: ImageReference,
    blobs: Sequence[Blob],
    progress: Progress,
    *,
    places: BlobPlaces,
) -> tuple[Digest, ...]:
    """Upload what the repository does not have; the first failure, or Ctrl-C, stops the others.

    Args:
        registry: Of the repository.
        target: Anything in the repository.
        blobs: Each is sent once, however often it is named.
        progress: Shows one bar for all bytes.
        places: Tell where a blob can be mounted from, and are told where it is now.

    Returns:
        The digests of those that were sent.

    Raises:
        RegistryError: One of them could not be sent.
    """
    unique = tuple({blob.digest: blob for blob in blobs}.values())
    task = progress.task(f"uploading to {target.repository}", total=sum(blob.size for blob in unique))
    uploads = _Uploads(registry, target, SharedTask(task), places)
    try:
        with ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="upload") as pool:
            try:
                sent = tuple(pool.map(uploads.send, unique))
            except BaseException:
                uploads.stop()
                raise
    finally:
        task.finish()
    if uploads.failure:
        raise uploads.failure
    return tuple(blob.digest for blob, was_sent in zip(unique, sent, strict=True) if was_sent)


class _Uploads:
    """Uploads that end together."""

    def __init__(self, registry: RegistryClient, target: ImageReference, task: Task, places: BlobPlaces) -> None:
        self._registry = registry.checked(self._check)
        self._target = target
        self._task = task
        self._places = places
        self._stopped = threading.Event()
        self.failure: SageMakerCustomError | None = None

    def stop(self) -> None:
        self._stopped.set()

    def send(self, blob: Blob) -> bool:
        if self._stopped.is_set():
            return False

        try:
            was_sent = not self._is_mounted(blob) and self._upload(blob)
            self._places.remember(self._target, blob.digest)
        except SageMakerCustomError as error:
            # The first one is the reason; the others only say that they were stopped.
            if not self._stopped.is_set():
                self.failure = error
            self.stop()
            return False
        if not was_sent:
            self._task.advance(blob.size)
        return was_sent

    def _is_mounted(self, blob: Blob) -> bool:
        """Take the blob from another repository of the registry, where one is known to have it."""
        source = self._places.other_repository(self._target, blob.digest)
        if source is None or self._registry.has_blob(self._target, blob.digest):
            return False
        return self._registry.mount_blob(self._target, blob.digest, source_repository=source)

    def _upload(self, blob: Blob) -> bool:
        def open_content() -> BinaryIO:
            return cast("BinaryIO", _Checked(blob.open_content(), self._check))

        return self._registry.upload_blob(self._target, blob.digest, blob.size, open_content, task=self._task)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise RegistryError(f"uploading to {self._target.name} was stopped")


class _Checked:
    """A file that cannot be read any more once the uploads are stopped."""

    def __init__(self, file: BinaryIO, check: Callable[[], None]) -> None:
        self._file = file
        self._check = check

    def read(self, size: int = -1) -> bytes:
        self._check()
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
