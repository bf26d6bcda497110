"""Pip steps → groups that are resolved together, or an error that says what wheels alone cannot do. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sagemaker_custom.errors import NotAppendableError
from sagemaker_custom.resolve import PipStep

_HASH = re.compile(r"\s--hash=(\w+):([0-9a-fA-F]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One requirement of a step."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()
    """sha256 in hexadecimal digits; the file has to have one of them."""

    @property
    def name(self) -> str:
        """Normalised."""
        return canonicalize_name(self.requirement.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Steps that look for packages in the same places and in the same way."""

    steps: tuple[PipStep, ...]
    wanted: tuple[Wanted, ...]
    constraints: tuple[str, ...]

    @property
    def first(self) -> PipStep:
        """Says what is common to all."""
        return self.steps[0]

    @property
    def needs_hashes(self) -> bool:
        """Whether every new package has to have a hash, as pip wants it once one requirement has one."""
        return any(wanted.hashes for wanted in self.wanted)

    @property
    def hashes(self) -> dict[str, tuple[str, ...]]:
        """Name → hashes that are allowed."""
        return {wanted.name: wanted.hashes for wanted in self.wanted if wanted.hashes}


def groups_of(steps: Sequence[PipStep]) -> tuple[Group, ...]:
    """Put steps together that follow one another and differ in nothing but their packages.

    Raises:
        NotAppendableError: A step builds something.
    """
    for step in steps:
        _check(step)
    read = [(step, tuple(map(_wanted, step.packages))) for step in steps]
    groups = []
    for _, items in groupby(read, key=lambda item: _options(*item)):
        together = list(items)
        groups.append(
            Group(
                steps=tuple(step for step, _ in together),
                wanted=tuple(wanted for _, all_wanted in together for wanted in all_wanted),
                constraints=tuple(
                    dict.fromkeys(_HASH.sub("", text) for step, _ in together for text in step.constraints)
                ),
            )
        )
    return tuple(groups)


def removed(steps: Iterable[PipStep], installed: Collection[str], replaceable: Collection[str]) -> tuple[str, ...]:
    """Return the packages of the base that steps uninstall.

    Args:
        steps: What is asked for.
        installed: Normalised names of what the base has.
        replaceable: Those of it that may vanish.

    Raises:
        NotAppendableError: One may not.
    """
    names = sorted({canonicalize_name(name) for step in steps for name in step.uninstall} & set(installed))
    held = [name for name in names if name not in replaceable]
    if held:
        raise NotAppendableError(
            f"pip has to uninstall {' '.join(held)} of the base image first",
            hint=f"allow it by replace={held!r}, or build with builder='docker'",
        )
    return tuple(names)


def _options(step: PipStep, wanted: Sequence[Wanted]) -> tuple[object, ...]:
    has_hashes = any(item.hashes for item in wanted)
    return step.index_url, step.extra_index_urls, step.find_links, step.no_deps, has_hashes


def _check(step: PipStep) -> None:
    packages = " ".join(step.packages)
    hint = "build with builder='docker', which runs pip in the image"
    if step.build_packages or step.no_build_isolation:
        raise NotAppendableError(f"{packages} is compiled in the image", hint=hint)
    if step.env:
        names = " ".join(name for name, _ in step.env)
        raise NotAppendableError(f"{packages} is installed with the variables {names}", hint=hint)


def _wanted(text: str) -> Wanted:
    requirement = Requirement(text.partition(" --")[0])
    found = _HASH.findall(text)
    if requirement.url:
        _check_url(requirement)
    hashes = tuple(digits.lower() for kind, digits in found if kind == "sha256")
    if found and not hashes:
        raise NotAppendableError(
            f"{requirement.name} is asked for with a hash other than sha256",
            hint="give its sha256, or build with builder='docker'",
        )
    return Wanted(requirement=requirement, hashes=hashes)


def _check_url(requirement: Requirement) -> None:
    parts = urlsplit(requirement.url or "")
    name = PurePosixPath(unquote(parts.path)).name
    if "+" in parts.scheme or not name.endswith(".whl"):
        raise NotAppendableError(
            f"{requirement.name} comes from {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}, "
            "which is source code and has to be built",
            hint="name a wheel, or build with builder='docker'",
        )
