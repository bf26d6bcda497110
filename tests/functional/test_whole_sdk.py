"""Pipelines, distribution, code, configuration and clusters with extended images: the request that AWS would get."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from functional_parts import Cloud
from sagemaker.huggingface import HuggingFace
from sagemaker.instance_group import InstanceGroup
from sagemaker.pytorch import PyTorch
from sagemaker.sklearn import SKLearn
from sdk_bench import CPU, ESTIMATORS, MODELS, ROLE, Bench, images_in

METRICS = [{"Name": "accuracy", "Regex": "accuracy: ([0-9.]+)"}]
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One for all: each test has names of its own."""
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


@pytest.fixture
def bench(cloud, code):
    return Bench(cloud=cloud, code=code, session=cloud.new_session())


DATA_PARALLEL = {"smdistributed": {"dataparallel": {"enabled": True}}}
TORCHRUN = {"torch_distributed": {"enabled": True}}
NEW_TRANSFORMERS = {"transformers_version": "5.3.0", "pytorch_version": "2.9.0", "py_version": "py312"}
UNLISTED = {
    "torchrun of PyTorch": (PyTorch, "pytorch", TORCHRUN, {"framework_version": "2.9", "py_version": "py312"}),
    "torchrun of Hugging Face": (HuggingFace, "huggingface", TORCHRUN, NEW_TRANSFORMERS),
    "data parallel of PyTorch": (
        PyTorch,
        "pytorch",
        DATA_PARALLEL,
        {"framework_version": "2.9", "py_version": "py312"},
    ),
    "data parallel of Hugging Face": (HuggingFace, "huggingface", DATA_PARALLEL, NEW_TRANSFORMERS),
}


class TestDistribution:
    @pytest.mark.parametrize("case", UNLISTED)
    def test_version_that_the_sdk_does_not_list(self, bench, case):
        stock, name, distribution, version = UNLISTED[case]
        arguments = {"distribution": distribution, "instance_type": "ml.p4d.24xlarge", "instance_count": 2, **version}
        with pytest.raises(ValueError, match=r"not supported|framework_version"):
            stock(entry_point="train.py", role=ROLE, sagemaker_session=bench.session, **arguments)
        bench.trained(name, source_dir=str(bench.code), **arguments)
        sent = bench.request("CreateTrainingJob")
        assert next(images_in(sent["AlgorithmSpecification"]))
        parameters = sent["HyperParameters"]
        assert sent["ResourceConfig"]["InstanceCount"] == 2
        if distribution is TORCHRUN:
            assert parameters["sagemaker_torch_distributed_enabled"] == "true"
        else:
            assert parameters["sagemaker_distributed_dataparallel_enabled"] == "true"
        assert parameters["sagemaker_instance_type"] == '"ml.p4d.24xlarge"'


class TestClusters:
    def test_instance_groups(self, bench):
        groups = [InstanceGroup("big", "ml.g5.xlarge", 1), InstanceGroup("small", "ml.g4dn.xlarge", 2)]
        bench.trained("pytorch", instance_groups=groups, instance_type=None, instance_count=None)
        sent = bench.request("CreateTrainingJob")
        assert [group["InstanceType"] for group in sent["ResourceConfig"]["InstanceGroups"]] == [
            "ml.g5.xlarge",
            "ml.g4dn.xlarge",
        ]
        assert "-training-gpu-" in sent["AlgorithmSpecification"]["TrainingImage"]


class TestCode:
    @pytest.fixture
    def library(self, tmp_path):
        folder = tmp_path / "library"
        folder.mkdir()
        (folder / "helper.py").write_text("x = 1\n")
        return str(folder)

    @pytest.fixture
    def repository(self, tmp_path):
        """A git repository, by an address of the kind that the SDK takes."""
        folder = tmp_path / "repository"
        (folder / "src").mkdir(parents=True)
        (folder / "lib").mkdir()
        (folder / "lib" / "helper.py").write_text("x = 1\n")
        for name in ("train.py", "inference.py"):
            (folder / "src" / name).write_text("print(1)\n")
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
            subprocess.run(["git", "-C", str(folder), *who, *command], check=True)
        Path("~/.gitconfig").expanduser().write_text(
            f'[url "file://{folder}"]\n    insteadOf = https://git.example.com/digits.git\n'
        )
        return {"repo": "https://git.example.com/digits.git", "branch": "main"}

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_dependencies_and_code_location_of_an_estimator(self, cloud, bench, library, name):
        cloud.s3.create_bucket(Bucket=f"code-{bench.name}")
        bench.trained(name, dependencies=[library], code_location=f"s3://{cloud.bucket}/{bench.name}/deep")
        uri = json.loads(bench.request("CreateTrainingJob")["HyperParameters"]["sagemaker_submit_directory"])
        assert uri.startswith(f"s3://{cloud.bucket}/{bench.name}/deep/")
        assert bench.files(uri) == ["clean.py", "inference.py", "library/helper.py", "train.py"]

    @pytest.mark.parametrize("name", MODELS)
    def test_dependencies_and_code_location_of_a_model(self, cloud, bench, library, name):
        place = f"s3://{cloud.bucket}/{bench.name}/deep"
        model = bench.model(name, dependencies=[library], code_location=place)
        self.created(bench, model)
        assert model.source_dir == str(bench.code)
        self.check_model(bench, {"clean.py", "inference.py", "library/helper.py", "train.py"}, place)

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_git_repository_of_an_estimator(self, bench, repository, name):
        bench.trained(
            name, git_config=repository, entry_point="train.py", source_dir="src", dependencies=["lib/helper.py"]
        )
        uri = json.loads(bench.request("CreateTrainingJob")["HyperParameters"]["sagemaker_submit_directory"])
        assert bench.files(uri) == ["helper.py", "inference.py", "train.py"]

    @pytest.mark.parametrize("name", MODELS)
    def test_git_repository_of_a_model(self, bench, repository, name):
        model = bench.model(name, git_config=repository, source_dir="src")
        self.created(bench, model)
        self.check_model(bench, {"inference.py", "train.py"})

    @staticmethod
    def created(bench, model):
        image = bench.push(model)
        model.create(instance_type=CPU)
        assert list(images_in(bench.request("CreateModel"))) == [image]

    @staticmethod
    def check_model(bench, expected, place="s3://"):
        container = bench.request("CreateModel")["PrimaryContainer"]
        separate = container["Environment"].get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        uri = separate if separate.startswith("s3://") else container["ModelDataUrl"]
        assert uri.startswith(place)
        files = {name.removeprefix("code/") for name in bench.files(uri)}
        assert expected <= files
        assert files - expected <= {"model.pth"}
        if "SAGEMAKER_PROGRAM" in container["Environment"]:
            assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_isolated_job_gets_its_code_by_a_channel(self, bench, name):
        bench.trained(name, enable_network_isolation=True)
        sent = bench.request("CreateTrainingJob")
        assert sent["EnableNetworkIsolation"] is True
        channels = {
            item["ChannelName"]: item["DataSource"]["S3DataSource"]["S3Uri"] for item in sent["InputDataConfig"]
        }
        assert channels.keys() == {"train", "code"}
        assert "/sagemaker-custom/source/" in channels["code"]
        directory = json.loads(sent["HyperParameters"]["sagemaker_submit_directory"])
        assert directory == "/opt/ml/input/data/code/sourcedir.tar.gz"


