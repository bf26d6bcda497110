"""The files of packages that a base loses → the paths to delete, whole folders where nothing else is in them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

# Metadata, and where auditwheel puts the libraries of one distribution.
_OWN_FOLDERS = (".dist-info", ".egg-info", ".libs")


def paths_to_delete(
    removed: Mapping[str, tuple[str, ...]], *, site_packages: str, kept: Iterable[str] | None = None
) -> tuple[str, ...]:
    """Choose what to delete, so that nothing of a removed package can be imported or found any more.

    A folder goes as a whole when it is the package's own: its metadata, or a regular package (with ``__init__.py``) in
    which no other package has a file. Its byte code goes with it. Without knowledge of the other packages' files, all
    but metadata goes file by file: each of those that share the folder ``nvidia`` says that ``nvidia/__init__.py`` is
    its own. Byte code without its source is never imported, so what is left of it does no harm.

    Args:
        removed: Package → absolute paths of its files.
        site_packages: Folder that is never deleted itself.
        kept: Absolute paths of the files of all packages that stay; ``None``: not known.

    Returns:
        Absolute paths, sorted, none below another one.
    """
    stay = set(kept or ())
    files = {path for paths in removed.values() for path in paths} - stay
    occupied = {folder for path in stay for folder in _folders(path)}
    own = _own_folders(files, packages_too=kept is not None)
    whole = {folder for folder in own if folder.startswith(f"{site_packages}/")} - occupied
    return tuple(sorted(path for path in files | whole if not whole.intersection(_folders(path))))


def _own_folders(files: Iterable[str], *, packages_too: bool) -> Iterator[str]:
    for path in files:
        yield from (folder for folder in _folders(path) if folder.endswith(_OWN_FOLDERS))
        if packages_too and posixpath.basename(path) == "__init__.py":
            yield posixpath.dirname(path)


def _folders(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) not in ("/", ""):
        yield path
