"""The file of a wheel → an open zip archive whose listing is sound: nothing in it is more than it says."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sagemaker_custom.errors import BuildError

MALFORMED = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
    OverflowError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What :mod:`zipfile` lets out when an archive is malformed."""

_MOST_MEMBERS = 300_000
_MOST_BYTES = 24 * 1024**3
"""Unpacked; the largest wheels have an eighth of it."""
_MOST_TIMES = 200
_ALWAYS_BYTES = 256 * 1024**2
"""Up to here a wheel may unpack to any multiple of its size; tables of zeros do."""
_MOST_METADATA_BYTES = 64 * 1024**2
"""Of a file that is read whole; the longest RECORD has a tenth of it."""
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED = 0x1


@contextmanager
def open_wheel(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel.

    Raises:
        BuildError: It is not a zip archive, or one that is made to do harm.
    """
    try:
        archive = zipfile.ZipFile(path)
    except MALFORMED as error:
        raise _refused(path, f"it is not a zip archive: {error}") from error
    with archive:
        for reason in _reasons(archive.infolist(), path.stat().st_size):
            raise _refused(path, reason)
        yield archive


def _refused(path: Path, reason: str) -> BuildError:
    return BuildError(
        f"the wheel {path.name} cannot be installed: {reason}",
        hint="the wheel is malformed or harmful: do not install it, and tell its authors",
    )


def _reasons(members: list[zipfile.ZipInfo], size: int) -> Iterator[str]:
    packed = sum(member.compress_size for member in members)
    unpacked = sum(member.file_size for member in members)
    if len(members) > _MOST_MEMBERS:
        yield f"it has {len(members)} files, more than {_MOST_MEMBERS}"
    # Members that share their bytes are how a small file gets to petabytes.
    if packed > size or _overlap(members, size):
        yield "its files overlap each other"
    if unpacked > _MOST_BYTES or unpacked > max(_ALWAYS_BYTES, _MOST_TIMES * size):
        yield f"its {size} bytes unpack to {unpacked}"
    names: set[str] = set()
    for member in members:
        if member.filename in names:
            yield f"it has {member.filename!r} twice"
        names.add(member.filename)
        if member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            yield f"{member.filename!r} is encrypted, or compressed in a way that wheels are not"
        if _is_metadata(member.filename) and member.file_size > _MOST_METADATA_BYTES:
            yield f"{member.filename!r} has {member.file_size} bytes"


def _overlap(members: list[zipfile.ZipInfo], size: int) -> bool:
    starts = sorted((member.header_offset, member.compress_size) for member in members)
    ends = [*(start for start, _ in starts[1:]), size]
    return any(start < 0 or start + length > end for (start, length), end in zip(starts, ends, strict=False))


def _is_metadata(name: str) -> bool:
    folder, _, file = name.partition("/")
    return folder.endswith(".dist-info") and os.sep not in file
