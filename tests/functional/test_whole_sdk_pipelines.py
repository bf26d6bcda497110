"""Pipelines with extended images: definitions that resolve them, build nothing and ask no registry."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from functional_parts import Cloud
from sagemaker.transformer import Transformer
from sagemaker.tuner import ContinuousParameter, HyperparameterTuner
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.steps import ProcessingStep, TrainingStep, TransformStep, TuningStep
from sdk_bench import CPU, ESTIMATORS, GPU, ROLE, TYPES, Bench, images_in

from sagemaker_custom import CustomFrameworkProcessor

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
def pipelines(cloud, code):
    """As ``bench``, in a pipeline session and with a registry that nobody can ask."""
    made = Bench(cloud=cloud, code=code, session=PipelineSession(boto_session=cloud.boto_session))
    made.settings = made.unreachable
    return made


def timeless(definition):
    """Leave out the times that the SDK writes into names: of the job of a tuner, of the code of a step that repacks."""
    return re.sub(r"-\d{4}(-\d\d){5}-\d{3}", "", definition)


@pytest.mark.filterwarnings("ignore:.*No Job being started:UserWarning")
@pytest.mark.filterwarnings("ignore:Running within a PipelineSession")
class TestPipelines:
    """Definitions resolve: with ``build="never"`` and no registry they would fail if they did more."""

    def whole(self, pipelines, name):
        """Every step that there is, around one estimator."""
        session, settings = pipelines.session, pipelines.settings
        instance_type = ParameterString("Instance", default_value=ESTIMATORS[name][1].get("instance_type", CPU))
        estimator = pipelines.estimator(name, instance_type=instance_type, settings=settings)
        processor = CustomFrameworkProcessor(
            estimator_cls=type(estimator),
            framework_version=estimator.framework_version if name != "huggingface" else "4.28.1",
            role=ROLE,
            instance_count=1,
            instance_type=GPU if name == "huggingface" else CPU,
            sagemaker_session=session,
            extras=["pip:zarr"],
            settings=settings,
        )
        cleaned = ProcessingStep("Clean", step_args=processor.run("clean.py", source_dir=str(pipelines.code)))
        trained = TrainingStep("Train", step_args=estimator.fit({"train": "s3://data/train"}))
        tuner = HyperparameterTuner(
            pipelines.estimator(name, settings=settings),
            "accuracy",
            {"rate": ContinuousParameter(0.1, 1.0)},
            METRICS,
            max_jobs=2,
        )
        tuned = TuningStep("Tune", step_args=tuner.fit({"train": "s3://data/train"}))
        model = self.model_of(trained, pipelines, name)
        created = ModelStep("Make", step_args=model.create(instance_type=CPU))
        other = self.model_of(trained, pipelines, name)
        registered = ModelStep("List", step_args=other.register(*TYPES, model_package_group_name="digits"))
        transformer = Transformer(created.properties.ModelName, 1, CPU, sagemaker_session=session)
        transformed = TransformStep("Batch", step_args=transformer.transform("s3://data/batch"))
        steps = [cleaned, trained, tuned, created, registered, transformed]
        return Pipeline(pipelines.name, parameters=[instance_type], steps=steps, sagemaker_session=session)

    @staticmethod
    def model_of(trained, pipelines, name):
        data = trained.properties.ModelArtifacts.S3ModelArtifacts
        return pipelines.model(name, model_data=data, settings=pipelines.settings)

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_every_step_names_the_extended_image_and_no_registry_is_asked(self, pipelines, name):
        definition = self.whole(pipelines, name).definition()
        steps = {step["Name"]: step for step in json.loads(definition)["Steps"]}
        for step, image_scope in {"Clean": "training", "Train": "training", "Tune": "training"}.items():
            [image] = images_in(steps[step])
            assert f"/sagemaker-custom-{name}:" in image
            assert f"-{image_scope}-" in image
        [created] = [step for step in steps.values() if step["Type"] == "Model"]
        [registered] = [step for step in steps.values() if step["Type"] == "RegisterModel"]
        for step in (created, registered):
            [image] = images_in(step)
            assert image == pipelines.model(name).serving_image_uri("us-east-1", CPU)
            assert "-inference-cpu-" in image
        assert steps["Batch"]["Arguments"]["ModelName"] == {"Get": f"Steps.{created['Name']}.ModelName"}
        assert steps["Train"]["Arguments"]["ResourceConfig"]["InstanceType"] == {"Get": "Parameters.Instance"}

    def test_definition_is_the_same_each_time(self, pipelines):
        pipeline = self.whole(pipelines, "pytorch")
        assert timeless(pipeline.definition()) == timeless(pipeline.definition())

    def test_code_is_left_as_it_is(self, pipelines):
        (pipelines.code / ".sagemakerignore").write_text("*.bin\n")
        (pipelines.code / "weights.bin").write_text("large")
        before = sorted(pipelines.code.iterdir())
        self.whole(pipelines, "pytorch").definition()
        assert sorted(pipelines.code.iterdir()) == before
        keys = [key for key in pipelines.cloud.objects() if key.endswith("/source/sourcedir.tar.gz")]
        repacked = [pipelines.files(f"s3://{pipelines.cloud.bucket}/{key}") for key in keys]
        assert [sorted(Path(name).name for name in files) for files in repacked][-2:] == [
            ["_repack_model.py", "_repack_script_launcher.sh", "clean.py", "inference.py", "train.py"]
        ] * 2

    def test_upsert_creates_the_pipeline_with_that_definition(self, pipelines):
        pipeline = self.whole(pipelines, "sklearn")
        pipeline.upsert(ROLE)
        request = pipelines.request("CreatePipeline")
        assert request["RoleArn"] == ROLE
        assert timeless(request["PipelineDefinition"]) == timeless(pipeline.definition())
        assert pipeline.describe()["PipelineName"] == pipelines.name
        pipeline.upsert(ROLE)
        assert pipelines.requests("UpdatePipeline")

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_image_may_be_a_parameter(self, pipelines, name):
        image = ParameterString("Image", default_value=OWN)
        estimator = pipelines.estimator(name, image_uri=image, extras=(), settings=pipelines.settings)
        trained = TrainingStep("Train", step_args=estimator.fit())
        model = pipelines.model(name, image_uri=image, extras=(), settings=pipelines.settings)
        created = ModelStep("Make", step_args=model.create(instance_type=CPU))
        session = pipelines.session
        pipeline = Pipeline(pipelines.name, parameters=[image], steps=[trained, created], sagemaker_session=session)
        steps = json.loads(pipeline.definition())["Steps"]
        [train] = [step["Arguments"] for step in steps if step["Type"] == "Training" and step["Name"] == "Train"]
        [make] = [step["Arguments"] for step in steps if step["Type"] == "Model"]
        assert train["AlgorithmSpecification"]["TrainingImage"] == {"Get": "Parameters.Image"}
        assert make["PrimaryContainer"]["Image"] == {"Get": "Parameters.Image"}

    def test_default_of_the_instance_type_says_cpu_or_gpu(self, pipelines):
        wanted = ParameterString("Instance", default_value=GPU)
        estimator = pipelines.estimator("pytorch", instance_type=wanted, settings=pipelines.settings)
        assert "-training-gpu-py311-cu121-zarr-" in estimator.training_image_uri()

    def test_hyperparameters_may_be_parameters(self, pipelines):
        rate = ParameterFloat("Rate", default_value=0.1)
        estimator = pipelines.estimator("xgboost", hyperparameters={"rate": rate}, settings=pipelines.settings)
        step = TrainingStep("Train", step_args=estimator.fit())
        pipeline = Pipeline(pipelines.name, parameters=[rate], steps=[step], sagemaker_session=pipelines.session)
        [train] = json.loads(pipeline.definition())["Steps"]
        assert train["Arguments"]["HyperParameters"]["rate"] == {
            "Std:Join": {"On": "", "Values": [{"Get": "Parameters.Rate"}]}
        }
