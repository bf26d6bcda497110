"""Old images of ECR go by the command line, and nothing that SageMaker names does; both are moto's."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from fakes.command_line import run_cli
from fakes.json_answers import JsonAnswers
from fakes.team_catalog import write_team

from sagemaker_custom.aws import Connection
from sagemaker_custom.aws.image_uses import OPERATIONS, ImageUses
from sagemaker_custom.aws.stored_images import StoredImages
from sagemaker_custom.errors import AccessDeniedError, AwsError
from sagemaker_custom.oci import DOCKER_CONFIG, DOCKER_MANIFEST
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import digest_of
from sagemaker_custom.sandbox.aws import SandboxAws

ACCOUNT = "123456789012"
REGION = "us-east-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
REPOSITORY = "sagemaker-custom-pytorch"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole"
LATELY = datetime(2026, 1, 1, tzinfo=timezone.utc)
DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64
# moto has none of these.
UNKNOWN_TO_MOTO = {
    "ListInferenceComponents": {"InferenceComponents": []},
    "ListMonitoringSchedules": {"MonitoringScheduleSummaries": []},
    "ListImages": {"Images": []},
}


def tag(number):
    return f"2.3.0-training-cpu-py311-faiss-{number:020x}"


def uri(number):
    return f"{HOST}/{REPOSITORY}:{tag(number)}"


MONITORED = {"ImageUri": uri(1)}
FIRST = {"ContainerImage": f"{uri(1)}@{DIGEST}"}


@pytest.fixture
def aws():
    with SandboxAws() as running:
        yield running


class TestUses:
    """Every place of SageMaker where an image can stand, as boto asks for it."""

    @pytest.fixture
    def session(self, aws):
        return aws.boto_session()

    @pytest.fixture
    def api(self, session):
        answers = JsonAnswers(session)
        for source in OPERATIONS:
            operation = "".join(word.capitalize() for word in source.split("_"))
            if operation.startswith("List"):
                answers.give(f"sagemaker.{operation}", {})
        return answers

    @pytest.fixture
    def uses(self, session):
        return ImageUses(Connection(session), region=REGION, progress=NoProgress())

    @pytest.mark.parametrize(
        ("listing", "listed", "describing", "described", "by"),
        [
            (
                "ListEndpoints",
                {"Endpoints": [{"EndpointName": "e"}]},
                "DescribeEndpoint",
                {"ProductionVariants": [{"DeployedImages": [{"ResolvedImage": f"{HOST}/{REPOSITORY}@{DIGEST}"}]}]},
                "endpoint e",
            ),
            (
                "ListInferenceComponents",
                {"InferenceComponents": [{"InferenceComponentName": "i"}]},
                "DescribeInferenceComponent",
                {"Specification": {"Container": {"DeployedImage": {"SpecifiedImage": uri(1)}}}},
                "inference component i",
            ),
            (
                "ListModels",
                {"Models": [{"ModelName": "m"}]},
                "DescribeModel",
                {"Containers": [{"Image": uri(1)}]},
                "model m",
            ),
            (
                "ListModelPackages",
                {"ModelPackageSummaryList": [{"ModelPackageArn": "arn:aws:sagemaker:::model-package/p/3"}]},
                "DescribeModelPackage",
                {"InferenceSpecification": {"Containers": [{"Image": uri(1)}]}},
                "model package 3",
            ),
            (
                "ListPipelines",
                {"PipelineSummaries": [{"PipelineName": "l"}]},
                "DescribePipeline",
                {"PipelineDefinition": json.dumps({"Steps": [{"TrainingImage": uri(1)}]})},
                "pipeline l",
            ),
            (
                "ListMonitoringSchedules",
                {"MonitoringScheduleSummaries": [{"MonitoringScheduleName": "s"}]},
                "DescribeMonitoringSchedule",
                {
                    "MonitoringScheduleConfig": {
                        "MonitoringJobDefinition": {"MonitoringAppSpecification": {"ImageUri": uri(1)}}
                    }
                },
                "monitoring schedule s",
            ),
            (
                "ListTrainingJobs",
                {"TrainingJobSummaries": [{"TrainingJobName": "t"}]},
                "DescribeTrainingJob",
                {"AlgorithmSpecification": {"TrainingImage": uri(1)}},
                "training job t",
            ),
            (
                "ListProcessingJobs",
                {"ProcessingJobSummaries": [{"ProcessingJobName": "j"}]},
                "DescribeProcessingJob",
                {"AppSpecification": {"ImageUri": uri(1)}},
                "processing job j",
            ),
            (
                "ListHyperParameterTuningJobs",
                {"HyperParameterTuningJobSummaries": [{"HyperParameterTuningJobName": "h"}]},
                "DescribeHyperParameterTuningJob",
                {"TrainingJobDefinitions": [{"AlgorithmSpecification": {"TrainingImage": uri(1)}}]},
                "tuning job h",
            ),
        ],
    )
    def test_image_is_found_wherever_it_stands(self, api, uses, listing, listed, describing, described, by):
        api.give(f"sagemaker.{listing}", listed)
        api.give(f"sagemaker.{describing}", described)
        [found] = uses.since(LATELY)
        assert (found.host, found.repository, found.by) == (HOST, REPOSITORY, by)
        assert (found.tag, found.digest) in {(tag(1), None), (None, DIGEST)}

    def test_studio_images_are_asked_version_by_version(self, api, uses):
        api.give("sagemaker.ListImages", {"Images": [{"ImageName": "lab"}]})
        api.give("sagemaker.ListImageVersions", {"ImageVersions": [{"Version": 1}, {"Version": 2}]})
        api.give(
            "sagemaker.DescribeImageVersion", {"ContainerImage": f"{uri(1)}@{DIGEST}"}, {"BaseImage": HOST + "/xy"}
        )
        first, second = uses.since(LATELY)
        assert (first.tag, first.digest, first.by) == (tag(1), DIGEST, "Studio image lab version 1")
        assert (second.repository, second.tag) == ("xy", "latest")

    def test_only_jobs_are_asked_by_date_and_all_pages_are_read(self, api, uses):
        api.give(
            "sagemaker.ListModels",
            {"Models": [{"ModelName": "a"}], "NextToken": "more"},
            {"Models": [{"ModelName": "b"}]},
        )
        api.give("sagemaker.DescribeModel", {"PrimaryContainer": {"Image": uri(1)}})
        assert [use.by for use in uses.since(LATELY)] == ["model a", "model b"]
        dated = {operation for operation, asked in api.asked if "LastModifiedTimeAfter" in asked}
        assert {operation.removeprefix("sagemaker.List") for operation in dated} == {
            "TrainingJobs",
            "ProcessingJobs",
            "HyperParameterTuningJobs",
        }

    def test_what_is_deleted_meanwhile_is_left_out(self, api, uses):
        api.give("sagemaker.ListModels", {"Models": [{"ModelName": "m"}]})
        api.give("sagemaker.DescribeModel", "ValidationException: Could not find model")
        assert uses.since(LATELY) == ()

    def test_other_refusal_is_not_taken_for_deleted(self, api, uses):
        api.give("sagemaker.ListModels", {"Models": [{"ModelName": "m"}]})
        api.give("sagemaker.DescribeModel", "ValidationException: 1 validation error")
        with pytest.raises(AwsError, match="1 validation error"):
            uses.since(LATELY)

    @pytest.mark.parametrize("operation", ["ListPipelines", "ListImages", "ListInferenceComponents"])
    def test_question_that_may_not_be_asked_is_named(self, api, uses, operation):
        api.give(f"sagemaker.{operation}", "AccessDeniedException: no")
        with pytest.raises(AccessDeniedError, match=f"sagemaker:{operation}"):
            uses.since(LATELY)


class TestStoredImages:
    def test_what_ecr_refuses_to_remove_is_told_and_what_is_gone_is_not(self, aws):
        session = aws.boto_session()
        answers = JsonAnswers(session)
        failures = [
            {"imageId": {"imageDigest": DIGEST}, "failureCode": "ImageNotFound", "failureReason": "gone"},
            {"imageId": {"imageDigest": OTHER}, "failureCode": "ImageReferencedByManifestList", "failureReason": "x"},
        ]
        answers.give("ecr.BatchDeleteImage", {"failures": failures})
        stored = StoredImages(Connection(session), region=REGION, account=ACCOUNT)
        assert stored.remove(REPOSITORY, [DIGEST, OTHER]) == {OTHER: "ImageReferencedByManifestList: x"}

    def test_a_hundred_go_at_once(self, aws):
        session = aws.boto_session()
        answers = JsonAnswers(session)
        answers.give("ecr.BatchDeleteImage", {"failures": []})
        stored = StoredImages(Connection(session), region=REGION, account=ACCOUNT)
        assert stored.remove(REPOSITORY, [digest_of(bytes([number])) for number in range(250)]) == {}
        assert [len(asked["imageIds"]) for _, asked in answers.asked] == [100, 100, 50]


class TestCommand:
    """The whole command: ECR and SageMaker are moto's, but for what moto does not know."""

    @pytest.fixture(autouse=True)
    def environment(self, aws, monkeypatch):
        with SageMakerServer(aws.url) as server:
            variables = aws.environment() | {"AWS_ENDPOINT_URL_SAGEMAKER": server.url}
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            self.server = server
            self.ecr = aws.boto_session().client("ecr")
            self.sagemaker = aws.boto_session().client("sagemaker")
            self.ecr.create_repository(repositoryName=REPOSITORY)
            yield

    def put(self, *tags):
        """Push an image under tags; return its digest."""
        config = {"mediaType": DOCKER_CONFIG, "size": 1, "digest": digest_of(repr(tags).encode())}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": []})
        for name in tags:
            self.ecr.put_image(
                repositoryName=REPOSITORY,
                imageManifest=manifest,
                imageManifestMediaType=DOCKER_MANIFEST,
                imageTag=name,
                imageDigest=digest_of(manifest.encode()),
            )
        return digest_of(manifest.encode())

    def tags(self):
        listed = self.ecr.list_images(repositoryName=REPOSITORY)["imageIds"]
        return {image["imageTag"] for image in listed if "imageTag" in image}

    def prune(self, *arguments):
        return run_cli("prune", "--keep", "0", "--older-than", "0d", *arguments)

    def test_dry_run_says_what_would_go_and_removes_nothing(self):
        self.put(tag(1))
        ended = self.prune("--dry-run")
        assert ended.code == 0, ended.err
        assert ended.out.splitlines()[1].split()[:2] == [f"{REPOSITORY}:{tag(1)}", "0"]
        assert ended.err.endswith("1 of 1 images can go\n")
        assert self.tags() == {tag(1)}

    def test_only_what_nothing_uses_goes(self, tmp_path):
        for number in range(1, 7):
            self.put(tag(number))
        by_digest = self.put(tag(7))
        primary = {"Image": uri(1)}
        self.sagemaker.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer=primary)
        second = {"Image": f"{HOST}/{REPOSITORY}@{by_digest}"}
        self.sagemaker.create_model(ModelName="n", ExecutionRoleArn=ROLE, PrimaryContainer=second)
        self.sagemaker.create_training_job(
            TrainingJobName="t",
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": uri(2), "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": "s3://b/o"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
        self.sagemaker.create_processing_job(
            ProcessingJobName="p",
            RoleArn=ROLE,
            AppSpecification={"ImageUri": uri(3)},
            ProcessingResources={
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
        )
        definition = json.dumps({"Version": "2020-12-01", "Steps": [{"Image": uri(4)}]})
        self.sagemaker.create_pipeline(
            PipelineName="l", PipelineDefinition=definition, ClientRequestToken="a" * 32, RoleArn=ROLE
        )
        self.put("base-training-2.3.0")
        self.put("mine")

        ended = self.prune("--yes")

        assert ended.code == 0, ended.err
        assert ended.err.endswith("removed 2 images\n")
        assert self.tags() == {*(tag(number) for number in (1, 2, 3, 4, 7)), "base-training-2.3.0", "mine"}

    def test_images_of_the_teams_catalog_stay(self, tmp_path):
        write_team(tmp_path)
        planned = json.loads(run_cli("resolve", "shop", "--catalog", str(tmp_path), "--json").out)["image"]
        of_catalog = planned.rpartition(":")[2]
        self.put(of_catalog)
        assert self.prune("--yes", "--catalog", str(tmp_path)).code == 0
        assert self.tags() == {of_catalog}
        assert self.prune("--yes").code == 0
        assert self.tags() == set()

    def test_what_is_about_an_image_goes_with_it_as_json_tells(self):
        digest = self.put(tag(1))
        self.put(f"{digest.replace(':', '-')}.sbom")
        document = self.prune("--json", "--dry-run").document
        assert {item["tags"][0]: (item["can_go"], item["reason"]) for item in document} == {
            tag(1): (True, "not in use, pushed 0 days ago"),
            f"{digest.replace(':', '-')}.sbom": (False, "pushed today"),
        }

    def test_question_that_is_refused_stops_everything_and_names_the_right(self):
        self.put(tag(1))
        self.server.answers["DescribeModel"] = self.server.answers["ListModels"] = (
            400,
            {
                "__type": "AccessDeniedException",
                "message": "User: x is not authorized to perform: sagemaker:ListModels",
            },
        )
        ended = self.prune("--yes")
        assert (ended.code, "sagemaker:ListModels" in ended.err) == (7, True)
        assert self.tags() == {tag(1)}

    def test_nothing_goes_without_a_yes(self):
        self.put(tag(1))
        ended = self.prune()
        assert (ended.code, "nobody can be asked" in ended.err) == (2, True)
        assert self.tags() == {tag(1)}

    def test_images_of_another_account_are_left_to_its_own_people(self, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_ACCOUNT", "999999999999")
        ended = self.prune("--yes")
        assert (ended.code, "credentials of that account" in ended.err) == (2, True)

    def test_number_of_days_is_written_with_a_d(self):
        ended = run_cli("prune", "--older-than", "30")
        assert (ended.code, "is not a number of days such as 30d" in ended.err) == (2, True)

    def test_policy_is_printed_and_set_where_there_is_none(self):
        policy = run_cli("prune", "--policy").document
        assert [rule["rulePriority"] for rule in policy["rules"]] == list(range(1, 7))
        assert run_cli("prune", "--put-policy", "--dry-run").err == f"{REPOSITORY} would get the policy\n"
        ended = run_cli("prune", "--put-policy", "--yes")
        assert ended.err.endswith("set on 1 repositories\n"), ended.err
        stored = self.ecr.get_lifecycle_policy(repositoryName=REPOSITORY)["lifecyclePolicyText"]
        assert json.loads(stored) == policy
        assert "no repository would get" in run_cli("prune", "--put-policy", "--yes").err

    def test_policy_of_somebody_else_stays(self):
        rule = {
            "rulePriority": 1,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9},
            "action": {"type": "expire"},
        }
        theirs = json.dumps({"rules": [rule]})
        self.ecr.put_lifecycle_policy(repositoryName=REPOSITORY, lifecyclePolicyText=theirs)
        ended = run_cli("prune", "--put-policy", "--yes")
        assert f"{REPOSITORY} has a lifecycle policy of its own, which stays" in ended.err
        stored = self.ecr.get_lifecycle_policy(repositoryName=REPOSITORY)["lifecyclePolicyText"]
        assert json.loads(stored) == {"rules": [rule]}


class SageMakerServer:
    """moto's SageMaker, with answers for what moto does not know."""

    def __init__(self, moto):
        self.answers = {name: (200, answer) for name, answer in UNKNOWN_TO_MOTO.items()}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                if operation in server.answers:
                    status, document = server.answers[operation]
                    content = json.dumps(document).encode()
                else:
                    with requests.Session() as session:
                        # A proxy of the environment would not find a loopback address.
                        session.trust_env = False
                        answer = session.post(moto, data=body, headers=dict(self.headers), timeout=30)
                    status, content = answer.status_code, answer.content
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
