"""Many images as one batch of CodeBuild: real requests of boto3 to an API in this process, moto, a real registry."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import pytest
import yaml
from botocore.session import get_session
from fakes.codebuild_api import ACCOUNT, SUCCESS, CodeBuildApi, Step
from fakes.example_plan import example_plan
from fakes.fake_maker import FakeBoard

from sagemaker_custom.aws import CodeBuild, CodeBuildBatches
from sagemaker_custom.builders.codebuild_batch import QUIET_S, BatchGate
from sagemaker_custom.builders.codebuild_context import BUILDSPEC
from sagemaker_custom.prebuild import Interruption, PartsMaker, Prebuild, Wanted
from sagemaker_custom.wiring import Parts

ROLE = f"arn:aws:iam::{ACCOUNT}:role/codebuild"
HURRY = 30
"""How many times as fast as else."""
BATCH_ROLE = f"arn:aws:iam::{ACCOUNT}:role/batches"


class Hurried(Interruption):
    """Lets nobody wait for long."""

    def wait(self, seconds):
        return super().wait(seconds / HURRY)


class Bench:
    """Images that are called 1, 2 and so on, and differ in that alone."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.api = CodeBuildApi(self.machine)
        self.api.listen(cloud.boto_session)
        self.api.projects["sagemaker-custom"] = {
            "name": "sagemaker-custom",
            "serviceRole": ROLE,
            "environment": {"type": "LINUX_CONTAINER", "image": "x", "computeType": "x"},
            "buildBatchConfig": {"serviceRole": BATCH_ROLE},
        }
        cloud.push(replace(example_plan(), reference=example_plan().base_reference))
        self.steps = {}
        self.board = FakeBoard()
        self.questions = []
        self.answer = True
        self.settings = {}

    def plan(self, wanted):
        plan = example_plan()
        fingerprint = wanted.name * 64
        return replace(plan, fingerprint=fingerprint, reference=plan.reference.with_tag(f"2.3.0-{fingerprint[:20]}"))

    def machine(self, request, build_id):
        variables = {item["name"]: item["value"] for item in request["environmentVariablesOverride"]}
        name = variables["SAGEMAKER_CUSTOM_FINGERPRINT"][0]
        for step in self.steps.get(name, SUCCESS):
            if step.status == "SUCCEEDED":
                plan = self.plan(wanted(name))
                tag = f"staging-{plan.fingerprint[:12]}-{build_id.partition(':')[2]}"
                self.cloud.push(replace(plan, reference=plan.reference.with_tag(tag)))
            yield step

    def run(self, *names):
        settings = replace(self.cloud.settings, builder="codebuild", codebuild_service_role=ROLE, **self.settings)
        parts = Parts(session=self.cloud.boto_session, settings=settings)
        connection = parts.aws.connection
        gate = BatchGate(
            builds=lambda region: CodeBuild(connection, region=region),
            batches=lambda region: CodeBuildBatches(connection, region=region),
            quiet_s=QUIET_S,
            monotonic=lambda: time.monotonic() * HURRY,
        )
        maker = PartsMaker(parts=parts, planned=self.plan, gate=gate)
        interruption = Hurried()
        prebuild = Prebuild(maker, board=self.board, jobs=len(names), ask=self.ask, interruption=interruption)
        outcomes = prebuild.run([wanted(name) for name in names])
        return {outcome.wanted.name: outcome for outcome in outcomes}

    def ask(self, question):
        self.questions.append(question)
        return self.answer

    @property
    def batch(self):
        (batch,) = self.api.batches.values()
        return batch


def wanted(name):
    return Wanted(name=name, spec=example_plan().spec, region="us-east-1")


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


@pytest.fixture
def bench(cloud):
    return Bench(cloud)


def test_all_images_are_one_batch_and_each_gets_its_final_tag(bench):
    outcomes = bench.run("1", "2", "3")
    assert statuses(outcomes) == {"1": "built", "2": "built", "3": "built"}
    assert (bench.api.calls["StartBuildBatch"], bench.api.calls["StartBuild"]) == (1, 0)
    assert len(bench.batch.builds) == 3
    found = bench.run("1", "2", "3")
    assert set(statuses(found).values()) == {"present"}


def test_the_request_is_one_that_codebuild_knows_and_a_build_differs_in_variables_alone(bench):
    bench.run("1", "2")
    request = bench.batch.request
    known = get_session().get_service_model("codebuild").operation_model("StartBuildBatch").input_shape.members
    assert set(request) <= set(known)
    assert len(request["idempotencyToken"]) == 64
    assert request["buildTimeoutInMinutesOverride"] == 120
    assert request["buildspecOverride"].startswith(BUILDSPEC)
    batch = yaml.safe_load(request["buildspecOverride"])["batch"]
    assert batch["fast-fail"] is False
    first, second = batch["build-list"]
    assert first["identifier"].isidentifier()
    assert first["ignore-failure"] is first["env"]["privileged-mode"] is True
    fingerprints = {entry["env"]["variables"]["SAGEMAKER_CUSTOM_FINGERPRINT"] for entry in (first, second)}
    assert fingerprints == {"1" * 64, "2" * 64}


