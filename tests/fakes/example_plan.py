"""Plans as the planner makes them, without the catalog."""

from __future__ import annotations

from dataclasses import replace

from sagemaker_custom.catalog import BaseImage
from sagemaker_custom.plan import BuildPlan, PipIndexes
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.spec import ImageSpec

ECR_HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
BASE_HOST = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
FINGERPRINT = "0123456789abcdef" * 4

BASE = BaseImage(
    framework="pytorch",
    version="2.3.0",
    image_scope="training",
    processor="cpu",
    architecture="x86_64",
    py_version="py311",
    cuda_version=None,
    os="ubuntu20.04",
    repository="pytorch-training",
    tag="2.3.0-cpu-py311-ubuntu20.04-sagemaker",
    accounts="dlc",
    layout="conda",
)


def example_plan(
    *,
    local: bool = False,
    packages: tuple[str, ...] = ("tiny",),
    verify: tuple[str, ...] = ("python -c 'import tiny'",),
    pip_indexes: PipIndexes = PipIndexes(),
    base: BaseImage = BASE,
    base_host: str = BASE_HOST,
    host: str = ECR_HOST,
    fingerprint: str = FINGERPRINT,
) -> BuildPlan:
    """Return a plan that installs ``packages`` by pip."""
    return BuildPlan(
        spec=ImageSpec(framework="pytorch", version="2.3.0"),
        base=base,
        base_reference=ImageReference(registry=base_host, repository=base.repository, tag=base.tag, digest=base.digest),
        reference=ImageReference(
            registry=None if local else host,
            repository="sagemaker-custom-pytorch",
            tag=f"2.3.0-training-cpu-py311-{fingerprint[:20]}",
        ),
        steps=(PipStep(packages=packages),),
        verify=verify,
        pip_indexes=pip_indexes,
        fingerprint=fingerprint,
        reason="example",
    )


def with_steps(plan: BuildPlan, *steps) -> BuildPlan:
    """Return the plan with other steps."""
    return replace(plan, steps=steps)
