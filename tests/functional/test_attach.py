"""``attach()``: an estimator made again from a job, with the image of the job and never AWS's by accident."""

from __future__ import annotations

import json

import pytest
from sagemaker.pytorch import PyTorch
from sagemaker.tuner import ContinuousParameter, HyperparameterTuner
from sagemaker.xgboost import XGBoost

from sagemaker_custom import (
    CustomHuggingFace,
    CustomMXNet,
    CustomPyTorch,
    CustomRLEstimator,
    CustomSKLearn,
    CustomTensorFlow,
    CustomXGBoost,
)
from sagemaker_custom.errors import ImageMissingError, UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/pytorch-training:2.6.0-gpu-py312-ours"
CASES = {
    CustomPyTorch: {"framework_version": "2.3.0", "py_version": "py311"},
    CustomTensorFlow: {"framework_version": "2.14.1", "py_version": "py310", "model_dir": "s3://data/models"},
    CustomHuggingFace: {
        "transformers_version": "4.28.1",
        "pytorch_version": "2.0.0",
        "py_version": "py310",
        "instance_type": "ml.g5.xlarge",
    },
    CustomSKLearn: {"framework_version": "1.2-1"},
    CustomXGBoost: {"framework_version": "1.7-1"},
    CustomMXNet: {"framework_version": "1.9.0", "py_version": "py38"},
}


@pytest.fixture
def environment(cloud, monkeypatch):
    """What attach() cannot be given as arguments."""
    endpoint = cloud.settings.registry_endpoints[0]
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS", f"{endpoint.pattern}={endpoint.url}")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS", "1")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


@pytest.fixture
def trained(cloud, code, environment):
    def job(cls, **arguments):
        estimator = cls(
            **{
                "entry_point": "train.py",
                "source_dir": str(code),
                "role": ROLE,
                "instance_type": "ml.m5.xlarge",
                "instance_count": 1,
                "sagemaker_session": cloud.session,
                "output_kms_key": "key-1",
                "hyperparameters": {"rate": 0.5},
                **arguments,
            }
        )
        if arguments.get("extras"):
            cloud.push(estimator.plan_image())
        estimator.fit({"train": "s3://data/train"}, wait=False)
        return estimator

    return job


@pytest.fixture
def again(cloud):
    """Make the estimator of a job again as ``attach()`` does, which besides waits five seconds for the job."""

    def attached(cls, job):
        name = job.latest_training_job.name
        arguments = cls._prepare_init_params_from_job_description(
            cloud.sagemaker.describe_training_job(TrainingJobName=name)
        )
        return cls(sagemaker_session=cloud.session, **arguments)

    return attached


@pytest.mark.parametrize("cls", [CustomPyTorch, CustomXGBoost])
def test_attach(cloud, trained, cls):
    before = trained(cls, extras=["pip:lz4"], tags=[{"Key": "team", "Value": "vision"}], **CASES[cls])
    after = cls.attach(before.latest_training_job.name, cloud.session)
    assert after.training_image_uri() == before.training_image_uri()
    assert after.model_data == before.model_data
    assert after.tags == [{"Key": "team", "Value": "vision"}]


@pytest.mark.parametrize("cls", CASES, ids=lambda cls: cls.__name__)
def test_extended_estimator_comes_back_with_its_extras(cloud, trained, again, tmp_path, cls):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("zarr>=2\nattrs\n")
    before = trained(cls, extras=["pip:lz4", "apt:jq", str(requirements)], **CASES[cls])
    requirements.unlink()
    after = again(cls, before)
    assert after.training_image_uri() == before.training_image_uri()
    for name in {"framework_version", "py_version", "pytorch_version", "model_dir"} & vars(before).keys():
        assert getattr(after, name) == getattr(before, name)
    assert after.hyperparameters()["rate"] == "0.5"
    serving = after.plan_image("inference", "ml.m5.xlarge")
    assert serving.reference == before.plan_image("inference", "ml.m5.xlarge").reference
    assert "/sagemaker-custom-" in str(serving.reference)


