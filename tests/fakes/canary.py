"""A password that is easy to recognise, however it is written down."""

from __future__ import annotations

import base64
import gzip
import io
import secrets
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote


def _password() -> str:
    # Characters that percent-encoding changes, and none that a netrc file cannot have.
    return f"c4n%ry/{secrets.token_hex(8)}+~"


@dataclass(frozen=True)
class Canary:
    """A password, and where it is looked for."""

    text: str = field(default_factory=_password)

    @property
    def spellings(self) -> dict[str, bytes]:
        """Everything that gives it away: as it is, percent-encoded, and in base64 wherever it begins there."""
        raw = self.text.encode()
        found = {
            "as it is": raw,
            "percent-encoded": quote(self.text, safe="").encode(),
            "percent-encoded but for slashes": quote(self.text).encode(),
            "hexadecimal": raw.hex().encode(),
        }
        for shift in range(3):
            # What stands before and behind it changes the first and the last characters.
            for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                found[f"{name} from {shift}"] = encode(bytes(shift) + raw)[4 if shift else 0 : -4]
        return found

    def found_in(self, places: dict[str, bytes]) -> list[str]:
        """Return where it is, and how it is written there; what is packed is looked into."""
        return [
            f"{place}: {name}"
            for place, content in places.items()
            for piece in unpacked(content)
            for name, spelling in self.spellings.items()
            if spelling in piece
        ]


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield ``content``, and what it holds if it is an archive or compressed."""
    yield content
    with suppress(OSError, EOFError):
        if content[:2] == b"\x1f\x8b":
            yield from unpacked(gzip.decompress(content))
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from unpacked(archive.read(name))
    if content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                if member.isfile():
                    yield from unpacked(archive.extractfile(member).read())


def files_below(folder: Path, *, but: tuple[Path, ...] = ()) -> dict[str, bytes]:
    """Return all files of a folder, and their names: a name can give something away, too."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in but]
    return {str(path): str(path).encode() + b"\n" + path.read_bytes() for path in paths} | {
        f"{path} (content)": path.read_bytes() for path in paths
    }
