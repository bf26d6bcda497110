"""Facts of layers, bottom to top → the one tree that a container of the image has."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sagemaker_custom.inventories.layer_scan import HardLink, LayerFacts, Symlink
from sagemaker_custom.inventories.wanted import KeptFile

_MOST_LINKS = 40
"""That the kernel follows for one path."""


@dataclass(frozen=True, slots=True)
class _Placed:
    found: KeptFile | Symlink
    layer: int


class ImageTree:
    """All links of an image, and the files that matter, with the rules of a file system for finding them."""

    def __init__(self, placed: Mapping[str, _Placed]) -> None:
        self._placed = placed
        self._names: dict[str, set[str]] = {"/": set()}
        for path in placed:
            while path != "/":
                folder, name = posixpath.split(path)
                known = folder in self._names
                self._names.setdefault(folder, set()).add(name)
                if known:
                    break
                path = folder  # noqa: PLW2901

    def real_path(self, path: str) -> str:
        """Return ``path`` with all links on the way, and at its end, followed; what is not there stays as it is."""
        return _followed(self._placed, path)

    def read(self, path: str) -> KeptFile | None:
        """Return what was kept of a file; ``None`` when there is none, or nothing was to be kept."""
        placed = self._placed.get(self.real_path(path))
        return placed.found if placed and isinstance(placed.found, KeptFile) else None

    def text(self, path: str) -> str | None:
        """Return what was kept of a file as text."""
        file = self.read(path)
        return None if file is None else file.text

    def layer_of(self, path: str) -> int:
        """Return which layer the file is from, counted from the bottom; -1 when it is not there."""
        placed = self._placed.get(self.real_path(path))
        return placed.layer if placed else -1

    def names_in(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted: of links, of kept files, and of folders that lead to some."""
        return tuple(sorted(self._names.get(self.real_path(folder), ())))


def overlay(layers: Iterable[LayerFacts]) -> ImageTree:
    """Lay the layers upon one another, as an engine does.

    Args:
        layers: Bottom to top.
    """
    placed: dict[str, _Placed] = {}
    for number, layer in enumerate(layers):
        for path in _gone(placed, layer):
            del placed[path]
        for path, found in layer.kept.items():
            # A path through a link of a layer below is followed, unless this layer has a folder in its place.
            real = _beside(placed, path)
            if isinstance(found, HardLink):
                linked = placed.get(_beside(placed, found.target))
                found = linked.found if linked else KeptFile()  # noqa: PLW2901
            placed[real] = _Placed(found, number)
    return ImageTree(placed)


def _gone(placed: Mapping[str, _Placed], layer: LayerFacts) -> list[str]:
    removed = frozenset(_beside(placed, path) for path in layer.removed)
    emptied = frozenset(_followed(placed, path) for path in layer.emptied)
    verdicts: dict[str, bool] = {"/": False}

    def is_gone(folder: str) -> bool:
        """Tell whether nothing below a folder is left."""
        if folder not in verdicts:
            verdicts[folder] = (
                is_gone(posixpath.dirname(folder)) or folder in removed or folder in emptied or folder in layer.others
            )
        return verdicts[folder]

    verdicts["/"] = "/" in emptied
    return [
        path
        for path in placed
        if path in removed or path in layer.others or path in layer.folders or is_gone(posixpath.dirname(path))
    ]


def _beside(placed: Mapping[str, _Placed], path: str) -> str:
    """Follow the links on the way to a path, but not the one that it may be itself."""
    folder, name = posixpath.split(path)
    return posixpath.join(_followed(placed, folder), name)


def _followed(placed: Mapping[str, _Placed], path: str) -> str:
    links = 0
    real = "/"
    waiting = [part for part in reversed(path.split("/")) if part]
    while waiting:
        part = waiting.pop()
        if part in {".", ".."}:
            real = posixpath.dirname(real) if part == ".." else real
            continue
        candidate = posixpath.join(real, part)
        found = placed.get(candidate)
        if found is None or not isinstance(found.found, Symlink) or links >= _MOST_LINKS:
            real = candidate
            continue
        links += 1
        real = "/" if found.found.target.startswith("/") else real
        waiting += [step for step in reversed(found.found.target.split("/")) if step]
    return real
