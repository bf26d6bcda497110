"""What else is there for the SDK v3 alone: pipelines, tuners, jobs of either line, and what it cannot do."""

from __future__ import annotations

import gc
import json

import pytest

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

from sagemaker.core.parameter import ContinuousParameter
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.train.tuner import HyperparameterTuner

from sagemaker_custom import (
    CustomHuggingFace,
    CustomPyTorch,
    CustomPyTorchModel,
    CustomPyTorchPredictor,
    CustomSKLearn,
    CustomTensorFlow,
    CustomXGBoost,
)
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v3.absent import OF_ESTIMATORS, OF_MODELS, OF_PACKAGES, OF_PREDICTORS
from sagemaker_custom.sdk_v3.attached import image_arguments, job_arguments
from sagemaker_custom.sdk_v3.builder import imported_model_builder
from sagemaker_custom.sdk_v3.packages import PackagedModel

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU = "ml.m5.xlarge"
GPU = "ml.g4dn.xlarge"
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
TRAINING = f"{ECR}/sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-"
SERVING = f"{ECR}/sagemaker-custom-pytorch:2.3.0-inference-cpu-py311-faiss-"
TYPES = (["text/csv"], ["application/json"], [CPU], [CPU])
pytestmark = pytest.mark.usefixtures("roles_are_not_asked_about")


@pytest.fixture
def make(cloud, code):
    def estimator(**arguments):
        given = {
            "entry_point": "train.py",
            "source_dir": str(code),
            "framework_version": "2.3",
            "py_version": "py311",
            "extras": ["faiss"],
            "role": ROLE,
            "instance_type": CPU,
            "instance_count": 1,
            "sagemaker_session": cloud.session,
            "settings": cloud.settings,
        }
        return CustomPyTorch(**given | arguments)

    return estimator


def channels_of(job):
    sources = {item["ChannelName"]: item["DataSource"]["S3DataSource"] for item in job["InputDataConfig"]}
    return {name: source["S3Uri"] for name, source in sources.items()}


@pytest.fixture
def _left_by_the_sdk():
    """Have folders that the SDK forgets collected while nobody minds."""
    yield
    gc.collect()


