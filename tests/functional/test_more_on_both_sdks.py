"""What else a user does with an estimator and a model, unchanged on either line of the SDK: the requests AWS gets."""

from __future__ import annotations

import json
import tarfile

import pytest

from sagemaker_custom import CustomFramework, CustomPyTorch, CustomPyTorchModel, CustomSKLearn, CustomTensorFlow
from sagemaker_custom.errors import ImageMissingError, UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU = "ml.m5.xlarge"
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TRAINING = f"{ECR}/sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-"
SERVING = f"{ECR}/sagemaker-custom-pytorch:2.3.0-inference-cpu-py311-faiss-"
TYPES = (["text/csv"], ["application/json"], [CPU], [CPU])


@pytest.fixture(autouse=True)
def _environment(cloud, monkeypatch):
    """Say what attach() takes no arguments for; and keep the SDK v3 from asking IAM, which moto cannot answer for."""
    endpoint = cloud.settings.registry_endpoints[0]
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS", f"{endpoint.pattern}={endpoint.url}")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS", "1")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")
    monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", "false")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.fixture
def trained(cloud, code):
    """Train, and leave a model where the job would have."""

    def fit(cls=CustomPyTorch, **arguments):
        given = {
            "entry_point": "train.py",
            "source_dir": str(code),
            "role": ROLE,
            "instance_type": CPU,
            "instance_count": 1,
            "sagemaker_session": cloud.session,
            "settings": cloud.settings,
            "output_kms_key": "key-1",
        }
        pytorch = {"framework_version": "2.3", "py_version": "py311", "extras": ["faiss"]}
        estimator = cls(**given | (pytorch if cls is CustomPyTorch else {}) | arguments)
        if estimator.image_uri is None:
            cloud.push(estimator.plan_image())
        estimator.fit({"train": "s3://data/train"}, wait=False)
        cloud.leave_model(estimator)
        return estimator

    return fit


@pytest.fixture
def servable(cloud, trained):
    """Train, with the image that serves in the registry."""

    def fit(*args, **arguments):
        estimator = trained(*args, **arguments)
        cloud.push(estimator.plan_image("inference"))
        return estimator

    return fit


@pytest.fixture
def model(cloud, code):
    cloud.put_model("given/model.tar.gz")
    made = CustomPyTorchModel(
        model_data=f"s3://{cloud.bucket}/given/model.tar.gz",
        role=ROLE,
        entry_point="inference.py",
        source_dir=str(code),
        framework_version="2.3",
        py_version="py311",
        extras=["faiss"],
        name="digits",
        sagemaker_session=cloud.session,
        settings=cloud.settings,
    )
    cloud.push(made.plan_image(CPU))
    return made


def files_of(cloud, container):
    with tarfile.open(fileobj=cloud.download_uri(container["ModelDataUrl"])) as archive:
        return {name.removeprefix("./") for name in archive.getnames()}


class TestAttach:
    def test_extended_estimator_comes_back_and_is_deployed(self, cloud, servable):
        before = servable(
            hyperparameters={"rate": 0.5, "name": "big"},
            tags=[{"Key": "team", "Value": "vision"}],
            max_run=3600,
        )
        after = CustomPyTorch.attach(before.latest_training_job.name, sagemaker_session=cloud.session)
        assert after.latest_training_job.name == before.latest_training_job.name
        assert after.model_data == before.model_data
        assert after.training_image_uri() == before.training_image_uri()
        assert json.loads(str(after.hyperparameters()["rate"])) == 0.5
        assert str(after.hyperparameters()["name"]).strip('"') == "big"
        predictor = after.deploy(1, CPU, entry_point="inference.py", endpoint_name="attached", wait=False)
        container = cloud.model_of(predictor)
        assert container["Image"].startswith(SERVING)
        assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
        assert {"model.pth", "code/inference.py", "code/train.py"} <= files_of(cloud, container)

    def test_own_image_stays_own(self, cloud, trained):
        image = f"{ECR}/team/pytorch-training:2.6.0-gpu-py312-ours"
        before = trained(image_uri=image, extras=())
        after = CustomPyTorch.attach(before.latest_training_job.name, sagemaker_session=cloud.session)
        assert (after.image_uri, after.training_image_uri()) == (image, image)

    def test_framework_of_ones_own_comes_back(self, cloud, trained):
        image = f"{ECR}/sagemaker-team:1"
        before = trained(CustomFramework, image_uri=image)
        after = CustomFramework.attach(before.latest_training_job.name, sagemaker_session=cloud.session)
        assert after.training_image_uri() == image

    def test_class_of_another_framework_is_refused(self, cloud, trained):
        job = trained().latest_training_job.name
        with pytest.raises(UsageError, match="an image of pytorch") as caught:
            CustomTensorFlow.attach(job, sagemaker_session=cloud.session)
        assert "class of that framework" in caught.value.hint

    def test_image_that_is_gone_is_not_guessed(self, cloud, trained):
        estimator = trained()
        cloud.remove(estimator.plan_image())
        with pytest.raises(ImageMissingError, match="gone"):
            CustomPyTorch.attach(estimator.latest_training_job.name, sagemaker_session=cloud.session)


