"""An entry point, a source folder and dependencies → the entries of an archive, its digest, its reproducible bytes."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sagemaker_custom.compression import gzip_chunks
from sagemaker_custom.contents import chunks, digests, tar_pieces
from sagemaker_custom.entry import Entry, Stamp
from sagemaker_custom.errors import SourceError
from sagemaker_custom.ignore import IGNORE_FILE
from sagemaker_custom.partial_files import unfinished_folder
from sagemaker_custom.tree import kind_of, unreadable, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sagemaker_custom.digest_cache import DigestCache

__all__ = ["Entry", "collect", "content_digest", "copy_tree", "script_name", "write_tar_gz"]

_MOST_NAMES_SHOWN = 3
_by_name = attrgetter("name")


def collect(
    entry_point: str | None, source_dir: str | Path | None, dependencies: Sequence[str | Path] = ()
) -> tuple[Entry, ...]:
    """List what goes into the archive, sorted by name.

    Symlinks are followed, as the SageMaker SDK does. What ``.sagemakerignore`` files exclude is not looked at.

    Args:
        entry_point: A file; with a ``source_dir``, one inside it.
        source_dir: Folder whose content becomes the top level; without it, the entry point is packed alone.
        dependencies: Files and folders that are added at the top level under their own name.

    Raises:
        SourceError: Something is missing, cannot be packed, or would overwrite something else.
    """
    entries = _own_entries(entry_point, source_dir)
    for dependency in dependencies:
        entries = _with_dependency(entries, _dependency(dependency))
    if not any(entry.kind == "file" for entry in entries):
        raise SourceError(
            f"there is no file to pack in source_dir {str(source_dir or '')!r}",
            hint=f"name an entry_point, or check the patterns in {IGNORE_FILE}",
        )
    return tuple(sorted(entries, key=_by_name))


def script_name(entry_point: str, source_dir: str | Path | None) -> str:
    """Return the name of the entry point in the archive.

    Raises:
        SourceError: It is not inside ``source_dir``.
    """
    if not source_dir:
        return Path(entry_point).name
    root = _absolute(source_dir)
    name = Path(os.path.relpath(root / entry_point, root))
    if os.pardir in name.parts:
        raise SourceError(
            f"entry point {entry_point!r} is outside source_dir {str(source_dir)!r}",
            hint="name it relative to source_dir, or take a source_dir that holds it",
        )
    return name.as_posix()


def content_digest(entries: Iterable[Entry], *, cache: DigestCache | None = None) -> str:
    """Return a sha256, in hexadecimal, over names, permissions and contents: two trees have one only if they are equal.

    Args:
        entries: Of the tree; their order does not matter.
        cache: Knows the files that were read before; the others are read, and remembered.

    Raises:
        SourceError: A file cannot be read, or is being written to.
    """
    tree = sorted(entries, key=_by_name)
    files = [entry for entry in tree if entry.kind == "file"]
    known = {entry.name: digest for entry in files if (digest := cache.get(entry))} if cache else {}
    unread = [entry for entry in files if entry.name not in known]
    found = {entry.name: digest for entry, digest in zip(unread, digests(unread), strict=True)}
    if cache:
        cache.keep(files, found)
    known.update((name, digest.sha256) for name, digest in found.items())
    return _listing_digest(tree, (known[entry.name] for entry in files))


def write_tar_gz(entries: Iterable[Entry], target: BinaryIO, *, digest: str | None = None) -> int:
    """Write the archive: the same tree gives the same bytes, wherever, whenever and by whom it was made.

    Args:
        entries: What to pack; their order does not matter.
        target: Gets the archive, chunk by chunk.
        digest: What :func:`content_digest` said earlier, to be checked.

    Returns:
        How many bytes were written.

    Raises:
        SourceError: A file cannot be read, or its content is no longer what ``digest`` stands for.
    """
    tree = sorted(entries, key=_by_name)
    found: list[bytes] = []

    def contents() -> Iterator[bytes]:
        for piece in tar_pieces(tree):
            found.extend(piece.digests)
            yield piece.content

    written = sum(target.write(member) for member in gzip_chunks(contents()))
    _check_unchanged(_listing_digest(tree, found), digest)
    return written


def copy_tree(entries: Iterable[Entry], target: Path, *, digest: str | None = None) -> None:
    """Lay the files out as a folder that appears complete or not at all.

    Args:
        entries: What to copy.
        target: The folder to make; its parents are made as well.
        digest: What :func:`content_digest` said earlier, to be checked.

    Raises:
        FileExistsError: ``target`` is a folder that holds something already.
        SourceError: A file cannot be read, or its content is no longer what ``digest`` stands for.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(target.parent) as partial:
        copies = [_copy(entry, partial) for entry in sorted(entries, key=_by_name)]
        if digest is not None:
            _check_unchanged(content_digest(copies), digest)
        partial.chmod(0o755)
        _rename(partial, target)


