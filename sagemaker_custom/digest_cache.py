"""A file with the digests of files that were read before → those that still hold, so that they need not be read again.

It is what git's index does: a file whose size, times and inode are those of last time has the content of last time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sagemaker_custom.contents import FileDigest
from sagemaker_custom.entry import Entry

logger = logging.getLogger(__name__)

_FORMAT = 1
# A file can be written twice within one tick of its file system's clock, and have one stamp for two contents. What was
# read so soon after its last change is read again next time. FAT's tick is the longest, of two seconds.
_TICK_NS = 2_000_000_000
_MOST_FILES_KEPT = 64


class DigestCache:
    """Digests of the files of one tree, by their stamps; a lost, damaged or unwritable cache costs time and no more.

    Args:
        path: Where it is kept. Each tree needs one of its own; several processes may use it at once.
        clock: Now, in nanoseconds since 1970. Files are read after this object was made.
    """

    def __init__(self, path: Path, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._known = _read(path)
        self._settled_before = clock() - _TICK_NS

    def get(self, entry: Entry) -> bytes | None:
        """Return the sha256 of a file if the file is the one that was read."""
        known = self._known.get(entry.name)
        if known is None or entry.stamp is None or known[:4] != [*entry.stamp]:
            return None
        return bytes.fromhex(known[4])

    def keep(self, entries: Iterable[Entry], found: Mapping[str, FileDigest]) -> None:
        """Remember what was found, and forget what is no longer in the tree.

        Args:
            entries: The whole tree.
            found: Name → digest, of those that were not known.
        """
        known = self._known | {
            name: [*digest.stamp, digest.sha256.hex()]
            for name, digest in found.items()
            if digest.stamp is not None and max(digest.stamp.mtime_ns, digest.stamp.ctime_ns) < self._settled_before
        }
        wanted = {entry.name: known[entry.name] for entry in entries if entry.name in known}
        if wanted == self._known:
            return
        try:
            _write(self._path, wanted)
        except OSError as error:
            logger.debug("digests of source files are not remembered in %s: %s", self._path, error)


def _read(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open("rb") as file:
            if not _is_our_own(os.fstat(file.fileno())):
                logger.debug("%s is not used: others may write to it", path)
                return {}
            return _records(file.readline(), file.read())
    except (OSError, ValueError, RecursionError) as error:
        logger.debug("no digests of source files in %s: %s", path, error)
        return {}


def _is_our_own(info: os.stat_result) -> bool:
    # Who may write here may also have us take other code for code that is in S3 already.
    return info.st_uid == os.geteuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _records(head: bytes, body: bytes) -> dict[str, list[Any]]:
    if head != _head(body):
        raise ValueError("of another format, or damaged")
    document: dict[str, list[Any]] = json.loads(body)
    return document


def _head(body: bytes) -> bytes:
    return b"sagemaker-custom digests %d %s\n" % (_FORMAT, hashlib.sha256(body).hexdigest().encode())


def _write(path: Path, records: Mapping[str, list[Any]]) -> None:
    # Names that are no UTF-8 hold lone surrogates, which ASCII's escapes keep.
    body = json.dumps(records, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head(body) + body)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    _forget_oldest(path.parent)


def _forget_oldest(folder: Path) -> None:
    with suppress(OSError):
        aged = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in aged[_MOST_FILES_KEPT:]:
            path.unlink(missing_ok=True)
