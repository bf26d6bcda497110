"""Processors on the SDK v3 alone: its own inputs, its pipelines, local mode, and what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.shapes import (
    AthenaDatasetDefinition,
    DatasetDefinition,
    ProcessingFeatureStoreOutput,
    ProcessingS3Input,
    ProcessingS3Output,
)
from sagemaker.core.shapes import ProcessingInput as InputShape
from sagemaker.core.shapes import ProcessingOutput as OutputShape
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession

from sagemaker_custom import (
    CustomFramework,
    CustomFrameworkProcessor,
    CustomLocalSession,
    CustomPyTorchProcessor,
    ProcessingInput,
    ProcessingOutput,
)
from sagemaker_custom.errors import LocalContainerError, UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
OWN = "123456789012.dkr.ecr.us-east-1.amazonaws.com/own:1"
QUIET = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


@pytest.fixture
def make(cloud):
    def processor(**more):
        return CustomPyTorchProcessor(
            **{
                "role": ROLE,
                "instance_count": 1,
                "instance_type": "ml.m5.xlarge",
                "sagemaker_session": cloud.session,
                "settings": cloud.settings,
                **more,
            }
        )

    return processor


@pytest.fixture
def run(cloud, make, code):
    def ran(init=None, **arguments):
        make(**(init or {})).run(
            arguments.pop("code", "clean.py"), source_dir=str(code), wait=False, logs=False, **arguments
        )
        return cloud.request("CreateProcessingJob")

    return ran


class TestFiles:
    def test_shapes_of_the_sdk_pass_and_stay_as_they_are(self, run, tmp_path):
        (tmp_path / "rows.csv").write_text("1\n")
        source = ProcessingS3Input(
            s3_uri=str(tmp_path / "rows.csv"), local_path="/opt/ml/processing/rows", s3_data_type="S3Prefix"
        )
        given = InputShape(input_name="rows", s3_input=source)
        target = ProcessingS3Output(
            s3_uri="s3://data/clean", local_path="/opt/ml/processing/clean", s3_upload_mode="Continuous"
        )
        job = run(inputs=[given], outputs=[OutputShape(output_name="clean", s3_output=target)])
        [rows] = [item["S3Input"] for item in job["ProcessingInputs"] if item["InputName"] == "rows"]
        assert rows["S3Uri"].endswith("/input/rows/rows.csv")
        assert rows["S3InputMode"] == "File"
        assert given.s3_input.s3_uri == str(tmp_path / "rows.csv")
        assert job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"] == {
            "S3Uri": "s3://data/clean",
            "LocalPath": "/opt/ml/processing/clean",
            "S3UploadMode": "Continuous",
        }

    def test_input_of_this_machine_is_read_again_for_the_next_job(self, cloud, make, code, tmp_path):
        given = ProcessingInput(str(tmp_path / "rows.csv"), "/opt/ml/processing/rows", "rows")
        processor = make()
        for rows in (b"1\n", b"2\n"):
            (tmp_path / "rows.csv").write_bytes(rows)
            processor.run("clean.py", source_dir=str(code), inputs=[given], job_name=f"job-{rows[0]}", wait=False)
            [uploaded] = [item.s3_input for item in processor.latest_job.inputs if item.input_name == "rows"]
            assert cloud.download_uri(uploaded.s3_uri).read() == rows

    def test_query_and_feature_store_which_the_sdk_drops_arrive(self, run):
        query = AthenaDatasetDefinition(
            catalog="c", database="d", query_string="q", output_s3_uri="s3://data/q", output_format="PARQUET"
        )
        definition = DatasetDefinition(local_path="/opt/ml/processing/query", athena_dataset_definition=query)
        job = run(
            inputs=[ProcessingInput(input_name="query", dataset_definition=definition, app_managed=True)],
            outputs=[
                ProcessingOutput(
                    app_managed=True,
                    feature_store_output=ProcessingFeatureStoreOutput(feature_group_name="features"),
                )
            ],
        )
        assert job["ProcessingInputs"][0] == {
            "InputName": "query",
            "AppManaged": True,
            "DatasetDefinition": {
                "LocalPath": "/opt/ml/processing/query",
                "AthenaDatasetDefinition": {
                    "Catalog": "c",
                    "Database": "d",
                    "QueryString": "q",
                    "OutputS3Uri": "s3://data/q",
                    "OutputFormat": "PARQUET",
                },
            },
        }
        assert job["ProcessingOutputConfig"]["Outputs"] == [
            {"OutputName": "output-1", "AppManaged": True, "FeatureStoreOutput": {"FeatureGroupName": "features"}}
        ]


class TestCode:
    def test_script_in_a_folder_of_the_code_is_found(self, cloud, run, code):
        (code / "steps").mkdir()
        (code / "steps/clean.py").write_text("print()\n")
        job = run(code="steps/clean.py")
        [start] = [item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"] if item["InputName"] == "entrypoint"]
        assert 'python steps/clean.py "$@"' in cloud.download_uri(start).read().decode()

    def test_dependencies_beside_an_archive_of_ones_own_are_told(self, make, tmp_path):
        with pytest.raises(ValueError, match="dependencies is not supported"):
            make(image_uri=OWN).run("clean.py", "s3://bucket/sourcedir.tar.gz", [str(tmp_path)], wait=False, logs=False)

    def test_requirements_may_be_another_file(self, cloud, run, code):
        (code / "cpu.txt").write_text("zarr\n")
        job = run(requirements="cpu.txt")
        [start] = [item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"] if item["InputName"] == "entrypoint"]
        script = cloud.download_uri(start).read().decode()
        assert "python3 /opt/ml/processing/input/aux/install_requirements.py cpu.txt" in script

    def test_repository_of_codeartifact_is_told_to_what_installs(self, run):
        arn = "arn:aws:codeartifact:us-east-1:123456789012:repository/team/pypi"
        job = run({"env": {"COLOUR": "blue"}}, codeartifact_repo_arn=arn)
        assert job["Environment"] == {"COLOUR": "blue", "CA_REPOSITORY_ARN": arn}
        assert "CA_REPOSITORY_ARN" not in (run().get("Environment") or {})


class TestPipeline:
    pytestmark = pytest.mark.filterwarnings("ignore:Running within a PipelineSession")

    @pytest.fixture(autouse=True)
    def _importable(self, monkeypatch):
        """Importing pipelines makes a client of the default session."""
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    def definition(self, cloud, code, **arguments):
        from sagemaker.mlops.workflow.pipeline import Pipeline
        from sagemaker.mlops.workflow.steps import ProcessingStep

        session = PipelineSession(boto_session=cloud.boto_session, sagemaker_config=QUIET)
        processor = CustomPyTorchProcessor(
            **{
                "role": ROLE,
                "instance_count": 1,
                "instance_type": "ml.m5.xlarge",
                "settings": cloud.settings,
                **arguments,
            },
            sagemaker_session=session,
        )
        args = processor.run(
            "clean.py",
            source_dir=str(code),
            inputs=[ProcessingInput("s3://data/raw", "/opt/ml/processing/raw")],
            outputs=[ProcessingOutput("/opt/ml/processing/clean", output_name="clean")],
        )
        pipeline = Pipeline("clean", steps=[ProcessingStep("clean", step_args=args)], sagemaker_session=session)
        return processor, [pipeline.definition(), pipeline.definition()]

    def test_step_resolves_only_and_is_the_same_each_time(self, cloud, code):
        cloud.stop_registry()
        processor, [definition, again] = self.definition(cloud, code, extras=["pip:lz4"])
        arguments = json.loads(definition)["Steps"][0]["Arguments"]
        assert arguments["AppSpecification"]["ImageUri"] == processor.image_uri
        assert "/sagemaker-custom-pytorch:" in processor.image_uri
        assert {item["InputName"] for item in arguments["ProcessingInputs"]} == {"input-1", "code", "aux", "entrypoint"}
        assert arguments["ProcessingOutputConfig"]["Outputs"][0]["OutputName"] == "clean"
        assert again == definition

    def test_values_known_only_then_pass(self, cloud, code):
        image, machine = ParameterString("Image"), ParameterString("Machine", default_value="ml.g5.xlarge")
        _, [definition, _] = self.definition(cloud, code, image_uri=image)
        assert json.loads(definition)["Steps"][0]["Arguments"]["AppSpecification"]["ImageUri"] == {
            "Get": "Parameters.Image"
        }
        processor, [definition, _] = self.definition(cloud, code, instance_type=machine)
        cluster = json.loads(definition)["Steps"][0]["Arguments"]["ProcessingResources"]["ClusterConfig"]
        assert cluster["InstanceType"] == {"Get": "Parameters.Machine"}
        assert "-gpu-" in processor.image_uri


class TestLocalMode:
    @pytest.fixture
    def here(self, make):
        def processor(**more):
            session = CustomLocalSession(sagemaker_config=QUIET)
            return make(instance_type="local", role=None, sagemaker_session=session, **more)

        return processor

    def test_image_is_one_of_this_machine(self, here):
        assert here(extras=["pip:lz4"]).image_uri.startswith("sagemaker-custom-pytorch:")

    def test_session_is_made_where_none_is_given(self, make):
        assert isinstance(make(instance_type="local", sagemaker_session=None).sagemaker_session, CustomLocalSession)

    def test_files_and_code_stay_here(self, here, code, tmp_path, cloud):
        (tmp_path / "raw").mkdir()
        jobs = _Jobs()
        processor = here(image_uri=OWN)
        processor.sagemaker_session.sagemaker_client = jobs
        processor.run(
            "clean.py",
            source_dir=str(code),
            inputs=[ProcessingInput(str(tmp_path / "raw"), "/opt/ml/processing/raw")],
            outputs=[
                ProcessingOutput("/opt/ml/processing/clean"),
                ProcessingOutput("/opt/ml/processing/report", f"file://{tmp_path}/report"),
            ],
        )
        [job] = jobs.sent
        inputs = {item["InputName"]: item["S3Input"]["S3Uri"] for item in job["ProcessingInputs"]}
        assert inputs["input-1"] == f"file://{tmp_path}/raw"
        assert inputs["code"].startswith("file:///")
        assert jobs.start.startswith("#!/bin/bash")
        assert "python3 /opt/ml/processing/input/entrypoint/install_requirements.py" in jobs.start
        made, given = (item["S3Output"]["S3Uri"] for item in job["ProcessingOutputConfig"]["Outputs"])
        assert made.startswith("file:///")
        assert given == f"file://{tmp_path}/report"
        assert [output.destination for output in processor.latest_job.outputs] == [made, given]
        processor.latest_job.wait()
        processor.latest_job.stop()
        assert cloud.objects() == []

    def test_nothing_is_left_of_a_failed_run(self, here, code):
        processor = here(image_uri=OWN)
        processor.sagemaker_session.sagemaker_client = _Jobs(LocalContainerError("it ended"))
        with pytest.raises(LocalContainerError, match="it ended"):
            processor.run("clean.py", source_dir=str(code))
        [folder] = processor.sagemaker_session.working_folders
        assert not folder.exists()

    def test_who_disables_local_code_has_it_in_s3(self, make, cloud, code):
        session = CustomLocalSession(cloud.boto_session, sagemaker_config=QUIET, disable_local_code=True)
        session.sagemaker_client = jobs = _Jobs()
        make(instance_type="local", role=None, sagemaker_session=session, image_uri=OWN).run(
            "clean.py", source_dir=str(code)
        )
        inputs = {item["InputName"]: item["S3Input"]["S3Uri"] for item in jobs.sent[0]["ProcessingInputs"]}
        assert inputs["code"].startswith(f"s3://{cloud.bucket}/sagemaker-custom/source/")


class _Jobs:
    """The API of local mode, which runs nothing."""

    def __init__(self, failure=None):
        self.sent = []
        self._failure = failure

    def create_processing_job(self, **request):
        if self._failure:
            raise self._failure
        self.sent.append(request)
        inputs = {item["InputName"]: item["S3Input"]["S3Uri"] for item in request["ProcessingInputs"]}
        start = inputs["entrypoint"]
        self.start = Path(start.removeprefix("file://")).read_text("utf-8") if start.startswith("file://") else None


class TestInstead:
    def test_repository_of_git_is_told_and_its_password_is_not(self, make):
        with pytest.raises(UsageError, match="git_config cannot be done with the SDK v3") as caught:
            make().run("clean.py", git_config={"repo": "r", "password": "pearl"})
        assert "clone" in caught.value.hint
        assert "pearl" not in str(caught.value)

    def test_misspelt_argument_is_told(self, make):
        with pytest.raises(UsageError, match="no argument 'extra'") as caught:
            make(extra=["faiss"])
        assert "'extras'" in caught.value.hint

    def test_class_for_every_framework_wants_one(self, cloud):
        with pytest.raises(UsageError, match="estimator_cls"):
            CustomFrameworkProcessor(role=ROLE, instance_type="ml.m5.xlarge", sagemaker_session=cloud.session)


def test_image_of_a_framework_of_ones_own(cloud):
    processor = CustomFrameworkProcessor(
        estimator_cls=CustomFramework,
        image_uri=OWN,
        role=ROLE,
        instance_count=1,
        instance_type="ml.m5.xlarge",
        sagemaker_session=cloud.session,
    )
    assert processor.image_uri == OWN


def test_is_a_processor_of_the_sdk(make):
    assert isinstance(make(), FrameworkProcessor)
