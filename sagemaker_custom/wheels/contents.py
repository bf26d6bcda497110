"""A wheel and a layout → the files that its installation makes, each with its hash; reads little of the wheel."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import json
import posixpath
import stat
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from installer import install
from installer.destinations import WheelDestination
from installer.exceptions import InstallerError
from installer.records import Hash, InvalidRecordEntry, RecordEntry, parse_record_file
from installer.sources import WheelContentElement, WheelFile
from installer.utils import Scheme
from packaging.utils import canonicalize_name

from sagemaker_custom.errors import BuildError
from sagemaker_custom.wheels.archive import MALFORMED, open_wheel
from sagemaker_custom.wheels.layout import Layout
from sagemaker_custom.wheels.store import FetchedWheel

if TYPE_CHECKING:
    from installer.scripts import ScriptSection

_CHUNK_BYTES = 1 << 20
_SHEBANG_TO_REPLACE = b"#!python"
# PEP 627 wants the tool's own name here; pip, uv and conda uninstall by RECORD, whatever it is.
_INSTALLER = b"sagemaker-custom\n"
# What the libraries let out when a wheel is malformed.
_MALFORMED = (*MALFORMED, AssertionError, InstallerError, InvalidRecordEntry, configparser.Error, csv.Error)
_MOST_SCRIPT_BYTES = 64 * 1024**2
_PARTS_OF_DATA = 3
"""Of the name of a file in a scheme, at least: ``demo-1.0.data/scripts/run``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file of an installation."""

    path: str
    """Absolute path in the image."""
    sha256: str
    """As RECORD has it: url-safe base64 without padding."""
    size: int
    executable: bool = False
    member: str | None = None
    """Name in the wheel; ``None`` for what the installation makes."""
    content: bytes = b""
    """Of a file that the installation makes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What one wheel brings."""

    fetched: FetchedWheel
    files: tuple[File, ...]
    """Sorted by path; they follow from the wheel and the layout alone."""
    marks: tuple[File, ...] = ()
    """What depends on who asked for the wheel, and how; they take the place of files with the same path."""

    @property
    def marked_files(self) -> tuple[File, ...]:
        """The files with the marks among them, sorted by path."""
        merged = {file.path: file for file in (*self.files, *self.marks)}
        return tuple(merged[path] for path in sorted(merged))


def read_contents(
    fetched: FetchedWheel, layout: Layout, *, requested: Collection[str] = (), direct: Collection[str] = ()
) -> Contents:
    """Read what a wheel installs.

    Args:
        fetched: The wheel.
        layout: Where its files go.
        requested: Normalised names of the packages that were asked for, rather than needed by others.
        direct: Normalised names of those that were asked for by the URL of a wheel.

    Raises:
        BuildError: The wheel cannot be installed.
    """
    try:
        with open_wheel(fetched.path) as archive:
            destination = _Plan(_Source(archive), layout)
            install(destination.source, destination, {"INSTALLER": _INSTALLER})
            return destination.contents(fetched, _marks(fetched, requested, direct))
    except _MALFORMED as error:
        reason = str(error) or type(error).__name__
        raise BuildError(
            f"the wheel {fetched.wheel.filename} cannot be installed: {reason}",
            hint="look whether another version has a sound wheel; builder='docker' lets pip try",
        ) from error


def hashed(content: bytes) -> str:
    """Return the sha256 as RECORD has it."""
    return record_hash(hashlib.sha256(content).digest())


def record_hash(digest: bytes) -> str:
    """Write a digest as RECORD has it."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _marks(fetched: FetchedWheel, requested: Collection[str], direct: Collection[str]) -> dict[str, bytes]:
    name = canonicalize_name(fetched.wheel.name)
    marks = {"REQUESTED": b""} if name in requested or name in direct else {}
    # The path of a file on somebody's machine says nothing in an image.
    if name in direct and not fetched.wheel.url.startswith("file:"):
        digest = fetched.wheel.sha256
        archive = {"hash": f"sha256={digest}", "hashes": {"sha256": digest}}
        document = {"archive_info": archive, "url": fetched.wheel.url}
        marks["direct_url.json"] = json.dumps(document, sort_keys=True).encode()
    return marks


class _Member(io.BytesIO):
    """Stands for a file of the wheel, without its bytes."""

    def __init__(self, info: zipfile.ZipInfo, record: tuple[str, str, str]) -> None:
        super().__init__()
        self.info = info
        self.entry = RecordEntry.from_elements(*record)


