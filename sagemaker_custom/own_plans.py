"""An image of the user's own, what it is used for, and extras → :class:`BuildPlan`. Pure."""

from __future__ import annotations

import shlex

from sagemaker_custom.catalog import Catalog
from sagemaker_custom.dockerfile_folder import DockerContext
from sagemaker_custom.extended_tags import extended_tag
from sagemaker_custom.own_images import OwnBase, OwnImage, check_own_name, own_base
from sagemaker_custom.plan import (
    BuildPlan,
    EngineTarget,
    PipIndexes,
    Target,
    plan_fingerprint,
    target_repository,
)
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.resolve import NeedsBuild, Step, ToolkitStep, describe_extra, extend
from sagemaker_custom.spec import Architecture, Extra, ImageScope, ImageSpec, Processor, normalise_extras
from sagemaker_custom.toolkits import INFERENCE_PACKAGES, TRAINING_PACKAGES, files_digest

# Which program SageMaker starts in an image of each scope; a processing job names its own.
_PROGRAMS = {"training": ("train", TRAINING_PACKAGES), "inference": ("serve", INFERENCE_PACKAGES)}


def plan_own_image(
    own: OwnImage,
    *,
    context: DockerContext | None,
    image_id: Digest | None,
    image_scope: ImageScope,
    processor: Processor,
    architecture: Architecture,
    extras: tuple[Extra, ...],
    replaces: tuple[str, ...] = (),
    catalog: Catalog,
    region: str,
    target: Target,
    repository_prefix: str,
    pip_indexes: PipIndexes = PipIndexes(),
) -> BuildPlan:
    """Say what would be used or built.

    Args:
        own: The image.
        context: What its folder holds now; ``None`` without a folder.
        image_id: Of the Docker Engine's image, for a base image without a host.
        image_scope: What it is used for.
        processor: Of the instance.
        architecture: Of the instance.
        extras: What to install besides.
        replaces: Packages of the image that they may replace although they are held.
        catalog: Has the recipes, and the accounts and DNS suffixes.
        region: Where the job or endpoint runs.
        target: Where an image that is built goes.
        repository_prefix: Of the repository's name, which ends in the image's.
        pip_indexes: From the settings.

    Raises:
        UsageError: The image has the name of a framework.
        ImageNotInCatalogError: There is no such recipe, or it has nothing for this image.
        InvalidExtraError: Two extras cannot be in one image.
    """
    check_own_name(own.name, {**catalog.frameworks, **catalog.framework_aliases})
    base = own_base(
        own, context, image_scope=image_scope, processor=processor, architecture=architecture, image_id=image_id
    )
    extras = normalise_extras(extras)
    steps, verify = _steps(own, base, extras, catalog, replaces)
    built = is_built(own, target, extended=bool(steps))
    digest = plan_fingerprint(base, steps, own.held, verify, pip_indexes, context) if built else ""
    base_reference = own.base_image or ImageReference(repository=f"{repository_prefix}-{own.name}", tag=base.tag)
    if base_reference.digest is None:
        base_reference = base_reference.with_tag(base.tag)
    repository = target_repository(target, catalog.partitions, region, f"{repository_prefix}-{own.name}")
    return BuildPlan(
        spec=ImageSpec(
            framework=own.name,
            version=base.version,
            image_scope=image_scope,
            processor=processor,
            architecture=architecture,
            py_version=own.py_version,
            cuda_version=base.cuda_version,
            extras=extras,
            replace=replaces,
        ),
        base=base,
        base_reference=base_reference,
        reference=repository.with_tag(extended_tag(base, extras, digest)) if built else base_reference,
        steps=steps,
        held=own.held,
        verify=verify,
        pip_indexes=pip_indexes,
        fingerprint=digest,
        own=own,
        context=context,
        reason=_reason(own, steps, extras, target, built=built),
    )


def is_built(own: OwnImage, target: Target, *, extended: bool) -> bool:
    """Tell whether the image has to be built or copied, rather than used where it is."""
    is_bare = own.base_image is not None and own.base_image.registry is None
    return extended or own.dockerfile is not None or (is_bare and not isinstance(target, EngineTarget))


def _steps(
    own: OwnImage, base: OwnBase, extras: tuple[Extra, ...], catalog: Catalog, replaces: tuple[str, ...]
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Return the steps, and the commands that have to succeed afterwards."""
    resolution = extend(base, extras, catalog, replaces=replaces)
    steps, verify = (resolution.steps, resolution.verify) if isinstance(resolution, NeedsBuild) else ((), ())
    # Recipes verify by the name that AWS's images have for their interpreter.
    named = f'command -v python > /dev/null || python() {{ {shlex.quote(base.python)} "$@"; }}; '
    commands = tuple(named + command for command in verify)
    if own.toolkit == "none" or base.image_scope not in _PROGRAMS:
        return steps, commands
    program, packages = _PROGRAMS[base.image_scope]
    toolkit = ToolkitStep(image_scope=base.image_scope, packages=packages, files=files_digest())
    return (toolkit, *steps), (f"command -v {program}", *commands)


def _reason(own: OwnImage, steps: tuple[Step, ...], extras: tuple[Extra, ...], target: Target, *, built: bool) -> str:
    what = f"built from the folder {own.dockerfile.path}" if own.dockerfile else f"your image {own.base_image}"
    added = [describe_extra(extra) for extra in extras]
    if any(isinstance(step, ToolkitStep) for step in steps):
        added.insert(0, "SageMaker's toolkit")
    if added:
        return f"{what}, extended by {', '.join(added)}"
    if own.dockerfile is None and built and not isinstance(target, EngineTarget):
        return f"{what}, brought to a registry that SageMaker reaches"
    return what if built else f"{what}, used as it is"


def own_warnings(plan: BuildPlan, region: str, *, local: bool) -> tuple[str, ...]:
    """Return what the user should know of an image that is used where it is.

    Args:
        plan: Of that image.
        region: Where the job or endpoint runs.
        local: Whether in local mode, which takes images from anywhere.
    """
    reference = plan.reference
    if local or plan.needs_build:
        return ()
    if reference.ecr is None:
        return (f"SageMaker takes {reference} for training in a VPC alone, since it is not in Amazon ECR",)
    if reference.ecr.region != region:
        return (f"{reference} is in {reference.ecr.region}, and SageMaker takes images of its own region, {region}",)
    return ()
