"""The whole route of CodeBuild: the very request that is sent, its buildspec in a real container, a real registry."""

from __future__ import annotations

import gzip
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import docker
import pytest
from codebuild_machine import CodeBuildMachine
from fakes.codebuild_api import CodeBuildApi
from fakes.example_plan import BASE, BASE_HOST, example_plan
from fakes.own_plan import own_plan
from registry_process import running_registry
from test_docker_builder import base_id, client, index, open_index  # noqa: F401 - fixtures

from sagemaker_custom.aws import Aws, CodeBuild, CodeBuildBatches
from sagemaker_custom.builders.buildkit import docker_commands, find_buildkit
from sagemaker_custom.builders.codebuild import CodeBuildBuilder
from sagemaker_custom.builders.codebuild_batch import BatchGate
from sagemaker_custom.builders.commands import SubprocessRunner
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.errors import BuildError, VerificationError
from sagemaker_custom.oci import DOCKER_LAYER, DOCKER_MANIFEST, parse_manifest
from sagemaker_custom.own_images import own_image
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import RegistryCredentials
from sagemaker_custom.registry import RegistryClient, RequestsTransport
from sagemaker_custom.sandbox.aws import ACCOUNT, SandboxAws
from sagemaker_custom.settings import Settings

pytestmark = pytest.mark.docker

_LOGIN = RegistryCredentials(username="AWS", password="t0ken-of-ecr")


class Lines(NoProgress):
    def __init__(self):
        self.logged = []

    def log(self, line):
        self.logged.append(line)


@dataclass
class Bench:
    builder: CodeBuildBuilder
    registry: RegistryClient
    api: CodeBuildApi
    machine: CodeBuildMachine
    progress: Lines
    client: docker.DockerClient
    settings: Settings
    gate: BatchGate
    new_builder: Callable
    aws: Aws

    def s3(self):
        return self.aws.connection.client("s3", "us-east-1")

    def tags(self, reference):
        return self.registry.tags(replace(reference, tag=None))

    def logged(self):
        return "\n".join(self.progress.logged)


@pytest.fixture
def base(client, base_id, registry):  # noqa: F811 - a fixture
    """The base in the registry alone, as AWS would publish it."""
    base = replace(BASE, tag=f"test-{secrets.token_hex(4)}")
    name = f"{registry.host}/{base.repository}"
    client.api.tag(base_id, name, tag=base.tag)
    for line in client.api.push(name, base.tag, stream=True, decode=True, auth_config=_auth()):
        assert "error" not in line, line
    client.api.remove_image(f"{name}:{base.tag}", noprune=True)
    yield base
    with suppress(docker.errors.ImageNotFound):
        client.api.remove_image(f"{BASE_HOST}/{base.repository}:{base.tag}", noprune=True)


def _auth():
    return {"username": _LOGIN.username, "password": _LOGIN.password}


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "registry"
    folder.mkdir()
    with running_registry(folder, login=_LOGIN) as running:
        yield running


@pytest.fixture
def bench(tmp_path, client, base_id, registry):  # noqa: F811 - fixtures
    command = find_buildkit(docker_commands(os.environ["PATH"]), runner=SubprocessRunner(), environment=os.environ)
    if command is None:
        pytest.fail("no docker command here has BuildKit")
    before = {tag for image in client.images.list() for tag in image.tags}

    def make(**settings):
        session = aws.boto_session()
        session.client("s3").create_bucket(Bucket="contexts")
        machine = CodeBuildMachine(
            client=client,
            image="sagemaker-custom-tests:bookworm-venv-2",
            docker=command.program,
            folder=tmp_path,
            s3=aws.url,
            password=_LOGIN.password,
            region="us-east-1",
            secrets={},
        )
        api = CodeBuildApi(machine, page=1000)
        api.listen(session)
        spoken = Aws(session)
        role = f"arn:aws:iam::{ACCOUNT}:role/codebuild"
        asked = Settings(codebuild_service_role=role, codebuild_bucket="contexts", **settings)
        registry_client = RegistryClient(
            transport=transport, credentials=lambda host: _LOGIN, endpoint_for=lambda host: registry.url
        )
        progress = Lines()

        def builds(region):
            return CodeBuild(spoken.connection, region=region)

        def new_builder(builds):
            return CodeBuildBuilder(
                asked,
                builds=builds,
                contexts=spoken,
                registry=registry_client,
                endpoints=Endpoints(endpoint_for=lambda host: registry.url, credentials=lambda host: None),
                ensure_repository=lambda reference: None,
                remove_tag=registry_client.remove_tag,
                log_dir=tmp_path / "logs",
                version="1.2.3",
                token=lambda: secrets.token_hex(4),
                clock=lambda: datetime.now(tz=timezone.utc),
                sleep=lambda seconds: None,
                progress=progress,
            )

        gate = BatchGate(
            builds=builds, batches=lambda region: CodeBuildBatches(spoken.connection, region=region), quiet_s=2
        )
        return Bench(
            new_builder(builds), registry_client, api, machine, progress, client, asked, gate, new_builder, spoken
        )

    with SandboxAws() as aws, RequestsTransport() as transport:
        yield make
    # A machine of CodeBuild is thrown away with all that is on it; this engine is not.
    for image in client.images.list():
        for tag in set(image.tags) - before:
            if tag.startswith(("sagemaker-custom-build:", registry.host)):
                client.api.remove_image(tag, noprune=True)


