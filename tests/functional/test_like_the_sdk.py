"""What the SDK's classes do with the same arguments, ours do too: images of AWS's features, sessions, processors."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sagemaker.processing import FrameworkProcessor
from sagemaker.pytorch import PyTorch, TrainingCompilerConfig
from sagemaker.workflow.pipeline_context import PipelineSession

from sagemaker_custom import CustomPyTorch, CustomPyTorchModel
from sagemaker_custom.errors import ImageMissingError, RegistryUnavailableError, UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
MODEL_PARALLEL = {
    "torch_distributed": {"enabled": True},
    "smdistributed": {"modelparallel": {"enabled": True, "parameters": {}}},
}
FEATURES = [
    {"framework_version": "2.2.0", "py_version": "py310", "distribution": MODEL_PARALLEL},
    {"framework_version": "2.3.1", "py_version": "py311", "distribution": MODEL_PARALLEL},
    {"framework_version": "1.12", "py_version": "py38", "compiler_config": TrainingCompilerConfig()},
]


@pytest.fixture
def arguments(cloud, code):
    return {
        "entry_point": "train.py",
        "source_dir": str(code),
        "framework_version": "2.3",
        "py_version": "py311",
        "role": ROLE,
        "instance_type": "ml.p3.16xlarge",
        "instance_count": 1,
        "sagemaker_session": cloud.session,
    }


@pytest.fixture
def make(cloud, arguments):
    def estimator(**changes):
        return CustomPyTorch(**{**arguments, "extras": ["faiss"], "settings": cloud.settings, **changes})

    return estimator


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A training recipe, and the repository of scripts that the SDK clones for it."""
    scripts = tmp_path / "adapter"
    (scripts / "examples" / "llama").mkdir(parents=True)
    (scripts / "examples" / "llama" / "llama_pretrain.py").write_text("print('llama')\n")
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(scripts), *who, *command], check=True)
    Path("~/.gitconfig").expanduser().write_text(
        f'[url "file://{scripts}"]\n    insteadOf = https://git.example.com/adapter.git\n'
    )
    monkeypatch.setenv("TRAINING_ADAPTER_GIT", "https://git.example.com/adapter.git")
    text = tmp_path / "recipe.yaml"
    text.write_text("trainer:\n  num_nodes: 1\nmodel:\n  model_type: llama_v3\n")
    return str(text)


class TestImagesOfFeatures:
    """AWS publishes them apart, and the catalog does not hold them."""

    @pytest.mark.parametrize("feature", FEATURES)
    def test_without_extras_the_image_is_the_sdks_choice(self, make, arguments, feature):
        expected = PyTorch(**{**arguments, **feature}).training_image_uri()
        estimator = make(extras=(), **feature)
        assert estimator.training_image_uri() == expected
        assert estimator.build_image() == expected
        assert "/pytorch-training:" not in expected

    @pytest.mark.parametrize("feature", FEATURES)
    def test_extras_cannot_be_put_into_it(self, make, feature):
        with pytest.raises(UsageError, match=r"extras=\['faiss'\] cannot be put into the image that AWS publishes for"):
            make(**feature)

    @pytest.mark.filterwarnings("ignore:.*register_new_resolver:UserWarning")
    def test_a_training_recipe_keeps_its_own_image(self, make, arguments, recipe):
        for name in ("entry_point", "framework_version", "py_version"):
            arguments[name] = None
        expected = PyTorch(**arguments, training_recipe=recipe).image_uri
        assert "/smdistributed-modelparallel:" in expected
        assert make(extras=(), training_recipe=recipe).training_image_uri() == expected

    def test_trainium_has_images_of_its_own_to_extend(self, make, arguments):
        trainium = {"framework_version": "1.11.0", "py_version": "py38", "instance_type": "ml.trn1.2xlarge"}
        stock = PyTorch(**{**arguments, **trainium}).training_image_uri()
        assert make(extras=(), **trainium).training_image_uri() == stock
        uri = make(extras=["pip:zarr"], **trainium).training_image_uri()
        assert "/sagemaker-custom-pytorch:1.11.0-training-neuronx-py38-sdk2.4.0-zarr-" in uri

    def test_nothing_is_planned_for_a_given_image(self, make):
        estimator = make(extras=(), image_uri="team/image:1")
        assert estimator.build_image() == "team/image:1"
        with pytest.raises(UsageError, match="there is nothing to plan: team/image:1 is used as it is"):
            estimator.plan_image()

    def test_old_name_of_the_image_argument_is_heeded(self, make):
        assert make(extras=(), image_name="team/image:1").training_image_uri() == "team/image:1"


