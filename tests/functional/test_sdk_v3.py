"""What is there for the SDK v3 alone: code as it takes it, its own classes in our images, and what it cannot do."""

from __future__ import annotations

import io
import tarfile

import pytest

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

from sagemaker.core.inputs import TrainingInput
from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.serializers import CSVSerializer
from sagemaker.core.shapes import Channel, DataSource, S3DataSource
from sagemaker.core.training.configs import Compute, InputData
from sagemaker.train.distributed import MPI, Torchrun
from sagemaker.train.model_trainer import ModelTrainer

import sagemaker_custom
from sagemaker_custom import (
    CustomFramework,
    CustomLocalSession,
    CustomPyTorch,
    CustomTensorFlowPredictor,
    inference_image,
    source_code,
    training_image,
)
from sagemaker_custom.errors import UsageError, VerificationError
from sagemaker_custom.sdk_v3.builder import imported_model_builder
from sagemaker_custom.sdk_v3.channels import channels_of
from sagemaker_custom.sdk_v3.job import distributed_of

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
pytestmark = pytest.mark.usefixtures("roles_are_not_asked_about")


@pytest.fixture
def make(cloud, code):
    def estimator(**arguments):
        given = {
            "entry_point": "train.py",
            "source_dir": str(code),
            "framework_version": "2.3",
            "py_version": "py311",
            "role": ROLE,
            "instance_type": "ml.m5.xlarge",
            "instance_count": 1,
            "sagemaker_session": cloud.session,
            "settings": cloud.settings,
        }
        return CustomPyTorch(**given | arguments)

    return estimator


class TestSourceCode:
    def test_native_trainer_gets_one_archive_that_the_script_unpacks(self, cloud, code):
        packed = source_code("train.py", code, sagemaker_session=cloud.session, settings=cloud.settings)
        known = {"sagemaker_session": cloud.session, "settings": cloud.settings}
        trainer = ModelTrainer(
            training_image=training_image("pytorch", version="2.3", build="never", **known),
            source_code=packed,
            compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
            role=ROLE,
            sagemaker_session=cloud.session,
        )
        trainer.train(wait=False)
        channels = {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in cloud.request("CreateTrainingJob")["InputDataConfig"]
        }
        assert channels["code"] == packed.source_dir
        assert packed.source_dir.endswith("/sourcedir.tar.gz")
        assert packed.entry_script == "train.py"
        start = cloud.download_uri(f"{channels['sm_drivers']}/sm_train.sh").read().decode()
        assert "tar -xzf sourcedir.tar.gz" in start

    def test_native_builder_puts_the_code_into_the_model(self, cloud, code):
        known = {"sagemaker_session": cloud.session, "settings": cloud.settings}
        cloud.put_model("given/model.tar.gz")
        builder = imported_model_builder(cloud.session)(
            image_uri=inference_image("pytorch", version="2.3", build="never", **known),
            s3_model_data_url=f"s3://{cloud.bucket}/given/model.tar.gz",
            source_code=source_code("inference.py", code, **known),
            role_arn=ROLE,
            sagemaker_session=cloud.session,
        )
        builder.build(model_name="native")
        container = cloud.request("CreateModel")["PrimaryContainer"]
        assert "/pytorch-inference:2.3.0-cpu" in container["Image"]
        assert container["Environment"]["SAGEMAKER_PROGRAM"] == "inference.py"
        with tarfile.open(fileobj=cloud.download_uri(container["ModelDataUrl"])) as archive:
            assert "code/inference.py" in {name.removeprefix("./") for name in archive.getnames()}

    def test_native_processor_reads_the_archive(self, cloud, code):
        known = {"sagemaker_session": cloud.session, "settings": cloud.settings}
        packed = source_code("clean.py", code, **known)
        processor = FrameworkProcessor(
            image_uri=training_image("pytorch", version="2.3", build="never", **known),
            role=ROLE,
            instance_type="ml.m5.xlarge",
            instance_count=1,
            sagemaker_session=cloud.session,
        )
        processor.run(code=packed.entry_script, source_dir=packed.source_dir, wait=False)
        inputs = cloud.request("CreateProcessingJob")["ProcessingInputs"]
        folder = packed.source_dir.removesuffix("sourcedir.tar.gz")
        assert folder in {item["S3Input"]["S3Uri"] for item in inputs}

    def test_same_code_is_the_same_archive(self, cloud, code):
        once, again = (
            source_code("train.py", code, sagemaker_session=cloud.session, settings=cloud.settings) for _ in range(2)
        )
        assert once == again

    def test_dependencies_and_a_place_of_ones_own(self, cloud, code, tmp_path):
        (tmp_path / "shared.py").write_text("x = 1\n")
        packed = source_code(
            "train.py",
            code,
            dependencies=[tmp_path / "shared.py"],
            code_location=f"s3://{cloud.bucket}/place",
            sagemaker_session=cloud.session,
            settings=cloud.settings,
        )
        assert packed.source_dir.startswith(f"s3://{cloud.bucket}/place/")
        with tarfile.open(fileobj=cloud.download_uri(packed.source_dir)) as archive:
            assert "shared.py" in archive.getnames()