def test_reinforcement_learning_comes_back_too(cloud, trained, again):
    from sagemaker.rl import RLFramework, RLToolkit

    kind = {"toolkit": RLToolkit.COACH, "toolkit_version": "0.11.1", "framework": RLFramework.TENSORFLOW}
    before = trained(CustomRLEstimator, extras=["pip:lz4"], **kind)
    after = again(CustomRLEstimator, before)
    assert after.training_image_uri() == before.training_image_uri()


@pytest.mark.parametrize("cls", [PyTorch, CustomPyTorch])
def test_image_of_aws_is_taken_for_what_it_is(cloud, trained, again, cls):
    job = trained(cls, framework_version="2.3.0", py_version="py311")
    attached = again(CustomPyTorch, job)
    assert (attached.framework_version, attached.py_version, attached.image_uri) == ("2.3.0", "py311", None)
    assert attached.training_image_uri().startswith("763104351884.")


def test_version_that_the_sdk_cannot_read_off_the_image(cloud, trained, again):
    before = trained(CustomPyTorch, framework_version="2.13", instance_type="ml.g5.xlarge")
    after = again(CustomPyTorch, before)
    assert after.training_image_uri() == before.training_image_uri()
    assert after.framework_version.startswith("2.13")


@pytest.mark.parametrize(("cls", "image"), [
    (CustomPyTorch, OWN),
    (CustomPyTorch, OWN.replace("team/", "")),
    (CustomPyTorch, "123456789012.dkr.ecr.us-east-1.amazonaws.com/ext:abc"),
    (CustomXGBoost, "123456789012.dkr.ecr.us-east-1.amazonaws.com/ext:abc"),
    (CustomXGBoost, "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1-ext"),
    (CustomSKLearn, "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"),
])  # fmt: skip
def test_own_image_stays(cloud, trained, again, cls, image):
    before = trained(cls, image_uri=image)
    after = again(cls, before)
    assert after.image_uri == image
    assert after.training_image_uri() == image


def test_class_of_another_framework_is_refused(cloud, trained, again):
    job = trained(CustomPyTorch, extras=["pip:lz4"], framework_version="2.3", py_version="py311")
    with pytest.raises(UsageError, match="an image of pytorch"):
        again(CustomTensorFlow, job)


def test_image_that_is_gone_is_not_guessed(cloud, trained, again):
    job = trained(CustomPyTorch, extras=["pip:lz4"], framework_version="2.3", py_version="py311")
    cloud.remove(job.plan_image())
    with pytest.raises(ImageMissingError, match="gone"):
        again(CustomPyTorch, job)


def test_tuner_comes_back_with_the_extended_estimator(cloud, trained):
    estimator = trained(CustomPyTorch, extras=["pip:lz4"], framework_version="2.3", py_version="py311")
    metrics = [{"Name": "accuracy", "Regex": "accuracy: ([0-9.]+)"}]
    tuner = HyperparameterTuner(estimator, "accuracy", {"rate": ContinuousParameter(0.1, 1.0)}, metrics, max_jobs=2)
    sent = []
    cloud.session.sagemaker_client.meta.events.register(
        "provide-client-params.sagemaker.CreateHyperParameterTuningJob", lambda params, **_: sent.append(params)
    )
    tuner.fit({"train": "s3://data/train"}, wait=False)
    details = cloud.sagemaker.describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=tuner.latest_tuning_job.name
    )
    # As AWS answers, which moto does not.
    details["TrainingJobDefinition"] = sent[0]["TrainingJobDefinition"]
    details["TrainingJobDefinition"]["StaticHyperParameters"]["_tuning_objective_metric"] = "accuracy"
    attached = HyperparameterTuner.attach(tuner.latest_tuning_job.name, cloud.session, job_details=details)
    assert isinstance(attached.estimator, CustomPyTorch)
    assert attached.estimator.training_image_uri() == estimator.training_image_uri()


def test_label_holds_no_path_of_this_machine(trained, tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("zarr\n")
    plan = trained(CustomPyTorch, extras=[str(file)], framework_version="2.3", py_version="py311").plan_image()
    assert str(tmp_path) not in json.dumps(plan.labels)
    assert "zarr" in plan.labels["sagemaker-custom.extras"]


def test_stock_xgboost_job(cloud, trained, again):
    job = trained(XGBoost, framework_version="1.7-1")
    attached = again(CustomXGBoost, job)
    assert attached.framework_version == "1.7-1"
    assert attached.image_uri is None
