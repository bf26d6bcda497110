"""What each extra brings into an image → an error that names both, where two of them cannot be in one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from sagemaker_custom.errors import InvalidExtraError

_HINT = "keep one of them, or make two images"
_REMEMBERED = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What one extra brings."""

    extra: str
    """As its user writes it."""
    recipe: str | None = None
    """Name of the recipe, if it is one."""
    requirements: tuple[str, ...] = ()
    """For pip."""
    removes: tuple[str, ...] = ()
    """Packages that pip removes."""
    conflicts: tuple[str, ...] = ()
    """Recipes and packages that it says it cannot be with."""

    @property
    def packages(self) -> dict[str, Requirement]:
        """Name → requirement, of what pip installs."""
        return dict(map(_read, self.requirements))


@lru_cache(maxsize=_REMEMBERED)
def _read(text: str) -> tuple[str, Requirement]:
    requirement = Requirement(text.partition(" --")[0])  # without hashes
    return canonicalize_name(requirement.name), requirement


def check_conflicts(wanted: Sequence[Wanted]) -> None:
    """Make sure that all extras can be in one image, as far as that can be told before anything is built.

    Raises:
        InvalidExtraError: Two of them cannot; names both and says why.
    """
    for one, other in combinations(wanted, 2):
        reason = next(_reasons(one, other), None)
        if reason:
            raise InvalidExtraError(
                f"the extras {one.extra!r} and {other.extra!r} cannot be in one image: {reason}", hint=_HINT
            )


def check_held(wanted: Sequence[Wanted], held: dict[str, str]) -> None:
    """Make sure that nobody names another version of what the base image holds.

    Args:
        wanted: What was named in place of a recipe.
        held: Package → its version in the base, where that is known.

    Raises:
        InvalidExtraError: One of them asks for another version.
    """
    for one in wanted:
        for name, requirement in one.packages.items():
            version = held.get(name)
            if not version or requirement.marker:
                continue
            if not _public(requirement.specifier).contains(version, prereleases=True):
                raise InvalidExtraError(
                    f"the extra {one.extra!r} asks for {requirement}, but the base image has {name} {version}, "
                    "which may not be replaced",
                    hint="choose the base image that has the version you need, a recipe made to replace it, or say "
                    f"replace=[{name!r}] if AWS's build of it may go",
                )


def _reasons(one: Wanted, other: Wanted) -> Iterator[str]:
    mine, theirs = one.packages, other.packages
    for this, that, extra in ((one, other, theirs.keys() - mine), (other, one, mine.keys() - theirs)):
        if stated := sorted(name for name in this.conflicts if name == that.recipe or name in extra):
            yield f"{this.extra!r} does not go with {stated[0]!r}"
        if removed := sorted(extra.intersection(this.removes)):
            yield f"{this.extra!r} removes {removed[0]!r}, which {that.extra!r} installs"
    for name in sorted(mine.keys() & theirs):
        if _differ(mine[name], theirs[name]):
            yield f"one installs '{mine[name]}', the other '{theirs[name]}'"


def _differ(mine: Requirement, theirs: Requirement) -> bool:
    # What a marker leaves out, and whether two ranges meet, is known to pip alone.
    if mine.marker or theirs.marker:
        return False
    if mine.url or theirs.url:
        return (
            mine.url != theirs.url
            if mine.url and theirs.url
            else bool(_pins(mine.specifier) or _pins(theirs.specifier))
        )
    return any(
        not other.specifier.contains(version, prereleases=True)
        for this, other in ((mine, theirs), (theirs, mine))
        for version in _pins(this.specifier)
    )


def _public(specifier: SpecifierSet) -> SpecifierSet:
    # AWS's builds have local versions of their own (2.3.0+cu121), which the catalog does not know.
    return SpecifierSet(re.sub(r"\+[^,\s]*", "", str(specifier)))


def _pins(specifier: SpecifierSet) -> list[str]:
    return [item.version for item in specifier if item.operator == "==" and not item.version.endswith("*")]
