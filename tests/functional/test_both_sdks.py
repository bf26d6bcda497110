"""What an ordinary user writes, unchanged on either line of the SDK: the requests that AWS gets."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

import sagemaker_custom
from sagemaker_custom import (
    CustomFramework,
    CustomHuggingFace,
    CustomPyTorch,
    CustomPyTorchModel,
    CustomPyTorchPredictor,
    CustomSKLearn,
    CustomXGBoost,
    inference_image,
    remote_image,
    training_image,
)
from sagemaker_custom.errors import ImageMissingError, ImageNotInCatalogError, SourceError, UsageError
from sagemaker_custom.installed_sdk import adapter

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU = "ml.m5.xlarge"
EXTENDED = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-"
SERVING = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-inference-cpu-py311-faiss-"
STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
pytestmark = pytest.mark.usefixtures("roles_are_not_asked_about")


@pytest.fixture
def make(cloud, code):
    """Make estimators of an ordinary user."""

    def estimator(cls=CustomPyTorch, **arguments):
        given = {
            "entry_point": "train.py",
            "source_dir": str(code),
            "role": ROLE,
            "instance_type": CPU,
            "instance_count": 1,
            "sagemaker_session": cloud.session,
            "settings": cloud.settings,
        }
        pytorch = {"framework_version": "2.3", "py_version": "py311", "extras": ["faiss"]}
        return cls(**given | (pytorch if cls is CustomPyTorch else {}) | arguments)

    return estimator


@pytest.fixture
def trained(cloud, make):
    """Train, and leave a model where the job would have."""

    def fit(inputs=None, **arguments):
        estimator = make(**arguments)
        if estimator.image_uri is None:
            cloud.push(estimator.plan_image())
        estimator.fit(inputs or {"train": "s3://data/train"}, wait=False)
        cloud.leave_model(estimator)
        return estimator

    return fit


def user_channels(job):
    """The channels that the user asked for; the SDK v3 adds two of its own."""
    return {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in job["InputDataConfig"]
        if channel["ChannelName"] not in {"code", "sm_drivers"}
    }


def user_parameters(job):
    """The hyperparameters that the user asked for; the SDK v2 adds some of its own."""
    return {
        name: json.loads(value) for name, value in job["HyperParameters"].items() if not name.startswith("sagemaker_")
    }


class TestFit:
    def test_job_has_the_image_the_channels_the_parameters_and_the_environment(self, cloud, trained):
        estimator = trained(
            {"train": "s3://data/train", "test": "s3://data/test"},
            hyperparameters={"epochs": 3, "rate": 0.5},
            environment={"COLOUR": "blue"},
        )
        job = cloud.request("CreateTrainingJob")
        assert job["TrainingJobName"] == estimator.latest_training_job.name
        assert job["AlgorithmSpecification"]["TrainingImage"].startswith(EXTENDED)
        assert job["AlgorithmSpecification"]["TrainingInputMode"] == "File"
        assert user_channels(job) == {"train": "s3://data/train", "test": "s3://data/test"}
        assert user_parameters(job) == {"epochs": 3, "rate": 0.5}
        assert job["Environment"]["COLOUR"] == "blue"
        assert job["RoleArn"] == ROLE
        assert job["ResourceConfig"]["InstanceType"] == CPU
        assert job["ResourceConfig"]["InstanceCount"] == 1
        assert job["ResourceConfig"]["VolumeSizeInGB"] == 30
        assert job["StoppingCondition"]["MaxRuntimeInSeconds"] == 86400
        assert job["OutputDataConfig"]["S3OutputPath"] == f"s3://{cloud.bucket}/"
        assert job["TrainingJobName"].startswith("sagemaker-custom-pytorch-")

    def test_code_is_one_archive_under_its_digest_which_a_second_job_does_not_upload(self, cloud, make, code):
        (code / "part.py").write_text("x = 1\n")
        estimator = make()
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        [archive] = [key for key in cloud.objects() if key.endswith("/sourcedir.tar.gz")]
        assert archive.startswith("sagemaker-custom/source/")
        written = cloud.head(cloud.bucket, archive)["LastModified"], cloud.head(cloud.bucket, archive)["ETag"]
        make().fit(wait=False)
        assert [key for key in cloud.objects() if key.endswith("/sourcedir.tar.gz")] == [archive]
        assert (cloud.head(cloud.bucket, archive)["LastModified"], cloud.head(cloud.bucket, archive)["ETag"]) == written
        with tarfile.open(fileobj=cloud.download(archive)) as packed:
            assert "part.py" in packed.getnames()

    def test_only_input_is_called_training(self, cloud, make):
        estimator = make()
        cloud.push(estimator.plan_image())
        estimator.fit("s3://data/all", wait=False)
        assert user_channels(cloud.training_job(estimator)) == {"training": "s3://data/all"}

    def test_job_may_be_named(self, cloud, make):
        estimator = make()
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False, job_name="my-job-1")
        assert estimator.latest_training_job.name == "my-job-1"
        assert cloud.training_job(estimator)["TrainingJobName"] == "my-job-1"

    def test_choices_about_the_job_arrive(self, cloud, trained):
        trained(
            use_spot_instances=True,
            max_run=3600,
            max_wait=7200,
            volume_size=50,
            keep_alive_period_in_seconds=600,
            output_path="s3://sagemaker-us-east-1-123456789012/out",
            checkpoint_s3_uri="s3://data/checkpoints",
            subnets=["subnet-1"],
            security_group_ids=["sg-1"],
            enable_network_isolation=True,
            encrypt_inter_container_traffic=True,
            metric_definitions=[{"Name": "loss", "Regex": "loss=(.*)"}],
            tags=[{"Key": "team", "Value": "vision"}],
            base_job_name="night",
        )
        job = cloud.request("CreateTrainingJob")
        assert job["EnableManagedSpotTraining"] is True
        assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
        assert job["ResourceConfig"]["VolumeSizeInGB"] == 50
        assert job["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
        assert job["OutputDataConfig"]["S3OutputPath"] == "s3://sagemaker-us-east-1-123456789012/out"
        assert job["CheckpointConfig"]["S3Uri"] == "s3://data/checkpoints"
        assert job["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        assert job["EnableNetworkIsolation"] is True
        assert job["EnableInterContainerTrafficEncryption"] is True
        assert job["AlgorithmSpecification"]["MetricDefinitions"] == [{"Name": "loss", "Regex": "loss=(.*)"}]
        assert job["TrainingJobName"].startswith("night-")
        assert {"Key": "team", "Value": "vision"} in job["Tags"]

    def test_image_of_ones_own_is_used_untouched(self, cloud, make):
        estimator = make(image_uri="team/image:1", extras=())
        estimator.fit(wait=False)
        assert cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"] == "team/image:1"

    def test_without_extras_the_image_is_that_of_aws(self, make):
        assert make(extras=()).training_image_uri() == STOCK

    def test_missing_image_is_told_and_nothing_is_sent(self, cloud, make):
        with pytest.raises(ImageMissingError):
            make(build="never").fit(wait=False)
        assert cloud.training_jobs() == []

    def test_missing_script_is_told_before_anything_is_built(self, cloud, make):
        with pytest.raises(SourceError, match=r"absent\.py"):
            make(entry_point="absent.py").fit(wait=False)
        assert cloud.training_jobs() == []


class TestDeploy:
    def test_endpoint_serves_the_inference_image_with_the_code_in_the_model(self, cloud, trained):
        estimator = trained()
        cloud.push(estimator.plan_image("inference"))
        predictor = estimator.deploy(1, CPU, entry_point="inference.py", endpoint_name="digits", wait=False)
        assert isinstance(predictor, CustomPyTorchPredictor)
        assert predictor.endpoint_name == "digits"
        container = cloud.model_of(predictor)
        assert container["Image"].startswith(SERVING)
        assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
        assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
        assert container["Environment"]["SAGEMAKER_CONTAINER_LOG_LEVEL"] == "20"
        assert container["Environment"]["SAGEMAKER_REGION"] == "us-east-1"
        with tarfile.open(fileobj=cloud.download_uri(container["ModelDataUrl"])) as archive:
            names = {name.removeprefix("./") for name in archive.getnames()}
        assert {"model.pth", "code/inference.py"} <= names
        variant = cloud.sagemaker.describe_endpoint_config(
            EndpointConfigName=cloud.sagemaker.describe_endpoint(EndpointName="digits")["EndpointConfigName"]
        )["ProductionVariants"][0]
        assert (variant["InstanceType"], variant["InitialInstanceCount"]) == (CPU, 1)

    def test_model_of_ones_own_data_is_deployed(self, cloud, code):
        cloud.put_model("given/model.tar.gz")
        model = CustomPyTorchModel(
            model_data=f"s3://{cloud.bucket}/given/model.tar.gz",
            role=ROLE,
            entry_point="inference.py",
            source_dir=str(code),
            framework_version="2.3",
            py_version="py311",
            extras=["faiss"],
            env={"COLOUR": "red"},
            sagemaker_session=cloud.session,
            settings=cloud.settings,
        )
        cloud.push(model.plan_image(CPU))
        container = cloud.model_of(model.deploy(1, CPU, endpoint_name="given", wait=False))
        assert container["Image"].startswith(SERVING)
        assert container["Environment"]["COLOUR"] == "red"

    def test_endpoint_is_deleted(self, cloud, trained):
        estimator = trained()
        cloud.push(estimator.plan_image("inference"))
        predictor = estimator.deploy(1, CPU, entry_point="inference.py", endpoint_name="digits", wait=False)
        predictor.delete_endpoint()
        assert cloud.sagemaker.list_endpoints()["Endpoints"] == []
        assert cloud.sagemaker.list_endpoint_configs()["EndpointConfigs"] == []


class TestOtherFrameworks:
    @pytest.mark.parametrize(
        ("cls", "arguments"),
        [
            (CustomSKLearn, {"framework_version": "1.2-1"}),
            (CustomXGBoost, {"framework_version": "1.7-1"}),
            (
                CustomHuggingFace,
                {"transformers_version": "4.28.1", "pytorch_version": "2.0.0", "instance_type": "ml.g5.xlarge"},
            ),
        ],
        ids=lambda value: getattr(value, "__name__", ""),
    )
    def test_job_has_the_extended_image_of_the_framework(self, cloud, make, cls, arguments):
        estimator = make(cls, extras=["pip:zarr"], **arguments)
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        image = cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"]
        assert image == str(estimator.plan_image().reference)
        assert f"sagemaker-custom-{estimator.plan_image().spec.framework}:" in image

    def test_framework_of_ones_own_trains(self, cloud, make):
        image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-team:1"
        estimator = make(CustomFramework, image_uri=image)
        estimator.fit(wait=False)
        assert cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"] == image


class TestFunctions:
    def test_images_are_those_of_the_classes(self, cloud, make):
        estimator = make()
        for plan in (estimator.plan_image(), estimator.plan_image("inference")):
            cloud.push(plan)
        asked = {"version": "2.3", "py_version": "py311", "extras": ["faiss"], "build": "never"}
        known = {"sagemaker_session": cloud.session, "settings": cloud.settings}
        assert training_image("pytorch", **asked, **known) == str(estimator.plan_image().reference)
        assert inference_image("pytorch", **asked, **known) == str(estimator.plan_image("inference").reference)

    def test_missing_image_is_told(self, cloud):
        known = {"sagemaker_session": cloud.session, "settings": cloud.settings}
        with pytest.raises(ImageMissingError):
            training_image("pytorch", version="2.3", extras=["pip:zarr"], build="never", **known)

    def test_remote_image_has_the_callers_python(self, cloud):
        known = {"sagemaker_session": cloud.session, "settings": cloud.settings, "build": "never"}
        assert remote_image("pytorch", python=(3, 11), version="2.3", **known) == STOCK

    def test_remote_image_for_a_python_that_aws_has_not_is_told(self, cloud):
        with pytest.raises(ImageNotInCatalogError, match="py314"):
            remote_image("pytorch", python=(3, 14), version="2.3", settings=cloud.settings)


def test_everything_that_is_exported_can_be_imported():
    names = {}
    exec("from sagemaker_custom import *", names)
    assert names.keys() >= set(sagemaker_custom.__all__)


@pytest.mark.skipif(adapter().endswith("v3"), reason="is there with the SDK v3")
def test_source_code_without_the_sdk_v3_is_told():
    with pytest.raises(UsageError, match="SDK v3's classes") as caught:
        sagemaker_custom.source_code("train.py", "code")
    assert "source_dir=" in caught.value.hint


def test_misspelt_extras_are_told(make):
    with pytest.raises(UsageError, match="extra"):
        make(extra=["faiss"])


def test_prediction_goes_through_the_serializers(cloud):
    sent = []

    class Runtime:
        def invoke_endpoint(self, **request):
            sent.append(request)
            return {"Body": io.BytesIO(b"[[1.0]]"), "ContentType": "application/json"}

    cloud.session.sagemaker_runtime_client = Runtime()
    predictor = CustomPyTorchPredictor("digits", cloud.session)
    predictor.serializer, predictor.deserializer = _Text(), _Json()
    assert predictor.predict("seven") == [[1.0]]
    [request] = sent
    assert (request["EndpointName"], request["ContentType"], request["Body"]) == ("digits", "text/plain", b"seven")


class _Text:
    CONTENT_TYPE = "text/plain"

    def serialize(self, data):
        return data.encode()


class _Json:
    ACCEPT = ("application/json",)

    def deserialize(self, stream, content_type):
        del content_type
        return json.loads(stream.read())
