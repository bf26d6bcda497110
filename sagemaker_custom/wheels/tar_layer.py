"""Files and whiteouts → the bytes of a layer's tar archive, the same on every machine; reads the wheels as it goes."""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from sagemaker_custom.errors import BuildError
from sagemaker_custom.wheels.archive import open_wheel
from sagemaker_custom.wheels.contents import File, record_hash
from sagemaker_custom.wheels.store import FetchedWheel

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512
_WHITEOUT = ".wh."


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A folder of the base which is not root's with 0755: entries of a layer replace owner and permissions."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Files of one wheel that go into a layer together."""

    fetched: FetchedWheel
    files: Sequence[File]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files that are in a layer."""

    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Absolute path → hash and size as RECORD has them."""
    records: dict[str, str] = field(default_factory=dict)
    """Absolute path of each RECORD → its text."""

    def add(self, path: str, digest: bytes, size: int, content: bytes) -> None:
        """Note a file; its content counts where it is a RECORD."""
        self.files[path] = (f"sha256={record_hash(digest)}", str(size))
        if is_record(path):
            self.records[path] = content.decode()


def is_record(path: str) -> bool:
    """Whether a file lists those of a package."""
    return path.endswith(".dist-info/RECORD")


def tar_of_files(
    parts: Iterable[Part], *, folders: Mapping[str, Folder], listing: Listing | None = None
) -> Iterator[bytes]:
    """Yield the archive of some wheels' files, wheel after wheel, each sorted by path.

    Args:
        parts: The files.
        folders: The base's folders that do not belong to root with 0755.
        listing: Is told of each file what was yielded of it.

    Raises:
        BuildError: A wheel's file is not what its RECORD says.
    """
    return _in_chunks(_file_blocks(parts, _Parents(folders), listing or Listing()))


def tar_of_whiteouts(paths: Iterable[str], *, folders: Mapping[str, Folder]) -> Iterator[bytes]:
    """Yield the archive that makes paths of lower layers vanish."""
    return _in_chunks(_whiteout_blocks(paths, _Parents(folders)))


class _Parents:
    """Folders get an entry of their own, once, before what is in them.

    Engines make a folder that has no entry with permissions and a time of their own choice.
    """

    def __init__(self, folders: Mapping[str, Folder]) -> None:
        self._folders = folders
        self._done = {"/"}

    def above(self, path: str) -> Iterator[bytes]:
        parent = posixpath.dirname(path)
        if parent in self._done:
            return
        yield from self.above(parent)
        self._done.add(parent)
        folder = self._folders.get(parent) or Folder(path=parent)
        header = tarfile.TarInfo(f"{parent.lstrip('/')}/")
        header.type, header.mode, header.uid, header.gid = tarfile.DIRTYPE, folder.mode, folder.uid, folder.gid
        yield _bytes_of(header)


def _file_blocks(parts: Iterable[Part], parents: _Parents, listing: Listing) -> Iterator[bytes]:
    written: set[str] = set()
    for part in parts:
        with ExitStack() as stack:
            archive = stack.enter_context(open_wheel(part.fetched.path))
            for file in part.files:
                # Two wheels may have the same file, with the same content.
                if file.path in written:
                    continue
                written.add(file.path)
                yield from parents.above(file.path)
                yield _header(file.path, file.size, 0o755 if file.executable else 0o644)
                yield from _checked(file, archive, part.fetched.wheel.filename, listing)
                yield b"\0" * (-file.size % _BLOCK_BYTES)


def _whiteout_blocks(paths: Iterable[str], parents: _Parents) -> Iterator[bytes]:
    for path in sorted(paths):
        folder, name = posixpath.split(path)
        yield from parents.above(path)
        yield _header(posixpath.join(folder, _WHITEOUT + name), 0, 0o644)


def _header(path: str, size: int, mode: int) -> bytes:
    header = tarfile.TarInfo(path.lstrip("/"))
    header.size, header.mode = size, mode
    return _bytes_of(header)


def _bytes_of(header: tarfile.TarInfo) -> bytes:
    return header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _checked(file: File, archive: zipfile.ZipFile, wheel: str, listing: Listing) -> Iterator[bytes]:
    if file.member is None:
        yield file.content
        listing.add(file.path, hashlib.sha256(file.content).digest(), len(file.content), file.content)
        return
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open(file.member) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _other_content(file, wheel) from error
    if size != file.size or record_hash(digest.digest()) != file.sha256:
        raise _other_content(file, wheel)
    # A RECORD is always made anew, and so never a member.
    listing.add(file.path, digest.digest(), size, b"")


def _other_content(file: File, wheel: str) -> BuildError:
    return BuildError(
        f"{file.member} in {wheel} is not what the wheel's RECORD says",
        hint="the wheel was changed after it was made: take another version, or builder='docker', where pip ignores it",
    )


def _in_chunks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small blocks, as compressors and hashes like large ones, and end the archive."""
    gathered: list[bytes] = []
    size = 0
    for block in blocks:
        gathered.append(block)
        size += len(block)
        if size >= _CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join([*gathered, b"\0" * (2 * _BLOCK_BYTES)])
