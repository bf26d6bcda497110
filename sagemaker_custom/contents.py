"""Entries of an archive → what is in their files: digests, or pieces of a tar; several files are read at a time."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sagemaker_custom.entry import Entry, Stamp
from sagemaker_custom.errors import SourceError
from sagemaker_custom.ignore import IGNORE_FILE
from sagemaker_custom.tree import unreadable

_CHUNK_BYTES = 1 << 20
_BATCH_BYTES = 1 << 18
_BATCH_FILES = 64
# On a local disk one reader is enough; over a network each file costs a round trip or more.
_READERS = 8

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDigest:
    """What was in a file when it was read."""

    sha256: bytes
    stamp: Stamp | None
    """Of the file, if it was the same before and after it was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A part of a tar."""

    content: bytes
    digests: tuple[bytes, ...] = ()
    """sha256 of each file that ends in this part, in their order."""


def digests(files: Sequence[Entry]) -> Iterator[FileDigest]:
    """Read files, and yield what was in them, in their order.

    Raises:
        SourceError: A file cannot be read, or has another size than when it was listed.
    """
    for batch in _in_order(_batches(files), _hash_all):
        yield from batch


def tar_pieces(entries: Sequence[Entry]) -> Iterator[Piece]:
    """Yield the archive, before compression; each file is read once.

    Args:
        entries: In the order in which they are to be in the archive.

    Raises:
        SourceError: A file cannot be read, or has another size than when it was listed.
    """
    for pieces in _in_order(_batches(entries), _pack):
        yield from pieces
    yield Piece(content=bytes(2 * tarfile.BLOCKSIZE))


def chunks(entry: Entry) -> Iterator[bytes]:
    """Yield the content of a file.

    Raises:
        SourceError: It cannot be read, or has another size than when it was listed.
    """
    left = entry.size
    try:
        with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123  # a Path would take as long as opening
            while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk
            changed = left > 0 or file.read(1)
    except OSError as error:
        raise unreadable(entry.path, error) from error
    if changed:
        raise _changed(entry)


def _in_order(batches: Iterable[Sequence[Entry]], work: Callable[[Sequence[Entry]], _Result]) -> Iterator[_Result]:
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="source") as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) > _READERS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for unwanted in waiting:
                unwanted.cancel()


def _batches(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == _BATCH_FILES or size + entry.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


def _hash_all(files: Sequence[Entry]) -> list[FileDigest]:
    return [_hash(file) for file in files]


def _hash(file: Entry) -> FileDigest:
    digest = hashlib.sha256()
    left = file.size
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            before = Stamp.of(os.fstat(descriptor))
            # One byte more than there should be: a file that grew is told from one that did not.
            while chunk := os.read(descriptor, min(left + 1, _CHUNK_BYTES)):
                digest.update(chunk)
                left -= len(chunk)
                if left < 0:
                    break
            after = Stamp.of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(file.path, error) from error
    if left:
        raise _changed(file)
    return FileDigest(sha256=digest.digest(), stamp=after if before == after else None)


def _pack(batch: Sequence[Entry]) -> Iterable[Piece]:
    # A large file is read when its turn comes: what is read ahead is in memory.
    return (_pack_small(batch),) if sum(entry.size for entry in batch) <= _BATCH_BYTES else _pack_large(batch[0])


def _pack_small(entries: Sequence[Entry]) -> Piece:
    parts: list[bytes] = []
    found: list[bytes] = []
    for entry in entries:
        parts.append(_tar_header(entry))
        if entry.kind == "file":
            content = b"".join(chunks(entry))
            parts += content, _padding(entry)
            found.append(hashlib.sha256(content).digest())
    return Piece(content=b"".join(parts), digests=tuple(found))


def _pack_large(entry: Entry) -> Iterator[Piece]:
    digest = hashlib.sha256()
    yield Piece(content=_tar_header(entry))
    for chunk in chunks(entry):
        digest.update(chunk)
        yield Piece(content=chunk)
    yield Piece(content=_padding(entry), digests=(digest.digest(),))


def _padding(entry: Entry) -> bytes:
    return bytes(-entry.size % tarfile.BLOCKSIZE)


def _tar_header(entry: Entry) -> bytes:
    # Owner, group, names and time of a fresh TarInfo are zero or empty. The GNU format keeps long names, and
    # names that are not UTF-8, as they are.
    header = tarfile.TarInfo(entry.name)
    header.size = entry.size
    header.mode = entry.mode
    header.type = tarfile.DIRTYPE if entry.kind == "directory" else tarfile.REGTYPE
    return header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _changed(entry: Entry) -> SourceError:
    return SourceError(
        f"{entry.path} changed while it was packed",
        hint=f"try again when nothing writes to it, or add it to a {IGNORE_FILE} file",
    )
