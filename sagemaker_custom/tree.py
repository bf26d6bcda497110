"""A folder → the files and folders below it that are to be packed: not ignored, and readable as what they are."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagemaker_custom.errors import SourceError
from sagemaker_custom.ignore import IGNORE_FILE, IgnoreRules

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_PROBLEMS_SHOWN = 10


class Found(NamedTuple):
    """A file or folder of the tree."""

    name: str
    """Path relative to the root, with ``/`` between its parts."""
    path: str
    """No ``Path``, which takes longer to make than the file system takes to answer."""
    info: os.stat_result
    """Of what the path leads to; a symlink is never seen as such."""


def walk(root: Path) -> Iterator[Found]:
    """Go through a tree, each folder before what it holds, and otherwise in no order.

    Ignored folders are not entered, and nothing is asked about ignored files.

    Raises:
        SourceError: The tree holds broken or circular symlinks, pipes, sockets or devices (the message names them), a
            folder cannot be read, or an ignore file is malformed. It may come after the last file.
    """
    problems: list[str] = []
    pending = [_Folder(path=str(root), name="", rules=IgnoreRules(), lineage=(_identity(root.stat()),))]
    while pending:
        folder = pending.pop()
        items, rules = _listing(folder)
        prefix = f"{folder.name}/" if folder.name else ""
        for item in items:
            name = prefix + item.name
            if rules.ignore(name, directory=_is_directory(item)):
                continue
            try:
                info = item.stat()
            except OSError as error:
                problems.append(_broken(item, error))
                continue
            if stat.S_ISDIR(info.st_mode):
                identity = (info.st_dev, info.st_ino)
                if identity in folder.lineage:
                    problems.append(f"symlink loop {item.path}{_arrow(item)}")
                    continue
                lineage = (*folder.lineage, identity)
                pending.append(_Folder(path=item.path, name=name, rules=rules, lineage=lineage))
            elif not stat.S_ISREG(info.st_mode):
                problems.append(f"{kind_of(info.st_mode)} {item.path}")
                continue
            yield Found(name, item.path, info)
    if problems:
        raise _unpackable(problems, root)


def unreadable(path: str | Path, error: OSError) -> SourceError:
    """Say that a file or folder cannot be read, and why."""
    return SourceError(
        f"cannot read {path}: {error.strerror}", hint=f"make it readable, or add it to a {IGNORE_FILE} file"
    )


def kind_of(mode: int) -> str:
    """Name the kind of what is no regular file, from its ``st_mode``."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Folder:
    path: str
    name: str
    """Relative to the root of the walk; empty for the root."""
    rules: IgnoreRules
    """Of the folders above it."""
    lineage: tuple[tuple[int, int], ...]
    """Device and inode of the folder and of those above it."""


def _listing(folder: _Folder) -> tuple[list[os.DirEntry[str]], IgnoreRules]:
    try:
        with os.scandir(folder.path) as found:
            items = list(found)
    except OSError as error:
        raise unreadable(folder.path, error) from error
    packable = [item for item in items if item.name != IGNORE_FILE]
    if len(packable) == len(items):
        return items, folder.rules
    path = Path(folder.path, IGNORE_FILE)
    return packable, folder.rules.extend(_ignore_text(path), folder=folder.name, origin=str(path))


def _ignore_text(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            # Reading from a pipe, or from /dev/zero, would not come to an end.
            raise SourceError(f"{path} is a {kind_of(mode)}", hint="make it a readable text file, or remove it")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(
            f"cannot read {path}: {error.strerror}", hint="make it a readable text file, or remove it"
        ) from error
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}", hint="save it as UTF-8"
        ) from error


def _is_directory(item: os.DirEntry[str]) -> bool:
    try:
        if item.is_dir(follow_symlinks=False):
            return True
        # Nobody knows what a dangling symlink stood for: patterns for folders exclude it as well.
        return item.is_symlink() and stat.S_ISDIR(item.stat().st_mode)
    except OSError:
        return True


def _broken(item: os.DirEntry[str], error: OSError) -> str:
    what = {errno.ENOENT: "dangling symlink", errno.ELOOP: "symlink loop"}.get(error.errno or 0, error.strerror)
    return f"{what} {item.path}{_arrow(item)}"


def _arrow(item: os.DirEntry[str]) -> str:
    return f" -> {Path(item.path).readlink()}" if item.is_symlink() else ""


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _unpackable(problems: list[str], root: Path) -> SourceError:
    shown = sorted(problems)[:_MOST_PROBLEMS_SHOWN]
    if len(problems) > len(shown):
        shown.append(f"and {len(problems) - len(shown)} more")
    what = shown[0] if len(shown) == 1 else "\n    ".join(["", *shown])
    return SourceError(f"cannot pack {what}", hint=f"repair or remove what is named, or add it to {root / IGNORE_FILE}")
