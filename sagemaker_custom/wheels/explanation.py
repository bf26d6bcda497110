"""What uv said when nothing fits → an error that names the package of the base that is in the way. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sagemaker_custom.errors import BuildError, NotAppendableError
from sagemaker_custom.spec import redacted
from sagemaker_custom.wheels.uv import NO_SOLUTION, UvAnswer

_HEADLINE = "No solution found when resolving dependencies"
# Releases before 0.11 draw a tree, and wrap its lines.
_DRAWN = re.compile("[×╰─▶├│]+")
_WORD = re.compile(r"(?<![\w./-])[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_NO_WHEEL = re.compile(r"([A-Za-z0-9][\w.-]*?)(?:\[[^\]]*\])?(?:[=<>!~]\S*)? ha(?:s|ve) no (?:usable )?wheels")
_UNREACHED = ("was not found in the package registry", "was not found in the provided package locations")
_MOST_LINES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What was asked of uv."""

    asked: str
    """For people."""
    target: str
    """Python, platform and C library, for people."""
    installed: Mapping[str, str]
    """Normalised name → version, of what the base has and keeps."""
    held: Collection[str]
    """Normalised names of what the base image is made for."""
    family: Iterable[str]
    """Requirements that keep companions to what they were compiled for."""


def error_of(answer: UvAnswer, situation: Situation) -> BuildError:
    """Return the error for an answer that is not a solution.

    Returns:
        A :class:`NotAppendableError` where another builder could do it.
    """
    said = redacted(answer.messages).strip()
    if answer.code != NO_SOLUTION or _HEADLINE not in said:
        return BuildError(
            f"uv could not look for {situation.asked}:{_indented(said)}",
            hint="check the settings pip_index_url and pip_extra_index_urls, and pip's own: pip config list",
        )
    cause = _DRAWN.sub("", said.partition(_HEADLINE)[2]).strip(": \n").removeprefix("cause:").strip()
    pinned = _pinned(cause, situation)
    if any(text in _joined(cause) for text in _UNREACHED) and not pinned:
        return BuildError(
            f"a package is on no index that was asked, for {situation.asked}:{_indented(cause)}",
            hint="check its name, and the settings pip_index_url and pip_extra_index_urls with their credentials",
        )
    if pinned:
        return _conflict(cause, pinned, situation)
    without = sorted({canonicalize_name(name) for name in _NO_WHEEL.findall(_joined(cause))})
    if without:
        return NotAppendableError(
            f"{' '.join(without)} has no wheel for {situation.target}",
            hint="name a version that has one, or build with builder='docker', which compiles it",
        )
    family = _family(cause, situation)
    return NotAppendableError(
        f"no versions go together for {situation.asked}{family}:{_indented(cause)}",
        hint="ask for other versions, or build with builder='docker'",
    )


def _family(cause: str, situation: Situation) -> str:
    words = {canonicalize_name(word) for word in _WORD.findall(cause)}
    kept = [text for text in situation.family if canonicalize_name(Requirement(text).name) in words]
    return f" ({', '.join(kept)} is what is compiled for the base image)" if kept else ""


def _pinned(cause: str, situation: Situation) -> dict[str, str]:
    words = {canonicalize_name(word) for word in _WORD.findall(cause.partition("\nhint:")[0])}
    return {name: version for name, version in sorted(situation.installed.items()) if name in words}


def _conflict(cause: str, pinned: Mapping[str, str], situation: Situation) -> NotAppendableError:
    has = ", ".join(f"{name} {version}" for name, version in pinned.items())
    held = sorted(set(situation.held) & pinned.keys())
    if held:
        hint = f"the image is made for its {' '.join(held)}: choose the base image that has the version you need"
    else:
        hint = f"ask for another version, or let it be replaced: replace={sorted(pinned)!r}"
    return NotAppendableError(
        f"{situation.asked} does not go with the base image, which has {has}:{_indented(cause)}", hint=hint
    )


def _joined(text: str) -> str:
    return " ".join(text.split())


def _indented(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "".join(f"\n    {line}" for line in lines[:_MOST_LINES])
