"""What this package wants of CodeBuild and CloudWatch Logs, in its own words → boto3 calls → values of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from sagemaker_custom.aws.failures import Call
from sagemaker_custom.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagemaker_custom.aws.connection import Connection

BuildStatus: TypeAlias = Literal["IN_PROGRESS", "SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED"]

# BatchGetBuilds takes no more, and ListBuildsForProject gives no more at once.
_BUILDS_AT_ONCE = 100
_MOST_PAGES = 50
_MISMATCH = ("idempoten", "mismatch")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentVariable:
    """One variable of a build. Whoever may look at the build sees the value, which a secret is only the name of."""

    name: str
    value: str
    """Of a secret: its name or ARN in Secrets Manager."""
    is_secret: bool = False

    @property
    def document(self) -> dict[str, str]:
        """As CodeBuild's API has it."""
        return {
            "name": self.name,
            "value": self.value,
            "type": "SECRETS_MANAGER" if self.is_secret else "PLAINTEXT",
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class VpcConfig:
    """The network that builds run in; names as in CodeBuild's API."""

    vpc_id: str
    subnets: tuple[str, ...]
    security_group_ids: tuple[str, ...]

    @property
    def document(self) -> dict[str, Any]:
        """As CodeBuild's API has it."""
        return {
            "vpcId": self.vpc_id,
            "subnets": list(self.subnets),
            "securityGroupIds": list(self.security_group_ids),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a build runs on; names as in CodeBuild's API."""

    type: str
    """``LINUX_CONTAINER`` or ``ARM_CONTAINER``."""
    image: str
    compute_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """A CodeBuild project."""

    name: str
    environment_type: str
    service_role: str
    """ARN."""
    vpc_id: str | None = None
    batch_role: str | None = None
    """ARN of the role that starts the builds of a batch; ``None`` where batches are not allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewProject:
    """How a project is created."""

    name: str
    service_role: str
    """ARN."""
    machine: Machine
    buildspec: str
    timeout_in_minutes: int
    cache_type: str = "NO_CACHE"
    vpc: VpcConfig | None = None

    @property
    def document(self) -> dict[str, Any]:
        """As CodeBuild's API has it."""
        modes = {"modes": ["LOCAL_DOCKER_LAYER_CACHE"]} if self.cache_type == "LOCAL" else {}
        return {
            "name": self.name,
            "description": "Builds extended SageMaker images; made by sagemaker-custom",
            "source": {"type": "NO_SOURCE", "buildspec": self.buildspec, "location": ""},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": self.machine.type,
                "image": self.machine.image,
                "computeType": self.machine.compute_type,
                "privilegedMode": True,
                "imagePullCredentialsType": _pulled_as(self.machine.image),
            },
            "cache": {"type": self.cache_type, **modes},
            "serviceRole": self.service_role,
            "timeoutInMinutes": self.timeout_in_minutes,
            **({"vpcConfig": self.vpc.document} if self.vpc else {}),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildStart:
    """What one build is started with; what is ``None`` stays as the project has it."""

    project: str
    token: str
    """Starts one build only, however often it is sent within five minutes; at most 64 characters."""
    buildspec: str = field(repr=False)
    variables: tuple[EnvironmentVariable, ...]
    timeout_in_minutes: int
    environment_type: str | None = None
    image: str | None = None
    compute_type: str | None = None
    service_role: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """As CodeBuild's API has it."""
        overrides = {
            "environmentTypeOverride": self.environment_type,
            "imageOverride": self.image,
            "imagePullCredentialsTypeOverride": _pulled_as(self.image) if self.image else None,
            "computeTypeOverride": self.compute_type,
            "serviceRoleOverride": self.service_role,
        }
        return {
            "projectName": self.project,
            "idempotencyToken": self.token,
            "sourceTypeOverride": "NO_SOURCE",
            "buildspecOverride": self.buildspec,
            "environmentVariablesOverride": [variable.document for variable in self.variables],
            # Docker does not start in a build without it.
            "privilegedModeOverride": True,
            "timeoutInMinutesOverride": self.timeout_in_minutes,
            **{name: value for name, value in overrides.items() if value is not None},
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteBuild:
    """A build as CodeBuild has it now."""

    id: str
    """``project:uuid``."""
    arn: str
    status: BuildStatus
    phase: str = ""
    """The current one, for example ``PROVISIONING``."""
    contexts: tuple[str, ...] = ()
    """What CodeBuild says of phases that failed."""
    log_group: str | None = None
    """``None`` until there is a log."""
    log_stream: str | None = None
    link: str | None = None
    """To the log in the console, as CodeBuild gives it."""
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it runs no more."""
        return self.status != "IN_PROGRESS"


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPiece:
    """Some lines of a log, and where to go on."""

    lines: tuple[str, ...]
    token: str | None


class CodeBuild:
    """CodeBuild in one region; every method may raise as those of :class:`~sagemaker_custom.aws.Aws` do.

    Args:
        connection: Whose clients are used.
        region: Where builds run.
    """

    def __init__(self, connection: Connection, *, region: str) -> None:
        self._connection = connection
        self._region = region

    def find_project(self, name: str) -> Project | None:
        """Look a project up; ``None`` when there is none of that name."""
        answer = self._ask("codebuild:BatchGetProjects", f"project {name}", "batch_get_projects", names=[name])
        for found in answer.get("projects", []):
            return Project(
                name=found["name"],
                environment_type=found["environment"]["type"],
                service_role=found.get("serviceRole", ""),
                vpc_id=(found.get("vpcConfig") or {}).get("vpcId"),
                batch_role=(found.get("buildBatchConfig") or {}).get("serviceRole"),
            )
        return None

    def create_project(self, project: NewProject) -> None:
        """Create a project, unless somebody just did."""
        self._ask(
            "codebuild:CreateProject and iam:PassRole",
            f"project {project.name} with the role {project.service_role}",
            "create_project",
            absent=frozenset({"ResourceAlreadyExistsException"}),
            **project.document,
        )

    def start(self, start: BuildStart) -> RemoteBuild | None:
        """Start a build, or return the one that the same request started less than five minutes ago.

        Returns:
            ``None`` when another request had the same token.
        """
        try:
            answer = self._ask("codebuild:StartBuild", f"project {start.project}", "start_build", **start.document)
        except AwsError as error:
            if is_mismatch(error):
                return None
            raise
        return remote_build(answer["build"])

    def find_build(self, build_id: str) -> RemoteBuild:
        """Return a build as it is now."""
        answer = self._ask("codebuild:BatchGetBuilds", f"build {build_id}", "batch_get_builds", ids=[build_id])
        for found in answer.get("builds", []):
            return remote_build(found)
        raise AwsError(f"CodeBuild knows no build {build_id}", hint="it may have been deleted; build again")

    def recent_builds(self, project: str) -> tuple[RemoteBuild, ...]:
        """Return the newest builds of a project, at most a hundred, newest first."""
        listed = self._ask(
            "codebuild:ListBuildsForProject",
            f"project {project}",
            "list_builds_for_project",
            projectName=project,
            sortOrder="DESCENDING",
        )
        ids: Sequence[str] = listed.get("ids", [])[:_BUILDS_AT_ONCE]
        if not ids:
            return ()
        answer = self._ask("codebuild:BatchGetBuilds", f"builds of {project}", "batch_get_builds", ids=list(ids))
        builds = {found["id"]: remote_build(found) for found in answer.get("builds", [])}
        return tuple(builds[build_id] for build_id in ids if build_id in builds)

    def stop(self, build_id: str) -> None:
        """Stop a build that runs."""
        self._ask("codebuild:StopBuild", f"build {build_id}", "stop_build", id=build_id)

    def log_lines(self, group: str, stream: str, token: str | None) -> LogPiece:
        """Return what a log says after ``token``, or from its start; nothing while there is no such log yet."""
        lines: list[str] = []
        for _ in range(_MOST_PAGES):
            answer = self._ask(
                "logs:GetLogEvents",
                f"log {group}/{stream}",
                "get_log_events",
                service="logs",
                absent=frozenset({"ResourceNotFoundException"}),
                logGroupName=group,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            if answer is None:
                break
            lines += [line for event in answer["events"] for line in event["message"].rstrip("\n").split("\n")]
            # The end of a log is told by the same token once more; a page may be empty before that.
            before, token = token, answer.get("nextForwardToken")
            if token == before:
                break
        return LogPiece(lines=tuple(lines), token=token)

    def _ask(
        self,
        action: str,
        resource: str,
        method: str,
        *,
        service: str = "codebuild",
        absent: frozenset[str] = frozenset(),
        **arguments: Any,
    ) -> Any:
        call = Call(action=action, resource=resource, region=self._region)
        return self._connection.ask(
            call, lambda: getattr(self._connection.client(service, self._region), method)(**arguments), absent=absent
        )


def is_mismatch(error: AwsError) -> bool:
    """Tell whether a token was sent before with another request; CodeBuild has no code of its own for this."""
    return type(error) is AwsError and any(word in error.message.lower() for word in _MISMATCH)


def _pulled_as(image: str) -> str:
    """Return whose credentials pull an image: CodeBuild has its own for the images of AWS alone."""
    return "CODEBUILD" if image.startswith("aws/codebuild/") else "SERVICE_ROLE"


def remote_build(found: dict[str, Any]) -> RemoteBuild:
    """Read a build as CodeBuild's API has it."""
    logs = found.get("logs") or {}
    variables = (found.get("environment") or {}).get("environmentVariables") or []
    contexts = [context for phase in found.get("phases") or [] for context in phase.get("contexts") or []]
    return RemoteBuild(
        id=found["id"],
        arn=found["arn"],
        status=cast("BuildStatus", found["buildStatus"]),
        phase=found.get("currentPhase") or "",
        contexts=tuple(str(context["message"]) for context in contexts if context.get("message")),
        log_group=logs.get("groupName"),
        log_stream=logs.get("streamName"),
        link=logs.get("deepLink"),
        variables=tuple((variable["name"], variable["value"]) for variable in variables),
    )
