"""Which wheels an image gets."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker_custom.reference import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedWheel:
    """One wheel."""

    name: str
    version: str
    filename: str
    url: str
    sha256: str
    size: int | None
    index: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """All wheels of an image, and the base packages that vanish."""

    python_version: str
    platform: str
    wheels: tuple[LockedWheel, ...]
    replaced: tuple[str, ...]
    base: Digest
