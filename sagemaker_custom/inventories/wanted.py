"""Path of a file in an image → whether its content matters, and what of it is kept."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

CONTENT_LIMIT = 32 * 1024 * 1024
"""Bytes; the C library and the longest lists of files have 2 to 3 million."""
_LIBC_RELEASE = re.compile(rb"GNU C Library .{0,200}?(?:release )?version (\d+\.\d+)", re.DOTALL)
_PATCHLEVEL = re.compile(rb'#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+)')
_DEBIAN_PYTHON = re.compile(rb"Package: python3\.\d+-minimal\n")
_DEBIAN_VERSION = re.compile(rb"^Version: (?:\d+:)?(\d+\.\d+\.\d+)", re.MULTILINE)
_LONGEST_LINE = 8192


def _headers(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]


def _listed(content: bytes) -> bytes:
    lines = content.decode(errors="surrogateescape").splitlines()
    # A longer line than csv reads is the path of no file.
    paths = (row[0] for row in csv.reader(line for line in lines if len(line) <= _LONGEST_LINE) if row and row[0])
    try:
        return "\n".join(paths).encode(errors="surrogateescape")
    except csv.Error:
        return b""


def _libc_version(content: bytes) -> bytes:
    match = _LIBC_RELEASE.search(content)
    return match[1] if match else b""


def _python_version(content: bytes) -> bytes:
    match = _PATCHLEVEL.search(content)
    return match[1] if match else b""


def _debian_pythons(content: bytes) -> bytes:
    # Paragraph by paragraph: one expression for all would take the square of the file's length.
    paragraphs = (text for text in content.split(b"\n\n") if _DEBIAN_PYTHON.match(text.lstrip(b"\n")))
    return b"\n".join(match[1] for text in paragraphs if (match := _DEBIAN_VERSION.search(text)))


def _nothing(content: bytes) -> bytes:
    del content
    return b""


def _all(content: bytes) -> bytes:
    return content


class _Rule(NamedTuple):
    name: str
    folder: str
    """What its path ends in."""
    reduce: Callable[[bytes], bytes]


_RULES = (
    _Rule(r"METADATA", r"\.dist-info", _headers),
    _Rule(r"PKG-INFO", r"\.egg-info|\.egg/EGG-INFO", _headers),
    _Rule(r".+\.egg-info", "", _headers),
    _Rule(r"RECORD", r"\.dist-info", _listed),
    _Rule(r"installed-files\.txt", r"\.egg-info", _all),
    _Rule(r"requires\.txt", r"\.egg-info|\.egg/EGG-INFO", _all),
    _Rule(r".+\.pth", r"-packages", _all),
    _Rule(r"pyvenv\.cfg", "", _all),
    _Rule(r"os\.py", r"/lib(?:64)?/python3\.\d+", _nothing),
    _Rule(r"python3?(?:\.\d+)?", "", _nothing),
    _Rule(r"patchlevel(?:-64)?\.h", r"/include/python3\.\d+m?", _python_version),
    _Rule(r"python-3.*\.json", r"/conda-meta", _nothing),
    _Rule(r"status", r"^/var/lib/dpkg", _debian_pythons),
    _Rule(r"libc(?:\.so\.6|-2\.\d+\.so)", r"^/(?:usr/)?lib(?:64)?(?:/[a-z0-9_]+-linux-gnu)?", _libc_version),
)
# The name first, at which nearly all of an image's files are done with.
_NAMES = re.compile("|".join(f"({rule.name})" for rule in _RULES))
_FOLDERS = tuple(re.compile(f"(?:{rule.folder})$") for rule in _RULES)


def _rule_for(path: str) -> _Rule | None:
    folder, _, name = path.rpartition("/")
    match = _NAMES.fullmatch(name)
    if match is None or match.lastindex is None:
        return None
    number = match.lastindex - 1
    return _RULES[number] if _FOLDERS[number].search(folder) else None


def is_wanted(path: str) -> bool:
    """Tell whether a file with this absolute path is kept."""
    return _rule_for(path) is not None


@dataclass(frozen=True, slots=True)
class KeptFile:
    """What is kept of a file, packed: lists of files repeat the same folders again and again."""

    packed: bytes = b""

    @property
    def content(self) -> bytes:
        """What was kept."""
        return zlib.decompress(self.packed) if self.packed else b""

    @property
    def text(self) -> str:
        """The same, as text."""
        return self.content.decode(errors="replace")


def kept(path: str, content: bytes) -> KeptFile:
    """Return what is kept of a wanted file."""
    rule = _rule_for(path)
    essence = rule.reduce(content) if rule else b""
    return KeptFile(zlib.compress(essence, 1) if essence else b"")
