"""Chunks of one layer of an image → what it adds and hides, as far as packages of Python are concerned."""

from __future__ import annotations

import posixpath
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.inventories.decompression import Gunzip
from sagemaker_custom.inventories.tar_entries import TarEntries, TarEntry
from sagemaker_custom.inventories.wanted import CONTENT_LIMIT, KeptFile, is_wanted, kept

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MOST_ENTRIES = 300_000
"""Links and files that are kept of one layer; the largest images have some ten thousand."""
_MOST_KEPT_BYTES = 256 * 1024 * 1024
"""Of their content, packed, and of where links lead; the largest images have some ten million."""
_MOST_TIMES = 200
_ALWAYS_UNPACKED_BYTES = 1024**3
"""Below it a layer may have any proportion: gzip itself gets to 1000, for files of nothing but zeros."""


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link; all of a layer are kept, since any may be on the way to a package."""

    target: str


@dataclass(frozen=True, slots=True)
class HardLink:
    """Another name of a file that this layer does not have, or has not kept."""

    target: str


Kept: TypeAlias = "KeptFile | Symlink | HardLink"


class PathSet:
    """Paths of one layer, of which only can be asked whether they are in it; eight bytes each.

    It holds hashes: two paths that share one would have to meet by chance, at 1 to some 10**12 for a whole image.
    """

    def __init__(self, hashes: Iterable[int] = ()) -> None:
        self._hashes = array("q", sorted(hashes))

    def __contains__(self, path: str) -> bool:
        sought = hash(path)
        position = bisect_left(self._hashes, sought)
        return position < len(self._hashes) and self._hashes[position] == sought

    def __len__(self) -> int:
        return len(self._hashes)


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFacts:
    """What a layer does to those below it; for this process only, since hashes of texts are."""

    kept: Mapping[str, Kept]
    """Absolute path → the link, or what is kept of the file."""
    removed: tuple[str, ...]
    """Whiteouts: absolute paths that the layers below no longer have, with all below them."""
    emptied: tuple[str, ...]
    """Opaque folders: of what is in them, nothing of the layers below is left."""
    folders: PathSet
    others: PathSet
    """What is no folder: it hides what has its path, and with a folder also all below that."""


def scan_layer(chunks: Iterable[bytes]) -> LayerFacts:
    """Read a layer, once and in bounded memory.

    Args:
        chunks: Of the gzip file.

    Raises:
        RegistryError: This is not a layer: neither gzip nor tar, cut off, or out of all proportion.
    """
    scanner = LayerScanner()
    for chunk in chunks:
        scanner.feed(chunk)
    return scanner.finish()


class LayerScanner:
    """Reads a layer that is handed to it chunk by chunk, for example on its way to another registry."""

    def __init__(self) -> None:
        self._gunzip = Gunzip()
        self._entries = TarEntries(_is_content_wanted)
        self._kept: dict[str, Kept] = {}
        self._removed: list[str] = []
        self._emptied: list[str] = []
        self._folders = array("q")
        self._others = array("q")
        self._packed_bytes = self._unpacked_bytes = self._kept_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Read on.

        Raises:
            RegistryError: This is not a layer.
        """
        self._packed_bytes += len(chunk)
        for piece in self._gunzip.feed(chunk):
            self._unpacked_bytes += len(piece)
            if self._unpacked_bytes > _ALWAYS_UNPACKED_BYTES + _MOST_TIMES * self._packed_bytes:
                raise RegistryError(
                    f"a layer has more than {_MOST_TIMES} times its size unpacked",
                    hint="it is made to exhaust whoever reads it: take another base image",
                )
            for entry, content in self._entries.feed(piece):
                self._add(entry, content)

    def finish(self) -> LayerFacts:
        """Return what was found, after the last chunk.

        Raises:
            RegistryError: The layer was cut off.
        """
        self._gunzip.finish()
        self._entries.finish()
        return LayerFacts(
            kept=self._kept,
            removed=tuple(self._removed),
            emptied=tuple(self._emptied),
            folders=PathSet(self._folders),
            others=PathSet(self._others),
        )

    def _add(self, entry: TarEntry, content: bytes) -> None:
        path = absolute(entry.path)
        folder, _, name = path.rpartition("/")
        if name == _OPAQUE:
            self._emptied.append(folder or "/")
            return
        if name.startswith(_WHITEOUT):
            # The engine's own marks, like .wh..wh.plnk, hide nothing.
            if not name.startswith(_WHITEOUT * 2):
                self._removed.append(f"{folder}/{name.removeprefix(_WHITEOUT)}")
            return
        (self._folders if entry.kind == "folder" else self._others).append(hash(path))
        self._kept.pop(path, None)
        found = self._found(entry, path, content)
        if found is not None:
            self._kept[path] = found
            self._kept_bytes += len(found.packed) if isinstance(found, KeptFile) else len(found.target)
            if len(self._kept) > _MOST_ENTRIES or self._kept_bytes > _MOST_KEPT_BYTES:
                raise RegistryError(
                    f"a layer has more than {_MOST_ENTRIES} links and packages, or {_MOST_KEPT_BYTES} bytes of them"
                )

    def _found(self, entry: TarEntry, path: str, content: bytes) -> Kept | None:
        if entry.kind == "symlink":
            return Symlink(entry.target)
        if entry.kind == "file":
            return kept(path, content) if is_wanted(path) else None
        if entry.kind == "hard link" and is_wanted(path):
            target = absolute(entry.target)
            there = self._kept.get(target)
            return HardLink(target) if there is None else there
        return None


def absolute(path: str) -> str:
    """Return a path of an archive as one from the image's root, which it cannot leave."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


def _is_content_wanted(entry: TarEntry) -> bool:
    return entry.size <= CONTENT_LIMIT and is_wanted(absolute(entry.path))
