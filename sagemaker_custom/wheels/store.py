"""Wheels that are on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sagemaker_custom.wheels.lock import LockedWheel


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedWheel:
    """A wheel and the file that holds it."""

    wheel: LockedWheel
    path: Path
