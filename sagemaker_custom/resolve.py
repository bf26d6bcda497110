"""ImageSpec × Catalog → :class:`Prebuilt` or :class:`NeedsBuild`: which base image, and what to install on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from packaging.version import Version
from typing_extensions import assert_never

from sagemaker_custom.bases import did_you_mean, find_base
from sagemaker_custom.catalog import BaseImage, Catalog, Recipe
from sagemaker_custom.catalog.recipes import Variant, placeholders
from sagemaker_custom.conflicts import Wanted, check_conflicts, check_held
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError, UsageError
from sagemaker_custom.own_images import OwnBase
from sagemaker_custom.spec import AptExtra, CondaExtra, Extra, ImageSpec, PipExtra, RecipeExtra, RequirementsExtra

# AWS builds these itself against its own CUDA and communication libraries; replacing them loses that (facts in
# docs/explanation/what-is-installed.md). Names that an image does not have are not held.
_TORCH = ("torch", "torchaudio", "torchdata", "torchtext", "torchvision")
_TENSORFLOW = (
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-estimator",
    "tensorflow-gpu",
    "tensorflow-io",
    "tensorflow-serving-api",
    "tensorflow-serving-api-gpu",
    "tensorflow-text",
    "tf-keras",
)
_MXNET = ("aws-mxnet-cu101", "aws-mxnet-cu110", "aws-mxnet-cu112", "aws-mxnet-mkl", "gluoncv", "gluonnlp", "mxnet")
_FAMILIES = {
    "chainer": ("chainer", "chainermn", "cupy"),
    "coach-mxnet": _MXNET,
    "coach-tensorflow": _TENSORFLOW,
    "huggingface": ("transformers",),
    "mxnet": _MXNET,
    "ray-tensorflow": _TENSORFLOW,
    "sklearn": ("scikit-learn",),
    "tensorflow": _TENSORFLOW,
    "xgboost": ("xgboost",),
}
"""Framework → its packages; where there is none named, it is one that runs on PyTorch."""
_REMEMBERED = 1024
_VERSIONED = {"pytorch": "torch", "tensorflow": "tensorflow", "transformers": "transformers"}


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
    build_packages: tuple[str, ...] = ()
    """Installed before the packages, which are built with them."""
    constraints: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    no_deps: bool = False
    no_build_isolation: bool = False
    replaces: tuple[str, ...] = ()
    """Packages that this step may replace although the base's are held otherwise."""
    env: tuple[tuple[str, str], ...] = ()
    """Environment variables of this step, sorted by name; they do not stay in the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolkitStep:
    """SageMaker's own toolkit, unless the image has the program that SageMaker starts."""

    image_scope: str
    """``training``: the program ``train``; ``inference``: ``serve``."""
    packages: tuple[str, ...]
    files: str
    """Digest of the files of this package that go into the image."""


Step: TypeAlias = PackagesStep | CondaStep | PipStep | ToolkitStep


