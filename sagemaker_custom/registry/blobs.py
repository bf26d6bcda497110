"""Streams of blobs: a file → a body that can be sent again, and answers → chunks that are verified at their end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO

from sagemaker_custom.errors import DigestMismatchError, RegistryError, RegistryUnavailableError
from sagemaker_custom.progress import NoProgress, Task
from sagemaker_custom.reference import Digest
from sagemaker_custom.registry.transport import CHUNK_SIZE, HttpResponse

_PROGRESS = 8 * 1024 * 1024
"""Bytes after which earlier losses of the connection no longer count: a large layer may see many in an hour."""


class BlobBody:
    """Content to upload; a second iteration opens it again and takes the progress of the first one back.

    Args:
        digest: What error messages call it.
        size: In bytes.
        open_content: Opens it at its first byte; the body closes it.
        task: Told about the bytes that were handed to the connection.
    """

    def __init__(
        self, *, digest: Digest, size: int, open_content: Callable[[], BinaryIO], task: Task | None = None
    ) -> None:
        self.size = size
        self._digest = digest
        self._open_content = open_content
        self._task = task or NoProgress().task("")
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in chunks.

        Raises:
            RegistryError: It cannot be read, or has another size than it was said to have.
        """
        self._task.advance(-self._sent)
        self._sent = 0
        with closing(self._opened()) as content:
            while chunk := self._read(content):
                self._sent += len(chunk)
                # One byte too many would be taken for the beginning of the next request.
                if self._sent > self.size:
                    raise self._changed()
                self._task.advance(len(chunk))
                yield chunk
        if self._sent < self.size:
            raise self._changed()

    def _opened(self) -> BinaryIO:
        try:
            return self._open_content()
        except OSError as error:
            raise RegistryError(f"{self._digest} cannot be read to upload it: {error}") from error

    def _read(self, content: BinaryIO) -> bytes:
        # OSError must not get into the connection, which would take it for its own failure and try again.
        try:
            return content.read(CHUNK_SIZE)
        except OSError as error:
            raise RegistryError(f"{self._digest} cannot be read to upload it: {error}") from error

    def _changed(self) -> RegistryError:
        return RegistryError(
            f"the content of {self._digest} does not have the {self.size} bytes that were announced",
            hint="something changed it during the upload; try again",
        )


def read_verified(
    open_at: Callable[[int], HttpResponse],
    digest: Digest,
    *,
    size: int | None,
    attempts: int,
    pause: Callable[[int, RegistryUnavailableError], None],
) -> Iterator[bytes]:
    """Yield a blob; a connection that is lost is opened again where it ended.

    Args:
        open_at: Starts the answer at an offset.
        digest: What all chunks together have to hash to.
        size: Bytes that the blob has, where known.
        attempts: How many connections may be lost before much of the blob has come over one.
        pause: Waits after loss number n.

    Raises:
        DigestMismatchError: At the end: what was yielded is not the blob.
        RegistryUnavailableError: Too many losses.
    """
    hasher = hashlib.sha256()
    received = losses = lost_at = 0
    finished = False
    while not finished:
        with open_at(received) as response:
            try:
                for chunk in response.iter_bytes():
                    hasher.update(chunk)
                    received += len(chunk)
                    if size is not None and received > size:
                        raise _mismatch(digest, f"it has more than {size} bytes")
                    yield chunk
                finished = True
            except RegistryUnavailableError as error:
                losses = 1 if received - lost_at >= _PROGRESS else losses + 1
                lost_at = received
                if losses >= attempts:
                    raise
                pause(losses, error)
    if size is not None and received != size:
        raise _mismatch(digest, f"it has {received} instead of {size} bytes")
    if f"sha256:{hasher.hexdigest()}" != digest:
        raise _mismatch(digest, f"it hashes to sha256:{hasher.hexdigest()}")


def _mismatch(digest: Digest, how: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"the registry sent something else for {digest}: {how}",
        hint="try again; if it stays so, a proxy or the registry's storage damages content",
    )