@pytest.mark.usefixtures("_left_by_the_sdk")
@pytest.mark.filterwarnings("ignore:Running within a PipelineSession", "ignore:Implicitly cleaning up:ResourceWarning")
class TestPipelines:
    """With no image in the registry they would fail if they did more than resolve."""

    @pytest.fixture
    def session(self, cloud, monkeypatch):
        # The SDK's steps make a session of their own, only to look at its class.
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return PipelineSession(boto_session=cloud.boto_session, sagemaker_config=cloud.session.sagemaker_config)

    def test_estimator_has_no_model_to_register_yet(self, make, session):
        with pytest.raises(UsageError, match="while a pipeline is written down") as caught:
            make(sagemaker_session=session).transformer(1, CPU)
        assert "ModelArtifacts" in caught.value.hint

    def test_image_may_be_a_parameter(self, cloud, code, make, session):
        imported_model_builder(cloud.session)
        from sagemaker.mlops.workflow.model_step import ModelStep
        from sagemaker.mlops.workflow.pipeline import Pipeline
        from sagemaker.mlops.workflow.steps import TrainingStep

        image = ParameterString("Image", default_value=f"{ECR}/own:1")
        trained = TrainingStep("Train", step_args=make(sagemaker_session=session, image_uri=image, extras=()).fit())
        model = CustomPyTorchModel(
            f"s3://{cloud.bucket}/model.tar.gz",
            ROLE,
            image_uri=image,
            framework_version="2.3",
            sagemaker_session=session,
            settings=cloud.settings,
        )
        created = ModelStep("Make", step_args=model.create(CPU))
        pipeline = Pipeline("own", parameters=[image], steps=[trained, created], sagemaker_session=session)
        steps = {step["Name"]: step["Arguments"] for step in json.loads(pipeline.definition())["Steps"]}
        assert steps["Train"]["AlgorithmSpecification"]["TrainingImage"] == {"Get": "Parameters.Image"}
        assert steps["Make"]["PrimaryContainer"]["Image"] == {"Get": "Parameters.Image"}

    def test_every_step_names_the_extended_image_and_builds_nothing(self, cloud, code, make, session):
        # Importing the steps needs a region, unless the builder was imported with a session before.
        imported_model_builder(cloud.session)
        from sagemaker.mlops.workflow.model_step import ModelStep
        from sagemaker.mlops.workflow.pipeline import Pipeline
        from sagemaker.mlops.workflow.steps import TrainingStep, TransformStep

        instance_type = ParameterString("Instance", default_value=CPU)
        rate, data = ParameterFloat("Rate", default_value=0.1), ParameterString("Data", default_value="s3://data/train")
        estimator = make(
            sagemaker_session=session,
            instance_type=instance_type,
            hyperparameters={"rate": rate, "epochs": 3},
            build="never",
        )
        trained = TrainingStep("Train", step_args=estimator.fit({"train": data}))
        known = {
            "model_data": trained.properties.ModelArtifacts.S3ModelArtifacts,
            "role": ROLE,
            "entry_point": "inference.py",
            "source_dir": str(code),
            "framework_version": "2.3",
            "py_version": "py311",
            "extras": ["faiss"],
            "sagemaker_session": session,
            "settings": cloud.settings,
            "build": "never",
        }
        created = ModelStep("Make", step_args=CustomPyTorchModel(**known).create(instance_type))
        package = CustomPyTorchModel(**known).register(*TYPES, model_package_group_name="digits")
        registered = ModelStep("List", step_args=package)
        transformer = Transformer(created.properties.ModelName, 1, CPU, sagemaker_session=session)
        transformed = TransformStep("Batch", step_args=transformer.transform("s3://data/batch"))
        pipeline = Pipeline(
            "digits",
            parameters=[instance_type, rate, data],
            steps=[trained, created, registered, transformed],
            sagemaker_session=session,
        )
        steps = {step["Name"]: step for step in json.loads(pipeline.definition())["Steps"]}
        train = steps["Train"]["Arguments"]
        assert train["AlgorithmSpecification"]["TrainingImage"].startswith(TRAINING)
        assert train["ResourceConfig"]["InstanceType"] == {"Get": "Parameters.Instance"}
        assert train["HyperParameters"]["rate"] == {"Get": "Parameters.Rate"}
        assert train["HyperParameters"]["epochs"] == "3"
        channels = channels_of(train)
        assert channels["train"] == {"Get": "Parameters.Data"}
        assert channels["code"].endswith("/sourcedir.tar.gz")
        container = steps["Make"]["Arguments"]["PrimaryContainer"]
        assert container["Image"].startswith(SERVING)
        assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
        [listed] = steps["List"]["Arguments"]["InferenceSpecification"]["Containers"]
        assert listed["Image"].startswith(SERVING)
        assert listed["Framework"] == "PYTORCH"
        assert steps["Batch"]["Arguments"]["ModelName"] == {"Get": "Steps.Make.ModelName"}
        assert cloud.training_jobs() == cloud.models() == []


@pytest.mark.usefixtures("_left_by_the_sdk")
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
class TestTuner:
    def test_tuner_of_the_sdk_tunes_in_the_extended_image_with_our_code(self, cloud, make):
        estimator = make(hyperparameters={"epochs": 3})
        cloud.push(estimator.plan_image())
        tuner = HyperparameterTuner(
            model_trainer=estimator.model_trainer(),
            objective_metric_name="accuracy",
            hyperparameter_ranges={"rate": ContinuousParameter(0.1, 1.0)},
            metric_definitions=[{"Name": "accuracy", "Regex": "accuracy: ([0-9.]+)"}],
            max_jobs=2,
        )
        tuner.tune("s3://data/train", wait=False)
        definition = cloud.request("CreateHyperParameterTuningJob")["TrainingJobDefinition"]
        assert definition["AlgorithmSpecification"]["TrainingImage"].startswith(TRAINING)
        parameters = definition["StaticHyperParameters"]
        assert parameters["epochs"] == "3"
        assert parameters["sagemaker_program"] == "train.py"
        assert parameters["sagemaker_submit_directory"].startswith(f"s3://{cloud.bucket}/sagemaker-custom/source/")


@pytest.fixture
def _attachable(cloud, monkeypatch):
    """What attach() cannot be given as arguments."""
    endpoint = cloud.settings.registry_endpoints[0]
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS", f"{endpoint.pattern}={endpoint.url}")


