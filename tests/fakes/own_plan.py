"""Plans of images of the user's own, as the planner makes them with the catalog that is shipped."""

from __future__ import annotations

from sagemaker_custom.catalog import load
from sagemaker_custom.dockerfile_folder import read_context
from sagemaker_custom.own_images import OwnImage
from sagemaker_custom.own_plans import plan_own_image
from sagemaker_custom.plan import BuildPlan, EngineTarget, RegistryTarget
from sagemaker_custom.spec import parse_extra

CATALOG = load()
ACCOUNT = "123456789012"


def own_plan(own: OwnImage, *extras: str, local: bool = False, image_id=None, scope="training", **options) -> BuildPlan:
    """Return the plan for ``own``, whose folder is read."""
    return plan_own_image(
        own,
        context=read_context(own.dockerfile) if own.dockerfile else None,
        image_id=image_id,
        image_scope=scope,
        processor=options.pop("processor", "cpu"),
        architecture="x86_64",
        extras=tuple(map(parse_extra, extras)),
        catalog=CATALOG,
        region="us-east-1",
        target=EngineTarget() if local else RegistryTarget(account=ACCOUNT),
        repository_prefix="sagemaker-custom",
        **options,
    )
