"""The sandbox: one AWS for every client, a real registry, and stand-ins that the stock images' users can work with."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import requests
from docker.errors import NotFound

from sagemaker_custom.errors import BuildError, RegistryUnavailableError, UsageError
from sagemaker_custom.plan import STAND_IN_LABEL
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.sandbox import Sandbox
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.sandbox.frameworks import FRAMEWORKS, PYTORCH_INFERENCE, PYTORCH_TRAINING
from sagemaker_custom.sandbox.publish import published_labels
from sagemaker_custom.sandbox.registry import LocalRegistry
from sagemaker_custom.sandbox.stand_ins import RECIPE_LABEL, Recipe, StandIns
from sagemaker_custom.settings import Settings

pytestmark = pytest.mark.docker

PYTORCH = FRAMEWORKS["pytorch"]
TRAINING_BASE = PYTORCH[0].reference


class TestEngine:
    def test_the_command_line_tells_which_engine_answers(self, docker_engine):
        done = subprocess.run(
            [sys.executable, "-m", "sagemaker_custom.sandbox.engine"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Docker Engine {docker_engine.version()['Version']} answers" in done.stdout


@pytest.fixture
def aws():
    with SandboxAws() as running:
        yield running


@pytest.fixture
def client_of(aws):
    """Make clients that are closed after the test."""
    made = []

    def make(service, **arguments):
        made.append(aws.boto_session().client(service, **arguments))
        return made[-1]

    yield make
    for client in made:
        client.close()


class TestAws:
    def test_client_with_an_endpoint_of_its_own_is_redirected_too(self, client_of):
        sts = client_of("sts", endpoint_url="https://sts.us-east-1.amazonaws.com")
        assert sts.get_caller_identity()["Account"] == "123456789012"

    @pytest.mark.parametrize("style", ["path", "virtual"])
    def test_objects_come_back_in_both_addressing_styles(self, client_of, style):
        from botocore.config import Config

        s3 = client_of("s3", config=Config(s3={"addressing_style": style}))
        s3.create_bucket(Bucket="digits-of-somebody")
        content = os.urandom(9_000_000)  # over the limit from which boto3 uploads in parts
        s3.upload_fileobj(io.BytesIO(content), "digits-of-somebody", "folder/a name.bin")
        fetched = io.BytesIO()
        s3.download_fileobj("digits-of-somebody", "folder/a name.bin", fetched)
        assert fetched.getvalue() == content
        listed = s3.list_objects_v2(Bucket="digits-of-somebody")["Contents"]
        assert [entry["Key"] for entry in listed] == ["folder/a name.bin"]

    def test_registry_service_names_true_ecr_hosts(self, client_of):
        ecr = client_of("ecr")
        repository = ecr.create_repository(repositoryName="sagemaker-custom-pytorch")["repository"]
        assert repository["repositoryUri"] == ("123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch")
        assert ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]

    def test_training_job_and_endpoint_are_recorded(self, client_of):
        sagemaker, role = client_of("sagemaker"), "arn:aws:iam::123456789012:role/SageMakerRole"
        sagemaker.create_training_job(
            TrainingJobName="digits",
            RoleArn=role,
            AlgorithmSpecification={"TrainingImage": TRAINING_BASE, "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://digits/output"},
            ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        job = sagemaker.describe_training_job(TrainingJobName="digits")
        assert job["AlgorithmSpecification"]["TrainingImage"] == TRAINING_BASE
        sagemaker.create_model(ModelName="digits", ExecutionRoleArn=role, PrimaryContainer={"Image": TRAINING_BASE})
        variant = {"VariantName": "all", "ModelName": "digits", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(
            EndpointConfigName="digits", ProductionVariants=[{**variant, "InstanceType": "ml.m5.xlarge"}]
        )
        sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="digits")
        assert sagemaker.describe_endpoint(EndpointName="digits")["EndpointStatus"] == "InService"

    def test_one_that_still_runs_keeps_what_it_recorded(self, client_of):
        client_of("s3").create_bucket(Bucket="earlier")
        with SandboxAws():
            assert "earlier" in [bucket["Name"] for bucket in client_of("s3").list_buckets()["Buckets"]]

    def test_what_an_earlier_one_recorded_is_forgotten(self):
        program = """
from sagemaker_custom.sandbox.aws import SandboxAws
with SandboxAws() as aws:
    aws.boto_session().client("s3").create_bucket(Bucket="earlier")
with SandboxAws() as aws:
    assert aws.boto_session().client("s3").list_buckets()["Buckets"] == []
