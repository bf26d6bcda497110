"""Chunks of a tar file, as they come → its entries, with the content of those that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from sagemaker_custom.errors import RegistryError

_BLOCK = 512
_MOST_DIGITS = 20
"""Of a number; Python does not read thousands of them."""
_PAX_KEYS = frozenset(
    [b"path", b"linkpath", b"size", *(b"GNU.sparse." + name for name in (b"name", b"major", b"map", b"numblocks"))]
)
"""What is looked at. Nothing else is kept: global headers hold for the rest of the archive, however many there are."""
_ZEROS = bytes(_BLOCK)
_CHECKSUM = slice(148, 156)
_SPECIAL_LIMIT = 1024 * 1024
"""Bytes of an extended header; what Docker's own reader of archives takes at most."""
_KINDS: dict[bytes, Kind] = {b"5": "folder", b"D": "folder", b"2": "symlink", b"1": "hard link"}
_DEVICES = b"346"
# Their headers may name a size, but no content follows.
_WITHOUT_CONTENT = b"123456"

Kind: TypeAlias = Literal["file", "folder", "symlink", "hard link", "device"]


class TarEntry(NamedTuple):
    """One entry; a layer may have hundreds of thousands."""

    path: str
    """As written."""
    kind: Kind
    target: str
    """Of a link, as written."""
    size: int
    """Bytes of content in the archive."""


class TarEntries:
    """Reads a tar file that comes in pieces: ustar, GNU and PAX, sparse files without their content.

    Args:
        wants: Tells whether the content of a file is collected.
    """

    def __init__(self, wants: Callable[[TarEntry], bool]) -> None:
        self._wants = wants
        self._rest = b""
        self._skip = 0
        self._missing = 0
        self._collected: list[bytes] = []
        self._take: Callable[[bytes], tuple[TarEntry, bytes] | None] | None = None
        self._named: dict[str, str] = {}
        self._defaults: dict[str, str] = {}
        self._sparse: TarEntry | None = None
        self._is_over = False

    def feed(self, data: bytes) -> Iterator[tuple[TarEntry, bytes]]:
        """Yield the entries that ``data`` completes, with their content or ``b""``; has to be consumed.

        Raises:
            RegistryError: This is not a tar file.
        """
        position, end = 0, len(data)
        while position < end and not self._is_over:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
            elif self._missing:
                step = min(self._missing, end - position)
                self._collected.append(data[position : position + step])
                position += step
                self._missing -= step
                if not self._missing:
                    yield from self._collected_all()
            else:
                step = min(_BLOCK - len(self._rest), end - position)
                block = self._rest + data[position : position + step]
                position += step
                self._rest = b"" if len(block) == _BLOCK else block
                if not self._rest:
                    yield from self._header(block)

    def finish(self) -> None:
        """Make sure that the archive was complete.

        Raises:
            RegistryError: It ends within an entry.
        """
        if not self._is_over and (self._rest or self._skip or self._missing or self._sparse):
            raise RegistryError("the tar file is not complete")

    def _collected_all(self) -> Iterator[tuple[TarEntry, bytes]]:
        content, take = b"".join(self._collected), self._take
        self._collected = []
        done = take(content) if take else None
        if done:
            yield done

    def _header(self, block: bytes) -> Iterator[tuple[TarEntry, bytes]]:
        if self._sparse:
            yield from self._sparse_goes_on(self._sparse, is_extended=bool(block[504]))
            return
        if block == _ZEROS:
            self._is_over = True
            return
        if _number(block[_CHECKSUM]) != sum(block) - sum(block[_CHECKSUM]) + 8 * 0x20:
            raise RegistryError("this is not a tar file: a header has the wrong checksum")
        flag = block[156:157]
        if flag in {b"x", b"g", b"X", b"L", b"K"}:
            self._special(flag, _number(block[124:136]))
            return
        named = {**self._defaults, **self._named} if self._defaults else self._named
        self._named = {}
        entry = _entry(block, flag, named)
        if flag == b"S":
            yield from self._sparse_goes_on(entry, is_extended=bool(block[482]))
        else:
            yield from self._begin(entry, is_sparse=any(key.startswith("GNU.sparse.") for key in named))

    def _begin(self, entry: TarEntry, *, is_sparse: bool) -> Iterator[tuple[TarEntry, bytes]]:
        if entry.kind == "file" and entry.size and not is_sparse and self._wants(entry):
            self._collect(entry.size, lambda content: (entry, content))
            return
        self._skip = _padded(entry.size)
        yield entry, b""

    def _sparse_goes_on(self, entry: TarEntry, *, is_extended: bool) -> Iterator[tuple[TarEntry, bytes]]:
        self._sparse = entry if is_extended else None
        if not is_extended:
            self._skip = _padded(entry.size)
            yield entry, b""

    def _collect(self, size: int, take: Callable[[bytes], tuple[TarEntry, bytes] | None]) -> None:
        self._missing = _padded(size)
        self._take = lambda content: take(content[:size])

    def _special(self, flag: bytes, size: int) -> None:
        if not 0 < size <= _SPECIAL_LIMIT:
            raise RegistryError(f"this is not a tar file for a layer: an extended header has {size} bytes")

        def take(content: bytes) -> None:
            if flag == b"L":
                self._named["path"] = _text(content)
            elif flag == b"K":
                self._named["linkpath"] = _text(content)
            else:
                (self._defaults if flag == b"g" else self._named).update(_pax(content))

        self._collect(size, take)


def _entry(block: bytes, flag: bytes, named: dict[str, str]) -> TarEntry:
    path = named.get("GNU.sparse.name") or named.get("path") or _ustar_path(block)
    kind = _KINDS.get(flag) or ("device" if flag in _DEVICES else "file")
    if kind == "file" and flag in b"\0" and path.endswith("/"):
        kind = "folder"  # how the oldest tar wrote it
    size = 0 if flag in _WITHOUT_CONTENT else _size(block, named)
    return TarEntry(path, kind, named.get("linkpath") or _text(block[157:257]), size)


def _size(block: bytes, named: dict[str, str]) -> int:
    said = named.get("size")
    if said is None:
        return _number(block[124:136])
    if not (said.isascii() and said.isdigit() and len(said) <= _MOST_DIGITS):
        raise RegistryError(f"this is not a tar file: an entry has the size {said[:_MOST_DIGITS]!r}")
    return int(said)


def _ustar_path(block: bytes) -> str:
    name = _text(block[:100])
    # GNU's own form has other fields where POSIX has the beginning of the path.
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode(errors="surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # GNU: binary, for what has more than eleven octal digits
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0") or b"0"
    # int() also takes signs: with a negative size the reader would go backwards, for ever.
    if not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise RegistryError("this is not a tar file: a number in a header cannot be read")
    return int(digits, 8)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _pax(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    while content:
        length, space, _ = content.partition(b" ")
        if not (space and length.isdigit() and len(length) <= _MOST_DIGITS and 5 <= int(length) <= len(content)):
            break
        key, _, value = content[len(length) + 1 : int(length) - 1].partition(b"=")
        if key in _PAX_KEYS:
            found[_text(key)] = value.decode(errors="surrogateescape")
        content = content[int(length) :]
    return found
