"""Settings and a plan → the CodeBuild project that builds it, created if missing, and what a build overrides."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker_custom.aws.codebuild import Machine, NewProject, Project, VpcConfig
from sagemaker_custom.builders.codebuild_context import BUILDSPEC
from sagemaker_custom.builders.codebuild_watch import RemoteBuilds
from sagemaker_custom.errors import SettingsError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.settings import Settings

DEFAULT_PROJECT = "sagemaker-custom"
_COMPUTE_TYPE = "BUILD_GENERAL1_MEDIUM"
_IMAGES = {
    "LINUX_CONTAINER": "aws/codebuild/amazonlinux-x86_64-standard:5.0",
    "ARM_CONTAINER": "aws/codebuild/amazonlinux-aarch64-standard:3.0",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Overrides:
    """What a build has otherwise than its project; ``None`` where it does not."""

    type: str | None
    image: str | None
    compute_type: str | None


def ensure(
    settings: Settings,
    plan: BuildPlan,
    *,
    builds: RemoteBuilds,
    region: str,
    role: str | None,
    progress: Progress,
) -> Project:
    """Return the project; one that is there stays as it is.

    Args:
        settings: Name and properties.
        plan: Says the architecture of a project that is created.
        builds: CodeBuild in ``region``.
        region: For messages.
        role: ARN of the service role, if the settings name one.
        progress: Told of a creation.

    Raises:
        SettingsError: There is none and no role to create it with, or it runs in another network.
    """
    name = settings.codebuild_project or DEFAULT_PROJECT
    found = builds.find_project(name)
    if found is not None:
        _check_network(settings, found)
        return found
    if role is None:
        raise SettingsError(
            f"there is no CodeBuild project {name!r} in {region}, and no role to create it with",
            hint="set codebuild_service_role to the role that builds run as ('sagemaker-custom iam codebuild-service' "
            "prints its policy), or codebuild_project to a project that exists",
        )
    progress.step(f"creating the CodeBuild project {name}")
    kind = _type(plan)
    builds.create_project(
        NewProject(
            name=name,
            service_role=role,
            machine=Machine(
                type=kind,
                image=settings.codebuild_image or _IMAGES[kind],
                compute_type=settings.codebuild_compute_type or _COMPUTE_TYPE,
            ),
            buildspec=BUILDSPEC,
            timeout_in_minutes=settings.codebuild_timeout_minutes,
            cache_type=settings.codebuild_cache,
            vpc=_vpc(settings),
        )
    )
    return Project(name=name, environment_type=kind, service_role=role, vpc_id=settings.codebuild_vpc_id)


def overrides(settings: Settings, plan: BuildPlan, project: Project) -> Overrides:
    """Return what a build of ``plan`` has to override: the architecture, and what the settings name."""
    kind = _type(plan)
    is_other = kind.startswith("ARM") != project.environment_type.startswith("ARM")
    return Overrides(
        type=kind if is_other else None,
        image=settings.codebuild_image or (_IMAGES[kind] if is_other else None),
        compute_type=settings.codebuild_compute_type,
    )


def _type(plan: BuildPlan) -> str:
    return "ARM_CONTAINER" if str(plan.document["platform"]).endswith("/arm64") else "LINUX_CONTAINER"


def _vpc(settings: Settings) -> VpcConfig | None:
    if not settings.codebuild_vpc_id:
        return None
    return VpcConfig(
        vpc_id=settings.codebuild_vpc_id,
        subnets=settings.codebuild_subnets,
        security_group_ids=settings.codebuild_security_group_ids,
    )


def _check_network(settings: Settings, project: Project) -> None:
    wanted = settings.codebuild_vpc_id
    if wanted and wanted != project.vpc_id:
        raise SettingsError(
            f"the CodeBuild project {project.name} runs in {project.vpc_id or 'no VPC'}, not in {wanted}",
            hint="a build cannot change that: change the project, or name another in codebuild_project",
        )
