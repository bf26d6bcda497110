"""ImageSpec × Catalog → the base image, or the nearest ones; and which image serves what another trains. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache

from sagemaker_custom.catalog import BaseImage, Catalog, Framework
from sagemaker_custom.catalog.images import is_python, release_of
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.spec import ImageScope, ImageSpec, Processor

SERVING_VERSIONS = ("same", "nearest")
"""What ``serving_version`` may be, besides a version."""

_NEAREST = 5
_WEIGHTS = (10_000, 100, 1)
_SERVE_EACH_OTHER = {"cpu", "gpu"}
_REMEMBERED = 4096
_PROCESSORS: tuple[Processor, ...] = ("cpu", "gpu", "neuronx", "neuron", "hpu", "eia")
_SCOPES: tuple[ImageScope, ...] = ("training", "inference", "processing")


def find_base(spec: ImageSpec, catalog: Catalog) -> BaseImage:
    """Return the base image for ``spec``: of several, the newest version, then Python, then what the catalog prefers.

    The answer is remembered, so asking again costs microseconds.

    Raises:
        ImageNotInCatalogError: No image fits; names the nearest, and what differs.
    """
    # What was asked without extras is the same question for every set of extras.
    return _find(replace(spec, extras=()) if spec.extras else spec, catalog)


@lru_cache(maxsize=_REMEMBERED)
def _find(spec: ImageSpec, catalog: Catalog) -> BaseImage:
    framework = find_framework(spec.framework, catalog)
    base = _best(spec, framework)
    if base is None:
        raise _not_found(spec, framework)
    return base


def find_framework(name: str, catalog: Catalog) -> Framework:
    """Return a framework by its name, or by another name that it is known under.

    Raises:
        ImageNotInCatalogError: There is none; names similar ones.
    """
    framework = catalog.frameworks.get(catalog.framework_aliases.get(name, name))
    if framework is None:
        raise ImageNotInCatalogError(
            f"there is no framework {name!r} in the catalog",
            hint=did_you_mean(name, [*catalog.frameworks, *catalog.framework_aliases]),
        )
    return framework


def _best(spec: ImageSpec, framework: Framework) -> BaseImage | None:
    version = spec.version
    if version and not any(image.version == version for image in framework.images):
        version = framework.version_aliases.get(version, version)
    asked = replace(_with_kind(spec, framework), version=version)
    fitting = [image for image in framework.images if _fits(image, asked)]
    exact = [image for image in fitting if image.version == version]
    # max() keeps the first of equals, and the catalog lists what it prefers first.
    return max(exact or fitting, key=_newest, default=None)


def _with_kind(spec: ImageSpec, framework: Framework) -> ImageSpec:
    """Decide on scope and processor where the caller named none: training and CPU, if there are such images."""
    scopes = {image.image_scope for image in framework.images}
    scope = spec.image_scope or next((scope for scope in _SCOPES if scope in scopes), None)
    processors = {image.processor for image in framework.images if image.image_scope == scope}
    processor = spec.processor or next((processor for processor in _PROCESSORS if processor in processors), None)
    return replace(spec, image_scope=scope, processor=processor)


def _newest(image: BaseImage) -> tuple[object, ...]:
    return (
        image.release,
        # TensorFlow's numbers are the higher ones, and PyTorch is what people mean.
        image.base_framework == "pytorch",
        release_of(image.base_framework_version or "0"),
        _python_order(image.py_version),
        release_of(image.sdk_version or "0"),
    )


def _python_order(py_version: str | None) -> tuple[int, ...]:
    return (int(py_version[2]), int(py_version[3:] or 0)) if py_version else (0, 0)


def _fits(image: BaseImage, spec: ImageSpec) -> bool:
    return image.image_scope == spec.image_scope and not any(_differences(image, spec))


def _differences(image: BaseImage, spec: ImageSpec) -> Iterator[str]:
    """Name what is other than asked."""
    if not _is_version(image.version, spec.version):
        yield "version"
    if spec.base_framework not in (None, image.base_framework) or not _is_version(
        image.base_framework_version, spec.base_framework_version
    ):
        yield "base framework"
    if image.processor != spec.processor:
        yield "processor"
    if image.architecture != spec.architecture:
        yield "architecture"
    if not is_python(image.py_version, spec.py_version):
        yield "Python"
    if spec.processor != "cpu" and spec.cuda_version not in (None, image.cuda_version):
        yield "CUDA"
    if not _is_version(image.sdk_version, spec.sdk_version):
        yield "Neuron SDK"
    if spec.container_version is not None and not f"-{image.tag}".endswith(f"-{spec.container_version}"):
        yield "ending of the tag"


def _is_version(full: str | None, asked: str | None) -> bool:
    return asked is None or (full is not None and (full == asked or full.startswith((f"{asked}.", f"{asked}-"))))


def _not_found(spec: ImageSpec, framework: Framework) -> ImageNotInCatalogError:
    asked = _with_kind(spec, framework)
    kind = f"{asked.framework} {asked.image_scope}"
    same_scope = [image for image in framework.images if image.image_scope == asked.image_scope]
    near = sorted(same_scope, key=lambda image: _distance(image, asked))
    listed = dict.fromkeys(f"{image.describe()} (other {', '.join(_differences(image, asked))})" for image in near)
    scopes = sorted({image.image_scope for image in framework.images})
    return ImageNotInCatalogError(
        f"the catalog has no {kind} image for {_wanted(asked)}",
        hint=f"the nearest are: {'; '.join(list(listed)[:_NEAREST])}"
        if listed
        else f"AWS has {framework.name} for {', '.join(scopes)} only",
    )


def _wanted(spec: ImageSpec) -> str:
    base = f"{spec.base_framework or ''}{spec.base_framework_version or ''}"
    words = [
        spec.version,
        f"on {base}" if base else None,
        spec.processor,
        spec.architecture if spec.architecture != "x86_64" else None,
        spec.py_version,
        spec.cuda_version if spec.processor != "cpu" else None,
        f"sdk{spec.sdk_version}" if spec.sdk_version else None,
        f"…-{spec.container_version}" if spec.container_version else None,
    ]
    return " ".join(filter(None, words))


def _distance(image: BaseImage, spec: ImageSpec) -> tuple[float, ...]:
    asked = _numbers(spec.version or "0")
    has = _numbers(image.version)
    gap = sum(abs(a - b) * weight for a, b, weight in zip(has, asked, _WEIGHTS, strict=False)) if spec.version else 0
    return (
        image.architecture != spec.architecture,
        image.processor != spec.processor and not {image.processor, spec.processor} <= _SERVE_EACH_OTHER,
        gap,
        image.processor != spec.processor,
        not is_python(image.py_version, spec.py_version),
        spec.base_framework not in (None, image.base_framework),
        spec.base_framework_version not in (None, image.base_framework_version),
        spec.cuda_version not in (None, image.cuda_version),
        -sum(a * weight for a, weight in zip(has, _WEIGHTS, strict=False)),
    )


def _numbers(version: str) -> tuple[int, ...]:
    return (*release_of(version).release, 0, 0)[:3]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names what is spelled like ``name``, else everything."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"


def with_defaults(spec: ImageSpec, catalog: Catalog) -> ImageSpec:
    """Fill in the version that is used when none is named.

    It is the newest one, with the Python and CUDA version if those are named, that AWS publishes for both training and
    inference, so that what is trained can be served; the newest of all for frameworks that only do one of the two.
    """
    if (
        spec.version is not None
        or catalog.framework_aliases.get(spec.framework, spec.framework) not in catalog.frameworks
    ):
        return spec
    return _with_version(replace(spec, extras=()), catalog, spec)


def _with_version(question: ImageSpec, catalog: Catalog, spec: ImageSpec) -> ImageSpec:
    version = _newest_pair(question, catalog)
    return replace(spec, version=version) if version else spec


@lru_cache(maxsize=_REMEMBERED)
def _newest_pair(spec: ImageSpec, catalog: Catalog) -> str | None:
    framework = find_framework(spec.framework, catalog)
    asked = _with_kind(spec, framework)
    # What is trained on a GPU is often served on CPUs, but nothing but Neuron serves what Neuron compiled.
    kinds = _SERVE_EACH_OTHER if asked.processor in _SERVE_EACH_OTHER else {asked.processor}
    scopes = (
        {image.version for image in framework.images if image.image_scope == scope and image.processor in kinds}
        for scope in ("training", "inference")
    )
    both = set.intersection(*scopes)
    pairs = [image for image in framework.images if image.version in both and _fits(image, asked)]
    return max(pairs, key=_newest).version if pairs else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Which image serves what another one trains."""

    spec: ImageSpec
    """Of the serving image."""
    reason: str
    """Why it is this one, for people."""


