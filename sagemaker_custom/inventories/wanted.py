"""Path of a file in an image → whether its content matters, and what of it is kept."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

CONTENT_LIMIT = 32 * 1024 * 1024
"""Bytes; the C library and the longest lists of files have 2 to 3 million."""
_LIBC_RELEASE = re.compile(rb"GNU C Library .{0,200}?(?:release )?version (\d+\.\d+)", re.DOTALL)
_PATCHLEVEL = re.compile(rb'#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+)')
_DEBIAN_PYTHON = re.compile(
    rb"^Package: python(3\.\d+)-minimal\n(?:[^\n]+\n)*?Version: (?:\d+:)?(\d+\.\d+\.\d+)", re.MULTILINE
)


def _headers(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]


def _listed(content: bytes) -> bytes:
    lines = content.decode(errors="surrogateescape").splitlines()
    paths = (row[0] for row in csv.reader(lines) if row and row[0])
    return "\n".join(paths).encode(errors="surrogateescape")


def _libc_version(content: bytes) -> bytes:
    match = _LIBC_RELEASE.search(content)
    return match[1] if match else b""


def _python_version(content: bytes) -> bytes:
    match = _PATCHLEVEL.search(content)
    return match[1] if match else b""


def _debian_pythons(content: bytes) -> bytes:
    return b"\n".join(match[2] for match in _DEBIAN_PYTHON.finditer(content))


def _nothing(content: bytes) -> bytes:
    del content
    return b""


def _all(content: bytes) -> bytes:
    return content


# By the path's end: the parts of a path that says nothing are never looked at.
_KEPT: dict[str, Callable[[bytes], bytes]] = {
    r"\.dist-info/METADATA": _headers,
    r"(?:\.egg-info|\.egg/EGG-INFO)/PKG-INFO": _headers,
    r"\.egg-info": _headers,
    r"\.dist-info/RECORD": _listed,
    r"\.egg-info/installed-files\.txt": _all,
    r"(?:\.egg-info|\.egg/EGG-INFO)/requires\.txt": _all,
    r"-packages/[^/]+\.pth": _all,
    r"/pyvenv\.cfg": _all,
    r"/lib(?:64)?/python3\.\d+/os\.py": _nothing,
    r"/python3?(?:\.\d+)?": _nothing,
    r"/include/python3\.\d+m?/patchlevel(?:-64)?\.h": _python_version,
    r"/conda-meta/python-3[^/]*\.json": _nothing,
    r"^/var/lib/dpkg/status": _debian_pythons,
    r"^/(?:usr/)?lib(?:64)?/(?:[a-z0-9_]+-linux-gnu/)?libc(?:\.so\.6|-2\.\d+\.so)": _libc_version,
}
_PATTERN = re.compile("|".join(f"({pattern})$" for pattern in _KEPT))
_REDUCE = tuple(_KEPT.values())


def is_wanted(path: str) -> bool:
    """Tell whether a file with this absolute path is kept."""
    return _PATTERN.search(path) is not None


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
    match = _PATTERN.search(path)
    essence = _REDUCE[(match.lastindex or 1) - 1](content) if match else b""
    return KeptFile(zlib.compress(essence, 1) if essence else b"")
