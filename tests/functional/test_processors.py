"""Processors with extras: what AWS gets, and that constructors build nothing."""

from __future__ import annotations

import pytest
from sagemaker.processing import ProcessingInput, ProcessingOutput
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.steps import ProcessingStep

from sagemaker_custom import (
    CustomFrameworkProcessor,
    CustomHuggingFaceProcessor,
    CustomMXNetProcessor,
    CustomPyTorchProcessor,
    CustomSKLearn,
    CustomTensorFlowProcessor,
    CustomXGBoostProcessor,
)
from sagemaker_custom.errors import ImageMissingError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CASES = {
    "pytorch": (CustomPyTorchProcessor, {}),
    "tensorflow": (CustomTensorFlowProcessor, {"framework_version": "2.14"}),
    "huggingface": (CustomHuggingFaceProcessor, {"instance_type": "ml.g5.xlarge"}),
    "mxnet": (CustomMXNetProcessor, {}),
    "xgboost": (CustomXGBoostProcessor, {}),
    "sklearn": (CustomFrameworkProcessor, {"estimator_cls": CustomSKLearn, "framework_version": "1.2-1"}),
}


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


@pytest.fixture
def make(cloud):
    def processor(name, **more):
        cls, arguments = CASES[name]
        return cls(
            **{
                "role": ROLE,
                "instance_count": 1,
                "instance_type": "ml.m5.xlarge",
                "sagemaker_session": cloud.session,
                "settings": cloud.settings,
                **arguments,
                **more,
            }
        )

    return processor


@pytest.mark.parametrize("name", CASES)
def test_script_runs_in_the_extended_image(cloud, make, code, name):
    processor = make(name, extras=["pip:lz4"], build="never")
    with pytest.raises(ImageMissingError):
        processor.run("clean.py", source_dir=str(code), wait=False)
    cloud.push(processor._create_estimator().plan_image())
    processor.run("clean.py", source_dir=str(code), wait=False)
    job = cloud.sagemaker.describe_processing_job(ProcessingJobName=processor.latest_job.job_name)
    specification = job["AppSpecification"]
    assert f"/sagemaker-custom-{name}:" in specification["ImageUri"]
    assert "-lz4-" in specification["ImageUri"]
    assert specification["ContainerEntrypoint"][-1].endswith("/runproc.sh")


@pytest.mark.parametrize("name", CASES)
def test_without_extras_it_is_the_image_of_aws(cloud, make, name):
    assert "/sagemaker-custom-" not in make(name).image_uri


def test_image_of_ones_own_is_used_as_it_is(make):
    own = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
    assert make("pytorch", image_uri=own).image_uri == own


@pytest.mark.filterwarnings("ignore:Running within a PipelineSession")
def test_step_of_a_pipeline_resolves_only(cloud, make, code):
    session = PipelineSession(boto_session=cloud.boto_session)
    processor = make("pytorch", extras=["pip:lz4"], sagemaker_session=session)
    cloud.stop_registry()
    step = ProcessingStep("clean", step_args=processor.run("clean.py", source_dir=str(code)))
    definition = Pipeline("clean", steps=[step], sagemaker_session=session).definition()
    assert processor.image_uri in definition
    assert "sagemaker-custom-pytorch" in processor.image_uri


def test_local_processing_touches_no_bucket(cloud, make, code, tmp_path):
    cloud.session = None
    processor = make("pytorch", extras=["pip:lz4"], instance_type="local", build="never", role=None)
    assert processor.image_uri.startswith("sagemaker-custom-pytorch:")
    assert processor._normalize_inputs([ProcessingInput(str(tmp_path), "/opt/ml/processing/input")])[
        0
    ].s3_input.s3_uri == (f"file://{tmp_path}")
    [output] = processor._normalize_outputs([ProcessingOutput("/opt/ml/processing/output")])
    assert output.destination.startswith("file:///")