def test_secrets_stand_in_the_request_by_name_and_never_in_the_buildspec(bench):
    bench.settings = {"codebuild_index_secret": "team/index"}
    bench.run("1")
    assert bench.batch.request["environmentVariablesOverride"] == [
        {"name": "SAGEMAKER_CUSTOM_NETRC", "value": "team/index", "type": "SECRETS_MANAGER"}
    ]
    assert "team/index" not in bench.batch.request["buildspecOverride"]


def test_a_failure_is_its_own_with_its_log_and_keeps_no_other_from_being_built(bench):
    bench.steps["2"] = (Step(lines=("pip says no",), status="FAILED"),)
    outcomes = bench.run("1", "2", "3")
    assert statuses(outcomes) == {"1": "built", "2": "failed", "3": "built"}
    assert "pip says no" in outcomes["2"].error.message
    assert "the whole log is in" in outcomes["2"].error.hint
    assert "console.aws.amazon.com" in outcomes["2"].error.hint


def test_what_runs_already_is_joined_and_is_not_in_the_batch(bench):
    bench.steps["1"] = (Step(), Step(), Step(lines=("left",), status="FAILED"))
    outcomes = bench.run("1")
    assert statuses(outcomes) == {"1": "failed"}
    bench.api.batches.clear()
    running = next(iter(bench.api.builds.values()))
    running.now = Step()
    running.steps = iter(bench.machine(running.request, running.id))
    bench.steps.clear()
    outcomes = bench.run("1", "2")
    assert statuses(outcomes) == {"1": "built", "2": "built"}
    assert len(bench.batch.entries) == 1


def test_a_project_without_a_role_for_batches_is_told_and_nothing_is_started(bench):
    del bench.api.projects["sagemaker-custom"]["buildBatchConfig"]
    outcomes = bench.run("1", "2")
    assert set(statuses(outcomes).values()) == {"failed"}
    assert outcomes["1"].error.message == "the CodeBuild project 'sagemaker-custom' in us-east-1 allows no batches"
    assert "iam codebuild-batch-service" in outcomes["1"].error.hint
    assert bench.api.calls["StartBuildBatch"] == 0


def test_a_batch_that_codebuild_refuses_is_the_failure_of_all_its_images(bench):
    bench.api.fail("StartBuildBatch", "AccessDeniedException", message="not authorized")
    outcomes = bench.run("1", "2")
    assert set(statuses(outcomes).values()) == {"failed"}
    assert "codebuild:StartBuildBatch" in outcomes["1"].error.message


def test_a_batch_that_ends_before_its_builds_begin_is_told_with_the_reason(bench):
    bench.api.begins_batches = False
    begin = bench.api.StartBuildBatch

    def failing(document, region):
        answer = begin(document, region)
        bench.batch.context = "Access denied when calling sts:AssumeRole"
        return answer

    bench.api.StartBuildBatch = failing
    look = bench.api.BatchGetBuildBatches

    def failed(document, region):
        bench.batch.status = "FAILED"
        return look(document, region)

    bench.api.BatchGetBuildBatches = failed
    outcomes = bench.run("1")
    assert "ended as FAILED before this image was begun (Access denied when calling sts:" in outcomes["1"].error.message
    assert "without --batch" in outcomes["1"].error.hint


def test_a_batch_of_the_same_images_that_failed_a_moment_ago_is_started_anew(bench):
    bench.steps["1"] = (Step(status="FAILED"),)
    bench.run("1")
    bench.batch.status = "FAILED"
    bench.steps.clear()
    assert statuses(bench.run("1")) == {"1": "built"}
    assert len(bench.api.batches) == 2


@pytest.mark.parametrize("answer", [True, False])
def test_ctrl_c_asks_once_and_stops_the_batch_or_leaves_it(bench, answer):
    bench.answer = answer
    bench.api.begins_batches = False
    begin = bench.api.StartBuildBatch

    def begun(document, region):
        signal.raise_signal(signal.SIGINT)
        return begin(document, region)

    bench.api.StartBuildBatch = begun
    outcomes = bench.run("1", "2")
    assert len(bench.questions) == 1
    assert bench.api.stopped == ([bench.batch.id] if answer else [])
    message = "interrupted while it was made" if answer else "interrupted; its build goes on"
    assert {outcome.error.message for outcome in outcomes.values()} == {message}


def test_builds_that_are_left_running_are_stopped_as_a_batch(bench):
    bench.steps["1"] = bench.steps["2"] = (Step(), Step(lines=("at work",)), *[Step()] * 1000)
    log = bench.board.log

    def logged(row, line):
        log(row, line)
        signal.raise_signal(signal.SIGINT) if "at work" in line and not bench.api.stopped else None

    bench.board.log = logged
    outcomes = bench.run("1")
    assert statuses(outcomes) == {"1": "failed"}
    assert bench.api.stopped == [bench.batch.id]