def test_the_buildspec_builds_verifies_labels_and_pushes_one_schema2_manifest(bench, base, open_index):  # noqa: F811
    bench = bench(codebuild_ca_bundle=open_index.ca_bundle)
    indexes = PipIndexes(index_url=open_index.url())
    plan = example_plan(base=base, fingerprint=secrets.token_hex(32), pip_indexes=indexes)

    assert bench.builder.build(plan) == plan.reference

    manifest = bench.registry.manifest(plan.reference)
    assert manifest.media_type == DOCKER_MANIFEST
    parsed = parse_manifest(manifest.media_type, manifest.content, name="x")
    assert {layer.media_type for layer in parsed.layers} == {DOCKER_LAYER}
    labels = bench.registry.image_config(plan.reference)["config"]["Labels"]
    assert labels["sagemaker-custom.fingerprint"] == plan.fingerprint
    assert labels["sagemaker-custom.lock"] == '{"installed":{"tiny":"1.0"},"removed":[]}'
    assert labels["sagemaker-custom.builder"] == "codebuild"
    assert labels["sagemaker-custom.verified"] == "run"
    # The base of these tests has Debian's Python alone on its PATH.
    assert labels["sagemaker-custom.starts-scripts"] == "lacks pip3"
    assert labels["sagemaker-custom.spec"] == plan.labels["sagemaker-custom.spec"]
    assert labels["sagemaker-custom.base-digest"] == bench.registry.find(plan.base_reference.with_tag(base.tag))
    # This registry cannot remove a tag.
    assert [tag for tag in bench.tags(plan.reference) if not tag.startswith("staging-")] == [plan.reference.tag]
    assert "sagemaker-custom: verifying: python -c 'import tiny'" in bench.logged()


def test_two_images_are_one_batch_whose_entries_build_by_themselves(bench, base, open_index):  # noqa: F811
    bench = bench(codebuild_ca_bundle=open_index.ca_bundle)
    bench.api.projects["sagemaker-custom"] = {
        "name": "sagemaker-custom",
        "serviceRole": f"arn:aws:iam::{ACCOUNT}:role/codebuild",
        "environment": {"type": "LINUX_CONTAINER", "image": "x", "computeType": "x"},
        "buildBatchConfig": {"serviceRole": f"arn:aws:iam::{ACCOUNT}:role/batches"},
    }
    plans = []
    for verify in ("python -c 'import tiny'", "exit 3"):
        plan = example_plan(
            base=base,
            fingerprint=secrets.token_hex(32),
            pip_indexes=PipIndexes(index_url=open_index.url()),
            verify=(verify,),
        )
        plans.append(replace(plan, reference=plan.reference.with_tag(f"2.3.0-{plan.fingerprint[:20]}")))
    builders = [
        bench.new_builder(bench.gate.builds(sleep=lambda seconds: time.sleep(0.1), confirm=lambda question: None))
        for _ in plans
    ]
    with ThreadPoolExecutor(2) as threads:
        good, bad = [threads.submit(builder.build, plan) for builder, plan in zip(builders, plans, strict=True)]
    assert good.result() == plans[0].reference
    assert isinstance(bad.exception(), VerificationError)
    (batch,) = bench.api.batches.values()
    assert len(batch.builds) == 2
    labels = bench.registry.image_config(plans[0].reference)["config"]["Labels"]
    assert labels["sagemaker-custom.fingerprint"] == plans[0].fingerprint
    finals = [tag for tag in bench.tags(plans[0].reference) if not tag.startswith("staging-")]
    assert finals == [plans[0].reference.tag]


