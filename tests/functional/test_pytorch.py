"""The PyTorch classes against moto and a real registry: what AWS gets, and what is never done behind one's back."""

from __future__ import annotations

import json
import logging
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

    def test_a_warm_fit_asks_the_registry_once(self, cloud, make, caplog):
        cloud.push(make().plan_image())
        make().fit(wait=False)

        with caplog.at_level(logging.DEBUG, logger="urllib3.connectionpool"):
            make().fit(wait=False)

        asked = [record.getMessage() for record in caplog.records if "/v2/" in record.getMessage()]
        assert len(asked) == 1, asked
        assert '"HEAD /v2/sagemaker-custom-pytorch/manifests/2.3.0-training-' in asked[0]

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


NEWER = {"framework_version": "2.8", "py_version": "py312", "instance_type": "ml.g5.xlarge"}


class TestPair:
    """AWS trains with newer versions than it serves with."""

    def test_the_plan_says_why_it_serves_with_this_version(self, make):
        estimator = make(**NEWER, serving_version="nearest")
        plan = estimator.plan_image("inference", "ml.m5.xlarge")
        assert plan.base.tag == "2.6.0-cpu-py312-ubuntu22.04-sagemaker"
        assert plan.reason.endswith(
            "; it serves pytorch 2.8.0: AWS has no inference image of it, and 2.6.0 is the newest before it"
        )
        assert estimator.plan_image().base.version == "2.8.0"

    def test_deploy_refuses_another_version_unless_it_is_asked_for(self, cloud, make):
        estimator = make(**NEWER)
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        with pytest.raises(ImageNotInCatalogError, match=r"2\.6\.0 cpu py312\n.*serving_version='nearest'"):
            estimator.deploy(1, "ml.m5.xlarge", wait=False)

    def test_setting_counts_where_no_argument_does(self, cloud, make):
        wishes = replace(cloud.settings, serving_version="2.5")
        assert make(**NEWER, settings=wishes).plan_image("inference").base.version == "2.5.1"
        named = make(**NEWER, settings=wishes, serving_version="nearest")
        assert named.plan_image("inference").base.version == "2.6.0"

    def test_words_that_mean_nothing_are_refused_at_once(self, make):
        with pytest.raises(UsageError, match="serving_version='newest' cannot be read"):
            make(serving_version="newest")


class TestNamedImages:
    """What a team has agreed on, by one name."""

    @pytest.fixture
    def team(self, tmp_path):
        folder = tmp_path / "catalog" / "images"
        folder.mkdir(parents=True)
        folder.joinpath("ranking.yaml").write_text(
            "schema_version: 1\nname: ranking\nsummary: For the ranking team\nframework: pytorch\n"
            "versions: ['2.3', '2.2.0']\npy_version: py311\nextras: [faiss, 'pip:zarr']\n"
        )
        return str(folder.parent)

    def test_name_stands_for_version_python_and_extras(self, make, team):
        named = make(image="ranking", catalog=team, extras=(), framework_version=None, py_version=None)
        spelled_out = make(framework_version="2.3", py_version="py311", extras=["pip:zarr", "faiss"])
        for scope in ("training", "inference"):
            assert named.plan_image(scope).reference == spelled_out.plan_image(scope).reference
        assert named.framework_version == "2.3"

    def test_more_extras_come_on_top(self, make, team):
        named = make(image="ranking", catalog=[team], extras=["apt:libgl1"])
        assert named.plan_image().reference == make(extras=["faiss", "pip:zarr", "apt:libgl1"]).plan_image().reference

    def test_settings_name_catalogs_too(self, cloud, make, team):
        named = make(image="ranking", extras=(), settings=replace(cloud.settings, catalog=(team,)))
        assert "-zarr-faiss-" in named.plan_image().reference.tag

    def test_what_the_team_does_not_make_is_told(self, make, team):
        with pytest.raises(ImageNotInCatalogError, match=r"'ranking' is not made for version '2\.6'"):
            make(image="ranking", catalog=team, extras=(), framework_version="2.6")
        with pytest.raises(ImageNotInCatalogError, match="not made for processor 'neuronx'"):
            make(image="ranking", catalog=team, extras=(), framework_version=None, instance_type="ml.trn1.2xlarge")

    def test_name_that_nobody_gave_is_told_with_the_nearest(self, make, team):
        with pytest.raises(ImageNotInCatalogError, match=r"no named image 'rankin' in the catalog\n.*ranking"):
            make(image="rankin", catalog=team)

    def test_image_of_another_framework_is_refused(self, make, team, tmp_path):
        document = Path(team, "images", "ranking.yaml")
        document.write_text(document.read_text().replace("framework: pytorch", "framework: tensorflow"))
        with pytest.raises(UsageError, match="'ranking' is of tensorflow, not of pytorch"):
            make(image="ranking", catalog=team)

    def test_name_and_given_image_contradict_each_other(self, make, team):
        with pytest.raises(UsageError, match="image='ranking' cannot be put into image_uri='team/image:1'"):
            make(image="ranking", image_uri="team/image:1", extras=(), catalog=team)


class TestBadInput:
    def test_unknown_recipe(self, make):
        with pytest.raises(ImageNotInCatalogError) as caught:
            make(extras=["fais"])
        assert "there is no recipe 'fais'" in str(caught.value)
        assert "did you mean faiss," in str(caught.value)
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
    assert dir(sagemaker_custom) == sorted(sagemaker_custom.__all__)
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
    estimator = make(git_config=repository, source_dir="jobs", instance_type="local", sagemaker_session=None, extras=())
    estimator._prepare_for_training()
    folder = Path(json.loads(estimator.hyperparameters()["sagemaker_submit_directory"]).removeprefix("file://"))
    assert (folder / "train.py").read_text() == "print('cloned')\n"
    assert estimator.git_config == repository
    assert estimator.source_dir == "jobs"


def test_git_config_serves_the_clone_in_local_mode(make, repository, tmp_path):
    estimator = make(git_config=repository, source_dir="jobs", instance_type="local", sagemaker_session=None, extras=())
    estimator._prepare_for_training()
    estimator.output_path = f"file://{tmp_path}"
    model = estimator.create_model()
    assert (Path(model.source_dir) / model.entry_point).read_text() == "print('cloned')\n"
