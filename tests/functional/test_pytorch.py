"""The PyTorch classes against moto and a real registry: what AWS gets, and what is never done behind one's back."""

from __future__ import annotations

import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import sagemaker
from sagemaker.processing import FrameworkProcessor
from sagemaker.workflow.parameters import ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.steps import TrainingStep

import sagemaker_custom
from sagemaker_custom import CustomPyTorch, CustomPyTorchModel, CustomPyTorchPredictor
from sagemaker_custom.errors import (
    ImageMissingError,
    ImageNotInCatalogError,
    InvalidExtraError,
    RegistryUnavailableError,
    SourceError,
    UsageError,
)

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
EXTENDED = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-"
SERVING = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-inference-cpu-py311-faiss-"


@pytest.fixture
def make(cloud, code):
    def estimator(**arguments):
        return CustomPyTorch(
            **{
                "entry_point": "train.py",
                "source_dir": str(code),
                "framework_version": "2.3",
                "py_version": "py311",
                "extras": ["faiss"],
                "role": ROLE,
                "instance_type": "ml.m5.xlarge",
                "instance_count": 1,
                "sagemaker_session": cloud.session,
                "settings": cloud.settings,
                **arguments,
            }
        )

    return estimator


def test_estimator_is_a_true_subclass(make):
    estimator = make()
    assert isinstance(estimator, sagemaker.estimator.Framework)
    assert isinstance(estimator, sagemaker.pytorch.PyTorch)


class TestFit:
    def test_training_job_gets_the_extended_image_and_the_reserved_hyperparameters(self, cloud, make):
        estimator = make(hyperparameters={"epochs": 3})
        cloud.push(estimator.plan_image())
        estimator.fit({"train": "s3://data/train"}, wait=False)
        job = cloud.training_job(estimator)
        assert job["AlgorithmSpecification"]["TrainingImage"].startswith(EXTENDED)
        parameters = {name: json.loads(value) for name, value in job["HyperParameters"].items()}
        assert parameters["sagemaker_program"] == "train.py"
        assert parameters["sagemaker_submit_directory"].startswith(f"s3://{cloud.bucket}/sagemaker-custom/source/")
        assert parameters["sagemaker_submit_directory"].endswith("/sourcedir.tar.gz")
        assert parameters["sagemaker_container_log_level"] == 20
        assert parameters["sagemaker_job_name"] == estimator.latest_training_job.name
        assert parameters["sagemaker_region"] == "us-east-1"
        assert parameters["epochs"] == 3
        assert estimator.latest_training_job.name.startswith("sagemaker-custom-pytorch-")

    def test_job_name_has_no_slash_where_the_repository_prefix_has_one(self, cloud, make):
        estimator = make(settings=replace(cloud.settings, repository_prefix="vision/sagemaker-custom"))
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        assert estimator.latest_training_job.name.startswith("sagemaker-custom-pytorch-")

    def test_unchanged_code_is_uploaded_once(self, cloud, make):
        estimator = make()
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        first = cloud.objects()
        make().fit(wait=False)
        assert cloud.objects() == first
        assert len(first) == 1

    def test_changed_code_gets_another_address(self, cloud, make, code):
        estimator = make()
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        (code / "train.py").write_text("print('other')\n")
        estimator.fit(wait=False)
        assert len(cloud.objects()) == 2

    def test_archive_holds_dependencies_and_no_ignored_files(self, cloud, make, code, tmp_path):
        library = tmp_path / "library"
        library.mkdir()
        (library / "helper.py").write_text("x = 1\n")
        (code / ".sagemakerignore").write_text("*.bin\n")
        (code / "weights.bin").write_text("large")
        (code / "__pycache__").mkdir()
        (code / "__pycache__" / "train.pyc").write_text("")
        estimator = make(dependencies=[str(library)])
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        with tarfile.open(fileobj=cloud.download(*cloud.objects())) as archive:
            files = sorted(member.name for member in archive if member.isfile())
        assert files == ["clean.py", "inference.py", "library/helper.py", "train.py"]

    def test_code_location_and_kms_key_keep_working(self, cloud, make):
        cloud.create_bucket("team-code")
        estimator = make(code_location="s3://team-code/deep", output_path="s3://team-code/out", output_kms_key="key-1")
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        [key] = cloud.objects("team-code")
        assert key.startswith("deep/")
        assert key.endswith("/sourcedir.tar.gz")
        assert cloud.head("team-code", key)["SSEKMSKeyId"].endswith("key-1")

    def test_default_bucket_prefix_stays_in_front(self, cloud, make):
        session = cloud.new_session(default_bucket_prefix="team/a")
        estimator = make(sagemaker_session=session)
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        [key] = cloud.objects()
        assert key.startswith("team/a/sagemaker-custom/source/")

    def test_code_in_s3_is_left_where_it_is(self, cloud, make):
        estimator = make(source_dir="s3://team/sourcedir.tar.gz")
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        parameters = cloud.training_job(estimator)["HyperParameters"]
        assert parameters["sagemaker_submit_directory"] == '"s3://team/sourcedir.tar.gz"'
        assert cloud.objects() == []

    def test_missing_image_with_never_names_the_command_and_starts_no_job(self, cloud, make):
        with pytest.raises(ImageMissingError, match=r"sagemaker-custom build pytorch --version 2\.3\.0"):
            make(build="never").fit(wait=False)
        assert cloud.training_jobs() == []

    def test_registry_that_does_not_answer_is_not_a_missing_image(self, cloud, make):
        cloud.stop_registry()
        with pytest.raises(RegistryUnavailableError):
            make().fit(wait=False)

    def test_bad_code_is_told_before_the_image_is_looked_for(self, cloud, make):
        cloud.stop_registry()
        with pytest.raises(SourceError, match=r"trian\.py"):
            make(entry_point="trian.py").fit(wait=False)

    def test_no_extras_give_the_image_of_aws(self, cloud, make):
        estimator = make(extras=())
        estimator.fit(wait=False)
        assert cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"] == STOCK
        assert estimator.latest_training_job.name.startswith("pytorch-training-")

    def test_image_uri_is_used_untouched(self, cloud, make):
        estimator = make(extras=(), image_uri="registry.example.com/team/image:1")
        estimator.fit(wait=False)
        image = cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"]
        assert image == "registry.example.com/team/image:1"

    def test_distribution_works_for_a_version_that_the_sdk_does_not_list(self, cloud, make):
        estimator = make(
            framework_version="2.13",
            py_version="py312",
            extras=(),
            instance_type="ml.g5.12xlarge",
            distribution={"torch_distributed": {"enabled": True}},
        )
        estimator.fit(wait=False)
        job = cloud.training_job(estimator)
        assert job["HyperParameters"]["sagemaker_torch_distributed_enabled"] == "true"
        assert job["AlgorithmSpecification"]["TrainingImage"].endswith("/pytorch:2.13.0-cu133-amzn2023-sagemaker")