CONFIGURATION = {
    "SchemaVersion": "1.0",
    "SageMaker": {
        "TrainingJob": {
            "RoleArn": "arn:aws:iam::123456789012:role/FromTheFile",
            "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
            "OutputDataConfig": {"KmsKeyId": "key-1"},
            "ResourceConfig": {"VolumeKmsKeyId": "key-2"},
            "EnableNetworkIsolation": True,
            "Environment": {"TEAM": "vision"},
            "Tags": [{"Key": "team", "Value": "vision"}],
        },
        "Model": {
            "ExecutionRoleArn": "arn:aws:iam::123456789012:role/ModelsFromTheFile",
            "VpcConfig": {"Subnets": ["subnet-2"], "SecurityGroupIds": ["sg-2"]},
            "EnableNetworkIsolation": True,
            "Tags": [{"Key": "team", "Value": "serving"}],
        },
        "EndpointConfig": {"KmsKeyId": "key-3", "Tags": [{"Key": "team", "Value": "endpoints"}]},
        "Endpoint": {"Tags": [{"Key": "team", "Value": "endpoint"}]},
    },
}


class TestConfigurationOfTheSdk:
    @pytest.fixture
    def configured(self, cloud, code):
        def made():
            return Bench(cloud=cloud, code=code, session=cloud.new_session(sagemaker_config=CONFIGURATION))

        return made

    @pytest.mark.parametrize(("stock", "name"), [(PyTorch, "pytorch"), (SKLearn, "sklearn")])
    def test_defaults_reach_every_request_as_with_the_sdks_own_class(self, configured, stock, name):
        ours, theirs = configured(), configured()
        trained = ours.trained(name, role=None)
        ours.push(trained)
        self.deploy(trained, ours)
        arguments = {
            "entry_point": "train.py",
            "source_dir": str(theirs.code),
            "instance_type": CPU,
            "instance_count": 1,
            "sagemaker_session": theirs.session,
        }
        estimator = stock(**arguments | ESTIMATORS[name][1])
        estimator.fit({"train": "s3://data/train"}, wait=False, job_name=theirs.name)
        theirs.cloud.leave_model(estimator)
        self.deploy(estimator, theirs)
        assert self.defaults(ours) == self.defaults(theirs)
        job = ours.request("CreateTrainingJob")
        assert job["RoleArn"].endswith("/FromTheFile")
        assert job["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        assert job["Environment"] == {"TEAM": "vision"}
        assert ours.request("CreateEndpointConfig")["KmsKeyId"] == "key-3"

    @pytest.mark.parametrize("name", MODELS)
    def test_defaults_of_models(self, configured, name):
        bench = configured()
        model = bench.model(name, role=None)
        bench.push(model)
        model.create(instance_type=CPU)
        sent = bench.request("CreateModel")
        assert sent["ExecutionRoleArn"].endswith("/ModelsFromTheFile")
        assert sent["VpcConfig"] == {"Subnets": ["subnet-2"], "SecurityGroupIds": ["sg-2"]}
        assert sent["EnableNetworkIsolation"] is True

    @staticmethod
    def deploy(estimator, bench):
        estimator.deploy(1, CPU, wait=False, endpoint_name=bench.name, entry_point="inference.py")

    @staticmethod
    def defaults(bench):
        names = "RoleArn", "ExecutionRoleArn", "VpcConfig", "KmsKeyId", "EnableNetworkIsolation", "Environment", "Tags"
        kinds = "CreateTrainingJob", "CreateModel", "CreateEndpointConfig", "CreateEndpoint"
        found = [(kind, {name: bench.request(kind).get(name) for name in names}) for kind in kinds]
        for _, values in found:
            values["Environment"] = sorted(values["Environment"] or ())
        return found, bench.request("CreateTrainingJob")["OutputDataConfig"]["KmsKeyId"]
