"""A plan → the wheels that would be appended to its base, with their sizes, or why that is not known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagemaker_custom.errors import NotAppendableError

if TYPE_CHECKING:
    from sagemaker_custom.plan import BuildPlan
    from sagemaker_custom.wheels.lock import Lock
    from sagemaker_custom.wiring import Parts

_MB = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Delta:
    """What would be appended."""

    lock: Lock | None = None
    unknown: str | None = None
    """Why that cannot be said."""

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """What people are told."""
        if self.lock is None:
            yield "delta", f"not known: {self.unknown}"
            return
        for wheel in self.lock.wheels:
            size = f" ({wheel.size / _MB:,.1f} MB)" if wheel.size is not None else ""
            yield "delta", f"{wheel.name} {wheel.version}{size}"
        for name in self.lock.replaced:
            yield "replaces", name
        known = [wheel.size for wheel in self.lock.wheels if wheel.size is not None]
        more = "" if len(known) == len(self.lock.wheels) else ", and what no index says"
        yield "delta size", f"{len(self.lock.wheels)} wheels, {sum(known) / _MB:,.1f} MB{more}"

    @property
    def document(self) -> dict[str, Any]:
        """What programs are told."""
        if self.lock is None:
            return {"wheels": None, "unknown": self.unknown}
        wheels = [
            {"name": wheel.name, "version": wheel.version, "filename": wheel.filename, "size": wheel.size}
            for wheel in self.lock.wheels
        ]
        return {"wheels": wheels, "replaced": list(self.lock.replaced), "unknown": None}


def delta_of(plan: BuildPlan, parts: Parts) -> Delta:
    """Ask which wheels would be appended; nothing is changed.

    Raises:
        RegistryError: The registry did not answer.
        BuildError: The base does not exist.
    """
    try:
        with parts.progress() as progress:
            lock = parts.workbench(progress).preview(plan)
    except NotAppendableError as error:
        return Delta(unknown=f"it cannot be appended: {error.message}")
    if lock is None:
        return Delta(
            unknown="the base is not in the repository yet; the first image that is built on it brings it there"
        )
    return Delta(lock=lock)
