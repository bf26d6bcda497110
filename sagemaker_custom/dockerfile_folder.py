"""A folder with a Dockerfile → its context: the files docker would send, a digest of them, and a copy to build from."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from sagemaker_custom.dockerignore import DockerIgnore, dockerignore_names, read_dockerignore
from sagemaker_custom.errors import SourceError
from sagemaker_custom.spec import canonical_json
from sagemaker_custom.tree import kind_of

_CHUNK_BYTES = 1 << 20
_Kind: TypeAlias = Literal["file", "directory", "symlink"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerfileFolder:
    """What ``docker build`` is given. Build args are no place for secrets: the image's labels and history show them."""

    path: str
    """Of the folder."""
    dockerfile: str = "Dockerfile"
    """Path of the Dockerfile in the folder."""
    build_args: tuple[tuple[str, str], ...] = ()
    """Values of ``ARG``, sorted by name."""
    target: str | None = None
    """Stage of the Dockerfile that is built; ``None`` for the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextEntry:
    """One path of a context."""

    name: str
    """Relative to the folder, with ``/`` between its parts."""
    kind: _Kind
    executable: bool = False
    content: str = ""
    """Digest of a file's bytes, in hexadecimal, or where a symlink points to."""

    @property
    def mode(self) -> int:
        """The normalised permissions: 0755 for folders and executables, else 0644."""
        return 0o755 if self.executable or self.kind == "directory" else 0o644


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerContext:
    """What was in a folder when it was read; equal ones build alike."""

    folder: DockerfileFolder = field(compare=False)
    dockerfile: str = field(repr=False)
    """Text of the Dockerfile."""
    entries: tuple[ContextEntry, ...] = field(compare=False, repr=False)
    """Sorted by name."""
    build_args: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    digest: str
    """64 hexadecimal digits over everything that the build is given; owners, times and ignored files do not count."""

    @property
    def has_dockerfile(self) -> bool:
        """Whether the Dockerfile is one of the entries, and not ignored."""
        name = PurePosixPath(self.folder.dockerfile).as_posix()
        return any(entry.name == name for entry in self.entries)


def dockerfile_folder(
    path: str | os.PathLike[str],
    *,
    dockerfile: str = "Dockerfile",
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
) -> DockerfileFolder:
    """Name a folder that is built; it is not looked at yet.

    Args:
        path: Of the folder, or of a Dockerfile in one.
        dockerfile: Path of the Dockerfile in the folder.
        build_args: Values of ``ARG``; no secrets, since labels and history show them.
        target: Stage of the Dockerfile.
    """
    folder = Path(path)
    if folder.is_file():
        folder, dockerfile = folder.parent, folder.name
    args = tuple(sorted((str(name), str(value)) for name, value in (build_args or {}).items()))
    return DockerfileFolder(path=str(folder), dockerfile=dockerfile, build_args=args, target=target)


def read_context(folder: DockerfileFolder) -> DockerContext:
    """Read a folder: what docker would send of it, and the digest of that.

    Raises:
        SourceError: There is no such folder or no Dockerfile in it, or something in it cannot be read or sent.
    """
    root = Path(folder.path)
    _check_folder(root)
    text = _dockerfile_text(root, folder.dockerfile)
    entries = _with_parents(_entries(root, _ignored(root, folder.dockerfile)))
    return DockerContext(
        folder=folder,
        dockerfile=text,
        entries=entries,
        build_args=folder.build_args,
        target=folder.target,
        digest=_digest(text, entries, folder),
    )


def copy_context(context: DockerContext, target: Path) -> None:
    """Lay the context out in an empty folder, with normalised permissions: what is built is what has the digest.

    Raises:
        SourceError: Something changed since it was read.
    """
    root = Path(context.folder.path)
    for entry in context.entries:
        try:
            _copy(entry, root / entry.name, target / entry.name)
        except OSError as error:
            raise _changed(root) from error
    entries = tuple(_read(target, entry.name) for entry in context.entries)
    if _digest(context.dockerfile, entries, context.folder) != context.digest:
        raise _changed(root)