class TestSessions:
    def test_build_image_builds_for_a_pipeline_too(self, cloud, make):
        session = PipelineSession(boto_session=cloud.boto_session, default_bucket=cloud.bucket)
        estimator = make(sagemaker_session=session)
        cloud.stop_registry()
        with pytest.raises(RegistryUnavailableError):
            estimator.build_image()

    def test_another_region_has_another_image(self, cloud, make):
        estimator = make()
        assert ".us-east-1." in estimator.training_image_uri()
        model = estimator_model(estimator, cloud)
        assert ".eu-west-1." in model.serving_image_uri("eu-west-1", "ml.m5.xlarge")

    def test_model_without_a_session_knows_its_image(self, cloud):
        model = CustomPyTorchModel(
            "s3://models/m.tar.gz", ROLE, "inference.py", "2.3", "py311", settings=cloud.settings
        )
        assert "/pytorch-inference:2.3.0-cpu" in model.serving_image_uri("us-east-1", "ml.m5.xlarge")


class TestAgain:
    def test_image_that_has_gone_between_two_fits_is_noticed(self, cloud, make):
        estimator = make(build="never", instance_type="ml.m5.xlarge")
        cloud.push(estimator.plan_image())
        estimator.fit(wait=False)
        cloud.remove(estimator.plan_image())
        with pytest.raises(ImageMissingError):
            estimator.fit(wait=False)

    def test_register_and_a_later_deploy_look_for_the_image_each(self, cloud, code):
        model = CustomPyTorchModel(
            f"s3://{cloud.bucket}/m/model.tar.gz",
            ROLE,
            "inference.py",
            "2.3",
            "py311",
            source_dir=str(code),
            extras=["faiss"],
            build="never",
            sagemaker_session=cloud.session,
            settings=cloud.settings,
        )
        cloud.put_model("m/model.tar.gz")
        types = ["text/csv"], ["text/csv"], ["ml.m5.xlarge"], ["ml.m5.xlarge"]
        with pytest.raises(ImageMissingError):
            model.register(*types, model_package_group_name="digits")
        plan = model._images.plan("inference", "ml.m5.xlarge", cloud.session)
        cloud.push(plan)
        model.register(*types, model_package_group_name="digits")
        cloud.remove(plan)
        with pytest.raises(ImageMissingError):
            model.deploy(1, "ml.m5.xlarge", wait=False)


class TestProcessors:
    def test_two_scripts_of_one_folder_are_started_by_scripts_of_their_own(self, cloud, code):
        started = [self.started_by(cloud, code, name) for name in ("train.py", "clean.py")]
        assert [text.splitlines()[-1] for text in (cloud.download_uri(uri).read().decode() for uri in started)] == [
            'python train.py "$@"',
            'python clean.py "$@"',
        ]

    @staticmethod
    def started_by(cloud, code, script):
        processor = FrameworkProcessor(
            estimator_cls=CustomPyTorch,
            framework_version="2.3",
            py_version="py311",
            role=ROLE,
            instance_count=1,
            instance_type="ml.m5.xlarge",
            sagemaker_session=cloud.session,
        )
        processor.run(code=script, source_dir=str(code), wait=False)
        inputs = {item.input_name: item for item in processor.latest_job.inputs}
        return inputs["entrypoint"].source


def estimator_model(estimator, cloud):
    return CustomPyTorchModel(
        "s3://models/m.tar.gz",
        ROLE,
        "inference.py",
        estimator.framework_version,
        estimator.py_version,
        sagemaker_session=cloud.session,
        settings=cloud.settings,
    )