@pytest.mark.usefixtures("_attachable")
class TestAttach:
    def test_job_of_the_other_line_trains_again_as_it_was(self, cloud, make):
        code = f"s3://{cloud.bucket}/sagemaker-custom/source/1/sourcedir.tar.gz"
        plan = make().plan_image()
        cloud.push(plan)
        cloud.sagemaker.create_training_job(
            TrainingJobName="night-2026-01-02-03-04-05-678",
            AlgorithmSpecification={"TrainingImage": str(plan.reference), "TrainingInputMode": "File"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": f"s3://{cloud.bucket}/"},
            ResourceConfig={"InstanceType": CPU, "InstanceCount": 2, "VolumeSizeInGB": 50},
            StoppingCondition={"MaxRuntimeInSeconds": 3600},
            HyperParameters={
                "rate": "0.5",
                "name": '"big"',
                "precision": "1e3",
                "sagemaker_program": '"train.py"',
                "sagemaker_submit_directory": json.dumps(code),
                "sagemaker_container_log_level": "10",
                "sagemaker_job_name": '"night"',
                "sagemaker_torch_distributed_enabled": "true",
            },
            VpcConfig={"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        )
        estimator = CustomPyTorch.attach("night-2026-01-02-03-04-05-678", cloud.session)
        assert estimator.hyperparameters() == {"rate": 0.5, "name": "big", "precision": "1e3"}
        assert (estimator.entry_point, estimator.source_dir) == ("train.py", code)
        assert (estimator.instance_count, estimator.instance_type) == (2, CPU)
        estimator.fit(wait=False)
        again = cloud.request("CreateTrainingJob")
        assert again["AlgorithmSpecification"]["TrainingImage"].startswith(TRAINING)
        assert again["TrainingJobName"].startswith("night-")
        assert again["HyperParameters"] == {"rate": "0.5", "name": '"big"', "precision": '"1e3"'}
        assert again["ResourceConfig"]["VolumeSizeInGB"] == 50
        assert again["StoppingCondition"]["MaxRuntimeInSeconds"] == 3600
        assert again["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
        channels = channels_of(again)
        assert channels["code"] == code
        start = cloud.download_uri(f"{channels['sm_drivers'].rstrip('/')}/sm_train.sh").read().decode()
        assert "torchrun_driver.py" in start

    def test_code_requirements_and_distribution_of_this_line_come_back(self, cloud, code, make):
        (code / "requirements.txt").write_text("zarr\n")
        before = make(distribution={"mpi": {"enabled": True, "processes_per_host": 4}}, environment={"COLOUR": "red"})
        cloud.push(before.plan_image())
        before.fit(wait=False)
        first = cloud.request("CreateTrainingJob")
        after = CustomPyTorch.attach(before.latest_training_job.name, cloud.session)
        trainer = after.model_trainer()
        assert trainer.source_code.source_dir == channels_of(first)["code"]
        assert (trainer.source_code.entry_script, trainer.source_code.requirements) == ("train.py", "requirements.txt")
        assert trainer.distributed.process_count_per_node == 4
        # Moto does not describe it.
        described = {**after.latest_training_job.describe(), "Environment": first["Environment"]}
        assert job_arguments(described, None)["environment"]["COLOUR"] == "red"
        assert after.latest_training_job.describe()["TrainingJobName"] == before.latest_training_job.name


@pytest.mark.parametrize(
    ("cls", "asked"),
    [
        (CustomPyTorch, {"framework_version": "2.3"}),
        (CustomTensorFlow, {"framework_version": "2.14.1"}),
        (CustomHuggingFace, {"transformers_version": "4.28.1", "pytorch_version": "2.0.0", "instance_type": GPU}),
        (CustomSKLearn, {"framework_version": "1.2-1"}),
        (CustomXGBoost, {"framework_version": "1.7-1"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_image_of_aws_says_what_was_asked_for(cloud, cls, asked):
    known = {"entry_point": "train.py", "role": ROLE, "instance_count": 1, "sagemaker_session": cloud.session}
    before = cls(**{"instance_type": CPU, "settings": cloud.settings, **known, **asked})
    image = before.training_image_uri()
    details = {"TrainingJobName": "night", "AlgorithmSpecification": {"TrainingImage": image}}
    said = image_arguments(details, cls._dialect, cloud.session)
    assert "image_uri" not in said
    after = cls(**known, **said, instance_type=before.instance_type, settings=cloud.settings)
    assert after.training_image_uri() == image


class RecordingSession:
    """A session of the SDK that updates no endpoint: moto cannot, and the SDK waits for half a minute."""

    def __init__(self, session):
        self.session, self.updates = session, []

    def __getattr__(self, name):
        return getattr(self.session, name)

    def update_endpoint(self, endpoint_name, endpoint_config_name, wait=True):
        self.updates.append((endpoint_name, endpoint_config_name, wait))


class TestEndpoints:
    @pytest.fixture
    def predictor(self, cloud):
        cloud.sagemaker.create_model(ModelName="digits", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "i"})
        cloud.sagemaker.create_endpoint_config(
            EndpointConfigName="first",
            ProductionVariants=[
                {"VariantName": "AllTraffic", "ModelName": "digits", "InitialInstanceCount": 1, "InstanceType": CPU}
            ],
            Tags=[{"Key": "team", "Value": "vision"}],
            KmsKeyId="key-1",
        )
        cloud.sagemaker.create_endpoint(EndpointName="digits", EndpointConfigName="first")
        return CustomPyTorchPredictor("digits", RecordingSession(cloud.session))

    def test_other_machines(self, cloud, predictor):
        predictor.update_endpoint(initial_instance_count=3, instance_type=GPU, wait=False)
        config = cloud.request("CreateEndpointConfig")
        [variant] = config["ProductionVariants"]
        assert (variant["ModelName"], variant["InitialInstanceCount"], variant["InstanceType"]) == ("digits", 3, GPU)
        assert config["Tags"] == [{"Key": "team", "Value": "vision"}]
        assert config["KmsKeyId"] == "key-1"
        assert predictor.sagemaker_session.updates == [("digits", config["EndpointConfigName"], False)]

    def test_data_capture_is_turned_on_and_off(self, cloud, predictor):
        predictor.enable_data_capture()
        captured = cloud.request("CreateEndpointConfig")
        assert captured["DataCaptureConfig"]["EnableCapture"] is True
        assert captured["DataCaptureConfig"]["DestinationS3Uri"].startswith(f"s3://{cloud.bucket}/")
        assert captured["ProductionVariants"][0]["ModelName"] == "digits"
        predictor.disable_data_capture()
        assert cloud.request("CreateEndpointConfig")["DataCaptureConfig"]["EnableCapture"] is False

    def test_machines_named_in_part_are_told(self, predictor):
        with pytest.raises(UsageError, match="do not say on which machines"):
            predictor.update_endpoint(instance_type=GPU)


class TestAbsent:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("compile_model", "compiled beforehand"),
            ("enable_default_profiling", "SDK v2"),
            ("get_app_url", "sagemaker.core.interactive_apps"),
        ],
    )
    def test_method_without_a_place_names_what_does_the_same(self, make, name, hint):
        estimator = make()
        with pytest.raises(UsageError, match=rf"CustomPyTorch\.{name} is not there with the SDK v3") as caught:
            getattr(estimator, name)
        assert hint in caught.value.hint
        assert not hasattr(estimator, name)

    def test_misspelt_method_is_no_method(self, make):
        with pytest.raises(AttributeError, match="no attribute 'fitt'") as caught:
            _ = make().fitt
        assert not isinstance(caught.value, UsageError)

    def test_methods_of_predictors(self, cloud):
        with pytest.raises(UsageError, match="list_monitors") as caught:
            _ = CustomPyTorchPredictor("digits", cloud.session).list_monitors
        assert "MonitoringSchedule" in caught.value.hint

    @pytest.mark.parametrize(
        ("cls", "absent"),
        [
            (CustomPyTorch, OF_ESTIMATORS),
            (CustomPyTorchModel, OF_MODELS),
            (CustomPyTorchPredictor, OF_PREDICTORS),
            (PackagedModel, OF_PACKAGES),
        ],
        ids=["estimator", "model", "predictor", "package"],
    )
    def test_nothing_that_is_there_is_said_to_be_absent(self, cls, absent):
        assert [name for name in absent if hasattr(cls, name)] == []

    def test_arguments_of_register_without_a_place(self, make):
        with pytest.raises(UsageError, match="base_model") as caught:
            make().register(*TYPES, base_model="b")
        assert "ModelPackage.create()" in caught.value.hint
