"""The text of a ``pylock.toml`` → the wheels that it offers for each package. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from sagemaker_custom.errors import BuildError
from sagemaker_custom.spec import without_credentials

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedWheel:
    """A file that could be installed."""

    filename: str
    url: str
    """Without credentials."""
    sha256: str
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedPackage:
    """What the resolver decided on."""

    name: str
    """Normalised."""
    version: str
    wheels: tuple[OfferedWheel, ...]
    index: str | None
    """Without credentials, where the file says it."""
    is_direct: bool
    """Whether it is one file at a place that was named, rather than a version of an index."""


def read_pylock(text: str) -> tuple[ResolvedPackage, ...]:
    """Read the packages, in the order of the file.

    Raises:
        BuildError: It is not such a file, or names a package that is not a wheel.
    """
    try:
        document = tomllib.loads(text)
        return tuple(_package(entry) for entry in document.get("packages", ()))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BuildError(
            f"uv's answer cannot be read: {error!r}", hint="install another release of uv, and report this"
        ) from error


def _package(entry: Mapping[str, Any]) -> ResolvedPackage:
    name = canonicalize_name(entry["name"])
    direct = entry.get("archive")
    offers = (direct,) if direct else entry.get("wheels", ())
    index = entry.get("index")
    if "vcs" in entry or "directory" in entry:
        raise BuildError(f"{name} was resolved to source code, although wheels alone were asked for")
    return ResolvedPackage(
        name=name,
        version=str(entry.get("version", "")),
        wheels=tuple(_offers(offers)),
        index=without_credentials(index) if index else None,
        is_direct=direct is not None,
    )


def _offers(entries: Any) -> Iterator[OfferedWheel]:
    for entry in entries:
        url = entry.get("url") or Path(entry["path"]).absolute().as_uri()
        filename = entry.get("name") or PurePosixPath(unquote(urlsplit(url).path)).name
        yield OfferedWheel(
            filename=filename,
            url=without_credentials(url).partition("#")[0],
            sha256=entry.get("hashes", {}).get("sha256", ""),
            size=entry.get("size"),
        )
