"""Functions of the user's that run in an extended image, on either line of the SDK: ``@remote`` and ``@step``."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace

import pytest

from sagemaker_custom import CustomPyTorch, remote_image
from sagemaker_custom.installed_sdk import adapter

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU = "ml.m5.xlarge"
_is_v2 = adapter().endswith("v2")


@pytest.fixture
def sdk(cloud, monkeypatch):
    """The SDK's own names; where they lie is all that differs."""
    # The import of the SDK v3's pipelines needs a region.
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    remote, workflow = ("remote_function", "workflow") if _is_v2 else ("core.remote_function", "mlops.workflow")
    return SimpleNamespace(
        remote=import_module(f"sagemaker.{remote}").remote,
        step=import_module(f"sagemaker.{workflow}.function_step").step,
        Pipeline=import_module(f"sagemaker.{workflow}.pipeline").Pipeline,
    )


@pytest.fixture
def image(cloud):
    """The URI of an image for the caller's functions, with an extra; it is there."""
    asked = {"extras": ["pip:zarr"], "sagemaker_session": cloud.session, "settings": cloud.settings}
    of_the_class = CustomPyTorch("train.py", "2.3", "py311", role=ROLE, instance_type=CPU, instance_count=1, **asked)
    cloud.push(of_the_class.plan_image())
    uri = remote_image("pytorch", python=(3, 11), version="2.3", build="never", **asked)
    assert uri == str(of_the_class.plan_image().reference)
    return uri


def test_remote_function_runs_in_the_image(cloud, image, sdk):
    @sdk.remote(image_uri=image, role=ROLE, instance_type=CPU, sagemaker_session=cloud.session)
    def double(number):
        return 2 * number

    # moto runs nothing, so that there is no result to fetch.
    with suppress(Exception):
        double(21)
    request = cloud.request("CreateTrainingJob")
    assert request["AlgorithmSpecification"]["TrainingImage"] == image
    assert request["RoleArn"] == ROLE


def test_step_of_a_pipeline_runs_in_the_image(cloud, image, sdk):
    @sdk.step(name="Double", image_uri=image, role=ROLE, instance_type=CPU)
    def double(number):
        return 2 * number

    pipeline = sdk.Pipeline(name="doubling", steps=[double(21)], sagemaker_session=cloud.session)
    [defined] = json.loads(pipeline.definition())["Steps"]
    assert defined["Arguments"]["AlgorithmSpecification"]["TrainingImage"] == image
