"""Builds in CodeBuild: real requests of boto3 to an API in this process, and a registry in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from fakes.codebuild_api import ACCOUNT, SUCCESS, CodeBuildApi, Step
from fakes.example_plan import BASE, ECR_HOST, FINGERPRINT, example_plan
from fakes.fake_aws import FakeAws
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.aws import CodeBuild, Connection
from sagemaker_custom.builders.codebuild import CodeBuildBuilder
from sagemaker_custom.builders.codebuild_context import BUILDSPEC
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.errors import (
    AccessDeniedError,
    AwsError,
    BaseImageError,
    BuildError,
    DiskFullError,
    RegistryError,
    SettingsError,
    TagConflictError,
    VerificationError,
)
from sagemaker_custom.plan import FINGERPRINT_LABEL, PipIndexes
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.settings import Settings

ROLE = f"arn:aws:iam::{ACCOUNT}:role/codebuild"
REPOSITORY = "sagemaker-custom-pytorch"
BUCKET = f"sagemaker-us-east-1-{ACCOUNT}"


class Shown(NoProgress):
    def __init__(self):
        self.steps = []
        self.lines = []

    def step(self, text):
        self.steps.append(text)

    def log(self, line):
        self.lines.append(line)


class Bench:
    """A builder, one AWS, one registry."""

    def __init__(self, folder):
        self.registry = FakeRegistry()
        self.registry.put_image(BASE.repository, BASE.tag)
        self.api = CodeBuildApi(self.machine)
        self.aws = FakeAws(buckets={BUCKET: ACCOUNT, "mine": ACCOUNT})
        self.shown = Shown()
        self.steps = SUCCESS
        self.fingerprint = FINGERPRINT
        self.settings = Settings(codebuild_service_role=ROLE)
        self.repositories = []
        self.log_dir = folder / "logs"
        self.sleep = lambda seconds: None
        self.confirm = lambda question: None

    def machine(self, request, build_id):
        for step in self.steps:
            if step.status == "SUCCEEDED":
                self.registry.put_image(
                    REPOSITORY, staging(build_id, self.fingerprint), labels={FINGERPRINT_LABEL: self.fingerprint}
                )
            yield step

    def build(self, plan=None, *, fresh=False, session=None):
        return self.builder(session).build(plan or example_plan(), fresh=fresh)

    def builder(self, session=None):
        session = session or self.api.session()
        client = self.registry.client()
        return CodeBuildBuilder(
            self.settings,
            builds=lambda region: CodeBuild(Connection(session), region=region),
            contexts=self.aws,
            registry=client,
            endpoints=Endpoints(endpoint_for=lambda host: f"https://{host}", credentials=lambda host: None),
            ensure_repository=lambda reference: self.repositories.append(reference.repository),
            remove_tag=client.remove_tag,
            log_dir=self.log_dir,
            version="1.2.3",
            token=lambda: "0a1b2c3d",
            clock=lambda: datetime(2026, 11, 21, 10, 15, tzinfo=timezone.utc),
            sleep=self.sleep,
            confirm=self.confirm,
            progress=self.shown,
        )

    @property
    def request(self):
        return next(reversed(self.api.builds.values())).request

    @property
    def variables(self):
        return {item["name"]: item for item in self.request["environmentVariablesOverride"]}

    def context(self):
        (stored,) = self.aws.objects.values()
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(stored.content))) as archive:
            return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


def staging(build_id, fingerprint=FINGERPRINT):
    return f"staging-{fingerprint[:12]}-{build_id.partition(':')[2]}"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


class TestSuccess:
    def test_the_image_gets_its_final_tag_last_and_the_staging_tag_goes(self, bench):
        plan = example_plan()
        assert bench.build(plan) == plan.reference
        assert list(bench.registry.tags(REPOSITORY)) == [plan.reference.tag]
        assert bench.repositories == [REPOSITORY]

    def test_phases_and_lines_are_shown_as_they_come(self, bench):
        bench.steps = (*SUCCESS[:-1], replace(SUCCESS[-1], lines=tuple(f"line {number}" for number in range(9))))
        bench.build()
        phases = [text for text in bench.shown.steps if text.startswith("CodeBuild: ")]
        assert phases == [f"CodeBuild: {name}" for name in ("queued", "provisioning", "build", "completed")]
        assert bench.shown.lines[:2] == ["#5 [1/2] FROM base", "#6 [2/2] RUN pip"]
        assert bench.shown.lines[2:] == [f"line {number}" for number in range(9)]
        (log,) = bench.log_dir.iterdir()
        assert log.read_text().splitlines() == bench.shown.lines

    def test_the_request_has_names_and_no_values_that_are_secret(self, bench):
        bench.settings = replace(bench.settings, codebuild_index_secret="team/index")
        bench.build(example_plan(pip_indexes=PipIndexes(index_url="https://packages.example.com/simple")))
        assert bench.request["idempotencyToken"] == FINGERPRINT
        assert len(bench.request["idempotencyToken"]) <= 64
        assert bench.request["buildspecOverride"] == BUILDSPEC
        assert bench.request["privilegedModeOverride"] is True
        secret = bench.variables.pop("SAGEMAKER_CUSTOM_NETRC")
        assert secret == {"name": "SAGEMAKER_CUSTOM_NETRC", "value": "team/index", "type": "SECRETS_MANAGER"}
        assert json.loads(bench.context()["build.json"])["netrc"] is True

    def test_no_secret_is_named_to_a_build_without_packages_from_an_index(self, bench):
        bench.settings = replace(bench.settings, codebuild_index_secret="team/index")
        bench.build(replace(example_plan(), steps=()))
        assert "SAGEMAKER_CUSTOM_NETRC" not in bench.variables

    def test_the_context_is_addressed_by_its_content_and_uploaded_once(self, bench):
        bench.build()
        (key,) = (key for _, key in bench.aws.objects)
        digest = hashlib.sha256(gzip.decompress(bench.aws.objects[BUCKET, key].content)).hexdigest()
        assert key == f"sagemaker-custom/contexts/{digest}.tar.gz"
        assert bench.variables["SAGEMAKER_CUSTOM_CONTEXT_SHA256"]["value"] == digest
        before = dict(bench.aws.objects)
        bench.registry.manifests[REPOSITORY].clear()
        bench.build()
        assert bench.aws.objects == before
        assert bench.aws.calls["put_file"] == 1

    def test_the_context_names_the_base_by_digest(self, bench):
        bench.build()
        document = json.loads(bench.context()["build.json"])
        assert document["base"].endswith(f"pytorch-training@{document['base_digest']}")
        assert bench.context()["Dockerfile"].decode().startswith(f"FROM {document['base_name']}\n")

    def test_a_fresh_build_uses_no_cache_and_joins_none(self, bench):
        bench.build()
        plan = example_plan().rebuilt("20261121T101500Z")
        bench.build(plan, fresh=True)
        assert len(bench.api.builds) == 2
        document = [json.loads(gzip_member(item.content)) for item in bench.aws.objects.values()][-1]
        assert document["no_cache"] is True


def gzip_member(content):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        return archive.extractfile("build.json").read()


class TestProject:
    def test_it_is_created_as_the_settings_say(self, bench):
        bench.settings = Settings(
            codebuild_project="images",
            codebuild_service_role="builds/codebuild",
            codebuild_vpc_id="vpc-1",
            codebuild_subnets=("subnet-1", "subnet-2"),
            codebuild_security_group_ids=("sg-1",),
            codebuild_compute_type="BUILD_GENERAL1_LARGE",
            codebuild_cache="LOCAL",
            codebuild_timeout_minutes=45,
        )
        bench.build()
        project = bench.api.projects["images"]
        assert project["serviceRole"] == f"arn:aws:iam::{ACCOUNT}:role/builds/codebuild"
        assert project["vpcConfig"] == {
            "vpcId": "vpc-1",
            "subnets": ["subnet-1", "subnet-2"],
            "securityGroupIds": ["sg-1"],
        }
        assert project["environment"]["privilegedMode"] is True
        assert project["environment"]["computeType"] == "BUILD_GENERAL1_LARGE"
        assert project["cache"] == {"type": "LOCAL", "modes": ["LOCAL_DOCKER_LAYER_CACHE"]}
        assert project["timeoutInMinutes"] == 45

    def test_one_that_is_there_is_used_as_it_is(self, bench):
        bench.build()
        bench.registry.manifests[REPOSITORY].clear()
        bench.settings = Settings(codebuild_project="sagemaker-custom")
        bench.build()
        assert bench.api.calls["CreateProject"] == 1
        assert not {"imageOverride", "computeTypeOverride", "serviceRoleOverride"} & set(bench.request)

    def test_without_one_and_without_a_role_it_says_what_to_set(self, bench):
        bench.settings = Settings()
        with pytest.raises(SettingsError, match="no role to create it with") as caught:
            bench.build()
        assert "codebuild_service_role" in caught.value.hint
        assert not bench.api.builds

    def test_another_network_than_the_projects_is_refused(self, bench):
        bench.build()
        network = {"codebuild_vpc_id": "vpc-2", "codebuild_subnets": ("s",), "codebuild_security_group_ids": ("g",)}
        bench.settings = replace(bench.settings, **network)
        with pytest.raises(SettingsError, match="runs in no VPC, not in vpc-2"):
            bench.build()

    def test_an_arm_image_is_built_on_arm_in_the_same_project(self, bench):
        bench.build()
        base = replace(BASE, architecture="arm64", tag="arm")
        bench.registry.put_image(base.repository, base.tag)
        bench.fingerprint = "f" * 64
        bench.build(example_plan(base=base, fingerprint="f" * 64))
        assert bench.request["environmentTypeOverride"] == "ARM_CONTAINER"
        assert "aarch64" in bench.request["imageOverride"]

    def test_an_image_of_ones_own_is_pulled_with_the_service_role(self, bench):
        bench.settings = replace(bench.settings, codebuild_image=f"{ECR_HOST}/tools:1")
        bench.build()
        assert bench.request["imagePullCredentialsTypeOverride"] == "SERVICE_ROLE"


class TestFailure:
    @pytest.mark.parametrize(
        ("status", "words", "hint"),
        [
            ("FAILED", "failed", "read the log"),
            ("FAULT", "fault of AWS", "build again"),
            ("TIMED_OUT", "took longer", "codebuild_timeout_minutes"),
            ("STOPPED", "was stopped", "somebody stopped it"),
        ],
    )
    def test_each_bad_end_raises_with_the_last_lines_and_the_link(self, bench, status, words, hint):
        bench.steps = (Step(lines=("pip says no",), status=status, context="COMMAND_EXECUTION_ERROR"),)
        with pytest.raises(BuildError, match=words) as caught:
            bench.build()
        assert "pip says no" in caught.value.message
        assert "COMMAND_EXECUTION_ERROR" in caught.value.message
        assert hint in caught.value.hint
        assert f"https://us-east-1.console.aws.amazon.com/codesuite/codebuild/{ACCOUNT}/projects/" in caught.value.hint
        assert not bench.registry.tags(REPOSITORY)

    def test_a_failed_verification_is_one(self, bench):
        line = "sagemaker-custom: the built image does not pass 'python -c \"import tiny\"' (exit code 1)"
        bench.steps = (Step(lines=("ImportError: tiny", line), status="FAILED"),)
        with pytest.raises(VerificationError, match="does not pass 'python -c") as caught:
            bench.build()
        assert "ImportError: tiny" in caught.value.message
        assert "nothing was pushed" in caught.value.hint

    @pytest.mark.parametrize(
        ("of_base", "words", "hint"),
        [
            ('["tar"]', "the built image lacks tar, without which", 'add extras=["apt:tar"]'),
            ("[]", "the built image has lost tar, which its base has", "report it against the recipe"),
        ],
        ids=["not in the base", "lost by the extras"],
    )
    def test_an_image_that_starts_no_script_is_one(self, bench, of_base, words, hint):
        line = f'sagemaker-custom: no script can be started: {{"lacks": ["tar"], "of_base": {of_base}}}'
        bench.steps = (Step(lines=(line,), status="FAILED"),)
        with pytest.raises(VerificationError, match=words) as caught:
            bench.build()
        assert hint in caught.value.hint
        assert "the whole log is in" in caught.value.hint
        assert caught.value.log_path in caught.value.hint

    @pytest.mark.parametrize("said", ["[", "[]", '{"lacks": 1, "of_base": []}', '{"lacks": [1], "of_base": [1]}'])
    def test_a_step_that_prints_what_looks_like_it_is_a_failed_build(self, bench, said):
        bench.steps = (Step(lines=(f"sagemaker-custom: no script can be started: {said}",), status="FAILED"),)
        with pytest.raises(BuildError) as caught:
            bench.build()
        assert not isinstance(caught.value, VerificationError)

    def test_a_full_disk_is_one(self, bench):
        bench.steps = (Step(lines=("write /x: no space left on device",), status="FAILED"),)
        with pytest.raises(DiskFullError) as caught:
            bench.build()
        assert "codebuild_compute_type" in caught.value.hint

    def test_escape_codes_of_the_log_never_reach_the_terminal(self, bench):
        bench.steps = (Step(lines=("\x1b[31mred\x1b[0m\x07",), status="FAILED"),)
        with pytest.raises(BuildError) as caught:
            bench.build()
        assert bench.shown.lines == ["red"]
        assert "\x1b" not in caught.value.message

    def test_a_build_that_was_started_again_after_a_failure_is_another(self, bench):
        bench.steps = (Step(status="FAILED"),)
        for _ in range(2):
            with pytest.raises(BuildError):
                bench.build()
        bench.steps = SUCCESS
        assert bench.build() == example_plan().reference
        assert len(bench.api.builds) == 3

    def test_a_success_without_an_image_is_told(self, bench):
        bench.fingerprint = "f" * 64
        with pytest.raises(RegistryError, match="its tag is not there"):
            bench.build()

    def test_a_tag_with_another_fingerprint_is_a_conflict(self, bench):
        plan = example_plan()
        bench.registry.put_image(REPOSITORY, plan.reference.tag, labels={FINGERPRINT_LABEL: "other"})
        with pytest.raises(TagConflictError):
            bench.build(plan)

    def test_a_missing_base_starts_no_build(self, bench):
        bench.registry.manifests[BASE.repository].clear()
        with pytest.raises(BaseImageError):
            bench.build()
        assert not bench.api.builds

    @pytest.mark.parametrize(
        "url", ["https://user:s3cret@packages.example.com/", "https://t0ken@packages.example.com/"]
    )
    def test_credentials_in_a_url_are_refused_with_the_way_out(self, bench, url):
        with pytest.raises(BuildError, match=r"packages\.example\.com holds credentials") as caught:
            bench.build(example_plan(pip_indexes=PipIndexes(extra_index_urls=(url,))))
        assert "codebuild_index_secret" in caught.value.hint
        assert "s3cret" not in str(caught.value)
        assert "t0ken" not in str(caught.value)
        assert not bench.api.calls

    def test_local_mode_needs_docker(self, bench):
        with pytest.raises(BuildError, match="builds for Amazon ECR") as caught:
            bench.build(example_plan(local=True))
        assert 'builder="docker"' in caught.value.hint

    def test_an_image_of_this_machines_engine_is_refused(self, bench):
        plan = example_plan(base=replace(BASE, digest="sha256:" + "a" * 64))
        plan = replace(plan, base_reference=replace(plan.base_reference, registry=None, digest=None))
        with pytest.raises(BuildError, match="which CodeBuild does not reach"):
            bench.build(plan)


class TestManyCallers:
    def test_a_call_joins_the_build_of_the_same_image(self, bench):
        second = []

        def meanwhile(seconds):
            bench.sleep = lambda seconds: None
            if not second:
                second.append(None)
                second[0] = bench.build()

        bench.sleep = meanwhile
        assert bench.build() == example_plan().reference
        assert second == [example_plan().reference]
        assert len(bench.api.builds) == 1
        assert any(text.startswith("joining the build ") for text in bench.shown.steps)

    def test_a_build_of_another_image_is_not_joined(self, bench):
        other = example_plan(host=ECR_HOST.replace("123456789012", "210987654321"))

        def meanwhile(seconds):
            bench.sleep = lambda seconds: None
            if len(bench.api.builds) == 1:
                bench.build(other)

        bench.sleep = meanwhile
        bench.build()
        assert len(bench.api.builds) == 2
        assert not any(text.startswith("joining") for text in bench.shown.steps)

    def test_what_was_left_running_is_published_by_the_next_call(self, bench):
        bench.sleep = _ctrl_c
        with pytest.raises(KeyboardInterrupt):
            bench.build()
        (build,) = bench.api.builds.values()
        for _ in SUCCESS:
            build.advance()
        bench.api.token_expires()
        bench.sleep = lambda seconds: None
        assert bench.build() == example_plan().reference
        assert len(bench.api.builds) == 1

    def test_the_same_fingerprint_from_another_version_is_another_request(self, bench):
        bench.steps = (Step(status="FAILED"),)
        with pytest.raises(BuildError):
            bench.build()
        # A changed request with a token that is still valid is what CodeBuild refuses.
        bench.settings = replace(bench.settings, codebuild_timeout_minutes=60)
        bench.steps = SUCCESS
        assert bench.build() == example_plan().reference


def _ctrl_c(seconds):
    raise KeyboardInterrupt


class TestCtrlC:
    @pytest.mark.parametrize(("answer", "stopped"), [(True, 1), (False, 0), (None, 0)])
    def test_it_asks_whether_the_build_shall_stop(self, bench, answer, stopped):
        asked = []
        bench.sleep = _ctrl_c
        bench.confirm = lambda question: asked.append(question) or answer
        with pytest.raises(KeyboardInterrupt):
            bench.build()
        assert len(asked) == 1
        assert len(bench.api.stopped) == stopped
        assert ("goes on" in bench.shown.steps[-1]) is not bool(stopped)

    def test_who_may_not_stop_it_is_told_where_it_runs(self, bench):
        bench.sleep = _ctrl_c
        bench.confirm = lambda question: True
        bench.api.fail("StopBuild", "AccessDeniedException")
        with pytest.raises(KeyboardInterrupt):
            bench.build()
        assert "could not be stopped: access denied" in bench.shown.steps[-1]
        assert "https://us-east-1.console.aws.amazon.com/" in bench.shown.steps[-1]

    def test_ctrl_c_as_the_answer_leaves_it_running(self, bench):
        bench.sleep = _ctrl_c
        bench.confirm = _ctrl_c
        with pytest.raises(KeyboardInterrupt):
            bench.build()
        assert not bench.api.stopped


class TestBadDays:
    def test_a_throttled_look_is_repeated(self, bench):
        bench.api.fail("BatchGetBuilds", *["InvalidInputException"] * 3)
        bench.api.fail("GetLogEvents", *["InvalidParameterException"] * 2)
        assert bench.build() == example_plan().reference
        assert bench.shown.lines == ["#5 [1/2] FROM base", "#6 [2/2] RUN pip", "done"]

    def test_what_never_answers_is_told_in_the_end(self, bench):
        bench.api.fail("BatchGetBuilds", *["InvalidInputException"] * 100)
        with pytest.raises(AwsError, match="codebuild:BatchGetBuilds"):
            bench.build()

    def test_who_may_not_read_the_log_still_gets_the_image(self, bench):
        bench.api.fail("GetLogEvents", "AccessDeniedException")
        assert bench.build() == example_plan().reference
        assert bench.api.calls["GetLogEvents"] == 1
        assert "the log cannot be shown" in bench.shown.lines[0]

    def test_who_may_not_start_builds_is_told_the_action(self, bench):
        bench.api.fail("StartBuild", "AccessDeniedException")
        with pytest.raises(AccessDeniedError, match="codebuild:StartBuild"):
            bench.build()

    def test_a_project_that_somebody_just_created_is_used(self, bench):
        bench.build()
        bench.registry.manifests[REPOSITORY].clear()
        bench.api.fail("CreateProject", "ResourceAlreadyExistsException")
        projects, bench.api.BatchGetProjects = bench.api.BatchGetProjects, lambda document, region: {"projects": []}
        assert bench.build() == example_plan().reference
        bench.api.BatchGetProjects = projects


@pytest.mark.parametrize(
    ("partition", "region", "link"),
    [
        ("aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com/codesuite/"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn/codesuite/"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/codesuite/"),
        ("aws-iso", "us-iso-east-1", "https://logs.example.com/stream"),
    ],
)
def test_every_partition_has_its_console(bench, partition, region, link):
    suffix = {"aws-cn": "amazonaws.com.cn", "aws-iso": "c2s.ic.gov"}.get(partition, "amazonaws.com")
    bench.api.partition = partition
    bench.aws = FakeAws(buckets={f"sagemaker-{region}-{ACCOUNT}": ACCOUNT}, region=region)
    bench.steps = (Step(status="FAILED"),)
    with pytest.raises(BuildError) as caught:
        bench.build(example_plan(host=f"{ACCOUNT}.dkr.ecr.{region}.{suffix}"), session=bench.api.session(region))
    assert link in caught.value.hint