class TestDeploy:
    def test_inference_image_of_the_pair_serves(self, cloud, make):
        estimator = make()
        cloud.push(estimator.plan_image())
        cloud.push(estimator.plan_image("inference"))
        estimator.fit(wait=False)
        cloud.leave_model(estimator)
        predictor = estimator.deploy(1, "ml.m5.xlarge", entry_point="inference.py", wait=False)
        assert isinstance(predictor, CustomPyTorchPredictor)
        assert isinstance(predictor, sagemaker.pytorch.PyTorchPredictor)
        model = cloud.model_of(predictor)
        assert model["Image"].startswith(SERVING)
        assert model["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
        with tarfile.open(fileobj=cloud.download_uri(model["ModelDataUrl"])) as archive:
            assert "code/inference.py" in archive.getnames()

    def test_model_alone_resolves_by_instance_type(self, cloud, code):
        model = CustomPyTorchModel(
            "s3://models/model.tar.gz",
            ROLE,
            "inference.py",
            framework_version="2.3",
            py_version="py311",
            source_dir=str(code),
            extras=["faiss"],
            sagemaker_session=cloud.session,
            settings=cloud.settings,
        )
        assert isinstance(model, sagemaker.pytorch.PyTorchModel)
        assert model.serving_image_uri("us-east-1", "ml.m5.xlarge").startswith(SERVING)
        assert "-inference-gpu-py311-cu121-faiss-" in model.serving_image_uri("us-east-1", "ml.g5.xlarge")

    def test_missing_inference_image_with_never_creates_no_model(self, cloud, make):
        estimator = make(build="never")
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        with pytest.raises(ImageMissingError, match="--image-scope inference"):
            estimator.deploy(1, "ml.m5.xlarge", wait=False)
        assert cloud.models() == []

    def test_image_uri_without_version_can_be_deployed(self, cloud, make):
        estimator = make(extras=(), image_uri="team/image:1", framework_version=None, py_version=None)
        estimator.fit(wait=False)
        cloud.leave_model(estimator)
        predictor = estimator.deploy(1, "ml.m5.xlarge", entry_point="inference.py", wait=False)
        assert cloud.model_of(predictor)["Image"] == "team/image:1"


class TestOnlyResolving:
    """Constructors, processors and pipeline definitions reach no registry: it is stopped."""

    def test_constructor_and_plan(self, cloud, make):
        cloud.stop_registry()
        plan = make().plan_image()
        assert plan.needs_build
        assert str(plan.base_reference) == STOCK
        assert plan.reason == "pytorch 2.3.0 cpu py311 for training in us-east-1: extended by faiss"

    def test_pipeline_definition(self, cloud, make):
        cloud.stop_registry()
        session = PipelineSession(boto_session=cloud.session.boto_session, default_bucket=cloud.bucket)
        instance_type = ParameterString("InstanceType", default_value="ml.m5.xlarge")
        estimator = make(sagemaker_session=session, instance_type=instance_type)
        with pytest.warns(UserWarning, match="No Job being started"):
            step = TrainingStep("Train", step_args=estimator.fit({"train": "s3://data/train"}))
        pipeline = Pipeline("digits", parameters=[instance_type], steps=[step], sagemaker_session=session)
        definition = json.loads(pipeline.definition())
        arguments = definition["Steps"][0]["Arguments"]
        assert arguments["AlgorithmSpecification"]["TrainingImage"].startswith(EXTENDED)
        [key] = cloud.objects()
        assert key.startswith("digits/code/")

    def test_framework_processor(self, cloud):
        cloud.stop_registry()
        processor = FrameworkProcessor(
            estimator_cls=CustomPyTorch,
            framework_version="2.3",
            py_version="py311",
            role=ROLE,
            instance_count=1,
            instance_type="ml.m5.xlarge",
            sagemaker_session=cloud.session,
        )
        assert processor.image_uri == STOCK


class TestBadInput:
    def test_unknown_recipe(self, make):
        with pytest.raises(ImageNotInCatalogError) as caught:
            make(extras=["fais"])
        assert "there is no recipe 'fais'" in str(caught.value)
        assert "did you mean faiss?" in str(caught.value)
        assert isinstance(caught.value, ValueError)

    def test_extras_with_image_uri(self, make):
        with pytest.raises(UsageError, match=r"extras=.*cannot be put into image_uri='team/image:1'"):
            make(image_uri="team/image:1")

    def test_version_python_and_cuda_that_do_not_go_together(self, make):
        with pytest.raises(ImageNotInCatalogError, match=r"the nearest are: 2\.3\.0 gpu py311 cu121"):
            make(cuda_version="11.8", instance_type="ml.g5.xlarge")

    def test_malformed_requirement(self, make):
        with pytest.raises(InvalidExtraError, match="extra 'pip:faiss cpu': 'faiss cpu' is not a requirement"):
            make(extras=["pip:faiss cpu"])

    def test_builder_that_does_not_exist(self, make):
        with pytest.raises(UsageError, match="builder='kaniko' is not a builder"):
            make(builder="kaniko")


def test_exports_are_what_the_package_says():
    for name in sagemaker_custom.__all__:
        assert getattr(sagemaker_custom, name) is not None
    assert dir(sagemaker_custom) == sagemaker_custom.__all__
    with pytest.raises(AttributeError):
        sagemaker_custom.CustomTorch  # noqa: B018


@pytest.fixture
def repository(tmp_path):
    """A git repository that is cloned under an https address, by the person's git configuration."""
    folder = tmp_path / "repository"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "train.py").write_text("print('cloned')\n")
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        subprocess.run(["git", "-C", str(folder), *who, *command], check=True)
    Path("~/.gitconfig").expanduser().write_text(
        f'[url "file://{folder}"]\n    insteadOf = https://git.example.com/team/jobs.git\n'
    )
    return {"repo": "https://git.example.com/team/jobs.git", "branch": "main"}


def test_git_config_uploads_the_clone(cloud, make, repository):
    estimator = make(git_config=repository, source_dir="jobs")
    cloud.push(estimator.plan_image())
    estimator.fit(wait=False)
    with tarfile.open(fileobj=cloud.download(*cloud.objects())) as archive:
        assert archive.extractfile("train.py").read() == b"print('cloned')\n"


def test_git_config_mounts_the_clone_in_local_mode(make, repository):
    estimator = make(git_config=repository, source_dir="jobs", instance_type="local", sagemaker_session=None)
    estimator._prepare_for_training()
    folder = Path(json.loads(estimator.hyperparameters()["sagemaker_submit_directory"]).removeprefix("file://"))
    assert (folder / "train.py").read_text() == "print('cloned')\n"
    assert estimator.git_config == repository
    assert estimator.source_dir == "jobs"


def test_git_config_serves_the_clone_in_local_mode(make, repository, tmp_path):
    estimator = make(git_config=repository, source_dir="jobs", instance_type="local", sagemaker_session=None)
    estimator._prepare_for_training()
    estimator.output_path = f"file://{tmp_path}"
    model = estimator.create_model()
    assert (Path(model.source_dir) / model.entry_point).read_text() == "print('cloned')\n"
