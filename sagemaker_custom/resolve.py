"""ImageSpec × Catalog → :class:`Prebuilt` or :class:`NeedsBuild`: which base image, and what to install on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TypeAlias

from packaging.version import Version
from typing_extensions import assert_never

from sagemaker_custom.catalog import BaseImage, Catalog, Recipe
from sagemaker_custom.catalog.recipes import Variant, placeholders, python_of
from sagemaker_custom.errors import ImageNotInCatalogError
from sagemaker_custom.spec import AptExtra, CondaExtra, Extra, ImageSpec, PipExtra, RecipeExtra, RequirementsExtra

_NEAREST = 5
# AWS builds these itself against its own CUDA and communication libraries; replacing them loses that (facts in
# docs/explanation/what-is-installed.md).
_FAMILIES = {"pytorch": ("torch", "torchaudio", "torchdata", "torchtext", "torchvision")}


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagesStep:
    """Packages of the distribution, by ``apt`` or ``dnf``."""

    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CondaStep:
    """Packages by conda."""

    packages: tuple[str, ...]
    channels: tuple[str, ...]
    """Highest priority first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PipStep:
    """Packages by pip."""

    packages: tuple[str, ...]
    uninstall: tuple[str, ...] = ()
    """Removed first."""
    constraints: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_deps: bool = False
    no_build_isolation: bool = False
    replaces: tuple[str, ...] = ()
    """Packages that this step may replace although the base's are held otherwise."""


Step: TypeAlias = PackagesStep | CondaStep | PipStep


@dataclass(frozen=True, kw_only=True, slots=True)
class Prebuilt:
    """AWS's own image is what was asked for."""

    base: BaseImage


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedsBuild:
    """A base image, and the steps that make of it what was asked for."""

    base: BaseImage
    steps: tuple[Step, ...]
    """In the order that keeps the build cache warm: distribution, conda, pip."""
    held: tuple[str, ...]
    """Packages of the base that no step may change."""
    verify: tuple[str, ...]
    """Shell commands that have to succeed in the built image."""


Resolution: TypeAlias = Prebuilt | NeedsBuild


def resolve(spec: ImageSpec, catalog: Catalog) -> Resolution:
    """Find the base image for ``spec`` and what to install on it.

    Raises:
        ImageNotInCatalogError: There is no such framework, version, Python, CUDA or recipe; names the nearest.
    """
    base = find_base(spec, catalog)
    if not spec.extras:
        return Prebuilt(base=base)
    chosen = [_choose(extra, base, catalog) for extra in spec.extras if isinstance(extra, RecipeExtra)]
    steps = [step for variant, version, _ in chosen for step in _recipe_steps(variant, version, base)]
    steps += _plain_steps([extra for extra in spec.extras if not isinstance(extra, RecipeExtra)], base)
    return NeedsBuild(
        base=base,
        steps=_ordered(steps),
        held=_FAMILIES.get(base.framework, ()),
        verify=tuple(command for variant, _, recipe in chosen for command in variant.verify or recipe.verify),
    )


def find_base(spec: ImageSpec, catalog: Catalog) -> BaseImage:
    """Return the base image for ``spec``: of several, the newest version, then Python, then what the catalog prefers.

    Raises:
        ImageNotInCatalogError: No image fits; names the nearest.
    """
    images = catalog.frameworks.get(spec.framework)
    if images is None:
        raise ImageNotInCatalogError(
            f"there is no framework {spec.framework!r} in the catalog",
            hint=_did_you_mean(spec.framework, catalog.frameworks),
        )
    version = catalog.version_aliases.get(spec.framework, {}).get(spec.version or "", spec.version)
    fitting = [image for image in images if _fits(image, replace(spec, version=version))]
    if not fitting:
        raise _not_found(spec, images)
    # max() keeps the first of equals, and the catalog lists what it prefers first.
    return max(fitting, key=lambda image: (image.release, Version(python_of(image))))


def _fits(image: BaseImage, spec: ImageSpec) -> bool:
    return (
        image.image_scope == spec.image_scope
        and image.processor == spec.processor
        and image.architecture == spec.architecture
        and (spec.version is None or _is_version(image.version, spec.version))
        and spec.py_version in (None, image.py_version)
        and (spec.processor == "cpu" or spec.cuda_version in (None, image.cuda_version))
    )


def _is_version(full: str, asked: str) -> bool:
    return full == asked or full.startswith(f"{asked}.")


def _not_found(spec: ImageSpec, images: Sequence[BaseImage]) -> ImageNotInCatalogError:
    cuda = spec.cuda_version if spec.processor == "gpu" else None
    architecture = spec.architecture if spec.architecture != "x86_64" else None
    wanted = " ".join(filter(None, [spec.version, spec.processor, architecture, spec.py_version, cuda]))
    near = sorted(
        (image for image in images if image.image_scope == spec.image_scope), key=lambda image: _distance(image, spec)
    )
    listed = list(dict.fromkeys(image.describe() for image in near))[:_NEAREST]
    return ImageNotInCatalogError(
        f"the catalog has no {spec.framework} {spec.image_scope} image for {wanted}",
        hint=f"the nearest are: {'; '.join(listed)}" if listed else "there is none for this scope at all",
    )


