"""Which wheels an image gets, as values → a JSON text, and back. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sagemaker_custom.errors import UsageError
from sagemaker_custom.reference import Digest, parse_digest
from sagemaker_custom.spec import canonical_json, redacted

FORMAT = 1
"""Of the documents; one of another format is not read."""

_SHA256 = re.compile("[0-9a-f]{64}")
_HINT = "write one: sagemaker-custom lock IMAGE > FILE"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedWheel:
    """One wheel."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    """In canonical spelling."""
    version: str
    filename: str
    url: str
    """Where it was found, without credentials; ``file:`` for one of this machine."""
    sha256: str
    """64 hexadecimal digits."""
    size: int | None
    """Bytes, where the index says it."""
    index: str | None
    """Without credentials; ``None`` for a URL that was asked for, and where several indexes could have had it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """All wheels that are added to a base, and the packages of the base that vanish."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    python_version: str
    platform: str
    """For example ``linux/amd64``."""
    wheels: tuple[LockedWheel, ...]
    """Sorted by name."""
    replaced: tuple[str, ...]
    """Packages of the base that are removed, whether another version of them is among the wheels or not; sorted."""
    base: Digest
    """Of the manifest for ``platform`` that the wheels were chosen for."""
    without_requirements: tuple[str, ...] = ()
    """Wheels whose requirements were left out because it was asked for (``--no-deps``); sorted."""

    def to_json(self) -> str:
        """Return the one text of this lock; :func:`read_lock` reads it back."""
        return canonical_json({"format": FORMAT, **asdict(self)})


_LOCK = TypeAdapter(Lock)


def read_lock(text: str) -> Lock:
    """Read what :meth:`Lock.to_json` wrote.

    Raises:
        UsageError: It is not a lock, or one that could not be installed safely.
    """
    document = _document(text)
    if document.get("format") != FORMAT:
        raise UsageError(f"the lock has the format {document.get('format')!r} instead of {FORMAT}", hint=_HINT)
    try:
        lock = _LOCK.validate_python({name: value for name, value in document.items() if name != "format"})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"the lock is malformed: {where}: {first['msg']}", hint=_HINT) from None
    parse_digest(lock.base)
    for wheel in lock.wheels:
        _check(wheel)
    return lock


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the lock is not JSON: {error}", hint=_HINT) from None
    if not isinstance(document, dict):
        raise UsageError("the lock is not a JSON object", hint=_HINT)
    return document


def _check(wheel: LockedWheel) -> None:
    # The name becomes a path of the cache, and a lock may come from anybody.
    if PurePosixPath(wheel.filename).name != wheel.filename or "\\" in wheel.filename:
        raise UsageError(f"the lock names a wheel {wheel.filename!r}, which is no file name", hint=_HINT)
    try:
        parse_wheel_filename(wheel.filename)
    except (InvalidWheelFilename, InvalidVersion):
        raise UsageError(f"the lock names {wheel.filename!r}, which is not the name of a wheel", hint=_HINT) from None
    if not _SHA256.fullmatch(wheel.sha256):
        raise UsageError(f"the lock has no sha256 of {wheel.filename}", hint=_HINT)
    if not wheel.url.startswith(("https://", "http://", "file:///")):
        raise UsageError(f"the lock has the wheel {wheel.filename} at {redacted(wheel.url)!r}", hint=_HINT)
