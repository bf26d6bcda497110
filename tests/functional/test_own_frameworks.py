"""``CustomFramework`` and ``CustomModel`` against moto and a real registry."""

from __future__ import annotations

import json

import pytest

from sagemaker_custom import CustomFramework, CustomFrameworkModel, CustomModel, CustomPredictor
from sagemaker_custom.errors import ImageMissingError, UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/jax:1.2"


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


@pytest.fixture
def container(tmp_path):
    folder = tmp_path / "my-jax"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY train /usr/local/bin/train\n")
    (folder / "train").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def make(cloud, code):
    def estimator(**arguments):
        return CustomFramework(
            **{
                "entry_point": "train.py",
                "source_dir": str(code),
                "role": ROLE,
                "instance_type": "ml.m5.xlarge",
                "instance_count": 1,
                "sagemaker_session": cloud.session,
                "settings": cloud.settings,
                "build": "never",
                **arguments,
            }
        )

    return estimator


def test_folder_is_an_image_of_the_users_registry(cloud, make, container):
    estimator = make(dockerfile=container)
    cloud.push(estimator.plan_image())
    estimator.fit({"train": "s3://data/train"}, wait=False)
    job = cloud.training_job(estimator)
    image = job["AlgorithmSpecification"]["TrainingImage"]
    assert image.startswith("123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-my-jax:dockerfile_")
    assert estimator.latest_training_job.name.startswith("sagemaker-custom-my-jax-")
    assert json.loads(job["HyperParameters"]["sagemaker_program"]) == "train.py"


def test_edited_folder_is_another_image_the_next_time(cloud, make, container):
    estimator = make(dockerfile=container)
    cloud.push(estimator.plan_image())
    estimator.fit(wait=False)
    (container / "train").write_text("#!/bin/sh\necho other\n")
    with pytest.raises(ImageMissingError):
        estimator.fit(wait=False)


def test_image_that_needs_nothing_is_used_as_it_is(cloud, make):
    estimator = make(base_image=OWN)
    cloud.stop_registry()
    estimator.fit(wait=False)
    assert cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"] == OWN


def test_extras_make_another_image_of_it(make):
    image = make(base_image=OWN, extras=["pip:zarr"]).training_image_uri()
    assert image.startswith("123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-jax:1.2-training-cpu-zarr-")


def test_program_of_its_own_gets_plain_hyperparameters_and_no_code(cloud, make):
    estimator = make(image_uri=OWN, entry_point=None, source_dir=None, hyperparameters={"epochs": 3, "name": "a"})
    estimator.fit({"train": "s3://data/train"}, wait=False)
    assert cloud.training_job(estimator)["HyperParameters"] == {"epochs": "3", "name": "a"}
    assert cloud.objects() == []


def test_deploys_what_it_trained_with_its_image_for_serving(cloud, make, container, tmp_path):
    serving = tmp_path / "server"
    serving.mkdir()
    (serving / "Dockerfile").write_text("FROM scratch\nCOPY serve /usr/local/bin/serve\n")
    (serving / "serve").write_text("#!/bin/sh\n")
    estimator = make(dockerfile=container, serving_dockerfile=serving)
    cloud.push(estimator.plan_image())
    estimator.fit(wait=False)
    cloud.leave_model(estimator)
    model = estimator.create_model(entry_point="inference.py")
    assert isinstance(model, CustomFrameworkModel)
    with pytest.raises(ImageMissingError):
        model.deploy(1, "ml.m5.xlarge", wait=False)
    cloud.push(estimator.plan_image("inference"))
    predictor = estimator.deploy(1, "ml.m5.xlarge", entry_point="inference.py", wait=False)
    assert isinstance(predictor, CustomPredictor)
    container_of = cloud.model_of(predictor)
    assert "/sagemaker-custom-server:" in container_of["Image"]
    assert container_of["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"


def test_model_without_data_and_code(cloud):
    model = CustomModel(base_image=OWN, role=ROLE, sagemaker_session=cloud.session, settings=cloud.settings)
    predictor = model.deploy(1, "ml.m5.xlarge", wait=False)
    assert cloud.model_of(predictor)["Image"] == OWN
    assert "ModelDataUrl" not in cloud.model_of(predictor)


def test_model_says_and_builds_what_it_serves_with(cloud, container):
    model = CustomModel(
        dockerfile=container, role=ROLE, sagemaker_session=cloud.session, settings=cloud.settings, build="never"
    )
    plan = model.plan_image("ml.m5.xlarge")
    assert plan.needs_build
    cloud.push(plan)
    assert model.build_image("ml.m5.xlarge") == str(plan.reference)
    given = CustomModel(image_uri=OWN, role=ROLE, sagemaker_session=cloud.session, settings=cloud.settings)
    assert given.build_image() == OWN
    with pytest.raises(UsageError, match="nothing to plan"):
        given.plan_image()


def test_attach_keeps_the_image(cloud, make):
    job = make(image_uri=OWN)
    job.fit(wait=False)
    described = cloud.sagemaker.describe_training_job(TrainingJobName=job.latest_training_job.name)
    described["OutputDataConfig"]["KmsKeyId"] = ""
    again = CustomFramework(
        sagemaker_session=cloud.session, **CustomFramework._prepare_init_params_from_job_description(described)
    )
    assert again.image_uri == OWN
    assert again.entry_point == "train.py"


def test_subclass_for_a_framework(make, container):
    class CustomJAX(CustomFramework):
        """With a default of its own."""

        def __init__(self, *args, extras=("pip:optax",), **kwargs):
            super().__init__(*args, extras=extras, **kwargs)

    estimator = CustomJAX("train.py", dockerfile=container, role=ROLE, instance_type="local", instance_count=1)
    assert "-optax-" in estimator.training_image_uri()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "neither is named"),
        ({"base_image": OWN, "dockerfile": "."}, "not both"),
        ({"image_uri": OWN, "extras": ["pip:zarr"]}, "used untouched"),
        ({"image_uri": OWN, "base_image": OWN}, "used untouched"),
        ({"base_image": OWN, "toolkit": "maybe"}, "toolkit='maybe'"),
        ({"base_image": OWN, "repository_name": "pytorch"}, "the name of a framework"),
    ],
)
def test_what_contradicts_itself_is_refused(make, arguments, said):
    with pytest.raises(UsageError, match=said):
        make(**arguments).training_image_uri()
