"""Local mode asks AWS for nothing: there are no credentials, no region, and no network in these tests."""

from __future__ import annotations

import gc
import json
import tarfile
from pathlib import Path

import boto3
import pytest
from sagemaker.local import LocalSession
from sagemaker.session import Session
from sagemaker.workflow.pipeline_context import LocalPipelineSession

from sagemaker_custom import CustomLocalSession, CustomPyTorch, CustomPyTorchModel
from sagemaker_custom.errors import SourceError
from sagemaker_custom.sdk.rules import LOCAL_ROLE


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "train.py").write_text("print('training')\n")
    (folder / "notes.secret").write_text("x")
    (folder / ".sagemakerignore").write_text("*.secret\n")
    library = tmp_path / "library"
    library.mkdir()
    (library / "part.py").write_text("x = 1\n")
    return folder


def estimator_for(code, **arguments):
    return CustomPyTorch(
        entry_point="jobs/train.py",
        source_dir=str(code),
        framework_version="2.3",
        py_version="py311",
        **{"extras": ["faiss"], **arguments},
        instance_type="local",
        instance_count=1,
    )


def test_estimator_needs_neither_role_nor_region_nor_credentials(code):
    estimator = estimator_for(code)
    assert isinstance(estimator.sagemaker_session, CustomLocalSession)
    plan = estimator.plan_image()
    assert plan.is_local
    assert str(plan.reference).startswith("sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-")
    assert estimator.training_image_uri() == str(plan.reference)


def test_gpu_is_another_image(code):
    plan = estimator_for(code).plan_image(instance_type="local_gpu")
    assert "-training-gpu-py311-cu121-faiss-" in str(plan.reference)


def test_container_gets_a_private_folder_with_dependencies_and_without_ignored_files(code, tmp_path):
    estimator = estimator_for(code, extras=(), dependencies=[str(tmp_path / "library")])
    estimator._prepare_for_training()
    parameters = {name: json.loads(value) for name, value in estimator.hyperparameters().items()}
    folder = Path(parameters["sagemaker_submit_directory"].removeprefix("file://"))
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["jobs/train.py", "library/part.py"]
    assert parameters["sagemaker_program"] == "jobs/train.py"
    assert folder != code


def test_estimator_keeps_the_users_own_paths(code):
    estimator = estimator_for(code, extras=())
    estimator._prepare_for_training()
    assert (estimator.source_dir, estimator.entry_point) == (str(code), "jobs/train.py")


def test_private_folder_goes_with_the_estimator(code):
    estimator = estimator_for(code, extras=())
    estimator._prepare_for_training()
    folder = estimator._workspace.path
    assert folder.is_dir()
    del estimator
    gc.collect()
    assert not folder.exists()


def test_bad_code_is_told_before_the_engine_is_asked(code, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    estimator = estimator_for(code)
    (code / "jobs" / "train.py").unlink()
    with pytest.raises(SourceError, match=r"jobs/train\.py"):
        estimator.fit()


def test_session_of_the_user_is_taken_over_with_what_is_set_on_it(code):
    session = LocalSession(boto_session=boto3.Session(region_name="eu-west-1"), default_bucket="mine")
    session.config = {"local": {"local_code": True, "serving_port": 9090}}
    estimator = estimator_for(code, sagemaker_session=session)
    taken = estimator.sagemaker_session
    assert isinstance(taken, CustomLocalSession)
    assert taken.boto_region_name == "eu-west-1"
    assert taken.serving_port == 9090
    assert taken._default_bucket_name_override == "mine"


def test_session_without_local_code_is_respected(code):
    session = LocalSession(boto_session=boto3.Session(region_name="eu-west-1"))
    session.config = {"local": {"local_code": False}}
    assert not estimator_for(code, sagemaker_session=session).sagemaker_session.uses_local_code


def test_session_that_shall_not_mount_code_does_not(code):
    session = LocalSession(boto_session=boto3.Session(region_name="eu-west-1"), disable_local_code=True)
    assert not CustomLocalSession(session.boto_session, disable_local_code=True).uses_local_code
    assert not estimator_for(code, sagemaker_session=session).sagemaker_session.uses_local_code


def test_session_of_a_local_pipeline_stays_what_it_is(code):
    session = LocalPipelineSession(boto_session=boto3.Session(region_name="eu-west-1"))
    assert estimator_for(code, sagemaker_session=session, role=LOCAL_ROLE).sagemaker_session is session


def test_old_name_of_the_instance_type_means_local_mode_too(code):
    estimator = CustomPyTorch(
        entry_point="jobs/train.py", source_dir=str(code), train_instance_type="local", train_instance_count=1
    )
    assert isinstance(estimator.sagemaker_session, CustomLocalSession)


@pytest.fixture
def model(code, tmp_path):
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return CustomPyTorchModel(
        f"file://{tmp_path}/model.tar.gz",
        entry_point="jobs/train.py",
        source_dir=str(code),
        framework_version="2.3",
        py_version="py311",
    )


class Endpoints:
    """Takes the place of local mode's API: notes what it is asked for and starts nothing."""

    def __init__(self):
        self.container = None

    def create_model(self, ModelName, PrimaryContainer, *args, **kwargs):  # noqa: N803
        self.container = PrimaryContainer

    def create_endpoint_config(self, *args, **kwargs):
        pass

    def create_endpoint(self, *args, **kwargs):
        pass


def test_code_of_an_endpoint_outlives_the_model_that_nobody_keeps(model):
    model._init_sagemaker_session_if_does_not_exist("local")
    session = model.sagemaker_session
    session.sagemaker_client = endpoints = Endpoints()
    predictor = model.deploy(1, "local")
    folder = Path(endpoints.container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"].removeprefix("file://"))
    del model
    gc.collect()
    assert (folder / "jobs" / "train.py").is_file()
    assert predictor.sagemaker_session is session


def test_deploy_takes_its_arguments_by_position_as_the_sdk_does(model):
    model._init_sagemaker_session_if_does_not_exist("local")
    model.sagemaker_session.sagemaker_client = Endpoints()
    assert model.deploy(1, "local", None, None, None, "digits", None, None, True).endpoint_name == "digits"


def test_model_given_a_session_of_aws_is_served_on_this_machine(model):
    model.sagemaker_session = Session(boto3.Session(region_name="eu-west-1"))
    model._init_sagemaker_session_if_does_not_exist("local")
    assert isinstance(model.sagemaker_session, CustomLocalSession)
    assert model.sagemaker_session.boto_region_name == "eu-west-1"


def test_model_with_local_files_asks_for_no_bucket(code, tmp_path):
    model = CustomPyTorchModel(
        f"file://{tmp_path}/model.tar.gz",
        entry_point="jobs/train.py",
        source_dir=str(code),
        framework_version="2.3",
        py_version="py311",
    )
    model._init_sagemaker_session_if_does_not_exist("local")
    assert isinstance(model.sagemaker_session, CustomLocalSession)
    assert model.role is not None
    assert model._serves_local_files()
