"""Image options → the real parts, the specs that are asked for, and their plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagemaker_custom.errors import UsageError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.wiring import Parts

if TYPE_CHECKING:
    from sagemaker_custom.catalog.named_images import NamedImage
    from sagemaker_custom.cli.options import ImageOptions
    from sagemaker_custom.plan import BuildPlan
    from sagemaker_custom.settings import Settings
    from sagemaker_custom.spec import ImageSpec

_OF_FRAMEWORKS = ("base_framework_version", "container_version", "sdk_version")
"""Options that a named image leaves no choice in."""


def parts_for(image: ImageOptions, settings: Settings | None = None) -> Parts:
    """Return the parts for a command.

    Args:
        image: Says region and catalogs.
        settings: Default: the environment's and the configuration file's.
    """
    return Parts(settings=settings, region=image.region, catalog=image.catalog)


def asked_spec(image: ImageOptions, parts: Parts) -> ImageSpec:
    """Return the one image that the options name.

    Raises:
        UsageError: An option cannot be read, or a named image leaves no choice in it.
        ImageNotInCatalogError: The named image is not made for that.
    """
    spec = image_spec(
        image.name,
        version=image.version,
        py_version=image.py_version,
        instance_type=image.instance_type,
        image_scope=image.image_scope,
        processor=image.processor,
        architecture=image.architecture,
        base_framework_version=image.base_framework_version,
        sdk_version=image.sdk_version,
        container_version=image.container_version,
        cuda_version=image.cuda_version,
        extras=image.extras,
    )
    named = parts.catalog.images.get(image.name)
    return _of_named(named, image, spec) if named else spec


def _of_named(named: NamedImage, image: ImageOptions, spec: ImageSpec) -> ImageSpec:
    for option in _OF_FRAMEWORKS:
        if getattr(image, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is not for the named image {named.name!r}, which says it itself",
                hint=f"leave it out, or name the framework {named.framework!r} and what is wanted of it",
            )
    says_architecture = image.architecture or image.instance_type
    return named.spec_for(
        version=spec.version,
        py_version=spec.py_version,
        cuda_version=spec.cuda_version,
        image_scope=spec.image_scope,
        processor=spec.processor,
        architecture=spec.architecture if says_architecture else None,
        extras=spec.extras,
    )


def asked_plan(image: ImageOptions, parts: Parts) -> BuildPlan:
    """Return the plan for the one image that the options name.

    Raises:
        UsageError: An option cannot be read.
        ImageNotInCatalogError: There is no such image.
        CredentialsError: The account has to be asked for, and there are no credentials.
    """
    spec = asked_spec(image, parts)
    return parts.plan(spec, local=image.is_local, region=image.region, account=image.account)