def test_a_verification_that_fails_pushes_nothing(bench, base, open_index):  # noqa: F811
    bench = bench(codebuild_ca_bundle=open_index.ca_bundle)
    plan = example_plan(
        base=base,
        fingerprint=secrets.token_hex(32),
        pip_indexes=PipIndexes(index_url=open_index.url()),
        verify=("echo 'it says no'; exit 3",),
    )
    with pytest.raises(VerificationError, match="exit code 3") as caught:
        bench.builder.build(plan)
    assert "it says no" in caught.value.message
    assert not bench.tags(plan.reference)


def test_a_script_that_could_not_start_pushes_nothing(bench, base, open_index):  # noqa: F811
    bench = bench(codebuild_ca_bundle=open_index.ca_bundle)
    indexes = PipIndexes(index_url=open_index.url())
    plan = example_plan(base=base, fingerprint=secrets.token_hex(32), pip_indexes=indexes)

    with pytest.raises(VerificationError, match="the built image lacks pip3, without which") as caught:
        bench.builder.build(replace(plan, starts_script=True))

    assert '"apt:python3-pip"' in caught.value.hint
    assert not bench.tags(plan.reference)


def test_a_step_that_fails_ends_the_build_with_its_last_lines(bench, base):
    bench = bench()
    plan = example_plan(
        base=base, fingerprint=secrets.token_hex(32), pip_indexes=PipIndexes(index_url="https://127.0.0.1:9/simple")
    )
    with pytest.raises(BuildError, match="'docker build' ended with exit code 1"):
        bench.builder.build(plan)
    assert not bench.tags(plan.reference)


def test_a_context_that_was_replaced_is_not_built(bench, base):
    bench = bench()
    plan = example_plan(base=base, fingerprint=secrets.token_hex(32))
    run = bench.machine

    def tampered(request, build_id):
        (uri,) = (
            item["value"]
            for item in request["environmentVariablesOverride"]
            if item["name"] == "SAGEMAKER_CUSTOM_CONTEXT"
        )
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        store = bench.builder._contexts
        store.connection.client("s3", "us-east-1").put_object(
            Bucket=bucket, Key=key, Body=gzip.compress(b"another context")
        )
        return run(request, build_id)

    bench.api.machine = tampered
    with pytest.raises(BuildError, match="computed checksum did NOT match"):
        bench.builder.build(plan)


def test_a_folder_of_ones_own_is_built_first_and_stays_its_user(bench, base, tmp_path, registry, open_index):  # noqa: F811
    bench = bench(codebuild_ca_bundle=open_index.ca_bundle)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM {registry.host}/{base.repository}:{base.tag}\nARG NAME\nRUN useradd ana && echo $NAME > /name\n"
        "COPY . /\nENV PATH=/opt/conda/bin:$PATH\nUSER ana\n"
    )
    (folder / "data.txt").write_text("mine")
    (folder / "ignored.txt").write_text("not mine")
    (folder / ".dockerignore").write_text("ignored.txt\n")
    own = own_image(name="mine", dockerfile=folder, build_args={"NAME": "b c"})
    plan = own_plan(own, "pip:tiny", pip_indexes=PipIndexes(index_url=open_index.url()))
    plan = replace(plan, verify=("grep 'b c' /name && test -f /data.txt && test ! -e /ignored.txt",))

    bench.builder.build(plan)

    config = bench.registry.image_config(plan.reference)["config"]
    assert config["User"] == "ana"
    assert config["Labels"]["sagemaker-custom.lock"] == '{"installed":{"tiny":"1.0"},"removed":[]}'
    assert config["Labels"]["sagemaker-custom.base-digest"].startswith("sha256:")