def _absolute(path: str | Path) -> Path:
    # Path.resolve() would also follow symlinks, and thereby change the name of a dependency.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _own_entries(entry_point: str | None, source_dir: str | Path | None) -> list[Entry]:
    if not source_dir:
        return [_single(Path(entry_point), "entry point")] if entry_point else []
    root = Path(source_dir)
    if not root.exists():
        raise SourceError(f"source_dir {str(root)!r} does not exist", hint=_neighbours(root))
    if not root.is_dir():
        raise SourceError(
            f"source_dir {str(root)!r} is not a folder",
            hint="name the folder that holds it; for a single file, say entry_point alone",
        )
    name = script_name(entry_point, source_dir) if entry_point else None
    entries = _folder_entries(root)
    if name:
        _check_entry_point(name, root, entries)
    return entries


def _folder_entries(root: Path, prefix: str = "") -> list[Entry]:
    return [_entry(prefix + found.name, found.path, found.info) for found in walk(root)]


def _entry(name: str, path: str | Path, info: os.stat_result) -> Entry:
    if stat.S_ISDIR(info.st_mode):
        return Entry(name=name, path=path, kind="directory")
    executable = bool(info.st_mode & stat.S_IXUSR)
    return Entry(name=name, path=path, size=info.st_size, executable=executable, stamp=Stamp.of(info))


def _check_entry_point(name: str, root: Path, entries: list[Entry]) -> None:
    files = [entry.name for entry in entries if entry.kind == "file"]
    if name in files:
        return
    path = root / name
    if path.is_file():
        raise SourceError(
            f"entry point {name!r} is left out by the ignore rules of {str(root)!r}",
            hint=f"take out the pattern in {IGNORE_FILE} that matches it, or a folder above it",
        )
    if path.is_dir():
        raise SourceError(f"entry point {name!r} in {str(root)!r} is a folder", hint="name the script in it")
    raise SourceError(f"entry point {name!r} is not in source_dir {str(root)!r}", hint=_nearest(name, files, root))


def _dependency(dependency: str | Path) -> list[Entry]:
    # "." and ".." get a name, too.
    path = _absolute(dependency)
    if not path.is_dir():
        return [_single(path, "dependency")]
    return [Entry(name=path.name, path=path, kind="directory"), *_folder_entries(path, prefix=f"{path.name}/")]


def _with_dependency(entries: list[Entry], added: list[Entry]) -> list[Entry]:
    top = added[0].name
    there = [entry for entry in entries if entry.name == top or entry.name.startswith(f"{top}/")]
    if not there:
        return entries + added
    if content_digest(there) == content_digest(added):
        return entries
    raise SourceError(
        f"{min(there, key=_by_name).path} and {added[0].path} differ, and both would be {top!r} in the archive",
        hint="rename one of them, or take one out of dependencies",
    )


def _single(path: Path, role: str) -> Entry:
    try:
        info = path.stat()
    except FileNotFoundError as error:
        raise SourceError(f"{role} {str(path)!r} does not exist", hint=_neighbours(path)) from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(f"{role} {str(path)!r} is a {kind_of(info.st_mode)}", hint="name a regular file")
    return _entry(path.name, path, info)


def _neighbours(path: Path) -> str:
    folder = _absolute(path).parent
    names: list[str] = []
    with suppress(OSError):
        names = [there.name for there in folder.iterdir()]
    return _nearest(path.name, names, folder)


def _nearest(name: str, names: list[str], folder: Path) -> str:
    namesakes = [other for other in sorted(names) if Path(other).name == Path(name).name]
    near = list(dict.fromkeys([*namesakes, *difflib.get_close_matches(name, names)]))[:_MOST_NAMES_SHOWN]
    if not near:
        return f"nothing in {folder} has a similar name"
    return f"nearest in {folder}: {', '.join(near)}"


def _listing_digest(tree: Iterable[Entry], contents: Iterable[bytes]) -> str:
    # Each line says how long its name is, so that no name can look like the beginning of another entry.
    lines, of_files = [b"sagemaker-custom source 2\n"], iter(contents)
    for entry in tree:
        name = entry.name.encode("utf-8", "surrogateescape")
        content = next(of_files) if entry.kind == "file" else b""
        lines.append(b"%o %s %d %s\n" % (entry.mode, content.hex().encode(), len(name), name))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _check_unchanged(now: str, digest: str | None) -> None:
    if digest not in (None, now):
        raise SourceError("a source file changed while it was packed", hint="try again when nothing writes to them")


def _copy(entry: Entry, folder: Path) -> Entry:
    path = folder / entry.name
    if entry.kind == "directory":
        path.mkdir(parents=True, exist_ok=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.writelines(chunks(entry))
    path.chmod(entry.mode)
    return replace(entry, path=path)


def _rename(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(errno.EEXIST, "is there already", str(target)) from error
        raise
