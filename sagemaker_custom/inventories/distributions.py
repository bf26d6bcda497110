"""Tree of an image and folders → the distributions that Python's own ``importlib.metadata`` would find there."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from email.parser import HeaderParser

from packaging.version import InvalidVersion, Version

from sagemaker_custom.inventories.overlay import ImageTree
from sagemaker_custom.inventory import InstalledPackage, Records

_METADATA = ("/METADATA", "/PKG-INFO", "")


def search_path(tree: ImageTree, folders: Sequence[str], site_folders: Sequence[str]) -> tuple[str, ...]:
    """Return ``folders`` and what the ``.pth`` files of ``site_folders`` add, each folder once, without links."""
    added = (place for folder in site_folders for place in _from_pth_files(tree, folder))
    return tuple(dict.fromkeys(tree.real_path(folder) for folder in (*folders, *added)))


def _from_pth_files(tree: ImageTree, folder: str) -> Iterator[str]:
    for name in tree.names_in(folder):
        if name.endswith(".pth") and not name.startswith("."):
            for line in (tree.text(f"{folder}/{name}") or "").splitlines():
                # Lines of code are not run here; what they add is not seen.
                if line.strip() and not line.startswith(("#", "import ", "import\t")):
                    yield posixpath.normpath(posixpath.join(folder, line.strip()))


def installed(tree: ImageTree, folders: Iterable[str]) -> tuple[InstalledPackage, ...]:
    """Return the distributions that are visible in ``folders``, sorted by normalised name.

    Of one package, what the first folder has counts. A folder that has it twice was written over by a later
    installation: the upper layer's counts, and within a layer the higher version.
    """
    found: dict[str, InstalledPackage] = {}
    for folder in folders:
        here = [package for location in _locations(tree, folder) if (package := _package(tree, location))]
        for package in sorted(here, key=lambda package: _rank(tree, package), reverse=True):
            found.setdefault(package.normalised_name, package)
    return tuple(found[name] for name in sorted(found))


def _locations(tree: ImageTree, folder: str) -> Iterator[str]:
    is_egg = folder.lower().endswith(".egg")
    for name in tree.names_in(folder):
        if name.lower().endswith((".dist-info", ".egg-info")) or (is_egg and name.lower() == "egg-info"):
            yield posixpath.join(folder, name)


def _rank(tree: ImageTree, package: InstalledPackage) -> tuple[int, Version]:
    layer = max(tree.layer_of(package.location + name) for name in _METADATA)
    try:
        return layer, Version(package.version)
    except InvalidVersion:
        return layer, Version("0.dev0")


def _package(tree: ImageTree, location: str) -> InstalledPackage | None:
    file = next((file for name in _METADATA if (file := tree.read(location + name)) is not None), None)
    if file is None:
        return None
    headers = HeaderParser().parsestr(file.content.decode(errors="replace"))
    # A second name of a file that another path has: what it says is not known, but pip gives folders telling names.
    stem = posixpath.basename(location).rpartition(".")[0].split("-")
    name = _one(headers, "Name") or (stem[0] if not file.packed else "")
    version = _one(headers, "Version") or (stem[1] if not file.packed and len(stem) > 1 else "")
    if not (name and version):
        return None
    requires = tuple(headers.get_all("Requires-Dist", ()))
    required_text = tree.text(f"{location}/requires.txt")
    return InstalledPackage(
        name=name,
        version=version,
        location=location,
        requires=requires or tuple(_from_requires_text(required_text or "")),
        provides_extra=tuple(headers.get_all("Provides-Extra", ())),
        requires_python=_one(headers, "Requires-Python") or None,
    )


def _one(headers: Message, name: str) -> str:
    return str(headers.get(name) or "").strip()


def _from_requires_text(text: str) -> Iterator[str]:
    """Write what setuptools keeps in an ``.egg-info``, sections of extras and markers, as ``Requires-Dist`` would."""
    markers: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            extra, _, marker = line.strip("[]").partition(":")
            markers = [f"({marker})"] * bool(marker) + [f'extra == "{extra}"'] * bool(extra)
        else:
            yield f"{line} ; {' and '.join(markers)}" if markers else line


def records(tree: ImageTree, packages: Iterable[InstalledPackage]) -> Records:
    """Return what files each package says that it installed; none of those that do not say."""
    listed = {package.normalised_name: tuple(_files(tree, package.location)) for package in packages}
    return {name: files for name, files in listed.items() if files}


def _files(tree: ImageTree, location: str) -> Iterator[str]:
    # The one is relative to the folder that packages are in, the other to that of the metadata.
    for name, folder in (("RECORD", posixpath.dirname(location)), ("installed-files.txt", location)):
        for line in (tree.text(f"{location}/{name}") or "").splitlines():
            yield posixpath.normpath(posixpath.join(folder, line))
