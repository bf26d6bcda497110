"""Recipes as frozen values: how a named extra is installed on which base images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from sagemaker_custom.catalog.images import BaseImage


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """Which base images a variant is for; what is empty does not matter."""

    framework: str | None = None
    framework_version: SpecifierSet = SpecifierSet()
    image_scope: str | None = None
    processor: str | None = None
    cuda: SpecifierSet | None = None
    """Over versions such as ``12.1``; a CPU image has none and never matches."""
    python: SpecifierSet = SpecifierSet()
    """Over versions such as ``3.11``."""
    layout: str | None = None
    matrix: Mapping[str, tuple[str, ...]] | None = None
    """Framework minor version (``2.3``) → builds that exist for it (``cpu``, ``cu121``, …)."""

    def matches(self, image: BaseImage) -> bool:
        """Tell whether ``image`` is one of those."""
        return (
            self.framework in (None, image.framework)
            and self.image_scope in (None, image.image_scope)
            and self.processor in (None, image.processor)
            and self.layout in (None, image.layout)
            and self.framework_version.contains(image.version, prereleases=True)
            and self.python.contains(python_of(image), prereleases=True)
            and self._matches_cuda(image)
        )

    def _matches_cuda(self, image: BaseImage) -> bool:
        if self.matrix is not None and build_of(image) not in self.matrix.get(minor_of(image), ()):
            return False
        if self.cuda is None:
            return True
        cuda = cuda_of(image)
        return cuda is not None and self.cuda.contains(cuda, prereleases=True)


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
    find_links: tuple[str, ...] = ()
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_deps: bool = False
    no_build_isolation: bool = False
    replaces: tuple[str, ...] = ()
    """Packages of the base that this one may replace although they are held fast otherwise, for example ``torch``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """How a recipe is installed on some base images."""

    when: Condition
    version: Version | None = None
    """What is installed unless the caller names another; ``None`` for recipes without versions."""
    versions: SpecifierSet = SpecifierSet()
    """Which other versions this variant can install."""
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


def python_of(image: BaseImage) -> str:
    """Return ``3.11`` for ``py311``."""
    return f"{image.py_version[2]}.{image.py_version[3:]}"


def cuda_of(image: BaseImage) -> str | None:
    """Return ``12.1`` for ``cu121``, ``None`` on CPU."""
    return f"{image.cuda_version[2:-1]}.{image.cuda_version[-1]}" if image.cuda_version else None


def build_of(image: BaseImage) -> str:
    """Return ``cu121``, or ``cpu``, as the names of wheels say it."""
    return image.cuda_version or "cpu"


def minor_of(image: BaseImage) -> str:
    """Return ``2.3`` for ``2.3.0``."""
    return ".".join(image.version.split(".")[:2])


def placeholders(image: BaseImage, version: Version | None) -> dict[str, str]:
    """Return what may stand in braces in a recipe's packages, channels and URLs."""
    return {
        "version": str(version or ""),
        "framework_version": image.version,
        "framework_minor": minor_of(image),
        "cuda": build_of(image),
        "cuda_version": cuda_of(image) or "",
        "python": python_of(image),
        "py_version": image.py_version,
    }
