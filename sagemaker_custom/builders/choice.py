"""A plan, and which builder was asked for → the builder that is taken, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from typing_extensions import assert_never

from sagemaker_custom.errors import UsageError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.resolve import CondaStep, PackagesStep, PipStep, Step, ToolkitStep
from sagemaker_custom.settings import Settings

BUILDERS = ("auto", "append", "docker", "codebuild")
"""What ``builder=`` may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuilderChoice:
    """Which builder is taken."""

    name: Literal["append", "docker", "codebuild"]
    reason: str
    """Why it is this one, for people."""
    may_change: bool = False
    """Whether another one may be taken when it turns out that this one cannot do it."""


def check_builder(builder: str) -> str:
    """Return ``builder``.

    Raises:
        UsageError: There is no such builder.
    """
    if builder not in BUILDERS:
        raise UsageError(f"builder={builder!r} is not a builder", hint=f"write one of {', '.join(map(repr, BUILDERS))}")
    return builder


def wanted_builder(builder: str, settings: Settings, plan: BuildPlan) -> str:
    """Return which one is asked for, by argument or else by setting.

    Raises:
        UsageError: There is no such builder.
    """
    if check_builder(builder) != "auto":
        return builder
    # A team's setting says where its images are built; those of local mode never leave this machine.
    return "auto" if check_builder(settings.builder) == "codebuild" and plan.is_local else settings.builder


def has_codebuild(plan: BuildPlan, settings: Settings) -> bool:
    """Tell whether CodeBuild is there to build ``plan`` where nothing else can: set up, and for Amazon ECR."""
    return settings.has_codebuild and plan.reference.ecr is not None


def builder_choice(plan: BuildPlan, builder: str, settings: Settings) -> BuilderChoice:
    """Choose by argument, settings and plan; see :func:`choose_builder`.

    Raises:
        UsageError: There is no such builder.
    """
    wanted = wanted_builder(builder, settings, plan)
    return choose_builder(plan, wanted, codebuild=has_codebuild(plan, settings))


def choose_builder(plan: BuildPlan, wanted: str, *, codebuild: bool = False) -> BuilderChoice:
    """Choose by what the plan says; nothing is asked, so neither wheels nor a Docker Engine are looked for.

    Args:
        plan: One that needs a build.
        wanted: One of :data:`BUILDERS`.
        codebuild: Whether CodeBuild can take the place of Docker; see :func:`has_codebuild`.

    Raises:
        UsageError: There is no such builder.
    """
    check_builder(wanted)
    obstacle = why_not_appended(plan)
    if wanted == "docker":
        return BuilderChoice(name="docker", reason="asked for")
    if wanted == "codebuild":
        return BuilderChoice(name="codebuild", reason="asked for")
    if wanted == "append":
        reason = f"asked for, but it cannot build this: {obstacle}" if obstacle else "asked for"
        return BuilderChoice(name="append", reason=reason)
    instead = ", codebuild where no Docker Engine answers" if codebuild else ""
    if obstacle:
        return BuilderChoice(name="docker", reason=f"{obstacle}{instead}", may_change=codebuild)
    return BuilderChoice(
        name="append",
        reason=f"wheels become layers of the base in the registry; docker if a package has no wheel that fits{instead}",
        may_change=True,
    )


def why_not_appended(plan: BuildPlan) -> str | None:
    """Say what keeps the image from being made without running anything in it; ``None`` for nothing that is known."""
    if plan.context is not None:
        return "the folder has a Dockerfile, whose steps have to be run"
    if plan.own is not None:
        return "of an image of your own it is not known how Python is installed in it"
    if plan.is_local:
        return "images for local mode belong into the Docker Engine"
    return next((reason for step in plan.steps if (reason := _why_not(step))), None)


def _why_not(step: Step) -> str | None:
    match step:
        case PackagesStep():
            return f"packages of the distribution have to be installed ({' '.join(step.packages)})"
        case CondaStep():
            return f"conda has to be run ({' '.join(step.packages)})"
        case ToolkitStep():
            return "SageMaker's toolkit has to be installed"
        case PipStep():
            return _why_not_pip(step)
        case _:
            assert_never(step)


def _why_not_pip(step: PipStep) -> str | None:
    packages = " ".join(step.packages)
    if step.uninstall:
        return f"pip has to uninstall {' '.join(step.uninstall)} first"
    if step.build_packages or step.no_build_isolation:
        return f"{packages} is compiled in the image"
    if step.env:
        return f"{packages} is installed with the variables {' '.join(name for name, _ in step.env)}"
    return None
