"""CodeBuild and CloudWatch Logs in this process: requests as botocore sends them, answers as AWS gives them.

moto's builds succeed at once and log nothing; these go through phases, log, fail, and keep to their tokens.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import boto3
import yaml
from botocore.awsrequest import AWSResponse

ACCOUNT = "123456789012"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a build has come to when it is looked at the next time."""

    phase: str = "BUILD"
    lines: tuple[str, ...] = ()
    status: str = "IN_PROGRESS"
    context: str = ""
    has_log: bool = True


SUCCESS = (
    Step(phase="QUEUED", has_log=False),
    Step(phase="PROVISIONING", has_log=False),
    Step(phase="BUILD", lines=("#5 [1/2] FROM base", "#6 [2/2] RUN pip")),
    Step(phase="COMPLETED", lines=("done",), status="SUCCEEDED"),
)


@dataclass
class Build:
    """One build."""

    id: str
    arn: str
    request: dict
    steps: Iterator[Step]
    now: Step
    lines: list[str] = field(default_factory=list)

    def advance(self) -> None:
        self.now = next(self.steps, self.now)
        self.lines += self.now.lines

    @property
    def document(self) -> dict:
        project, _, stream = self.id.partition(":")
        logs = {"groupName": f"/aws/codebuild/{project}", "streamName": stream} if self.now.has_log else {}
        return {
            "id": self.id,
            "arn": self.arn,
            "buildStatus": self.now.status,
            "currentPhase": self.now.phase,
            "phases": [{"phaseType": self.now.phase, "contexts": [{"message": self.now.context}]}],
            "logs": {**logs, "deepLink": "https://logs.example.com/stream"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": "x",
                "computeType": "x",
                "environmentVariables": self.request.get("environmentVariablesOverride", []),
            },
        }


@dataclass
class Batch:
    """Builds that are begun when the batch is looked at for the second time."""

    id: str
    request: dict
    region: str
    entries: list[dict]
    builds: dict[str, Build] = field(default_factory=dict)
    status: str = "IN_PROGRESS"
    context: str = ""

    @property
    def document(self) -> dict:
        groups = [
            {
                "identifier": entry["identifier"],
                "ignoreFailure": entry["ignore-failure"],
                **({"currentBuildSummary": {"arn": build.arn, "buildStatus": build.now.status}} if build else {}),
            }
            for entry in self.entries
            for build in [self.builds.get(entry["identifier"])]
        ]
        return {
            "id": self.id,
            "arn": f"arn:aws:codebuild:{self.region}:{ACCOUNT}:build-batch/{self.id}",
            "buildBatchStatus": self.status,
            "phases": [{"phaseType": "DOWNLOAD_BATCHSPEC", "contexts": [{"message": self.context}]}],
            "buildGroups": groups,
        }


