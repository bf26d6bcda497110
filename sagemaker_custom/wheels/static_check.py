"""A base, a lock, its wheels and the layers made of them → nothing, or an error with all that would not work."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, NormalizedName, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from sagemaker_custom.errors import VerificationError
from sagemaker_custom.inventory import Inventory
from sagemaker_custom.wheels.archive import MALFORMED, open_wheel
from sagemaker_custom.wheels.kept import LayerBlob
from sagemaker_custom.wheels.listing import listing_of
from sagemaker_custom.wheels.lock import Lock
from sagemaker_custom.wheels.store import FetchedWheel
from sagemaker_custom.wheels.target import marker_environment, supported_tags

_MOST_SHOWN = 30
_LONGEST_SHOWN = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class _Package:
    """What a distribution needs, whether of the base or new."""

    name: str
    version: str
    requires: tuple[str, ...]
    requires_python: str | None
    is_new: bool


_Packages = Mapping[NormalizedName, _Package]


def check_statically(
    inventory: Inventory, lock: Lock, wheels: Sequence[FetchedWheel], layers: Sequence[LayerBlob]
) -> None:
    """Check, without running anything, that base and layers make an image in which the new packages work.

    Every file of every RECORD is in the layers with that hash and size; the tags of each wheel fit the base's Python,
    processor and glibc; what base and wheels require is there, and nothing twice. What the base lacked before is not
    held against the wheels.

    Raises:
        VerificationError: Lists everything that is wrong.
    """
    problems = [*check_metadata(inventory, lock, wheels), *_missing_files(inventory, lock, layers)]
    if problems:
        shown = problems[:_MOST_SHOWN]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        raise VerificationError(
            "the new packages do not fit the base image:" + "".join(f"\n    {problem}" for problem in shown),
            hint="hold other versions of them, or let builder='docker' install and try them in a container",
        )


def check_metadata(inventory: Inventory, lock: Lock, wheels: Sequence[FetchedWheel]) -> tuple[str, ...]:
    """Return what is wrong with the choice of wheels, before any layer is made."""
    gone = {canonicalize_name(name) for name in lock.replaced}
    before = {
        canonicalize_name(package.name): _Package(
            name=package.name,
            version=package.version,
            requires=package.requires,
            requires_python=package.requires_python,
            is_new=False,
        )
        for package in inventory.packages
    }
    stays = {name: package for name, package in before.items() if name not in gone}
    new: dict[NormalizedName, _Package] = {}
    problems: list[str] = []
    for fetched in wheels:
        name = canonicalize_name(fetched.wheel.name)
        there = new.get(name) or stays.get(name)
        if there is not None:
            where = "of the wheels" if there.is_new else "in the base"
            problems.append(f"{there.name} {there.version} {where} and {fetched.wheel.version} are both installed")
        package = _package_of(fetched)
        # Who asked for wheels without what they require has said that it is not needed.
        new[name] = replace(package, requires=()) if name in lock.without_requirements else package
    problems += _unfit_wheels(inventory, wheels)
    problems += _unfit_pythons(inventory, new)
    environment = marker_environment(inventory)
    lacking = _unmet({**stays, **new}, environment)
    known = _unmet(before, environment)
    return (*problems, *(f"{who}, {what}" for who, what in lacking.items() if who not in known))


def _package_of(fetched: FetchedWheel) -> _Package:
    with open_wheel(fetched.path) as archive:
        found = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith(".dist-info/METADATA")]
        try:
            raw, _ = parse_email(archive.read(found[0]) if found else b"")
        except MALFORMED as error:
            raise VerificationError(
                f"the METADATA of {fetched.wheel.filename} cannot be read: {error}",
                hint="look whether another version has a sound wheel",
            ) from error
    _check_identity(fetched, raw.get("name", ""), raw.get("version", ""))
    return _Package(
        name=fetched.wheel.name,
        version=fetched.wheel.version,
        requires=tuple(raw.get("requires_dist", ())),
        requires_python=raw.get("requires_python"),
        is_new=True,
    )


def _check_identity(fetched: FetchedWheel, name: str, version: str) -> None:
    """Refuse a wheel that is another package than its file name says: everything else goes by that name."""
    try:
        is_same = canonicalize_name(name) == canonicalize_name(fetched.wheel.name) and (
            Version(version) == Version(fetched.wheel.version)
        )
    except InvalidVersion:
        is_same = False
    if not is_same:
        raise VerificationError(
            f"{fetched.wheel.filename} is called {fetched.wheel.name} {fetched.wheel.version}, "
            f"and says of itself that it is {name[:_LONGEST_SHOWN]!r} {version[:_LONGEST_SHOWN]!r}",
            hint="the wheel is malformed or harmful: do not install it, and tell its authors",
        )


def _unfit_wheels(inventory: Inventory, wheels: Sequence[FetchedWheel]) -> Iterator[str]:
    supported = frozenset(supported_tags(inventory))
    for fetched in wheels:
        filename = fetched.wheel.filename
        try:
            tags = parse_wheel_filename(filename)[3]
        except (InvalidWheelFilename, InvalidVersion):
            yield f"{filename} is not the name of a wheel"
            continue
        if not tags & supported:
            libc = f"glibc {inventory.glibc}" if inventory.glibc else "an unknown libc"
            yield f"{filename} does not fit Python {inventory.python_version} on {inventory.platform} with {libc}"


def _unfit_pythons(inventory: Inventory, packages: _Packages) -> Iterator[str]:
    has = inventory.python_version
    # Some bases do not tell the patch release: what any of them could be is let pass.
    versions = (has,) if has.count(".") > 1 else (f"{has}.0", f"{has}.99")
    for package in packages.values():
        try:
            wanted = SpecifierSet(package.requires_python or "")
        except InvalidSpecifier:
            continue  # As pip does.
        if not any(wanted.contains(version, prereleases=True) for version in versions):
            yield f"{package.name} {package.version} requires Python {wanted}, the base has {has}"


def _unmet(packages: _Packages, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what is required → what is there instead, following the extras that requirements name."""
    to_do = [(name, "") for name in packages]
    done = set(to_do)
    unmet: dict[str, str] = {}
    while to_do:
        name, extra = to_do.pop(0)
        for requirement in _requirements(packages[name], extra, environment):
            wanted = canonicalize_name(requirement.name)
            there = packages.get(wanted)
            who = f"{packages[name].name} {packages[name].version} requires {requirement.name}{requirement.specifier}"
            if there is None:
                unmet[who] = "which is not installed"
            elif not _fits(requirement.specifier, there.version):
                unmet[who] = f"but {there.version} is installed"
            else:
                extras = {(wanted, str(canonicalize_name(item))) for item in requirement.extras} - done
                done |= extras
                to_do.extend(sorted(extras))
    return unmet