def serving_pair(spec: ImageSpec, trained: BaseImage, catalog: Catalog, serving_version: str) -> Pair:
    """Choose the serving image for what ``trained`` trains. AWS releases training images ahead of those for inference.

    Args:
        spec: What is asked for inference: the counterpart of what was trained with.
        trained: The base image of the training.
        catalog: Where the images are.
        serving_version: ``same`` for the version trained with, or one that differs in its last number alone where AWS
            has no image of it; ``nearest`` for the newest one that is not newer, where there is none of those either;
            or a version.

    Raises:
        ImageNotInCatalogError: There is no such image; says which there are and how to choose one.
        UsageError: ``serving_version`` cannot be read.
    """
    check_serving_version(serving_version)
    framework = find_framework(spec.framework, catalog)
    name = f"{trained.framework} {trained.version}"
    if serving_version not in SERVING_VERSIONS:
        chosen = _relaxed(replace(spec, version=serving_version), trained, framework)
        return Pair(spec=chosen, reason=f"serves {name}, because serving_version={serving_version!r} was asked for")
    same = _with_python(replace(spec, version=trained.version), trained, framework)
    if _best(same, framework):
        return Pair(spec=same, reason=f"serves {name}: the version that is trained with")
    patch = _other_patch(same, trained, framework)
    if patch:
        return Pair(
            spec=replace(same, version=patch.version),
            reason=f"serves {name}: AWS has no inference image of it, and {patch.version} is the same but for a patch",
        )
    nearest = _not_newer(spec, trained, framework)
    if nearest is None:
        raise _not_found(same, framework)
    if serving_version == "same":
        raise ImageNotInCatalogError(
            f"AWS has no inference image of {name} for {_wanted(_with_kind(same, framework))}; "
            f"the newest that is not newer is {nearest.describe()}",
            hint=f"train with {nearest.version}, or serve with it: serving_version='nearest'",
        )
    return Pair(
        spec=_relaxed(replace(spec, version=nearest.version), trained, framework),
        reason=f"serves {name}: AWS has no inference image of it, and {nearest.version} is the newest before it",
    )