class CodeBuildApi:
    """Answers for one account in all regions.

    Args:
        machine: Gives what a build goes through; called with its request and its id.
        page: Lines of the log that are given at once.
    """

    def __init__(self, machine: Callable[[dict, str], Iterable[Step]] = lambda request, id_: SUCCESS, *, page: int = 2):
        self.machine = machine
        self.page = page
        self.partition = "aws"
        self.projects: dict[str, dict] = {}
        self.builds: dict[str, Build] = {}
        self.tokens: dict[str, Build] = {}
        self.batches: dict[str, Batch] = {}
        self.batch_tokens: dict[str, Batch] = {}
        self.begins_batches = True
        self.stopped: list[str] = []
        self.calls: Counter[str] = Counter()
        self.failures: dict[str, list[tuple[str, str]]] = {}

    def session(self, region: str = "us-east-1") -> boto3.Session:
        """Return a session whose requests to these two services come here."""
        session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=region)
        self.listen(session)
        return session

    def listen(self, session: boto3.Session) -> None:
        """Answer the requests of a session."""
        for service in ("codebuild", "cloudwatch-logs"):
            session.events.register_first(f"before-send.{service}.*", self._answer)

    def fail(self, operation: str, *codes: str, message: str = "told to") -> None:
        """Let the next calls of an operation fail, with a code each."""
        self.failures.setdefault(operation, []).extend((code, message) for code in codes)

    def token_expires(self) -> None:
        """Let five minutes pass."""
        self.tokens.clear()
        self.batch_tokens.clear()

    def _answer(self, request, **kwargs):
        operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
        region = request.url.split(".")[1]
        self.calls[operation] += 1
        if self.failures.get(operation):
            code, message = self.failures[operation].pop(0)
            return _response(request, 400, {"__type": code, "message": message})
        document = json.loads(request.body)
        try:
            return _response(request, 200, getattr(self, operation)(document, region))
        except _RefusalError as refusal:
            return _response(request, 400, {"__type": refusal.code, "message": str(refusal)})

    def BatchGetProjects(self, document, region):  # noqa: N802
        del region
        return {"projects": [self.projects[name] for name in document["names"] if name in self.projects]}

    def CreateProject(self, document, region):  # noqa: N802
        del region
        if document["name"] in self.projects:
            raise _RefusalError("ResourceAlreadyExistsException", "it exists")
        self.projects[document["name"]] = document
        return {"project": document}

    def StartBuild(self, document, region):  # noqa: N802
        if document["projectName"] not in self.projects:
            raise _RefusalError("ResourceNotFoundException", "no such project")
        known = self.tokens.get(document["idempotencyToken"])
        if known:
            if known.request != document:
                raise _RefusalError("InvalidInputException", "Idempotent request parameters do not match")
            return {"build": known.document}
        build_id = f"{document['projectName']}:{len(self.builds):08x}-1111-2222-3333-444444444444"
        arn = f"arn:{self.partition}:codebuild:{region}:{ACCOUNT}:build/{build_id}"
        build = Build(build_id, arn, document, iter(self.machine(document, build_id)), Step(has_log=False))
        build.advance()
        self.builds[build_id] = self.tokens[document["idempotencyToken"]] = build
        return {"build": build.document}

    def BatchGetBuilds(self, document, region):  # noqa: N802
        del region
        found = [self.builds[build_id] for build_id in document["ids"] if build_id in self.builds]
        # Many are looked at to see whether one can be joined, and builds of a batch to see how they go.
        in_batches = {build.id for batch in self.batches.values() for build in batch.builds.values()}
        for build in found if len(document["ids"]) == 1 or in_batches.issuperset(document["ids"]) else []:
            build.advance()
        return {"builds": [build.document for build in found]}

    def ListBuildsForProject(self, document, region):  # noqa: N802
        del region
        assert document["sortOrder"] == "DESCENDING"
        return {"ids": [key for key in reversed(self.builds) if key.startswith(document["projectName"] + ":")]}

    def StopBuild(self, document, region):  # noqa: N802
        del region
        self.stopped.append(document["id"])
        return {"build": self.builds[document["id"]].document}

    def StartBuildBatch(self, document, region):  # noqa: N802
        project = self.projects.get(document["projectName"])
        if not project or not project.get("buildBatchConfig", {}).get("serviceRole"):
            raise _RefusalError("InvalidInputException", "Build batch configuration is not set")
        known = self.batch_tokens.get(document["idempotencyToken"])
        if known:
            if known.request != document:
                raise _RefusalError("InvalidInputException", "Idempotent request parameters do not match")
            return {"buildBatch": known.document}
        entries = yaml.safe_load(document["buildspecOverride"])["batch"]["build-list"]
        batch_id = f"{document['projectName']}:ba7c{len(self.batches):04x}-1111-2222-3333-444444444444"
        self.batches[batch_id] = Batch(batch_id, document, region, entries)
        self.batch_tokens[document["idempotencyToken"]] = self.batches[batch_id]
        return {"buildBatch": self.batches[batch_id].document}

    def BatchGetBuildBatches(self, document, region):  # noqa: N802
        found = [self.batches[batch_id] for batch_id in document["ids"] if batch_id in self.batches]
        for batch in found if self.begins_batches else []:
            for entry in batch.entries:
                if entry["identifier"] not in batch.builds and batch.status == "IN_PROGRESS":
                    started = self.StartBuild(_entry_request(batch, entry), region)
                    batch.builds[entry["identifier"]] = self.builds[started["build"]["id"]]
        return {"buildBatches": [batch.document for batch in found]}

    def StopBuildBatch(self, document, region):  # noqa: N802
        self.stopped.append(document["id"])
        return {"buildBatch": self.batches[document["id"]].document}

    def GetLogEvents(self, document, region):  # noqa: N802
        del region
        build = next(item for key, item in self.builds.items() if key.endswith(":" + document["logStreamName"]))
        if not build.lines:
            raise _RefusalError("ResourceNotFoundException", "The specified log stream does not exist.")
        start = int(document.get("nextToken", "f/0").partition("/")[2])
        lines = build.lines[start : start + self.page]
        events = [{"message": f"{line}\n", "timestamp": 1, "ingestionTime": 1} for line in lines]
        return {"events": events, "nextForwardToken": f"f/{start + len(lines)}"}


def _entry_request(batch, entry):
    """What a batch starts a build with: its own request, with what the entry has otherwise."""
    environment = entry["env"]
    request = dict(batch.request)
    request["idempotencyToken"] = f"{batch.id} {entry['identifier']}"
    request["timeoutInMinutesOverride"] = request.pop("buildTimeoutInMinutesOverride")
    request["privilegedModeOverride"] = environment.get("privileged-mode", False)
    document = yaml.safe_load(request["buildspecOverride"])
    request["buildspecOverride"] = yaml.safe_dump({key: document[key] for key in document if key != "batch"})
    request["environmentVariablesOverride"] = [
        *request.get("environmentVariablesOverride", []),
        *({"name": name, "value": value, "type": "PLAINTEXT"} for name, value in environment["variables"].items()),
    ]
    return request


class _RefusalError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Body(io.BytesIO):
    def stream(self, **kwargs) -> Iterator[bytes]:
        del kwargs
        yield self.read()


def _response(request, status, document) -> AWSResponse:
    body = json.dumps(document).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "request-1"}
    return AWSResponse(request.url, status, headers, _Body(body))