class TestJob:
    def test_requirements_of_the_code_are_installed_as_the_toolkit_does(self, cloud, code, make):
        (code / "requirements.txt").write_text("zarr\n")
        assert make().model_trainer().source_code.requirements == "requirements.txt"

    def test_parameters_are_those_of_the_user_alone(self, cloud, make):
        make(hyperparameters={"name": "big", "size": 3}).fit(wait=False)
        assert cloud.request("CreateTrainingJob")["HyperParameters"] == {"name": '"big"', "size": "3"}

    def test_training_starts_by_the_script_of_the_sdk(self, cloud, make):
        make().fit(wait=False)
        algorithm = cloud.request("CreateTrainingJob")["AlgorithmSpecification"]
        assert algorithm["ContainerEntrypoint"] == ["/bin/bash"]
        assert "sm_train.sh" in algorithm["ContainerArguments"][-1]


class TestImageThatStartsNoScript:
    """One that lacks something which the script of the SDK needs."""

    @pytest.fixture
    def own(self, cloud):
        def estimator(label, **arguments):
            made = CustomFramework(
                base_image="registry.example.com/team/mine:1",
                extras=["pip:zarr"],
                role=ROLE,
                instance_type="ml.m5.xlarge",
                instance_count=1,
                sagemaker_session=cloud.session,
                settings=cloud.settings,
                build="never",
                **arguments,
            )
            cloud.push(made.plan_image(), starts_scripts=label)
            return made

        return estimator

    def test_script_is_refused_before_the_job(self, cloud, code, own):
        estimator = own("lacks tar", entry_point="train.py", source_dir=str(code))
        with pytest.raises(VerificationError, match="lacks tar, without which the SDK v3 starts no entry_point"):
            estimator.fit(wait=False)
        with pytest.raises(VerificationError, match="lacks tar"):
            estimator.build_image()
        assert not cloud.training_jobs()

    def test_program_of_its_own_is_started(self, cloud, own):
        own("lacks tar").fit(wait=False)
        assert "ContainerEntrypoint" not in cloud.request("CreateTrainingJob")["AlgorithmSpecification"]

    def test_image_that_has_it_all_trains(self, cloud, code, own):
        own("yes", entry_point="train.py", source_dir=str(code)).fit(wait=False)
        assert cloud.request("CreateTrainingJob")["AlgorithmSpecification"]["ContainerEntrypoint"] == ["/bin/bash"]


class TestDistribution:
    def test_torchrun(self):
        assert isinstance(distributed_of({"torch_distributed": {"enabled": True}}), Torchrun)

    def test_mpi_with_its_options(self):
        options = {"enabled": True, "processes_per_host": 4, "custom_mpi_options": "-x A --verbose"}
        asked = distributed_of({"mpi": options})
        assert isinstance(asked, MPI)
        assert (asked.process_count_per_node, asked.mpi_additional_options) == (4, ["-x", "A", "--verbose"])

    @pytest.mark.parametrize("distribution", [None, {}, {"mpi": {"enabled": False}}])
    def test_none(self, distribution):
        assert distributed_of(distribution) is None

    @pytest.mark.parametrize(
        "distribution",
        [{"parameter_server": {"enabled": True}}, {"smdistributed": {"dataparallel": {"enabled": True}}}],
    )
    def test_what_the_sdk_cannot_start_is_told(self, distribution):
        with pytest.raises(UsageError, match="cannot be done with the SDK v3") as caught:
            distributed_of(distribution)
        assert "torch_distributed" in caught.value.hint


