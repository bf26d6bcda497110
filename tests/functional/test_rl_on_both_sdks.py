"""Reinforcement learning as an ordinary user writes it, unchanged on either line of the SDK."""

from __future__ import annotations

import pytest

from sagemaker_custom import CustomRLEstimator
from sagemaker_custom.errors import UsageError

COACH = {"toolkit": "coach", "toolkit_version": "0.11.1", "framework": "tensorflow"}
RAY = {"toolkit": "ray", "toolkit_version": "1.6.0", "framework": "pytorch"}
CPU = "ml.m5.xlarge"
pytestmark = pytest.mark.usefixtures("roles_are_not_asked_about")


@pytest.fixture
def make(cloud, code):
    def estimator(**arguments):
        return CustomRLEstimator(
            entry_point="train.py",
            source_dir=str(code),
            role="arn:aws:iam::123456789012:role/SageMakerRole",
            instance_type=CPU,
            instance_count=1,
            sagemaker_session=cloud.session,
            settings=cloud.settings,
            **arguments,
        )

    return estimator


@pytest.mark.parametrize(
    ("kind", "metrics"),
    [
        (
            COACH,
            {"reward-training": "^Training>.*Total reward=(.*?),", "reward-testing": "^Testing>.*Total reward=(.*?),"},
        ),
        (
            RAY,
            {
                "episode_reward_mean": "episode_reward_mean: ([-+]?[0-9]*[.]?[0-9]+([eE][-+]?[0-9]+)?)",
                "episode_reward_max": "episode_reward_max: ([-+]?[0-9]*[.]?[0-9]+([eE][-+]?[0-9]+)?)",
            },
        ),
    ],
    ids=["coach", "ray"],
)
def test_job_has_the_extended_image_and_the_metrics_of_the_toolkit(cloud, make, kind, metrics):
    estimator = make(**kind, extras=["pip:lz4"])
    cloud.push(estimator.plan_image())
    estimator.fit(wait=False)
    algorithm = cloud.request("CreateTrainingJob")["AlgorithmSpecification"]
    assert algorithm["TrainingImage"] == str(estimator.plan_image().reference)
    assert f"/sagemaker-custom-{kind['toolkit']}-{kind['framework']}:" in algorithm["TrainingImage"]
    assert {item["Name"]: item["Regex"] for item in algorithm["MetricDefinitions"]} == metrics


def test_metrics_of_ones_own_take_their_place(cloud, make):
    own = [{"Name": "loss", "Regex": "loss=(.*)"}]
    make(**RAY, metric_definitions=own).fit(wait=False)
    assert cloud.request("CreateTrainingJob")["AlgorithmSpecification"]["MetricDefinitions"] == own


@pytest.mark.parametrize(
    ("framework", "version", "repository"),
    [("tensorflow", "0.11.1", "sagemaker-tensorflow-serving:1.12"), ("mxnet", "0.11.0", "sagemaker-mxnet:1.3")],
    ids=["tensorflow", "mxnet"],
)
def test_what_coach_trained_is_served_by_its_framework(cloud, make, framework, version, repository):
    estimator = make(toolkit="coach", toolkit_version=version, framework=framework)
    estimator.fit(wait=False)
    cloud.leave_model(estimator)
    container = cloud.model_of(estimator.deploy(1, CPU, endpoint_name="policy", wait=False))
    assert f"/{repository}" in container["Image"]


def test_what_ray_trained_is_not_deployed(cloud, make):
    estimator = make(**RAY)
    estimator.fit(wait=False)
    cloud.leave_model(estimator)
    with pytest.raises((NotImplementedError, UsageError), match=r"(?i)\bray\b"):
        estimator.deploy(1, CPU)


def test_image_of_ones_own_trains(cloud, make):
    make(image_uri="team/image:1").fit(wait=False)
    algorithm = cloud.request("CreateTrainingJob")["AlgorithmSpecification"]
    assert algorithm["TrainingImage"] == "team/image:1"
    assert not algorithm.get("MetricDefinitions")


def test_neither_toolkit_nor_framework_is_told(make):
    with pytest.raises(UsageError, match="neither toolkit nor framework"):
        make(toolkit_version="0.11.1")
