"""The SDK's argument names → the URI of an image, stock or extended; asks AWS for the account at most."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, get_args

from sagemaker_custom.catalog import BaseImage, Catalog
from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.extended_tags import mirrored_tag, read_extended_tag
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.requirements import read_extras
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import (
    Architecture,
    Extra,
    ImageScope,
    ImageSpec,
    Processor,
    hardware_of,
    normalise_cuda,
    normalise_python,
    normalise_replace,
    parse_base_framework,
)
from sagemaker_custom.wiring import Parts

__all__ = ["ParsedImage", "check_scope", "image_spec", "parse", "retrieve"]

_Name = TypeVar("_Name")

_SCOPES: dict[str, ImageScope] = {scope: scope for scope in get_args(ImageScope)}
_PROCESSORS: dict[str, Processor] = {processor: processor for processor in get_args(Processor)}
_ARCHITECTURES: dict[str, Architecture] = {architecture: architecture for architecture in get_args(Architecture)}
# The SDK has scopes of these names for what is a processor, an architecture or a kind of processing job.
_SDK_SCOPES = {
    "inference_graviton": ("inference", None, "arm64"),
    "eia": ("inference", "eia", None),
    "monitoring": ("processing", None, None),
    "debugger": ("processing", None, None),
    "detailed-profiler": ("processing", None, None),
}


def retrieve(
    framework: str,
    region: str | None = None,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str | None = None,
    accelerator_type: str | None = None,
    image_scope: str | None = None,
    container_version: str | None = None,
    distribution: object = None,
    base_framework_version: str | None = None,
    training_compiler_config: object = None,
    *,
    sdk_version: str | None = None,
    inference_tool: str | None = None,
    serverless_inference_config: object = None,
    cuda_version: str | None = None,
    processor: str | None = None,
    architecture: str | None = None,
    extras: Sequence[str | os.PathLike[str]] | str = (),
    replace: Sequence[str] | str = (),
    account: str | None = None,
    catalog: Locations = (),
    settings: Settings | None = None,
) -> str:
    """Return the URI of an image; nothing is built, and whether the image exists is not asked.

    The first arguments are those of the SDK's function of this name, in its order.

    Args:
        framework: For example ``pytorch``, ``huggingface`` or ``djl-lmi``: the SDK's names.
        region: Default: the one configured for boto3.
        version: ``2.3`` or ``2.3.0``; default: the newest that both training and inference have.
        py_version: ``py311`` or ``3.11``; default: the newest of the version.
        instance_type: Says the processor and its architecture.
        accelerator_type: Of Elastic Inference, which AWS has ended; its images are still there.
        image_scope: ``training``, ``inference`` or ``processing``; default: the first of them that there is.
        container_version: Ending of the tag of AWS's image, where several differ in nothing else: ``ubuntu18.04``.
        distribution: Taken for the SDK's sake; the images are the same with and without.
        base_framework_version: What ``huggingface`` runs on: ``pytorch2.0.0``.
        training_compiler_config: Any but ``None`` means the images of the SageMaker Training Compiler.
        sdk_version: Of the AWS Neuron SDK; default: the newest.
        inference_tool: ``neuron`` or ``neuronx``: the processor, where no instance type says it.
        serverless_inference_config: Taken for the SDK's sake; serverless endpoints have CPUs.
        cuda_version: ``cu121`` or ``12.1``; default: what the catalog says for the version. Alone it means GPU.
        processor: ``cpu``, ``gpu``, ``neuron``, ``neuronx``, ``hpu`` or ``eia``; default: the instance type's, else
            CPU if the framework has such images.
        architecture: ``x86_64`` or ``arm64``; default: the instance type's.
        extras: As :class:`~sagemaker_custom.CustomPyTorch` takes them; none gives AWS's own image.
        replace: Packages of the base image that the extras may replace.
        account: Whose registry holds extended images; default: the configured one, else the caller's.
        catalog: Folders or ``s3://`` prefixes of further catalogs; what they have comes before ours.
        settings: Default: the environment's and the configuration file's.

    Returns:
        For example ``123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-…``; a bare
        ``sagemaker-custom-pytorch:2.3.0-…`` for the instance types ``local`` and ``local_gpu``.

    Raises:
        ImageNotInCatalogError: There is no such image; names the nearest.
        UsageError: An argument cannot be read.
        CredentialsError: The account has to be asked for, and there are no credentials.
    """
    del distribution, serverless_inference_config
    parts = Parts(settings=settings, region=region, catalog=catalog)
    spec = image_spec(
        framework if training_compiler_config is None else f"{framework}-training-compiler",
        version=version,
        py_version=py_version,
        instance_type=instance_type,
        image_scope=image_scope,
        processor=processor or ("eia" if accelerator_type else inference_tool),
        architecture=architecture,
        base_framework_version=base_framework_version,
        sdk_version=sdk_version,
        container_version=container_version,
        cuda_version=cuda_version,
        extras=extras,
        replace=replace,
    )
    is_local = instance_type in ("local", "local_gpu")
    return str(parts.plan(spec, local=is_local, region=region, account=account).reference)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedImage:
    """What a URI says about its image; ``None`` stands for what it does not say."""

    reference: ImageReference
    framework: str
    version: str
    image_scope: str
    processor: str
    architecture: str
    py_version: str | None = None
    cuda_version: str | None = None
    base_framework: str | None = None
    base_framework_version: str | None = None
    sdk_version: str | None = None
    fingerprint: str | None = None
    """The first 20 hexadecimal digits, of an extended image."""


_SAID = (
    *("version", "image_scope", "processor", "architecture", "py_version", "cuda_version"),
    *("base_framework", "base_framework_version", "sdk_version"),
)


def parse(uri: str, *, settings: Settings | None = None) -> ParsedImage:
    """Say what image a URI names: the way back from :func:`retrieve`.

    Args:
        uri: Of an image of AWS, stock or mirrored, or of an extended one.
        settings: Default: the environment's and the configuration file's.

    Raises:
        InvalidReferenceError: It is not the URI of an image.
        ImageNotInCatalogError: Neither the catalog nor this package's naming knows it.
    """
    reference = ImageReference.parse(uri)
    parts = Parts(settings=settings)
    name, tag = reference.repository.rpartition("/")[2], reference.tag or ""
    framework = name.removeprefix(f"{parts.settings.repository_prefix.rpartition('/')[2]}-")
    extended = read_extended_tag(tag) if framework != name else None
    if extended:
        said = {field: getattr(extended, field) for field in _SAID}
        return ParsedImage(reference=reference, framework=framework, fingerprint=extended.fingerprint, **said)
    base = _base_of(parts.catalog, reference.repository, tag, framework if framework != name else None)
    if base is None:
        raise ImageNotInCatalogError(
            f"{uri} is neither an image of the catalog nor an extended one",
            hint=f"extended images are called {parts.settings.repository_prefix}-FRAMEWORK:VERSION-…",
        )
    return ParsedImage(
        reference=reference, framework=base.framework, **{field: getattr(base, field) for field in _SAID}
    )


def _base_of(catalog: Catalog, repository: str, tag: str, mirrored: str | None) -> BaseImage | None:
    own = catalog.frameworks.get(mirrored) if mirrored else None
    groups = [own] if own else catalog.frameworks.values()
    for image in (image for group in groups for image in group.images):
        if mirrored is None and (image.repository, image.tag) == (repository, tag):
            return image
        if mirrored is not None and mirrored_tag(image) == tag:
            return image
    return None


def image_spec(
    framework: str,
    *,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str | None = None,
    image_scope: str | None = None,
    processor: str | None = None,
    architecture: str | None = None,
    base_framework_version: str | None = None,
    sdk_version: str | None = None,
    container_version: str | None = None,
    cuda_version: str | None = None,
    extras: Sequence[str | os.PathLike[str] | Extra] | str = (),
    replace: Sequence[str] | str = (),
) -> ImageSpec:
    """Read the arguments of :func:`retrieve`.

    Raises:
        UsageError: An argument cannot be read.
    """
    scope, scope_processor, scope_architecture = _SDK_SCOPES.get(image_scope or "", (image_scope, None, None))
    hardware = hardware_of(instance_type)
    processor = processor or scope_processor or (hardware.processor if instance_type else None)
    base_framework, base_version = parse_base_framework(base_framework_version)
    return ImageSpec(
        framework=framework.lower(),
        version=version,
        py_version=normalise_python(py_version),
        image_scope=check_scope(scope) if scope else None,
        processor=_known(_PROCESSORS, processor or ("gpu" if cuda_version else None), "processor"),
        architecture=_known(_ARCHITECTURES, architecture or scope_architecture, "architecture")
        or hardware.architecture,
        cuda_version=normalise_cuda(cuda_version),
        base_framework=base_framework,
        base_framework_version=base_version,
        sdk_version=sdk_version.lower().removeprefix("sdk") if sdk_version else None,
        container_version=container_version,
        extras=read_extras(extras),
        replace=normalise_replace(replace),
    )


def _known(known: Mapping[str, _Name], text: str | None, argument: str) -> _Name | None:
    if text is None:
        return None
    if text not in known:
        raise UsageError(f"{argument}={text!r} cannot be read", hint=f"write one of {', '.join(known)}")
    return known[text]


def check_scope(text: str) -> ImageScope:
    """Return ``text``.

    Raises:
        UsageError: It is no scope that images are for.
    """
    if text not in _SCOPES:
        raise UsageError(f"image_scope={text!r} is not a scope", hint=f"write one of {', '.join(_SCOPES)}")
    return _SCOPES[text]
