"""Image options → the real parts, the specs that are asked for, and their plans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sagemaker_custom.errors import UsageError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.own_images import own_image
from sagemaker_custom.wiring import Parts

if TYPE_CHECKING:
    from sagemaker_custom.catalog.named_images import NamedImage
    from sagemaker_custom.cli.options import ImageOptions
    from sagemaker_custom.own_images import OwnImage
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
        replace=image.replace,
    )
    named = parts.catalog.images.get(image.name)
    return _of_named(named, image, spec) if named else spec


def asked_own(image: ImageOptions) -> OwnImage:
    """Return the image of the user's own that the options name.

    Raises:
        UsageError: An option cannot be read, or is for images of AWS.
    """
    if image.name:
        raise UsageError(
            f"{image.name!r} is an image of the catalog, and --folder and --base-image name one of your own",
            hint="leave one of them out",
        )
    for option in (*_OF_FRAMEWORKS, "version"):
        if getattr(image, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is not for an image of your own, of which the catalog knows nothing",
                hint="leave it out",
            )
    return own_image(
        name=image.own_name,
        base_image=image.base_image,
        dockerfile=image.folder,
        dockerfile_name=image.dockerfile_name or "Dockerfile",
        build_args=dict(map(_build_arg, image.build_args)),
        target=image.target,
        toolkit=image.toolkit or "none",
        python=image.python or "python3",
        py_version=image.py_version,
        cuda_version=image.cuda_version,
        held=image.held,
    )


def own_spec(image: ImageOptions, own: OwnImage) -> ImageSpec:
    """Return what is asked of an image of the user's own: scope, hardware and extras.

    Raises:
        UsageError: An option cannot be read.
    """
    return image_spec(
        own.name,
        instance_type=image.instance_type,
        image_scope=image.image_scope or "training",
        processor=image.processor,
        architecture=image.architecture,
        cuda_version=image.cuda_version,
        extras=image.extras,
        replace=image.replace,
    )


def plan_own(
    own: OwnImage, spec: ImageSpec, parts: Parts, *, local: bool, region: str | None, account: str | None
) -> BuildPlan:
    """Return the plan for an image of the user's own."""
    return parts.plan_own(
        own,
        image_scope=spec.image_scope or "training",
        processor=spec.processor or "cpu",
        architecture=spec.architecture,
        extras=spec.extras,
        replaces=spec.replace,
        local=local,
        region=region,
        account=account,
    )


def _build_arg(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--build-arg {text!r} cannot be read", hint="write NAME=VALUE")
    return name, value


def _of_named(named: NamedImage, image: ImageOptions, spec: ImageSpec) -> ImageSpec:
    for option in _OF_FRAMEWORKS:
        if getattr(image, option):
            raise UsageError(
                f"--{option.replace('_', '-')} is not for the named image {named.name!r}, which says it itself",
                hint=f"leave it out, or name the framework {named.framework!r} and what is wanted of it",
            )
    says_architecture = image.architecture or image.instance_type
    chosen = named.spec_for(
        version=spec.version,
        py_version=spec.py_version,
        cuda_version=spec.cuda_version,
        image_scope=spec.image_scope,
        processor=spec.processor,
        architecture=spec.architecture if says_architecture else None,
        extras=spec.extras,
    )
    return replace(chosen, replace=spec.replace)


def asked_plan(image: ImageOptions, parts: Parts) -> BuildPlan:
    """Return the plan for the one image that the options name.

    Raises:
        UsageError: An option cannot be read.
        ImageNotInCatalogError: There is no such image.
        CredentialsError: The account has to be asked for, and there are no credentials.
    """
    if image.is_own:
        own = asked_own(image)
        spec = own_spec(image, own)
        return plan_own(own, spec, parts, local=image.is_local, region=image.region, account=image.account)
    if not image.name:
        raise UsageError("no image is named", hint="name a framework, a named image, or --folder or --base-image")
    spec = asked_spec(image, parts)
    return parts.plan(spec, local=image.is_local, region=image.region, account=image.account)