def _copy(entry: ContextEntry, source: Path, copy: Path) -> None:
    match entry.kind:
        case "directory":
            copy.mkdir(exist_ok=True)
        case "symlink":
            copy.symlink_to(source.readlink())
        case "file":
            shutil.copyfile(source, copy, follow_symlinks=False)
    if entry.kind != "symlink":
        # The executable bit as it is now, so that a change of it is found.
        executable = entry.kind == "file" and bool(source.lstat().st_mode & stat.S_IXUSR)
        copy.chmod(0o755 if executable or entry.kind == "directory" else 0o644)


def _changed(root: Path) -> SourceError:
    return SourceError(f"the folder {root} changed while it was being built", hint="build again when it is at rest")


def _check_folder(root: Path) -> None:
    if not root.exists():
        raise SourceError(f"there is no folder {str(root)!r} to build", hint="dockerfile= names a folder")
    if not root.is_dir():
        raise SourceError(f"{str(root)!r} is not a folder", hint="name the folder that holds the Dockerfile")


def _dockerfile_text(root: Path, name: str) -> str:
    path = root / name
    try:
        return _text(path)
    except FileNotFoundError as error:
        near = sorted(item.name for item in root.iterdir() if "dockerfile" in item.name.lower())
        raise SourceError(
            f"there is no {name!r} in {str(root)!r}",
            hint=f"it has {', '.join(near)}: name one with dockerfile_name=" if near else "write a Dockerfile there",
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8", hint="save it as UTF-8") from error


def _text(path: Path) -> str:
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        # Reading from a pipe, or from /dev/zero, would not come to an end.
        raise SourceError(f"{path} is a {kind_of(mode)}", hint="make it a text file, or remove it")
    return path.read_text(encoding="utf-8")


def _ignored(root: Path, dockerfile: str) -> DockerIgnore:
    for name in dockerignore_names(dockerfile):
        path = root / name
        try:
            return read_dockerignore(_text(path), origin=str(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} is not UTF-8", hint="save it as UTF-8") from error
    return DockerIgnore()


def _entries(root: Path, ignored: DockerIgnore, below: str = "") -> Iterator[ContextEntry]:
    try:
        names = sorted(item.name for item in (root / below).iterdir())
    except OSError as error:
        raise _unreadable(root / below, error) from error
    for name in names:
        path = f"{below}/{name}" if below else name
        out = ignored.excludes(path)
        if not out:
            yield _read(root, path)
        if _is_folder(root / path) and not (out and not ignored.keeps_any):
            yield from _entries(root, ignored, path)


def _with_parents(entries: Iterator[ContextEntry]) -> tuple[ContextEntry, ...]:
    """Sort the entries; a folder that is ignored is there all the same when something in it is not."""
    found = {entry.name: entry for entry in entries}
    parents = {str(parent) for name in found for parent in PurePosixPath(name).parents} - {"."}
    found |= {name: ContextEntry(name=name, kind="directory") for name in parents - found.keys()}
    return tuple(found[name] for name in sorted(found))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _read(root: Path, name: str) -> ContextEntry:
    path = root / name
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            # As docker does: a link is sent as a link, wherever it points to.
            return ContextEntry(name=name, kind="symlink", content=str(path.readlink()))
        if stat.S_ISDIR(mode):
            return ContextEntry(name=name, kind="directory")
        if stat.S_ISREG(mode):
            executable = bool(mode & stat.S_IXUSR)
            return ContextEntry(name=name, kind="file", executable=executable, content=_file_digest(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    raise SourceError(
        f"{path} is a {kind_of(mode)}, which no image can hold", hint="remove it, or add it to .dockerignore"
    )


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(text: str, entries: tuple[ContextEntry, ...], folder: DockerfileFolder) -> str:
    document = {
        "dockerfile": text,
        "entries": [[entry.name, entry.kind, entry.executable, entry.content] for entry in entries],
        "build_args": [list(pair) for pair in folder.build_args],
        "target": folder.target,
    }
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(
        f"cannot read {path}: {error.strerror}", hint="make it readable, or add it to a .dockerignore file"
    )