@dataclass(frozen=True, kw_only=True, slots=True)
class Prebuilt:
    """AWS's own image is what was asked for; the extras, if any, are in it already."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Choice:
    extra: RecipeExtra
    recipe: Recipe
    variant: Variant
    version: Version | None


def resolve(spec: ImageSpec, catalog: Catalog) -> Resolution:
    """Find the base image for ``spec`` and what to install on it.

    The answer is remembered, so asking again costs microseconds.

    Raises:
        ImageNotInCatalogError: There is no such framework, version, Python, CUDA or recipe; names the nearest.
        InvalidExtraError: Two extras cannot be in one image, or one would replace what the base image holds.
        CatalogError: Recipes want to come after one another in a circle.
    """
    return _resolve(spec, catalog)


@lru_cache(maxsize=_REMEMBERED)
def _resolve(spec: ImageSpec, catalog: Catalog) -> Resolution:
    return extend(find_base(spec, catalog), spec.extras, catalog, replaces=spec.replace)


def extend(
    base: BaseImage, extras: tuple[Extra, ...], catalog: Catalog, *, replaces: tuple[str, ...] = ()
) -> Resolution:
    """Find out what to install on ``base``.

    Args:
        base: Of the catalog, or the user's own.
        extras: Sorted, each once.
        catalog: Has the recipes.
        replaces: Packages of the base that may be replaced, besides those that a recipe names.

    Raises:
        ImageNotInCatalogError: There is no such recipe, or it has nothing for this image; names the nearest.
        InvalidExtraError: Two extras cannot be in one image, or one would replace what the base image holds.
        UsageError: Something may be replaced, but nothing is installed.
        CatalogError: Recipes want to come after one another in a circle.
    """
    if not extras:
        _check_nothing_replaced(replaces)
        return Prebuilt(base=base)
    chosen = _in_order([_choose(extra, base, catalog) for extra in extras if isinstance(extra, RecipeExtra)])
    plain = [extra for extra in extras if not isinstance(extra, RecipeExtra)]
    recipes = [(choice, tuple(_recipe_steps(choice, base))) for choice in chosen]
    others = [(extra, tuple(_plain_steps([extra], base))) for extra in plain]
    _check(recipes, others, base, replaces)
    steps = [step for _, group in recipes for step in group] + list(_plain_steps(plain, base))
    steps = [_replacing(step, replaces) for step in steps]
    if not steps:
        return Prebuilt(base=base)
    return NeedsBuild(
        base=base,
        steps=_ordered(steps),
        held=held_packages(base),
        verify=tuple(command for choice in chosen for command in choice.variant.verify or choice.recipe.verify),
    )


def _check_nothing_replaced(replaces: tuple[str, ...]) -> None:
    if replaces:
        raise UsageError(
            f"replace={list(replaces)!r} lets extras replace packages of the base image, and there are no extras",
            hint=f"say which version you want: extras=['pip:{replaces[0]}==…']",
        )


def _replacing(step: Step, replaces: tuple[str, ...]) -> Step:
    if not replaces or not isinstance(step, PipStep):
        return step
    return replace(step, replaces=tuple(sorted({*step.replaces, *replaces})))


def held_packages(base: BaseImage) -> tuple[str, ...]:
    """Return the packages of ``base`` that no step may change."""
    if isinstance(base, OwnBase):
        return base.held
    names = (base.framework, *([base.base_framework] if base.base_framework else []))
    return tuple(sorted({package for name in names for package in _FAMILIES.get(name, _TORCH)}))


def describe_extra(extra: Extra) -> str:
    """Return an extra as its user would write it."""
    match extra:
        case RecipeExtra():
            return extra.name + extra.specifier
        case PipExtra():
            return f"pip:{extra.requirement}"
        case CondaExtra():
            return f"conda:{extra.channel}::{extra.spec}" if extra.channel else f"conda:{extra.spec}"
        case AptExtra():
            return f"apt:{extra.package}"
        case RequirementsExtra():
            return f"requirements of {len(extra.requirements)} packages"
        case _:
            assert_never(extra)


def _choose(extra: RecipeExtra, base: BaseImage, catalog: Catalog) -> _Choice:
    recipe = catalog.recipes.get(extra.name)
    if recipe is None:
        raise ImageNotInCatalogError(
            f"there is no recipe {extra.name!r} in the catalog",
            hint=f"{did_you_mean(extra.name, catalog.recipes)}; for a package of the index write 'pip:{extra.name}'",
        )
    fitting = [variant for variant in recipe.variants if variant.when.matches(base)]
    for variant in fitting:
        if variant.unavailable:
            raise ImageNotInCatalogError(
                f"the recipe {recipe.name!r} has nothing for {base.framework} {base.describe()}",
                hint=variant.unavailable,
            )
        if variant.installs(extra.specifier):
            return _Choice(extra=extra, recipe=recipe, variant=variant, version=variant.choose_version(extra.specifier))
    raise _no_variant(extra, fitting, base)


def _no_variant(extra: RecipeExtra, fitting: Sequence[Variant], base: BaseImage) -> ImageNotInCatalogError:
    kind = f"{base.framework} {base.describe()}"
    if not fitting and isinstance(base, OwnBase):
        return ImageNotInCatalogError(
            f"the recipe {extra.name!r} has nothing for an image of your own about which no more is known than: "
            f"{base.describe()}",
            hint="say py_version= and cuda_version= where the recipe differs by them; one that differs by the version "
            f"of a framework is for AWS's images alone: take what the index has, as 'pip:{extra.name}'",
        )
    if not fitting:
        return ImageNotInCatalogError(
            f"the recipe {extra.name!r} has nothing for {kind}",
            hint="choose another version, Python or CUDA, or take what the index has, as 'pip:PKG'",
        )
    known = ", ".join(
        f"{variant.version} (or {variant.versions})" if variant.versions else str(variant.version)
        for variant in fitting
        if variant.version
    )
    return ImageNotInCatalogError(
        f"the recipe {extra.name!r} has no version {extra.specifier!r} for {kind}",
        hint=f"it has {known}" if known else f"it comes in one version only: write {extra.name!r}",
    )


def _in_order(chosen: Sequence[_Choice]) -> tuple[_Choice, ...]:
    """Sort recipes by name, but each one after those that it asks to come after."""
    named = {choice.recipe.name: choice for choice in chosen}
    graph = TopologicalSorter({name: set(choice.recipe.after) & named.keys() for name, choice in named.items()})
    try:
        graph.prepare()
    except CycleError as error:
        raise CatalogError(
            f"the recipes {', '.join(sorted(set(error.args[1])))} want to come after one another",
            hint="remove one of their 'after' keys",
        ) from error
    found = []
    while graph.is_active():
        ready = sorted(graph.get_ready())
        found += ready
        graph.done(*ready)
    return tuple(named[name] for name in found)


def _check(
    recipes: Sequence[tuple[_Choice, Sequence[Step]]],
    others: Sequence[tuple[Extra, Sequence[Step]]],
    base: BaseImage,
    replaces: tuple[str, ...],
) -> None:
    plain = [_wanted(describe_extra(extra), steps) for extra, steps in others]
    named = [
        _wanted(describe_extra(choice.extra), steps, choice.recipe.name, choice.recipe.conflicts)
        for choice, steps in recipes
    ]
    check_conflicts([*named, *plain])
    held = {
        package: str(version)
        for framework, package in _VERSIONED.items()
        if package in held_packages(base)
        and package not in replaces
        and (version := base.version_of(framework)) is not None
    }
    check_held(plain, held)


def _wanted(name: str, steps: Sequence[Step], recipe: str | None = None, conflicts: tuple[str, ...] = ()) -> Wanted:
    pip = [step for step in steps if isinstance(step, PipStep)]
    return Wanted(
        extra=name,
        recipe=recipe,
        requirements=tuple(package for step in pip for package in step.packages),
        removes=tuple(package for step in pip for package in step.uninstall),
        conflicts=conflicts,
    )


def _recipe_steps(choice: _Choice, base: BaseImage) -> Iterator[Step]:
    variant = choice.variant
    values = placeholders(base, variant.when, choice.version)

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
            build_packages=filled(pip.build_packages),
            find_links=filled(pip.find_links),
            index_url=filled([pip.index_url])[0] if pip.index_url else None,
            extra_index_urls=filled(pip.extra_index_urls),
            no_deps=pip.no_deps,
            no_build_isolation=pip.no_build_isolation,
            replaces=pip.replaces,
            env=tuple((name, value.format_map(values)) for name, value in pip.env),
        )


def _plain_steps(extras: Sequence[Extra], base: BaseImage) -> Iterator[Step]:
    pip: list[str] = []
    conda: list[CondaExtra] = []
    for extra in extras:
        match extra:
            case AptExtra():
                yield PackagesStep(packages=(extra.package,))
            case CondaExtra():
                _require_conda(base, extra)
                conda.append(extra)
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
    if conda:
        # Solved together, since one may hold another back.
        channels = dict.fromkeys(extra.channel for extra in conda if extra.channel)
        yield CondaStep(packages=tuple(extra.spec for extra in conda), channels=tuple(channels))
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
