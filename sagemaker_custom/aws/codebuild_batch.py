"""What this package wants of CodeBuild's batches, in its own words → boto3 calls → values of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import yaml

from sagemaker_custom.aws.codebuild import BuildStart, BuildStatus, RemoteBuild, is_mismatch, remote_build
from sagemaker_custom.aws.failures import Call
from sagemaker_custom.errors import AwsError

if TYPE_CHECKING:
    from sagemaker_custom.aws.connection import Connection

MOST_BUILDS = 100
"""In one batch: the default of CodeBuild's quota, and what BatchGetBuilds takes at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchStart:
    """What a batch is started with: builds that differ in nothing but their plain variables."""

    common: BuildStart
    """What they have in common; its variables are the secrets, which no buildspec shows."""
    builds: tuple[tuple[str, BuildStart], ...] = field(repr=False)
    """Identifier in the batch, and the build."""
    token: str

    @classmethod
    def of(cls, starts: Sequence[BuildStart], token: str) -> BatchStart:
        """Return the batch of builds whose :meth:`kind` is the same."""
        names = ((f"image_{number}_{start.token[:12]}", start) for number, start in enumerate(starts, 1))
        return cls(common=cls.kind(starts[0]), builds=tuple(names), token=token)

    @staticmethod
    def kind(start: BuildStart) -> BuildStart:
        """Return what a build has to have in common with the others of a batch."""
        secrets = tuple(variable for variable in start.variables if variable.is_secret)
        return replace(start, token="", variables=secrets)

    @property
    def buildspec(self) -> str:
        """The buildspec of every build, followed by the list of the builds."""
        entries = [
            {
                "identifier": identifier,
                # One that fails shall not keep another from being begun.
                "ignore-failure": True,
                "env": {
                    # What an entry does not say is false, whatever the project has.
                    "privileged-mode": True,
                    "variables": {item.name: item.value for item in start.variables if not item.is_secret},
                },
            }
            for identifier, start in self.builds
        ]
        listed = yaml.safe_dump({"batch": {"fast-fail": False, "build-list": entries}}, sort_keys=False, width=1000)
        return f"{self.common.buildspec}{listed}"

    @property
    def document(self) -> dict[str, Any]:
        """As CodeBuild's API has it."""
        single = self.common.document
        timeout = single.pop("timeoutInMinutesOverride")
        return {
            **single,
            "idempotencyToken": self.token,
            "buildspecOverride": self.buildspec,
            "buildTimeoutInMinutesOverride": timeout,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteBatch:
    """A batch as CodeBuild has it now."""

    id: str
    status: BuildStatus
    builds: tuple[tuple[str, str], ...] = ()
    """Identifier in the batch, and the id of the build; without those that have not been begun."""
    contexts: tuple[str, ...] = ()
    """What CodeBuild says of phases that failed."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status != "IN_PROGRESS"


class CodeBuildBatches:
    """Batches in one region; every method may raise as those of :class:`~sagemaker_custom.aws.Aws` do.

    Args:
        connection: Whose clients are used.
        region: Where builds run.
    """

    def __init__(self, connection: Connection, *, region: str) -> None:
        self._connection = connection
        self._region = region

    def start(self, batch: BatchStart) -> RemoteBatch | None:
        """Start a batch, or return the one that the same request started less than five minutes ago.

        Returns:
            ``None`` when another request had the same token.
        """
        project = f"project {batch.common.project}"
        try:
            answer = self._ask("StartBuildBatch", project, "start_build_batch", **batch.document)
        except AwsError as error:
            if is_mismatch(error):
                return None
            raise
        return _batch(answer["buildBatch"])

    def find(self, batch_id: str) -> RemoteBatch:
        """Return a batch as it is now."""
        answer = self._ask("BatchGetBuildBatches", f"batch {batch_id}", "batch_get_build_batches", ids=[batch_id])
        for found in answer.get("buildBatches", []):
            return _batch(found)
        raise AwsError(f"CodeBuild knows no batch {batch_id}", hint="it may have been deleted; build again")

    def find_builds(self, ids: Sequence[str]) -> tuple[RemoteBuild, ...]:
        """Return builds as they are now, at most a hundred."""
        answer = self._ask("BatchGetBuilds", f"{len(ids)} builds", "batch_get_builds", ids=list(ids))
        return tuple(map(remote_build, answer.get("builds", [])))

    def stop(self, batch_id: str) -> None:
        """Stop a batch, with its builds that run."""
        self._ask("StopBuildBatch", f"batch {batch_id}", "stop_build_batch", id=batch_id)

    def _ask(self, action: str, resource: str, method: str, **arguments: Any) -> Any:
        call = Call(action=f"codebuild:{action}", resource=resource, region=self._region)
        return self._connection.ask(
            call, lambda: getattr(self._connection.client("codebuild", self._region), method)(**arguments)
        )


def _batch(found: dict[str, Any]) -> RemoteBatch:
    arns = {
        group["identifier"]: (group.get("currentBuildSummary") or {}).get("arn", "")
        for group in found.get("buildGroups") or []
    }
    contexts = [context for phase in found.get("phases") or [] for context in phase.get("contexts") or []]
    return RemoteBatch(
        id=found["id"],
        status=cast("BuildStatus", found["buildBatchStatus"]),
        builds=tuple((identifier, arn.partition(":build/")[2]) for identifier, arn in arns.items() if arn),
        contexts=tuple(str(context["message"]) for context in contexts if context.get("message")),
    )