"""
        # In a process of its own: another sandbox of this one may be running.
        subprocess.run([sys.executable, "-c", program], check=True)


class TestRegistry:
    def test_pushed_content_is_there_the_next_time(self, tmp_path):
        with LocalRegistry(tmp_path / "registry") as first:
            blob = requests.post(f"{first.url}/v2/things/blobs/uploads/", timeout=10)
            digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
            put = requests.put(blob.headers["Location"], params={"digest": digest}, data=b"hello", timeout=10)
            assert put.status_code == 201
            port = first.address
        with LocalRegistry(tmp_path / "registry") as second:
            assert second.address == port
            assert requests.get(f"{second.url}/v2/things/blobs/{digest}", timeout=10).content == b"hello"
            assert requests.delete(f"{second.url}/v2/things/blobs/{digest}", timeout=10).status_code == 202
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{second.url}/v2/", timeout=2)

    def test_two_on_one_folder_take_two_ports(self, tmp_path):
        with LocalRegistry(tmp_path) as one, LocalRegistry(tmp_path) as other:
            assert one.address != other.address

    def test_missing_program_is_named(self, tmp_path):
        with (
            pytest.raises(RegistryUnavailableError, match="no-such-registry cannot be run"),
            LocalRegistry(tmp_path, executable="no-such-registry"),
        ):
            pass

    def test_program_that_ends_at_once_is_reported_with_its_log(self, tmp_path):
        with (
            pytest.raises(RegistryUnavailableError, match=r"registry\.log"),
            LocalRegistry(tmp_path, executable="false"),
        ):
            pass


class TestStandIns:
    @pytest.mark.parametrize("item", PYTORCH, ids=lambda item: item.repository)
    def test_registry_has_them_under_the_stock_names_with_the_label(self, sandbox, item):
        registry = sandbox._registry
        labels = published_labels(registry, item)
        assert labels[STAND_IN_LABEL] == "true"
        assert labels["sagemaker-custom.stand-in.about"].startswith("Not an image by AWS")
        assert labels[RECIPE_LABEL] == item.recipe.digest

    def test_unknown_repository_has_no_labels(self, sandbox):
        assert published_labels(sandbox._registry, replace(PYTORCH[0], repository="nobody-pushed-this")) == {}

    def test_nothing_is_made_or_pushed_the_second_time(self, sandbox):
        class Listening(NoProgress):
            steps = ()

            def step(self, text):
                self.steps = (*self.steps, text)

        progress = Listening()
        sandbox.ensure_bases(progress)
        assert progress.steps == ()

    @pytest.mark.parametrize(
        ("recipe", "module"),
        [
            (PYTORCH_TRAINING, "sagemaker_pytorch_container.training"),
            (PYTORCH_INFERENCE, "sagemaker_pytorch_serving_container.serving"),
        ],
        ids=["training", "inference"],
    )
    def test_they_hold_the_real_toolkit_and_torch_and_nothing_of_the_making(
        self, docker_engine, sandbox, recipe, module
    ):
        stand_ins = StandIns(docker_engine, sandbox._folder, Settings.load(), NoProgress())
        said = docker_engine.containers.run(
            stand_ins.ensure(recipe),
            entrypoint=["python", "-c"],
            command=[f"import {module}, os, sys, torch; print(sys.executable, torch.__version__, os.listdir('/tmp'))"],
            remove=True,
            network_disabled=True,
        )
        assert said.decode().splitlines()[-1] == "/opt/conda/bin/python 2.13.0+cpu []"

    def test_framework_without_a_stand_in_is_refused_with_those_that_have_one(self, sandbox):
        with pytest.raises(UsageError, match="there is no stand-in for mxnet") as caught:
            sandbox.ensure_bases(frameworks=["pytorch", "mxnet"])
        assert "pytorch, huggingface, sklearn, xgboost, tensorflow" in caught.value.hint

    def test_pip_configuration_never_reaches_an_image(self, docker_engine, sandbox):
        stand_ins = StandIns(docker_engine, sandbox._folder, Settings.load(), NoProgress())
        image = docker_engine.images.get(stand_ins.ensure(PYTORCH_TRAINING))
        environment = image.attrs["Config"]["Env"]
        assert not [entry for entry in environment if entry.startswith(("PIP_", "SSL_", "REQUESTS_"))]

    def test_script_that_fails_is_reported_with_its_last_lines(self, docker_engine, sandbox):
        broken = Recipe(name="pytorch-training", about="broken", parent=PYTORCH_TRAINING)
        with pytest.raises(BuildError) as caught:
            StandIns(docker_engine, sandbox._folder, Settings.load(), NoProgress()).ensure(broken)
        assert "the stand-in pytorch-training cannot be made: its script ended with 1" in str(caught.value)
        assert "start_with_right_hostname.sh" in str(caught.value)
        with pytest.raises(NotFound):
            docker_engine.images.get(f"sagemaker-custom-stand-in:pytorch-training-{broken.digest}")


class TestSandbox:
    def test_settings_send_every_ecr_host_to_the_registry(self, sandbox):
        assert sandbox.settings.endpoint_for("763104351884.dkr.ecr.us-east-1.amazonaws.com") == sandbox.registry_url
        assert sandbox.settings.endpoint_for("123456789012.dkr.ecr.eu-west-1.amazonaws.com") == sandbox.registry_url

    def test_default_bucket_is_there(self, sandbox):
        s3 = sandbox.boto_session().client("s3")
        assert s3.head_bucket(Bucket="sagemaker-us-east-1-123456789012")["ResponseMetadata"]["HTTPStatusCode"] == 200
        s3.close()

    def test_another_process_reaches_the_same_sandbox(self, sandbox):
        script = (
            "import boto3; from sagemaker_custom.settings import Settings; settings = Settings.load();"
            "print(boto3.client('sts').get_caller_identity()['Account'], settings.account,"
            "settings.endpoint_for('123456789012.dkr.ecr.us-east-1.amazonaws.com'), settings.sdk_telemetry)"
        )
        environment = os.environ | sandbox.environment
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout.split() == ["123456789012", "123456789012", sandbox.registry_url, "False"]

    def test_another_region_has_its_own_bucket(self, tmp_path):
        with Sandbox(tmp_path, region="eu-west-1") as other:
            s3 = other.boto_session().client("s3")
            location = s3.get_bucket_location(Bucket="sagemaker-eu-west-1-123456789012")["LocationConstraint"]
            s3.close()
        assert location == "eu-west-1"
