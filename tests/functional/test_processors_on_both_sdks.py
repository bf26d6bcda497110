"""Processors as an ordinary user writes them, unchanged on either line of the SDK: the requests that AWS gets."""

from __future__ import annotations

import tarfile

import pytest

from sagemaker_custom import (
    CustomFrameworkProcessor,
    CustomHuggingFace,
    CustomHuggingFaceProcessor,
    CustomMXNet,
    CustomMXNetProcessor,
    CustomPyTorch,
    CustomPyTorchProcessor,
    CustomSKLearn,
    CustomTensorFlow,
    CustomTensorFlowProcessor,
    CustomXGBoost,
    CustomXGBoostProcessor,
    ProcessingInput,
    ProcessingOutput,
)
from sagemaker_custom.errors import ImageMissingError, SourceError, UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU = "ml.m5.xlarge"
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
CASES = {
    "pytorch": (CustomPyTorchProcessor, CustomPyTorch, {}, {}),
    "tensorflow": (CustomTensorFlowProcessor, CustomTensorFlow, {"framework_version": "2.14"}, {}),
    "huggingface": (CustomHuggingFaceProcessor, CustomHuggingFace, {"instance_type": "ml.g5.xlarge"}, {}),
    "mxnet": (CustomMXNetProcessor, CustomMXNet, {}, {}),
    "xgboost": (CustomXGBoostProcessor, CustomXGBoost, {}, {}),
    "sklearn": (
        CustomFrameworkProcessor,
        CustomSKLearn,
        {"framework_version": "1.2-1"},
        {"estimator_cls": CustomSKLearn},
    ),
}


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


@pytest.fixture
def common(cloud):
    return {
        "role": ROLE,
        "instance_count": 1,
        "instance_type": CPU,
        "sagemaker_session": cloud.session,
        "settings": cloud.settings,
    }


@pytest.fixture
def make(common):
    def processor(name="pytorch", **more):
        cls, _, arguments, own = CASES[name]
        return cls(**{**common, **arguments, **own, **more})

    return processor


@pytest.fixture
def push(cloud, common):
    """Put the image there that a processor of these arguments needs; it is an estimator's."""

    def plan(name="pytorch", **more):
        _, estimator, arguments, _ = CASES[name]
        planned = estimator(entry_point="train.py", **{**common, **arguments, **more}).plan_image()
        cloud.push(planned)
        return str(planned.reference)

    return plan


@pytest.fixture
def run(cloud, make, push, code):
    """Run a script in an extended image, and return the request that AWS got."""

    def ran(*args, init=None, **arguments):
        extended = {"extras": ["pip:lz4"], **(init or {})}
        push(extras=["pip:lz4"])
        processor = make(**extended)
        if not args:
            arguments = {"source_dir": str(code), **arguments}
        processor.run(*(args or ("clean.py",)), wait=False, logs=False, **arguments)
        return cloud.request("CreateProcessingJob")

    return ran


def inputs_of(job):
    """What the user's script reads, by the folder where it finds that."""
    return {
        item["S3Input"]["LocalPath"].rstrip("/"): item["S3Input"]
        for item in job["ProcessingInputs"]
        if item["InputName"] not in {"code", "entrypoint", "aux"}
    }