def _distance(image: BaseImage, spec: ImageSpec) -> tuple[float, ...]:
    asked = _numbers(spec.version or "0")
    has = _numbers(image.version)
    gap = (
        sum(abs(a - b) * weight for a, b, weight in zip(has, asked, (10_000, 100, 1), strict=False))
        if spec.version
        else 0
    )
    return (
        image.architecture != spec.architecture,
        gap,
        image.processor != spec.processor,
        spec.py_version not in (None, image.py_version),
        spec.cuda_version not in (None, image.cuda_version),
        -sum(a * weight for a, weight in zip(has, (10_000, 100, 1), strict=False)),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))[:3]


def _choose(extra: RecipeExtra, base: BaseImage, catalog: Catalog) -> tuple[Variant, Version | None, Recipe]:
    recipe = catalog.recipes.get(extra.name)
    if recipe is None:
        raise ImageNotInCatalogError(
            f"there is no recipe {extra.name!r} in the catalog",
            hint=f"{_did_you_mean(extra.name, catalog.recipes)}; for a package of the index write 'pip:{extra.name}'",
        )
    fitting = [variant for variant in recipe.variants if variant.when.matches(base)]
    for variant in fitting:
        version = variant.choose_version(extra.specifier)
        if version is not None or (variant.version is None and not extra.specifier):
            return variant, version, recipe
    if not fitting:
        raise ImageNotInCatalogError(
            f"the recipe {recipe.name!r} has nothing for {base.framework} {base.describe()}",
            hint="choose another version, Python or CUDA, or take what the index has, as 'pip:PKG'",
        )
    known = ", ".join(
        f"{variant.version} (or {variant.versions})" if variant.versions else str(variant.version)
        for variant in fitting
        if variant.version
    )
    raise ImageNotInCatalogError(
        f"the recipe {recipe.name!r} has no version {extra.specifier!r} for {base.framework} {base.describe()}",
        hint=f"it has {known}" if known else f"it comes in one version only: write {recipe.name!r}",
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"


def _recipe_steps(variant: Variant, version: Version | None, base: BaseImage) -> Iterable[Step]:
    values = placeholders(base, version)

    def filled(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(text.format_map(values) for text in texts)

    if variant.apt:
        yield PackagesStep(packages=filled(variant.apt))
    if variant.conda:
        yield CondaStep(packages=filled(variant.conda.packages), channels=filled(variant.conda.channels))
    if variant.pip:
        pip = variant.pip
        yield PipStep(
            packages=filled(pip.packages),
            uninstall=variant.uninstall,
            find_links=filled(pip.find_links),
            index_url=filled([pip.index_url])[0] if pip.index_url else None,
            extra_index_urls=filled(pip.extra_index_urls),
            no_deps=pip.no_deps,
            no_build_isolation=pip.no_build_isolation,
            replaces=pip.replaces,
        )


def _plain_steps(extras: Sequence[Extra], base: BaseImage) -> Iterable[Step]:
    pip: list[str] = []
    for extra in extras:
        match extra:
            case AptExtra():
                yield PackagesStep(packages=(extra.package,))
            case CondaExtra():
                _require_conda(base, extra)
                yield CondaStep(packages=(extra.spec,), channels=(extra.channel,) if extra.channel else ())
            case PipExtra():
                pip.append(extra.requirement)
            case RequirementsExtra():
                yield PipStep(
                    packages=extra.requirements,
                    constraints=extra.constraints,
                    find_links=extra.find_links,
                    index_url=extra.index_url,
                    extra_index_urls=extra.extra_index_urls,
                )
            case RecipeExtra():
                raise AssertionError(extra)
            case _:
                assert_never(extra)
    if pip:
        yield PipStep(packages=tuple(pip))


def _require_conda(base: BaseImage, extra: CondaExtra) -> None:
    if not base.has_conda:
        raise ImageNotInCatalogError(
            f"{base.repository}:{base.tag} has no conda, so 'conda:{extra.spec}' cannot be installed",
            hint="use 'pip:…', or a version up to PyTorch 2.5, whose images are made with conda",
        )


def _ordered(steps: Sequence[Step]) -> tuple[Step, ...]:
    distribution = sorted({package for step in steps if isinstance(step, PackagesStep) for package in step.packages})
    return (
        *([PackagesStep(packages=tuple(distribution))] if distribution else []),
        *(step for step in steps if isinstance(step, CondaStep)),
        *(step for step in steps if isinstance(step, PipStep)),
    )