def _requirements(package: _Package, extra: str, environment: Mapping[str, str]) -> Iterator[Requirement]:
    for line in package.requires:
        try:
            requirement = Requirement(line)
        except (InvalidRequirement, RecursionError):
            continue  # Old packages of the base have such lines, and pip skips them.
        if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": extra}):
            yield requirement


def _fits(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _missing_files(inventory: Inventory, lock: Lock, layers: Sequence[LayerBlob]) -> Iterator[str]:
    present: dict[str, tuple[str, str]] = {}
    records: dict[str, str] = {}
    for layer in layers:
        listing = listing_of(layer)
        present |= listing.files
        records |= listing.records
    installed = {_distribution(path): path for path in records if path.startswith(f"{inventory.site_packages}/")}
    for wheel in lock.wheels:
        record = installed.get(canonicalize_name(wheel.name))
        if record is None:
            yield f"{wheel.name} {wheel.version} has no RECORD in the layers"
            continue
        for row in csv.reader(io.StringIO(records[record])):
            path = posixpath.normpath(posixpath.join(inventory.site_packages, row[0]))
            if path not in present:
                yield f"{path} of {wheel.name} is not in the layers"
            elif row[1] and (row[1], row[2]) != present[path]:
                yield f"{path} of {wheel.name} has another content in the layers than in RECORD"


def _distribution(record: str) -> NormalizedName:
    return canonicalize_name(
        posixpath.basename(posixpath.dirname(record)).removesuffix(".dist-info").rpartition("-")[0]
    )
