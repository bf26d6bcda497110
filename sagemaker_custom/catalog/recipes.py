"""Recipes as frozen values: how a named extra is installed on which base images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from sagemaker_custom.catalog.images import BaseImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Which base images a variant is for; what is empty does not matter, and what is unknown of an image never fits."""

    frameworks: tuple[str, ...] = ()
    """One of these, as the image's own or as what it runs on."""
    framework_version: SpecifierSet = SpecifierSet()
    """Over the version of the framework that fits, else of the image's own."""
    image_scope: str | None = None
    processors: tuple[str, ...] = ()
    architecture: str | None = None
    cuda: SpecifierSet | None = None
    """Over versions such as ``12.1``; a CPU image has none and never matches."""
    python: SpecifierSet = SpecifierSet()
    """Over versions such as ``3.11``."""
    layout: str | None = None
    os: tuple[str, ...] = ()
    """How the name of the distribution begins: ``ubuntu`` or ``ubuntu20.04``."""
    matrix: Mapping[str, tuple[str, ...]] | None = None
    """Framework minor version (``2.3``) → builds that exist for it (``cpu``, ``cu121``, …)."""

    def version_in(self, image: BaseImage) -> Version | None:
        """Return the version of the framework that this condition is about, ``None`` when the image has none."""
        if not self.frameworks:
            return image.release
        return next((found for name in self.frameworks if (found := image.version_of(name)) is not None), None)

    def matches(self, image: BaseImage) -> bool:
        """Tell whether ``image`` is one of those."""
        version = self.version_in(image)
        return (
            version is not None
            and self.framework_version.contains(version, prereleases=True)
            and self.image_scope in (None, image.image_scope)
            and (not self.processors or image.processor in self.processors)
            and self.architecture in (None, image.architecture)
            and self.layout in (None, image.layout)
            and (not self.os or (image.os or "").startswith(self.os))
            and _contains(self.python, python_of(image))
            and (self.cuda is None or (image.cuda_version is not None and _contains(self.cuda, cuda_of(image))))
            and (self.matrix is None or build_of(image) in self.matrix.get(minor_of(version), ()))
        )


def _contains(specifier: SpecifierSet, version: str | None) -> bool:
    return not specifier or (version is not None and specifier.contains(version, prereleases=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class CondaPart:
    """What conda installs."""

    packages: tuple[str, ...]
    channels: tuple[str, ...] = ()
    """Highest priority first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PipPart:
    """What pip installs."""

    packages: tuple[str, ...]
    build_packages: tuple[str, ...] = ()
    """What has to be installed before ``packages`` can be built without isolation."""
    find_links: tuple[str, ...] = ()
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_deps: bool = False
    no_build_isolation: bool = False
    replaces: tuple[str, ...] = ()
    """Packages of the base that this one may replace although they are held fast otherwise, for example ``torch``."""
    env: tuple[tuple[str, str], ...] = ()
    """Environment variables while pip runs, sorted by name; they do not stay in the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """How a recipe is installed on some base images."""

    when: Condition
    version: Version | None = None
    """What is installed unless the caller names another; ``None`` for recipes without versions."""
    versions: SpecifierSet = SpecifierSet()
    """Which other versions this variant can install."""
    preinstalled: bool = False
    """AWS's image has it already: nothing is installed, whatever is built besides."""
    unavailable: str | None = None
    """Why there is nothing for these images, and what to do instead."""
    apt: tuple[str, ...] = ()
    conda: CondaPart | None = None
    uninstall: tuple[str, ...] = ()
    """Packages that pip removes first."""
    pip: PipPart | None = None
    verify: tuple[str, ...] = ()
    """Shell commands that have to succeed in the built image; default: the recipe's."""

    def choose_version(self, specifier: str) -> Version | None:
        """Return the version to install for what the caller asked.

        Args:
            specifier: PEP 440 specifiers; empty for none.

        Returns:
            ``None`` when this variant has no such version; recipes without versions take no specifier.
        """
        if self.version is None:
            return None
        asked = SpecifierSet(specifier)
        if asked.contains(self.version, prereleases=True):
            return self.version
        exact = next((item.version for item in asked if item.operator in ("==", "===")), None)
        if exact is None or len(asked) > 1:
            return None
        try:
            version = Version(exact)
        except InvalidVersion:  # "1.8.*", or what "===" compares as a text
            return None
        return version if self.versions and self.versions.contains(version, prereleases=True) else None

    def installs(self, specifier: str) -> bool:
        """Tell whether this variant gives what the caller asked for."""
        return self.choose_version(specifier) is not None or (self.version is None and not specifier)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A named extra."""

    name: str
    summary: str
    homepage: str
    variants: tuple[Variant, ...]
    """The first that matches the base image and the version counts."""
    verify: tuple[str, ...]
    """Shell commands that have to succeed in the built image."""
    after: tuple[str, ...] = ()
    """Recipes that are installed before this one when both are wanted."""
    conflicts: tuple[str, ...] = ()
    """Recipes and packages that cannot be in one image with this one."""


def python_of(image: BaseImage) -> str | None:
    """Return ``3.11`` for ``py311``, ``None`` when not even the minor version is known."""
    match = re.fullmatch(r"py(\d)(\d+)", image.py_version or "")
    return f"{match[1]}.{match[2]}" if match else None


def cuda_of(image: BaseImage) -> str | None:
    """Return ``12.1`` for ``cu121``, ``None`` on CPU."""
    return f"{image.cuda_version[2:-1]}.{image.cuda_version[-1]}" if image.cuda_version else None


def build_of(image: BaseImage) -> str:
    """Return ``cu121``, or ``cpu`` and the like, as the names of wheels say it."""
    return image.cuda_version or image.processor


def minor_of(version: Version) -> str:
    """Return ``2.3`` for ``2.3.0``."""
    return f"{version.major}.{version.minor}"


def placeholders(image: BaseImage, when: Condition, version: Version | None) -> dict[str, str]:
    """Return what may stand in braces in a recipe's packages, channels, URLs and variables.

    Args:
        image: The base.
        when: The condition that it fulfils, which says what ``framework_version`` is about.
        version: The one that is installed.
    """
    framework_version, python, cuda = when.version_in(image), python_of(image), cuda_of(image)
    return {
        "version": str(version or ""),
        "framework_version": str(framework_version or ""),
        "framework_minor": minor_of(framework_version) if framework_version else "",
        "cuda": build_of(image),
        "cuda_version": cuda or "",
        "cuda_major": cuda.partition(".")[0] if cuda else "",
        "python": python or "",
        "py_version": image.py_version or "",
        "python_tag": f"cp{python.replace('.', '')}" if python else "",
    }
