"""The image flow: a BuildPlan → the image that is used, built on the way if the policy allows.

1. An image of AWS needs nothing: no network.
2. ``store.find``: is the extended image there? Asks the registry, or the local Docker Engine; a failure to answer is
   raised and never taken for an answer.
3. It is there and its fingerprint label is the plan's: done.
4. It is not: ``builder.build``, unless the policy is ``never``. Uses network, disk and CPU.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from sagemaker_custom.builders import FoundImage, ImageBuilder, ImageStore
from sagemaker_custom.errors import ImageMissingError, TagConflictError, UsageError
from sagemaker_custom.plan import FINGERPRINT_LABEL, BuildPlan, describe_extra
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.spec import BuildPolicy, RequirementsExtra

_POLICIES: dict[str, BuildPolicy] = {"if-missing": "if-missing", "always": "always", "never": "never"}


def check_policy(policy: str) -> BuildPolicy:
    """Return ``policy``.

    Raises:
        UsageError: It is none of the three.
    """
    if policy not in _POLICIES:
        raise UsageError(f"build={policy!r} is not a policy", hint=f"write one of {', '.join(map(repr, _POLICIES))}")
    return _POLICIES[policy]


def ensure_image(
    plan: BuildPlan,
    *,
    policy: BuildPolicy,
    store: ImageStore,
    builder: Callable[[], ImageBuilder],
    revision: Callable[[], str],
    progress: Progress,
) -> ImageReference:
    """Return the image of ``plan``, after making sure that it exists.

    Args:
        plan: What is wanted.
        policy: Whether to build.
        store: Where an extended image is looked for.
        builder: Makes the builder, only when one is needed.
        revision: Names a fresh build of an image whose tag cannot be moved.
        progress: Is told which way it went.

    Raises:
        ImageMissingError: It does not exist, and the policy is ``never``.
        TagConflictError: Its tag holds an image that was made from something else.
        BuildError: It could not be built.
        RegistryError: Whether it exists could not be learned, or it could not be pushed.
    """
    if not plan.needs_build:
        progress.step(f"image {plan.reference}: AWS's own, nothing to build")
        return plan.reference
    if policy == "always":
        # Tags in ECR are immutable and others rely on this one, so a fresh build gets a tag of its own (ADR 0007).
        fresh = plan if plan.is_local else plan.rebuilt(revision())
        return builder().build(fresh, fresh=True)
    found = store.find(plan.reference)
    if found is not None:
        verify_fingerprint(plan, found)
        progress.step(f"image {plan.reference} is there, nothing to build")
        return plan.reference
    if policy == "never":
        raise ImageMissingError(
            f'the image {plan.reference} does not exist, and build="never" forbids building it',
            hint=f"build it with: {build_command(plan)}",
        )
    return builder().build(plan)


def verify_fingerprint(plan: BuildPlan, found: FoundImage) -> None:
    """Make sure that an image is what its tag says.

    Raises:
        TagConflictError: Its fingerprint label is missing or another.
    """
    label = found.labels.get(FINGERPRINT_LABEL)
    if label != plan.fingerprint:
        raise TagConflictError(
            f"{plan.reference} holds another image: its fingerprint label is {label or 'missing'}, "
            f"expected {plan.fingerprint}",
            hint="somebody pushed something else under this tag: delete the tag, or choose another repository_prefix",
        )


def build_command(plan: BuildPlan) -> str:
    """Return the command line that builds the image of ``plan``."""
    words = ["sagemaker-custom", "build", plan.spec.framework, "--version", plan.base.version]
    words += ["--py-version", plan.base.py_version, "--image-scope", plan.base.image_scope]
    words += ["--processor", plan.base.processor]
    if plan.base.cuda_version:
        words += ["--cuda-version", plan.base.cuda_version]
    for extra in plan.spec.extras:
        words += ["--extra", extra.path if isinstance(extra, RequirementsExtra) else describe_extra(extra)]
    if plan.is_local:
        words.append("--local")
    elif plan.reference.ecr:
        words += ["--region", plan.reference.ecr.region, "--account", plan.reference.ecr.account]
    return shlex.join(words)