class _Source(WheelFile):
    """The wheel as the library reads it, but for the bytes of its files."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        super().__init__(archive)
        self.archive = archive

    # The library knows a property here, which compares with the file name letter by letter.
    @cached_property
    def data_dir(self) -> str:
        """The folder with the wheel's other schemes, however its name is spelled."""
        tops = {name.split("/", 1)[0] for name in self.archive.namelist() if "/" in name}
        found = sorted(top for top in tops if top.endswith(".data"))
        return found[0] if len(found) == 1 else super().data_dir

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Yield every file but byte code; a symbolic link is a file that says where to, as pip installs it."""
        rows = parse_record_file(self.read_dist_info("RECORD").splitlines())
        records = {row[0]: row for row in rows}
        for info in self.archive.infolist():
            if info.is_dir() or "__pycache__" in info.filename.split("/")[:-1]:
                continue
            # The library stumbles over a file in the place of a scheme, and looks for ever for that of the others.
            parts = info.filename.split("/")
            if (parts[0] == self.data_dir and len(parts) < _PARTS_OF_DATA) or {"", ".", ".."} & set(parts):
                raise ValueError(f"it has a file {info.filename!r}, which cannot stand in an image")
            record = records.get(info.filename, (info.filename, "", ""))
            mode = info.external_attr >> 16
            yield record, _Member(info, record), stat.S_ISREG(mode) and bool(mode & 0o111)


class _Plan(WheelDestination):
    """Gathers what the library would write."""

    def __init__(self, source: _Source, layout: Layout) -> None:
        self.source = source
        self._layout = layout
        self._files: dict[str, File] = {}
        self._record_path = ""

    def write_script(self, name: str, module: str, attr: str, section: ScriptSection) -> RecordEntry:
        """Plan the program of an entry point."""
        del section  # Only Windows starts programs with windows otherwise.
        path = self._layout.place("scripts", name, self.source.distribution)
        self._files[path] = made(path, self._layout.script(module, attr), executable=True)
        return _entry(self._files[path])

    def write_file(self, scheme: Scheme, path: object, stream: BinaryIO, is_executable: bool) -> RecordEntry:
        """Plan a file of the wheel, or of the installation."""
        place = self._layout.place(scheme, str(path), self.source.distribution)
        if isinstance(stream, _Member):
            file = self._from_wheel(place, stream, scheme=scheme, executable=is_executable)
        else:
            file = made(place, stream.read())
        there = self._files.get(place)
        # A wheel may bring the program of an entry point as well: pip lets the entry point win.
        if there is None or file.member is None:
            self._files[place] = file
        elif there.member is not None and there.sha256 != file.sha256:
            raise ValueError(f"it has two files for {place}")
        return _entry(file)

    def finalize_installation(
        self, scheme: Scheme, record_file_path: str, records: Iterable[tuple[Scheme, RecordEntry]]
    ) -> None:
        """Note where RECORD belongs; its rows are known already."""
        del records
        self._record_path = self._layout.place(scheme, record_file_path, self.source.distribution)

    def contents(self, fetched: FetchedWheel, marks: dict[str, bytes]) -> Contents:
        """Return what was gathered, with RECORD and marks."""
        folder = posixpath.dirname(self._record_path)
        marked = {file.path: file for file in (made(f"{folder}/{name}", marks[name]) for name in marks)}
        plain = {path: file for path, file in self._files.items() if path not in marked and path != self._record_path}
        rows = [self._row(file) for file in plain.values()]
        plain[self._record_path] = self._record(rows)
        if marked:
            marked[self._record_path] = self._record([*rows, *(self._row(file) for file in marked.values())])
        return Contents(
            fetched=fetched,
            files=tuple(plain[path] for path in sorted(plain)),
            marks=tuple(marked[path] for path in sorted(marked)),
        )

    def _from_wheel(self, place: str, member: _Member, *, scheme: str, executable: bool) -> File:
        if scheme == "scripts" and member.info.file_size <= _MOST_SCRIPT_BYTES:
            with self.source.archive.open(member.info) as stream:
                if stream.read(len(_SHEBANG_TO_REPLACE)) == _SHEBANG_TO_REPLACE:
                    stream.readline()
                    return made(place, self._layout.shebang + stream.read(), executable=True)
        return File(
            path=place,
            sha256=self._hash(member),
            size=member.info.file_size,
            # Wheels that were made on Windows do not mark their scripts.
            executable=executable or scheme == "scripts",
            member=member.info.filename,
        )

    def _hash(self, member: _Member) -> str:
        """Take the wheel's word for a hash, which is checked when the bytes pass; hash what it says nothing of."""
        said: Hash | None = member.entry.hash_
        if said is not None and said.name == "sha256":
            return said.value
        digest = hashlib.sha256()
        with self.source.archive.open(member.info) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        return record_hash(digest.digest())

    def _row(self, file: File) -> tuple[str, str, str]:
        return self._relative(file.path), f"sha256={file.sha256}", str(file.size)

    def _relative(self, path: str) -> str:
        inside = f"{self._layout.site_packages}/"
        return path[len(inside) :] if path.startswith(inside) else posixpath.relpath(path, inside)

    def _record(self, rows: list[tuple[str, str, str]]) -> File:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(sorted([*rows, (self._relative(self._record_path), "", "")]))
        return made(self._record_path, text.getvalue().encode())


def made(path: str, content: bytes, *, executable: bool = False) -> File:
    """Return a file of the installation's own."""
    return File(path=path, sha256=hashed(content), size=len(content), executable=executable, content=content)


def _entry(file: File) -> RecordEntry:
    return RecordEntry(file.path, Hash("sha256", file.sha256), file.size)