class TestTransform:
    def test_estimator_transforms_batches_with_the_extended_inference_image(self, cloud, servable):
        transformer = servable().transformer(
            2,
            CPU,
            entry_point="inference.py",
            strategy="MultiRecord",
            assemble_with="Line",
            output_path="s3://data/out",
            accept="text/csv",
            max_payload=6,
            env={"COLOUR": "blue"},
        )
        transformer.transform("s3://data/in", content_type="text/csv", split_type="Line", wait=False, logs=False)
        job = cloud.request("CreateTransformJob")
        assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://data/in"
        assert job["TransformOutput"]["S3OutputPath"] == "s3://data/out"
        assert job["TransformOutput"]["AssembleWith"] == "Line"
        assert job["TransformOutput"]["Accept"] == "text/csv"
        assert job["TransformResources"]["InstanceCount"] == 2
        assert job["TransformResources"]["InstanceType"] == CPU
        assert job["BatchStrategy"] == "MultiRecord"
        assert job["MaxPayloadInMB"] == 6
        assert job["Environment"]["COLOUR"] == "blue"
        container = cloud.sagemaker.describe_model(ModelName=job["ModelName"])["PrimaryContainer"]
        assert container["Image"].startswith(SERVING)
        assert {"model.pth", "code/inference.py"} <= files_of(cloud, container)

    def test_model_transforms_batches_under_its_name(self, cloud, model):
        transformer = model.transformer(1, CPU)
        transformer.transform("s3://data/in", wait=False, logs=False)
        job = cloud.request("CreateTransformJob")
        assert job["ModelName"] == "digits"
        assert job["TransformJobName"].startswith("digits-")
        assert cloud.request("CreateModel")["PrimaryContainer"]["Image"].startswith(SERVING)

    def test_missing_image_is_told_and_nothing_is_sent(self, cloud, trained):
        with pytest.raises(ImageMissingError):
            trained(build="never").transformer(1, CPU)
        assert cloud.models() == []


class TestModel:
    def test_model_is_created_with_the_extended_image_and_the_code(self, cloud, model):
        assert model.create(instance_type=CPU, tags=[{"Key": "team", "Value": "vision"}]) is None
        request = cloud.request("CreateModel")
        assert request["ModelName"] == model.name == "digits"
        assert request["ExecutionRoleArn"] == ROLE
        assert {"Key": "team", "Value": "vision"} in request["Tags"]
        container = request["PrimaryContainer"]
        assert container["Image"].startswith(SERVING)
        assert {"model.pth", "code/inference.py"} <= files_of(cloud, container)

    def test_model_of_an_estimator_is_made_with_other_choices(self, cloud, servable):
        model = servable(subnets=["subnet-1"], security_group_ids=["sg-1"]).create_model(
            entry_point="inference.py", env={"COLOUR": "red"}, name="other", vpc_config_override=None
        )
        model.create(CPU)
        request = cloud.request("CreateModel")
        assert request["ModelName"] == "other"
        assert "VpcConfig" not in request
        assert request["PrimaryContainer"]["Environment"]["COLOUR"] == "red"


class TestRegister:
    def test_model_becomes_a_version_of_a_group(self, cloud, model):
        package = model.register(
            *TYPES,
            model_package_group_name="digits-group",
            approval_status="Approved",
            description="of tonight",
            customer_metadata_properties={"night": "1"},
        )
        assert package.model_package_arn.startswith("arn:aws:sagemaker:us-east-1:123456789012:model-package/digits-")
        request = cloud.request("CreateModelPackage")
        assert request["ModelPackageGroupName"] == "digits-group"
        assert request["ModelApprovalStatus"] == "Approved"
        assert request["ModelPackageDescription"] == "of tonight"
        assert request["CustomerMetadataProperties"] == {"night": "1"}
        specification = request["InferenceSpecification"]
        [container] = specification["Containers"]
        assert container["Image"].startswith(SERVING)
        assert container["Framework"] == "PYTORCH"
        assert container["FrameworkVersion"] in {"2.3", "2.3.0"}
        assert {"model.pth", "code/inference.py"} <= files_of(cloud, container)
        assert specification["SupportedContentTypes"] == ["text/csv"]
        assert specification["SupportedResponseMIMETypes"] == ["application/json"]
        assert specification["SupportedRealtimeInferenceInstanceTypes"] == [CPU]
        assert specification["SupportedTransformInstanceTypes"] == [CPU]

    def test_package_is_approved_later(self, cloud, model):
        package = model.register(*TYPES, model_package_group_name="digits-group")
        package.update_approval_status("Approved", "looks well")
        described = cloud.sagemaker.describe_model_package(ModelPackageName=package.model_package_arn)
        assert described["ModelApprovalStatus"] == "Approved"

    def test_other_framework_names_itself(self, cloud, servable):
        model = servable(CustomSKLearn, framework_version="1.2-1", extras=["pip:lz4"]).create_model()
        model.register(*TYPES, model_package_group_name="trees")
        [container] = cloud.request("CreateModelPackage")["InferenceSpecification"]["Containers"]
        assert "/sagemaker-custom-sklearn:1.2-1-inference-" in container["Image"]
        assert container["Framework"] == "SKLEARN"

    def test_missing_image_is_told_and_nothing_is_registered(self, cloud, trained):
        model = trained(build="never").create_model()
        with pytest.raises(ImageMissingError):
            model.register(*TYPES, model_package_group_name="digits-group")
        assert cloud.sagemaker.list_model_packages()["ModelPackageSummaryList"] == []
