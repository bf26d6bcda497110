"""Pip steps and the inventory of their base → the wheels that are added to it, by ``uv``.

uv is told of every package of the base by a wheel that is metadata alone, and by a constraint that it is that one: so
nothing of the base is looked for on an index or replaced, and versions that no index has (``2.3.0+cu121``) are known.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from sagemaker_custom.errors import BuildError, NotAppendableError
from sagemaker_custom.inventory import Inventory
from sagemaker_custom.partial_files import TemporaryFolder
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.wheels import families
from sagemaker_custom.wheels.base_metadata import BaseMetadata, write_base_metadata
from sagemaker_custom.wheels.explanation import Situation, error_of
from sagemaker_custom.wheels.lock import Lock, LockedWheel
from sagemaker_custom.wheels.pip_configuration import PipConfiguration
from sagemaker_custom.wheels.pip_groups import Group, groups_of, removed
from sagemaker_custom.wheels.pylock import OfferedWheel, ResolvedPackage, read_pylock
from sagemaker_custom.wheels.source_releases import check_newer
from sagemaker_custom.wheels.sources import Sources
from sagemaker_custom.wheels.target import machine_of, supported_tags
from sagemaker_custom.wheels.uv import NO_SOLUTION, Uv, UvAnswer

# The releases of glibc that uv knows as platforms; wheels for one between two of them are rare.
_UV_GLIBC = (17, 28, *range(31, 41))
_MACHINES = ("x86_64", "aarch64")
_OPTIONS = (
    *("pip", "compile", "--format", "pylock.toml"),
    *("--no-header", "--no-annotate", "--no-python-downloads", "--color", "never"),
)
# As pip: the best version of all indexes. With one index it would hide that the index refuses the credentials.
_ALL_INDEXES = ("--index-strategy", "unsafe-best-match")

_WHEELS = ("--only-binary", ":all:")
# The list of releases is in uv's cache by then; and what may not be downloaded cannot be built.
_LISTED = ("--no-deps", "--prerelease", "disallow", "--offline")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Base:
    """A base, and what may happen to it."""

    inventory: Inventory
    installed: Mapping[str, str]
    """Normalised name → version."""
    replaceable: frozenset[str]
    """Those of it that may get another version."""
    gone: frozenset[str]
    """Those that are removed in any case."""
    held: frozenset[str]
    tags: Mapping[Tag, int]
    """What fits → how good it is, 0 is best."""

    @property
    def target(self) -> str:
        """For people."""
        inventory = self.inventory
        return f"Python {inventory.python_version} on {inventory.platform} with glibc {inventory.glibc}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attempt:
    """What was asked of uv, and what it said."""

    answer: UvAnswer
    metadata: BaseMetadata
    situation: Situation


class DeltaResolver:
    """Resolves what is added to a base.

    Args:
        uv: Does the search.
        folder: For what uv is told of bases; safe to delete.
        environment: Variables that uv gets.
        pip: What pip's configuration says; counts where neither settings nor steps name an index.
        ca_bundle: PEM file that is trusted.
    """

    def __init__(
        self,
        uv: Uv,
        *,
        folder: Path,
        environment: Mapping[str, str],
        pip: PipConfiguration = PipConfiguration(),  # noqa: B008
        ca_bundle: str | None = None,
    ) -> None:
        self._uv = uv
        self._folder = folder
        self._environment = environment
        self._pip = pip
        self._ca_bundle = ca_bundle or pip.cert

    def resolve(
        self,
        inventory: Inventory,
        steps: Sequence[PipStep],
        *,
        held: Sequence[str],
        indexes: PipIndexes,
        replace: Sequence[str],
    ) -> Lock:
        """Choose wheels so that nothing of the base changes but what may be replaced.

        Args:
            inventory: Of the base.
            steps: What is asked for; what differs in its indexes is resolved one after the other.
            held: Packages that the image is made for.
            indexes: From the settings.
            replace: Packages of the base that may be replaced, besides those that a step names.

        Raises:
            NotAppendableError: It takes more than wheels, or no wheel fits the base.
            BuildError: An index cannot be asked, or does not have what is asked for.
        """
        base = _base(inventory, steps, held, replace)
        chosen: dict[str, LockedWheel] = {}
        loose: set[str] = set()
        for group in groups_of(steps):
            added = self._add(group, base, chosen, Sources.of(group.first, indexes, self._pip))
            loose |= added.keys() if group.first.no_deps else set()
            chosen |= added
        return _lock(base, chosen, loose)

    def _add(
        self, group: Group, base: _Base, before: Mapping[str, LockedWheel], sources: Sources
    ) -> dict[str, LockedWheel]:
        _check_urls(group, base)
        attempt = self._attempt(group, base, before, sources)
        if attempt.answer.code != 0:
            raise error_of(attempt.answer, attempt.situation)
        added = {}
        of_base = attempt.metadata.filenames
        for package in read_pylock(attempt.answer.output):
            is_known = package.name in before or any(offer.filename in of_base for offer in package.wheels)
            if not is_known and not _is_same(base.installed.get(package.name), package.version):
                offer = _best(package, base, group)
                added[package.name] = _locked(
                    package, offer, None if package.is_direct else sources.index_of(offer.url)
                )

        def exists(requirement: Requirement, *, as_wheel: bool) -> bool:
            options = (*_LISTED, *(_WHEELS if as_wheel else ()))
            return self._run(base, sources, [str(requirement)], group.constraints, *options).code == 0

        check_newer(group.wanted, {name: wheel.version for name, wheel in added.items()}, exists)
        return added

    def _attempt(self, group: Group, base: _Base, before: Mapping[str, LockedWheel], sources: Sources) -> _Attempt:
        """Replace what has to be, and all that may be only when that fails: uv prefers new versions to old ones."""
        named = frozenset(_outdated(group, base))
        attempt = self._ask(group, base, before, sources, named)
        if attempt.answer.code == NO_SOLUTION and named != base.replaceable:
            return self._ask(group, base, before, sources, base.replaceable)
        return attempt

    def _ask(
        self,
        group: Group,
        base: _Base,
        before: Mapping[str, LockedWheel],
        sources: Sources,
        replaceable: Collection[str],
    ) -> _Attempt:
        metadata = write_base_metadata(base.inventory, self._folder, replaceable=replaceable, gone=base.gone)
        stays = {name: version for name, version in base.installed.items() if name not in {*replaceable, *base.gone}}
        now = stays | {name: wheel.version for name, wheel in before.items()}
        family = tuple(
            text for text in families.constraints(now) if canonicalize_name(Requirement(text).name) not in now
        )
        requirements = [str(wanted.requirement) for wanted in group.wanted]
        if not group.first.no_deps:
            requirements += metadata.dependents
        earlier = [f"{name} @ {sources.with_credentials(wheel.url)}" for name, wheel in before.items()]
        constraints = [*metadata.constraints, *earlier, *family, *group.constraints]
        situation = Situation(
            asked=" ".join(str(wanted.requirement) for wanted in group.wanted),
            target=base.target,
            installed=stays,
            held=base.held,
            family=family,
        )
        options = (*_WHEELS, *(("--no-deps",) if group.first.no_deps else ()))
        answer = self._run(base, sources, requirements, constraints, *options)
        return _Attempt(answer=answer, metadata=metadata, situation=situation)

    def _run(
        self,
        base: _Base,
        sources: Sources,
        requirements: Sequence[str],
        constraints: Sequence[str],
        *options: str,
    ) -> UvAnswer:
        # Nobody else may read the folder: constraints may hold credentials.
        with TemporaryFolder() as name:
            folder = Path(name)
            _write(folder / "requirements.txt", requirements)
            _write(folder / "constraints.txt", constraints)
            arguments = [
                *(*_OPTIONS, "--python", sys.executable, "--python-version", base.inventory.python_version),
                *("--python-platform", _platform(base.inventory), "--constraints", "constraints.txt"),
                *(("--no-index",) if sources.no_index else ()),
                *(_ALL_INDEXES if sources.extra_index_urls else ()),
                *options,
                "requirements.txt",
            ]
            variables = sources.variables(self._environment, self._ca_bundle)
            return self._uv.run(arguments, folder=folder, environment=variables)


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _base(inventory: Inventory, steps: Sequence[PipStep], held: Sequence[str], replace: Sequence[str]) -> _Base:
    installed = {package.normalised_name: package.version for package in inventory.packages}
    named = {canonicalize_name(name) for name in (*replace, *(name for step in steps for name in step.replaces))}
    gone = frozenset(removed(steps, installed, named))
    return _Base(
        inventory=inventory,
        installed=installed,
        replaceable=frozenset((named & installed.keys()) - gone),
        gone=gone,
        held=frozenset(canonicalize_name(name) for name in held),
        tags={tag: number for number, tag in enumerate(supported_tags(inventory))},
    )


def _platform(inventory: Inventory) -> str:
    machine = machine_of(inventory)
    major, _, minor = (inventory.glibc or "0.0").partition(".")
    known = [release for release in _UV_GLIBC if release <= int(minor)]
    if major != "2" or not known or machine not in _MACHINES:
        libc = f"glibc {inventory.glibc}" if inventory.glibc else "an unknown libc"
        raise NotAppendableError(
            f"wheels for {inventory.platform} with {libc} cannot be chosen", hint="build with builder='docker'"
        )
    return f"{machine}-manylinux_2_{known[-1]}"


def _outdated(group: Group, base: _Base) -> list[str]:
    """Return what may be replaced and has to be, by what was asked for itself."""
    found = []
    for wanted in group.wanted:
        if wanted.name not in base.replaceable:
            continue
        try:
            version = Version(base.installed[wanted.name])
        except InvalidVersion:
            found.append(wanted.name)
            continue
        if wanted.requirement.url or not wanted.requirement.specifier.contains(version, prereleases=True):
            found.append(wanted.name)
    return found


def _is_same(there: str | None, version: str) -> bool:
    try:
        return there is not None and Version(there) == Version(version)
    except InvalidVersion:
        return False


def _check_urls(group: Group, base: _Base) -> None:
    for wanted in group.wanted:
        there = base.installed.get(wanted.name)
        if wanted.requirement.url and there and wanted.name not in base.replaceable | base.gone:
            raise NotAppendableError(
                f"{wanted.requirement} does not go with the base image, which has {wanted.name} {there}",
                hint=f"let it be replaced: replace=[{wanted.name!r}]",
            )


def _best(package: ResolvedPackage, base: _Base, group: Group) -> OfferedWheel:
    allowed = group.hashes.get(package.name, ())
    if group.needs_hashes and not allowed:
        raise NotAppendableError(
            f"{package.name} {package.version} would be installed without a hash, and other packages have one",
            hint="pip refuses that, too: give the hashes of all packages that are new, or of none",
        )
    offers = [offer for offer in package.wheels if not allowed or offer.sha256 in allowed]
    if package.wheels and not offers:
        raise NotAppendableError(
            f"no wheel of {package.name} {package.version} has one of the hashes that were asked for",
            hint="check them; or it is source code that they belong to, which builder='docker' compiles",
        )
    ranked = sorted((rank, number) for number, offer in enumerate(offers) if (rank := _rank(offer, base.tags)))
    if not ranked:
        raise NotAppendableError(
            f"{package.name} {package.version} has no wheel for {base.target}",
            hint="name a version that has one, or build with builder='docker', which compiles it",
        )
    best = offers[ranked[0][1]]
    if not best.sha256:
        raise BuildError(f"the index has no sha256 of {best.filename}", hint="use an index that has one")
    return best


def _rank(offer: OfferedWheel, tags: Mapping[Tag, int]) -> tuple[int, int, str] | None:
    """Return how good a wheel is, least is best; ``None`` where it does not fit."""
    try:
        _, _, build, own = parse_wheel_filename(offer.filename)
    except (InvalidWheelFilename, InvalidVersion):
        return None
    fitting = [tags[tag] for tag in own if tag in tags]
    return (min(fitting), -(build[0] if build else -1), offer.filename) if fitting else None


def _locked(package: ResolvedPackage, offer: OfferedWheel, index: str | None) -> LockedWheel:
    return LockedWheel(
        name=package.name,
        version=package.version or str(parse_wheel_filename(offer.filename)[1]),
        filename=offer.filename,
        url=offer.url,
        sha256=offer.sha256,
        size=offer.size,
        index=package.index or index,
    )


def _lock(base: _Base, chosen: Mapping[str, LockedWheel], loose: Collection[str]) -> Lock:
    replaced = frozenset(chosen.keys() & base.installed.keys()) | base.gone
    unasked = sorted(replaced - base.replaceable - base.gone)
    if unasked:
        raise NotAppendableError(
            f"{unasked[0]} {base.installed[unasked[0]]} of the base image would be replaced by "
            f"{chosen[unasked[0]].version}",
            hint=f"let it be replaced: replace={unasked!r}",
        )
    _check_families(base, chosen)
    return Lock(
        python_version=base.inventory.python_version,
        platform=base.inventory.platform,
        wheels=tuple(chosen[name] for name in sorted(chosen)),
        replaced=tuple(sorted(replaced)),
        base=base.inventory.base,
        without_requirements=tuple(sorted(loose)),
    )


def _check_families(base: _Base, chosen: Mapping[str, LockedWheel]) -> None:
    now = {name: version for name, version in base.installed.items() if name not in base.gone}
    now |= {name: wheel.version for name, wheel in chosen.items()}
    misfits = tuple(families.misfits(now, frozenset(chosen)))
    if misfits:
        raise NotAppendableError(
            "; ".join(map(str, misfits)),
            hint="ask for the build that fits, with the index that has it in pip_extra_index_urls, "
            f"or let {misfits[0].leader} and {misfits[0].follower} both be replaced",
        )
