"""The SDK's argument names → the URI of an image, stock or extended; asks AWS for the account at most."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sagemaker_custom.errors import UsageError
from sagemaker_custom.requirements import read_extras
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import ImageScope, ImageSpec, hardware_of, normalise_cuda, normalise_python
from sagemaker_custom.wiring import Parts, with_defaults

__all__ = ["check_scope", "image_spec", "retrieve"]

_SCOPES: dict[str, ImageScope] = {"training": "training", "inference": "inference"}


def retrieve(
    framework: str,
    region: str | None = None,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str | None = None,
    image_scope: str = "training",
    accelerator_type: str | None = None,
    cuda_version: str | None = None,
    extras: Sequence[str | os.PathLike[str]] | str = (),
    account: str | None = None,
    *,
    settings: Settings | None = None,
) -> str:
    """Return the URI of an image; nothing is built, and whether the image exists is not asked.

    Args:
        framework: For example ``pytorch``.
        region: Default: the one configured for boto3.
        version: ``2.3`` or ``2.3.0``; default: the newest that both training and inference have.
        py_version: ``py311`` or ``3.11``; default: the newest of the version.
        instance_type: Says CPU or GPU; without it, a ``cuda_version`` means GPU, and neither means CPU.
        image_scope: ``training`` or ``inference``.
        accelerator_type: Elastic Inference, which AWS has ended; only there to say so.
        cuda_version: ``cu121`` or ``12.1``; default: what the catalog says for the version.
        extras: As :class:`~sagemaker_custom.CustomPyTorch` takes them; none gives AWS's own image.
        account: Whose registry holds extended images; default: the configured one, else the caller's.
        settings: Default: the environment's and the configuration file's.

    Returns:
        For example ``123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-…``; a bare
        ``sagemaker-custom-pytorch:2.3.0-…`` for the instance types ``local`` and ``local_gpu``.

    Raises:
        ImageNotInCatalogError: There is no such image; names the nearest.
        UsageError: An argument cannot be read.
        CredentialsError: The account has to be asked for, and there are no credentials.
    """
    if accelerator_type is not None:
        raise UsageError(
            f"accelerator_type={accelerator_type!r}: AWS has ended Elastic Inference",
            hint="leave it out, and choose an instance type with a GPU",
        )
    parts = Parts(settings=settings, region=region)
    spec = image_spec(
        framework,
        version=version,
        py_version=py_version,
        instance_type=instance_type,
        image_scope=image_scope,
        cuda_version=cuda_version,
        extras=extras,
    )
    is_local = instance_type in ("local", "local_gpu")
    plan = parts.plan(with_defaults(spec, parts.catalog), local=is_local, region=region, account=account)
    return str(plan.reference)


def image_spec(
    framework: str,
    *,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str | None = None,
    image_scope: str = "training",
    cuda_version: str | None = None,
    extras: Sequence[str | os.PathLike[str]] | str = (),
) -> ImageSpec:
    """Read the arguments of :func:`retrieve`.

    Raises:
        UsageError: An argument cannot be read.
    """
    hardware = hardware_of(instance_type)
    return ImageSpec(
        framework=framework.lower(),
        version=version,
        py_version=normalise_python(py_version),
        image_scope=check_scope(image_scope),
        processor="gpu" if instance_type is None and cuda_version else hardware.processor,
        architecture=hardware.architecture,
        cuda_version=normalise_cuda(cuda_version),
        extras=read_extras(extras),
    )


def check_scope(text: str) -> ImageScope:
    """Return ``text``.

    Raises:
        UsageError: It is neither ``training`` nor ``inference``.
    """
    if text not in _SCOPES:
        raise UsageError(f"image_scope={text!r} is not a scope", hint="write 'training' or 'inference'")
    return _SCOPES[text]