def code_of(cloud, job):
    """The archive with the user's code."""
    [prefix] = [item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"] if item["InputName"] == "code"]
    archive = prefix if prefix.endswith(".tar.gz") else f"{prefix.rstrip('/')}/sourcedir.tar.gz"
    return archive.removeprefix(f"s3://{cloud.bucket}/")


def start_of(cloud, job):
    """The script that starts the user's."""
    [uri] = [item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"] if item["InputName"] == "entrypoint"]
    return cloud.download_uri(uri).read().decode()


class TestImage:
    @pytest.mark.parametrize("name", CASES)
    def test_script_runs_in_the_extended_image(self, cloud, make, push, code, name):
        processor = make(name, extras=["pip:lz4"], build="never")
        with pytest.raises(ImageMissingError):
            processor.run("clean.py", source_dir=str(code), wait=False, logs=False)
        image = push(name, extras=["pip:lz4"])
        processor.run("clean.py", source_dir=str(code), wait=False, logs=False)
        job = cloud.sagemaker.describe_processing_job(ProcessingJobName=processor.latest_job.job_name)
        assert job["AppSpecification"]["ImageUri"] == image == processor.image_uri
        assert f"/sagemaker-custom-{name}:" in image
        assert "-lz4-" in image
        entrypoint = job["AppSpecification"]["ContainerEntrypoint"]
        assert entrypoint == ["/bin/bash", "/opt/ml/processing/input/entrypoint/runproc.sh"]
        assert job["ProcessingJobName"].startswith(f"sagemaker-custom-{name}-")

    @pytest.mark.parametrize("name", CASES)
    def test_without_extras_it_is_the_image_of_aws(self, make, name):
        image = make(name).image_uri
        assert ".dkr.ecr.us-east-1.amazonaws.com/" in image
        assert "/sagemaker-custom-" not in image

    def test_constructor_asks_nothing_of_the_registry(self, cloud, make):
        cloud.stop_registry()
        assert "/sagemaker-custom-pytorch:" in make(extras=["pip:lz4"]).image_uri

    def test_image_of_ones_own_is_used_as_it_is(self, cloud, make, code):
        processor = make(image_uri=OWN)
        cloud.stop_registry()
        processor.run("clean.py", source_dir=str(code), wait=False, logs=False)
        assert cloud.request("CreateProcessingJob")["AppSpecification"]["ImageUri"] == OWN

    def test_extras_cannot_be_put_into_an_image_of_ones_own(self, make):
        with pytest.raises(UsageError, match="used untouched"):
            make(image_uri=OWN, extras=["pip:lz4"])

    def test_arguments_may_be_given_by_place(self, cloud):
        processor = CustomPyTorchProcessor("2.3", ROLE, 2, CPU, "py311", sagemaker_session=cloud.session)
        assert "/pytorch-training:2.3.0-cpu-py311" in processor.image_uri
        assert processor.instance_count == 2
        processor = CustomFrameworkProcessor(CustomSKLearn, "1.2-1", ROLE, 1, CPU, sagemaker_session=cloud.session)
        assert "scikit-learn:1.2-1-cpu-py3" in processor.image_uri


class TestCode:
    def test_is_one_archive_under_its_digest_which_a_second_job_does_not_upload(self, cloud, run, code):
        (code / "part.py").write_text("x = 1\n")
        archive = code_of(cloud, run())
        assert archive.startswith("sagemaker-custom/source/")
        with tarfile.open(fileobj=cloud.download(archive)) as packed:
            assert {"clean.py", "part.py"} <= set(packed.getnames())
        written = cloud.head(cloud.bucket, archive)["LastModified"]
        assert code_of(cloud, run()) == archive
        assert cloud.head(cloud.bucket, archive)["LastModified"] == written
        assert [key for key in cloud.objects() if key.endswith("/sourcedir.tar.gz")] == [archive]

    def test_is_started_by_its_command(self, cloud, run):
        script = start_of(cloud, run(init={"command": ["python3", "-u"]}))
        assert 'python3 -u clean.py "$@"' in script
        assert "tar -xzf sourcedir.tar.gz" in script

    def test_may_be_one_script(self, cloud, run, code):
        job = run(str(code / "clean.py"))
        with tarfile.open(fileobj=cloud.download(code_of(cloud, job))) as packed:
            assert packed.getnames() == ["clean.py"]
        assert 'python clean.py "$@"' in start_of(cloud, job)

    def test_dependencies_are_packed_along(self, cloud, run, tmp_path):
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared/tool.py").write_text("x = 1\n")
        job = run(dependencies=[str(tmp_path / "shared")])
        with tarfile.open(fileobj=cloud.download(code_of(cloud, job))) as packed:
            assert "shared/tool.py" in packed.getnames()

    def test_goes_to_a_place_of_ones_own(self, cloud, run):
        job = run(init={"code_location": f"s3://{cloud.bucket}/place"})
        assert code_of(cloud, job).startswith("place/")

    def test_archive_of_ones_own_is_used_where_it_is(self, cloud, run):
        cloud.s3.put_object(Bucket=cloud.bucket, Key="given/sourcedir.tar.gz", Body=b"")
        job = run("clean.py", source_dir=f"s3://{cloud.bucket}/given/sourcedir.tar.gz")
        assert code_of(cloud, job) == "given/sourcedir.tar.gz"

    def test_script_in_s3_runs_in_an_image_that_is_made_sure_of(self, cloud, make, push):
        processor = make(extras=["pip:lz4"], build="never")
        with pytest.raises(ImageMissingError):
            processor.run("s3://data/clean.sh", wait=False, logs=False)
        image = push(extras=["pip:lz4"])
        processor.run("s3://data/clean.sh", wait=False, logs=False)
        assert cloud.request("CreateProcessingJob")["AppSpecification"]["ImageUri"] == image

    def test_missing_script_is_told_and_nothing_is_sent(self, cloud, make, code):
        with pytest.raises(SourceError, match=r"absent\.py"):
            make(extras=["pip:lz4"]).run("absent.py", source_dir=str(code), wait=False, logs=False)
        assert cloud.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


class TestJob:
    def test_has_the_inputs_the_outputs_and_the_arguments(self, cloud, run, tmp_path):
        (tmp_path / "rows.csv").write_text("1,2\n")
        job = run(
            inputs=[
                ProcessingInput("s3://data/raw", "/opt/ml/processing/raw"),
                ProcessingInput(
                    source=str(tmp_path / "rows.csv"), destination="/opt/ml/processing/rows", input_name="r"
                ),
                ProcessingInput("s3://data/all", "/opt/ml/processing/all", s3_data_distribution_type="ShardedByS3Key"),
            ],
            outputs=[
                ProcessingOutput("/opt/ml/processing/clean", "s3://data/clean"),
                ProcessingOutput(source="/opt/ml/processing/report", output_name="report"),
            ],
            arguments=["--rows", "5"],
        )
        inputs = inputs_of(job)
        assert inputs["/opt/ml/processing/raw"] == {
            "S3Uri": "s3://data/raw",
            "LocalPath": "/opt/ml/processing/raw",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        }
        assert inputs["/opt/ml/processing/all"]["S3DataDistributionType"] == "ShardedByS3Key"
        uploaded = inputs["/opt/ml/processing/rows"]["S3Uri"]
        assert uploaded == f"s3://{cloud.bucket}/{job['ProcessingJobName']}/input/r/rows.csv"
        assert cloud.download_uri(uploaded).read() == b"1,2\n"
        names = [item["InputName"] for item in job["ProcessingInputs"]]
        assert names[:3] == ["input-1", "r", "input-3"]
        assert job["ProcessingOutputConfig"]["Outputs"] == [
            {
                "OutputName": "output-1",
                "AppManaged": False,
                "S3Output": {
                    "S3Uri": "s3://data/clean",
                    "LocalPath": "/opt/ml/processing/clean",
                    "S3UploadMode": "EndOfJob",
                },
            },
            {
                "OutputName": "report",
                "AppManaged": False,
                "S3Output": {
                    "S3Uri": f"s3://{cloud.bucket}/{job['ProcessingJobName']}/output/report",
                    "LocalPath": "/opt/ml/processing/report",
                    "S3UploadMode": "EndOfJob",
                },
            },
        ]
        assert job["AppSpecification"]["ContainerArguments"] == ["--rows", "5"]

    def test_choices_about_it_arrive(self, run):
        job = run(
            init={
                "instance_count": 2,
                "volume_size_in_gb": 50,
                "volume_kms_key": "volume-key",
                "output_kms_key": "output-key",
                "max_runtime_in_seconds": 600,
                "base_job_name": "night",
                "env": {"COLOUR": "blue"},
                "tags": [{"Key": "team", "Value": "vision"}],
            },
            outputs=[ProcessingOutput("/opt/ml/processing/clean", "s3://data/clean")],
        )
        assert job["ProcessingResources"]["ClusterConfig"] == {
            "InstanceType": CPU,
            "InstanceCount": 2,
            "VolumeSizeInGB": 50,
            "VolumeKmsKeyId": "volume-key",
        }
        assert job["ProcessingOutputConfig"]["KmsKeyId"] == "output-key"
        assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 600}
        assert job["ProcessingJobName"].startswith("night-")
        assert job["Environment"] == {"COLOUR": "blue"}
        assert {"Key": "team", "Value": "vision"} in job["Tags"]
        assert job["RoleArn"] == ROLE

    def test_may_be_named(self, run):
        assert run(job_name="my-job-1")["ProcessingJobName"] == "my-job-1"

    def test_is_there_to_be_asked(self, cloud, make, code):
        processor = make()
        processor.run(
            "clean.py",
            source_dir=str(code),
            outputs=[ProcessingOutput("/opt/ml/processing/clean")],
            wait=False,
            logs=False,
        )
        job = processor.latest_job
        assert processor.jobs == [job]
        assert job.describe()["ProcessingJobName"] == job.job_name
        [output] = job.outputs
        assert output.source == "/opt/ml/processing/clean"
        assert output.destination == f"s3://{cloud.bucket}/{job.job_name}/output/output-1"

    def test_takes_nothing_that_is_no_input(self, make, code):
        with pytest.raises((TypeError, UsageError), match="ProcessingInput"):
            make().run("clean.py", source_dir=str(code), inputs=["s3://data/raw"], wait=False, logs=False)
