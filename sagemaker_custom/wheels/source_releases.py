"""Versions that were chosen among wheels → an error where every newer one is source code alone.

A resolver that takes wheels alone goes back as far as it has to: to a release of years ago, which nobody wants.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from packaging.requirements import Requirement
from packaging.version import Version

from sagemaker_custom.errors import NotAppendableError
from sagemaker_custom.wheels.pip_groups import Wanted

_WORKERS = 4


class Exists(Protocol):
    """Knows which releases there are for the Python of a base."""

    def __call__(self, requirement: Requirement, *, as_wheel: bool) -> bool:
        """Tell whether there is one, whatever it requires; ``as_wheel``: among wheels that fit the base."""


def check_newer(wanted: Iterable[Wanted], chosen: Mapping[str, str], exists: Exists) -> None:
    """Make sure that what was asked for itself is not an old release that happens to have a wheel.

    Args:
        wanted: What was asked for.
        chosen: Normalised name → version, of what is added.
        exists: Is asked from several threads.

    Raises:
        NotAppendableError: Another builder would install a newer one.
    """
    newer = {item.name: requirement for item in wanted for requirement in _newer(item, chosen)}
    if not newer:
        return
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        found = pool.map(lambda item: exists(item, as_wheel=False) and not exists(item, as_wheel=True), newer.values())
        sources = [name for name, is_source in zip(newer, found, strict=True) if is_source]
    if sources:
        name = sources[0]
        raise NotAppendableError(
            f"{name} is source code alone since {chosen[name]}, the last release with a wheel that fits",
            hint="name a version that has a wheel, or build with builder='docker', which compiles it",
        )


def _newer(wanted: Wanted, chosen: Mapping[str, str]) -> Iterator[Requirement]:
    version, requirement = chosen.get(wanted.name), wanted.requirement
    is_pinned = any(item.operator in ("==", "===") for item in requirement.specifier)
    if version is not None and not requirement.url and not is_pinned:
        newer = Requirement(f"{requirement.name}>{Version(version).public}")
        newer.specifier &= requirement.specifier
        yield newer