def _with_python(spec: ImageSpec, trained: BaseImage, framework: Framework) -> ImageSpec:
    """Serve with the Python trained with, where the user named none and there is such an image."""
    same = replace(spec, py_version=spec.py_version or trained.py_version)
    return same if spec.py_version or _best(same, framework) else spec


def _relaxed(spec: ImageSpec, trained: BaseImage, framework: Framework) -> ImageSpec:
    """Let go of Python, then of the base framework's version, where no image has them."""
    without_python = replace(spec, py_version=None)
    tries = (
        _with_python(spec, trained, framework),
        without_python,
        replace(without_python, base_framework_version=None),
    )
    return next((asked for asked in tries if _best(asked, framework)), spec)


def _other_patch(spec: ImageSpec, trained: BaseImage, framework: Framework) -> BaseImage | None:
    """Return the newest image that differs in the third number of the version alone: 2.12.1 serves 2.12.0."""
    asked = _with_kind(replace(spec, version=None), framework)
    minor = trained.release.release[:2]
    patches = [image for image in framework.images if image.release.release[:2] == minor and _fits(image, asked)]
    return max(patches, key=_newest, default=None)


def _not_newer(spec: ImageSpec, trained: BaseImage, framework: Framework) -> BaseImage | None:
    asked = _with_kind(replace(spec, version=None, py_version=None, base_framework_version=None), framework)
    older = [image for image in framework.images if image.release <= trained.release and _fits(image, asked)]
    return max(older, key=_newest, default=None)


def describe_serving(spec: ImageSpec, trained: BaseImage, catalog: Catalog, serving_version: str) -> str:
    """Say which image serves what ``trained`` trains, on CPUs if it can be, and why; or why none does."""
    asked = replace(
        spec,
        image_scope="inference",
        processor="cpu" if trained.processor == "gpu" else spec.processor,
        architecture="x86_64",
        cuda_version=None,
        sdk_version=None,
        container_version=None,
    )
    try:
        pair = serving_pair(asked, trained, catalog, serving_version)
        serves = find_base(pair.spec, catalog)
    except ImageNotInCatalogError as error:
        return f"none: {error.message}; {error.hint}"
    return f"{serves.repository}:{serves.tag} {pair.reason}"


def check_serving_version(text: str) -> str:
    """Return ``text``.

    Raises:
        UsageError: It is neither ``same`` nor ``nearest`` nor a version.
    """
    if text not in SERVING_VERSIONS and not text[:1].isdecimal():
        raise UsageError(
            f"serving_version={text!r} cannot be read", hint="write 'same', 'nearest' or a version such as '2.6'"
        )
    return text
