"""An inventory → a folder of wheels that are metadata alone, which tell a resolver what the base has."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from sagemaker_custom.inventory import InstalledPackage, Inventory
from sagemaker_custom.partial_files import unfinished_folder
from sagemaker_custom.wheels.target import marker_environment

# The time of the entries, so that the same base gives the same bytes and uv's cache recognises them.
_TIME = (1980, 1, 1, 0, 0, 0)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_EXTRA = re.compile(r"\bextra\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseMetadata:
    """What the resolver is told of a base."""

    constraints: tuple[str, ...]
    """``NAME @ file:///…`` of each package that stays as it is."""
    filenames: frozenset[str]
    """Of the wheels in the folder."""
    dependents: tuple[str, ...]
    """Packages that stay and require one that need not: their requirements have to hold, too."""


def write_base_metadata(
    inventory: Inventory, root: Path, *, replaceable: Collection[str] = (), gone: Collection[str] = ()
) -> BaseMetadata:
    """Write the wheels.

    What one package of a base requires of another is left out: whether it is met or not, it was not asked for. What
    stays are requirements of packages that may be replaced, and those of extras, which new packages may ask for.

    Args:
        inventory: Of the base.
        root: Gets a folder of them, which is known by its content; it is made once.
        replaceable: Normalised names of packages that may get another version.
        gone: Normalised names of packages that are removed, whoever requires them.
    """
    installed = dict(_installed(inventory))
    environment = marker_environment(inventory)
    texts: dict[str, str] = {}
    constraints, dependents = [], []
    for name in sorted(installed.keys() - {*replaceable, *gone}):
        package, version = installed[name]
        requires = tuple(_kept(package, installed, replaceable, environment))
        if any(not _EXTRA.search(str(requirement.marker or "")) for requirement in requires):
            dependents.append(name)
        texts[f"{name.replace('-', '_')}-{version}-py3-none-any.whl"] = _metadata(package, version, requires)
    folder = _folder(root, texts)
    for filename in texts:
        name = canonicalize_name(filename.partition("-")[0])
        constraints.append(f"{name} @ {(folder / filename).as_uri()}")
    return BaseMetadata(constraints=tuple(constraints), filenames=frozenset(texts), dependents=tuple(dependents))


def _installed(inventory: Inventory) -> Iterator[tuple[str, tuple[InstalledPackage, Version]]]:
    for package in inventory.packages:
        # A name becomes that of a file, and a base may say anything.
        if not _NAME.fullmatch(package.name):
            continue
        try:
            yield package.normalised_name, (package, Version(package.version))
        except InvalidVersion:
            # Nobody can require a version of it; installing another one over it is refused afterwards.
            continue


def _kept(
    package: InstalledPackage,
    installed: Mapping[str, tuple[InstalledPackage, Version]],
    replaceable: Collection[str],
    environment: Mapping[str, str],
) -> Iterator[Requirement]:
    for text in package.requires:
        try:
            requirement = Requirement(text if text.isprintable() else "")
        except (InvalidRequirement, RecursionError):
            continue
        # A URL would have to be named by the user as well.
        requirement.url = None
        is_optional = requirement.marker is not None and _EXTRA.search(str(requirement.marker)) is not None
        is_open = canonicalize_name(requirement.name) in replaceable
        if is_optional or (is_open and _holds(requirement, installed, environment)):
            yield requirement


def _holds(
    requirement: Requirement,
    installed: Mapping[str, tuple[InstalledPackage, Version]],
    environment: Mapping[str, str],
) -> bool:
    if requirement.marker and not requirement.marker.evaluate(dict(environment)):
        return False
    found = installed.get(canonicalize_name(requirement.name))
    return found is not None and requirement.specifier.contains(found[1], prereleases=True)


def _metadata(package: InstalledPackage, version: Version, requires: Sequence[Requirement]) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {package.name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in package.provides_extra if _NAME.fullmatch(extra)]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "\n".join(lines) + "\n"


def _folder(root: Path, texts: Mapping[str, str]) -> Path:
    key = hashlib.sha256(repr(sorted(texts.items())).encode()).hexdigest()[:40]
    folder = root / key
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with unfinished_folder(root) as made:
        for filename, text in texts.items():
            _write(made / filename, text)
        try:
            made.replace(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    return folder


def _write(path: Path, metadata: str) -> None:
    name, version = path.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    wheel = "Wheel-Version: 1.0\nGenerator: sagemaker-custom\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(path, "w") as archive:
        for entry, text in (("METADATA", metadata), ("WHEEL", wheel), ("RECORD", "")):
            archive.writestr(zipfile.ZipInfo(f"{info}/{entry}", _TIME), text)
