"""What is remembered of files that were read before → the digests that still hold, so that they need not be read again.

It is what git's index does: a file whose size, times and inode are those of last time has the content of last time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sagemaker_custom.cache_files import CacheFolder
from sagemaker_custom.contents import FileDigest
from sagemaker_custom.entry import Entry, Stamp

# A file can be written twice within one tick of its file system's clock, and have one stamp for two contents. What was
# read so soon after its last change is read again next time. FAT's tick is the longest, of two seconds.
_TICK_NS = 2_000_000_000
_MOST_TREES = 64


class DigestCache:
    """Digests of the files of one tree, by their stamps; a lost, damaged or unwritable cache costs time and no more.

    Args:
        folder: Keeps those of several trees; several processes may use it at once.
        name: Of the tree.
        clock: Now, in nanoseconds since 1970. Files are read after this object was made.
    """

    def __init__(self, folder: Path, name: str, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._files = CacheFolder(path=folder, content="digests 2", most_files=_MOST_TREES)
        self._name = name
        # Texts, not lists: of those, Python's garbage collector would look at each.
        self._known: dict[str, str] = json.loads(self._files.read(name) or b"{}")
        self._settled_before = clock() - _TICK_NS

    def get(self, entry: Entry) -> bytes | None:
        """Return the sha256 of a file if the file is the one that was read."""
        known = self._known.get(entry.name)
        if known is None or entry.stamp is None:
            return None
        expected = _text(entry.stamp)
        return bytes.fromhex(known[len(expected) :]) if known.startswith(expected) else None

    def keep(self, entries: Iterable[Entry], found: Mapping[str, FileDigest]) -> None:
        """Remember what was found, and forget what is no longer in the tree.

        Args:
            entries: The whole tree.
            found: Name → digest, of those that were not known.
        """
        known = self._known | {
            name: _text(digest.stamp) + digest.sha256.hex()
            for name, digest in found.items()
            if digest.stamp is not None and max(digest.stamp.mtime_ns, digest.stamp.ctime_ns) < self._settled_before
        }
        wanted = {entry.name: known[entry.name] for entry in entries if entry.name in known}
        if wanted != self._known:
            # ASCII's escapes keep the lone surrogates of names that are no UTF-8.
            self._files.write(self._name, json.dumps(wanted, separators=(",", ":")).encode("ascii"))

    def forget(self) -> None:
        """Have all files read next time."""
        self._files.remove(self._name)


def _text(stamp: Stamp) -> str:
    return " ".join(map(str, (*stamp, "")))