class TestInputs:
    def test_address_of_this_machine_becomes_a_path(self):
        [channel] = channels_of({"train": "file:///data/a%20b"})
        assert (channel.channel_name, channel.data_source) == ("train", "/data/a b")

    def test_training_input_keeps_what_it_says(self):
        [channel] = channels_of({"train": TrainingInput("s3://data/train", content_type="text/csv")})
        assert channel.content_type == "text/csv"
        assert channel.data_source.s3_data_source.s3_uri == "s3://data/train"

    def test_channels_of_the_sdk_pass_unchanged(self):
        source = DataSource(s3_data_source=S3DataSource(s3_data_type="S3Prefix", s3_uri="s3://data"))
        given = [Channel(channel_name="a", data_source=source), InputData(channel_name="b", data_source="s3://data")]
        assert channels_of(given) == given

    def test_anything_else_is_told(self):
        with pytest.raises(UsageError, match="the input 'train' cannot be read: 7"):
            channels_of({"train": 7})


class TestInstead:
    @pytest.mark.parametrize(
        ("name", "value", "hint"),
        [
            ("git_config", {"repo": "r"}, "clone"),
            ("rules", ["rule"], "SDK v2"),
            ("training_recipe", "recipe", "from_recipe"),
            ("container_entry_point", ["sh"], "model_trainer()"),
        ],
    )
    def test_argument_without_a_place_names_what_does_the_same(self, make, name, value, hint):
        with pytest.raises(UsageError, match=f"{name}=.* cannot be done with the SDK v3") as caught:
            make(**{name: value})
        assert hint in caught.value.hint

    def test_argument_that_asks_for_nothing_is_no_hindrance(self, make):
        assert make(git_config=None, debugger_hook_config=False).training_image_uri()

    def test_misspelt_argument_is_told(self, make):
        with pytest.raises(UsageError, match="no argument 'instance_typ'") as caught:
            make(instance_typ="ml.m5.xlarge")
        assert "'instance_type'" in caught.value.hint

    def test_every_public_name_is_there(self):
        for name in sagemaker_custom.__all__:
            assert getattr(sagemaker_custom, name) is not None

    def test_password_of_a_repository_is_not_shown(self, make):
        with pytest.raises(UsageError, match="git_config=… cannot be done") as caught:
            make(git_config={"repo": "r", "password": "pearl"})
        assert "pearl" not in str(caught.value)

    def test_experiments_are_told(self, make):
        with pytest.raises(UsageError, match="experiment_config"):
            make().fit(experiment_config={"ExperimentName": "e"}, wait=False)

    def test_model_before_training_is_told(self, make):
        with pytest.raises(UsageError, match="has not trained a model"):
            make().deploy(1, "ml.m5.xlarge")


def test_local_session_needs_no_region():
    session = CustomLocalSession(serving_port=0, endpoint_timeout_s=5)
    assert session.boto_region_name == "us-east-1"
    assert session.serving_port == 0


class _Runtime:
    """Keeps what it is asked."""

    def __init__(self):
        self.asked = []

    def invoke_endpoint(self, **request):
        self.asked.append(request)
        return {"Body": io.BytesIO(b"{}"), "ContentType": "application/json"}


class TestTensorFlowPredictor:
    @pytest.fixture
    def runtime(self, cloud):
        cloud.session.sagemaker_runtime_client = _Runtime()
        return cloud.session.sagemaker_runtime_client

    def test_model_and_version_are_named_in_each_request(self, cloud, runtime):
        predictor = CustomTensorFlowPredictor("digits", cloud.session, model_name="big", model_version="3")
        predictor.predict([1.0], {"CustomAttributes": "mine=1"})
        predictor.classify([1.0])
        CustomTensorFlowPredictor("digits", cloud.session).predict([1.0])
        assert [request.get("CustomAttributes") for request in runtime.asked] == [
            "mine=1,tfs-model-name=big,tfs-model-version=3",
            "tfs-method=classify,tfs-model-name=big,tfs-model-version=3",
            None,
        ]

    def test_method_that_wants_json_tells_so(self, cloud, runtime):
        predictor = CustomTensorFlowPredictor("digits", cloud.session, serializer=CSVSerializer())
        with pytest.raises(UsageError, match=r"regress\(\) cannot send text/csv"):
            predictor.regress([1.0])
        assert runtime.asked == []
