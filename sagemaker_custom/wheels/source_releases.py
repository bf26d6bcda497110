"""Versions that were chosen among wheels → an error where every newer one is source code alone.

A resolver that takes wheels alone goes back as far as it has to: to a release of years ago, which nobody wants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from packaging.requirements import Requirement
from packaging.version import Version

from sagemaker_custom.errors import NotAppendableError
from sagemaker_custom.wheels.explanation import lacks_wheels
from sagemaker_custom.wheels.pip_groups import Wanted
from sagemaker_custom.wheels.uv import UvAnswer

_WORKERS = 4


def check_newer(wanted: Iterable[Wanted], chosen: Mapping[str, str], ask: Callable[[Requirement], UvAnswer]) -> None:
    """Make sure that what was asked for itself is not an old release that happens to have a wheel.

    Args:
        wanted: What was asked for.
        chosen: Normalised name → version, of what is added.
        ask: Resolves a requirement alone, among wheels.

    Raises:
        NotAppendableError: Another builder would install a newer one.
    """
    open_ended = {item.name: newer for item in wanted for newer in _newer(item, chosen)}
    if not open_ended:
        return
    with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
        answers = dict(zip(open_ended, pool.map(ask, open_ended.values()), strict=True))
    for name, answer in answers.items():
        if answer.code != 0 and lacks_wheels(answer.messages):
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
