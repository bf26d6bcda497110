"""Every call of a route is recorded; its printed policy allows each of them, and nothing that none of them needs."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from functools import partial
from itertools import count
from pathlib import Path

import boto3
import moto
import pytest
from botocore.awsrequest import AWSResponse
from click.testing import CliRunner
from fakes.base_images import CONDA, archive, conda, config_of, layer, package, push_image
from fakes.codeartifact_api import CodeArtifactApi
from fakes.codebuild_api import ACCOUNT, SUCCESS, CodeBuildApi
from fakes.example_plan import BASE, ECR_HOST, FINGERPRINT, example_plan
from fakes.fake_engine import FakeEngine, FakeRoute
from fakes.fake_registry import FakeRegistry
from fakes.tiny_wheels import make_wheel

from sagemaker_custom.aws import Aws, CodeArtifact, CodeBuild, CodeBuildBatches, Scans
from sagemaker_custom.aws.conditional import ConditionalObjects
from sagemaker_custom.aws.image_uses import ImageUses
from sagemaker_custom.aws.permissions import ACTIONS, DESCRIPTIONS, ROUTES, Place, policy, uses_of
from sagemaker_custom.aws.stored_images import StoredImages
from sagemaker_custom.builders import codebuild_job
from sagemaker_custom.builders.codebuild import CodeBuildBuilder
from sagemaker_custom.builders.codebuild_batch import BatchGate
from sagemaker_custom.builders.codebuild_context import BUILDSPEC
from sagemaker_custom.builders.docker import DockerBuilder
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.building import Workbench
from sagemaker_custom.cli import cli, iam
from sagemaker_custom.errors import AwsError
from sagemaker_custom.evidence import Evidence, RecordingBuilder
from sagemaker_custom.inventories import Inventories
from sagemaker_custom.leases import LockKey, OwnTurn, SharedLease
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.plan import FINGERPRINT_LABEL, CodeArtifactRepository
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.pruning import lifecycle_policy
from sagemaker_custom.reference import ImageReference, RegistryCredentials, digest_of
from sagemaker_custom.repositories import Repositories
from sagemaker_custom.settings import Settings

REGION = "us-east-1"
BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/codebuild"
REPOSITORY = "sagemaker-custom-pytorch"
BASE_HOST_ACCOUNT = "763104351884"
LEASES = "team-leases"
LARGE = 9 * 1024 * 1024
PLACE = Place(
    region=REGION,
    account=ACCOUNT,
    base_accounts=(BASE_HOST_ACCOUNT,),
    bucket=BUCKET,
    catalog_bucket="team-catalog",
    leases=f"{LEASES}/team",
    role=ROLE,
    secret="team/index",
    codeartifact=CodeArtifactRepository(domain="company", repository="packages", region="eu-central-1"),
    scans=True,
    in_vpc=True,
)
PACKAGES = f"arn:aws:codeartifact:eu-central-1:{ACCOUNT}"
# One of everything that SageMaker lists.
LISTED = {
    "Endpoints": [{"EndpointName": "a"}],
    "InferenceComponents": [{"InferenceComponentName": "a"}],
    "Models": [{"ModelName": "a"}],
    "ModelPackageSummaryList": [{"ModelPackageArn": "a"}],
    "PipelineSummaries": [{"PipelineName": "a"}],
    "MonitoringScheduleSummaries": [{"MonitoringScheduleName": "a"}],
    "TrainingJobSummaries": [{"TrainingJobName": "a"}],
    "ProcessingJobSummaries": [{"ProcessingJobName": "a"}],
    "HyperParameterTuningJobSummaries": [{"HyperParameterTuningJobName": "a"}],
    "Images": [{"ImageName": "a"}],
    "ImageVersions": [{"Version": 1}],
}
# What the protocol asks of a registry when a Docker Engine pulls and pushes, which it does itself.
ENGINE_PULLS = ("HEAD manifests", "GET manifests", "GET blobs")
ENGINE_PUSHES = ("HEAD blobs", "POST uploads", "PUT uploads", "HEAD manifests", "PUT manifests")
_PATH = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs/uploads|blobs)/")


class Recorder:
    """Everything that is asked: (operation, ARN)."""

    def __init__(self):
        self.uses: set[tuple[str, str]] = set()

    def listen(self, session):
        session.events.register("before-call.*", self._called)
        session.events.register("after-call.s3.HeadObject", self._answered)
        session.events.register("provide-client-params.*", self._asked)

    def _asked(self, params, model, **kwargs):
        service = model.service_model.service_name
        for arn in arns_of(service, model.name, params):
            self.uses.add((f"{service}.{model.name}", arn))
        if (service, model.name) == ("codeartifact", "GetAuthorizationToken"):
            # What AWS asks for by itself for such a token, and what the token is used for.
            repository = PLACE.codeartifact
            self.uses.add(("codeartifact.token", "*"))
            arn = f"{PACKAGES}:repository/{repository.domain}/{repository.repository}"
            self.uses.add(("codeartifact.download", arn))
        if "serviceRole" in params:
            self.uses.add(("codebuild.serviceRole", params["serviceRole"]))

    def _called(self, model, **kwargs):
        service = model.service_model.service_name
        assert any(operation == f"{service}.{model.name}" for operation, _ in self.uses)

    def _answered(self, http_response, **kwargs):
        if http_response.status_code == 404:
            self.uses.add(("s3.404", f"arn:aws:s3:::{BUCKET}"))

    def registry(self, registry):
        for call in registry.calls:
            match = _PATH.match(call.path)
            if match and call.method != "DELETE":
                account, _, _, region = call.host.split(".")[:4]
                arn = f"arn:aws:ecr:{region}:{account}:repository/{match['repository']}"
                self.uses.add((f"registry.{call.method} {match['kind'].rpartition('/')[2]}", arn))

    def engine(self, operations, repository, account):
        arn = f"arn:aws:ecr:{REGION}:{account}:repository/{repository}"
        self.uses |= {(f"registry.{operation}", arn) for operation in operations}


def arns_of(service, operation, params):
    here = f"{REGION}:{ACCOUNT}"
    if service == "ecr" and operation != "GetAuthorizationToken":
        names = params.get("repositoryNames") or [params.get("repositoryName", "any")]
        return [f"arn:aws:ecr:{REGION}:{params.get('registryId', ACCOUNT)}:repository/{name}" for name in names]
    if service == "s3":
        return [f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "")]
    if service == "codebuild":
        named = params.get("projectName") or params.get("name") or params.get("id")
        names = [named] if named else [*params.get("names", ()), *params.get("ids", ())]
        return [f"arn:aws:codebuild:{here}:project/{name.partition(':')[0]}" for name in names]
    if service == "codeartifact":
        repository = f"{PACKAGES}:repository/{params['domain']}/{params.get('repository')}"
        return [repository if "repository" in params else f"{PACKAGES}:domain/{params['domain']}"]
    if service == "logs":
        return [f"arn:aws:logs:{here}:log-group:{params['logGroupName']}:log-stream:{params['logStreamName']}"]
    return ["*"]


class Bench:
    """AWS by moto, CodeBuild by the API in this process, ECR's registries in memory; all of it recorded."""

    def __init__(self, folder):
        self.folder = folder
        self.plan = example_plan()
        self.session = boto3.Session(region_name=REGION)
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket=BUCKET)
        s3.create_bucket(Bucket="team-catalog")
        s3.create_bucket(Bucket=LEASES)
        s3.put_object(Bucket="team-catalog", Key="recipes/a.yaml", Body=b"a")
        self.session.events.register_first("before-send.s3.UploadPart", _deny_some)
        self.record = Recorder()
        self.record.listen(self.session)
        self.api = CodeBuildApi(self.machine)
        self.api.listen(self.session)
        CodeArtifactApi("https://packages.example.com/pypi/packages/", "token").listen(self.session)
        self.aws = Aws(self.session)
        self.registry = FakeRegistry()
        self._put_base()
        # moto's.
        self.registry.credentials = RegistryCredentials(username="AWS", password=f"{ACCOUNT}-auth-token")
        self.client = self.registry.client(credentials=self.credentials)
        self.log_dir = folder / "logs"
        self.fingerprint = FINGERPRINT

    def _put_base(self):
        layers = [conda(), package(CONDA, "torch", "2.3.0+cpu")]
        diff_ids = [digest_of(archive(entries)) for entries in layers]
        config = {**config_of(), "created": "2026-01-02T03:04:05Z", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        push_image(self.registry.client(), self.plan.base_reference, tuple(map(layer, layers)), config=config)
        self.registry.calls.clear()

    def credentials(self, host):
        ecr = ImageReference(registry=host, repository="any").ecr
        return self.aws.registry_credentials(account=ecr.account, region=ecr.region)

    def machine(self, request, build_id):
        for step in SUCCESS:
            if step.status == "SUCCEEDED":
                tag = f"staging-{FINGERPRINT[:12]}-{build_id.partition(':')[2]}"
                self.registry.put_image(REPOSITORY, tag, labels={FINGERPRINT_LABEL: FINGERPRINT})
            yield step

    def parts(self):
        return {
            "registry": self.client,
            "endpoints": Endpoints(endpoint_for=lambda host: f"https://{host}", credentials=self.credentials),
            "ensure_repository": lambda reference: self.aws.ensure_repository(
                reference.repository, region=REGION, account=ACCOUNT, kms_key=None, scan_on_push=True
            ),
            "remove_tag": lambda reference: self.aws.remove_tag(
                reference.repository, reference.tag, region=REGION, account=ACCOUNT
            ),
            "log_dir": self.log_dir,
            "version": "1.2.3",
            "token": lambda: "0a1b2c3d",
            "clock": lambda: datetime(2026, 11, 21, tzinfo=timezone.utc),
        }

    def upload(self, key, content):
        path = self.folder / "code"
        path.write_bytes(content)
        if self.aws.exists(BUCKET, key, expected_owner=ACCOUNT) is None:
            self.aws.put_file(
                BUCKET, key, path, kms_key=None, encrypt=False, expected_owner=ACCOUNT, task=NoProgress().task("x")
            )

    def use(self):
        self.aws.account_id()
        self.upload("job/sourcedir.tar.gz", b"code")
        self.upload("job/large.tar.gz", bytes(LARGE))
        with suppress(AwsError):
            self.upload("job/denied.tar.gz", bytes(LARGE))
        for item in self.aws.list_objects("team-catalog", "recipes/"):
            self.aws.read_object("team-catalog", item.key)
        self.registry.put_image(REPOSITORY, "used", labels={FINGERPRINT_LABEL: FINGERPRINT})
        found = RegistryStore(self.client).find(self.plan.reference.with_tag("used"))
        scans = Scans(self.aws.connection, region=REGION, account=ACCOUNT)
        assert scans.find(REPOSITORY, found.digest) is None
        with suppress(AwsError):
            scans.start(REPOSITORY, found.digest)

    def docker(self):
        self.use()
        self.lease()
        CodeArtifact(self.aws.connection).open(PLACE.codeartifact)
        engine = FakeEngine(self.registry)
        builder = DockerBuilder(engine, choose_route=lambda: FakeRoute(engine), **self.parts())
        self.recording(builder).build(self.plan)
        self.record.engine(ENGINE_PULLS, BASE.repository, BASE_HOST_ACCOUNT)
        self.record.engine(ENGINE_PUSHES, REPOSITORY, ACCOUNT)

    def append(self):
        self.use()
        self.lease()
        bench = Workbench(
            settings=Settings(cache_dir=str(self.folder / "cache"), verify="static"),
            progress=NoProgress(),
            engine=lambda: FakeEngine(self.registry),
            aws=lambda: self.aws,
            lease_objects=self.lease_objects,
            registry=lambda: self.client,
            credentials=self.credentials,
            repositories=Repositories(Settings(), aws=lambda: self.aws, registry=lambda: self.client),
            copy=partial(mirror_image, source_registry=self.client, target_registry=self.client),
        )
        # Under a tag that no other route has used.
        plan = replace(self.plan, reference=self.plan.reference.with_tag("appended"))
        bench.builder(plan, "append").build(plan)
        CodeArtifact(self.aws.connection).open(PLACE.codeartifact)

    def lease_objects(self):
        return ConditionalObjects(lambda: self.session, region=REGION)

    def lease(self):
        """Two take turns: one begins, the other finds what is left of it."""
        lease = SharedLease(self.lease_objects(), bucket=LEASES, prefix="team/", lease_s=60)
        key = LockKey(reference=self.plan.reference, fingerprint=FINGERPRINT)
        for _ in range(2):
            with lease.hold(key, is_there=lambda: False, progress=NoProgress()) as turn:
                assert isinstance(turn, OwnTurn)

    def codebuild(self):
        self.use()
        self.lease()
        # The project was made by somebody who may.
        self.api.projects["sagemaker-custom"] = {
            "name": "sagemaker-custom",
            "serviceRole": ROLE,
            "environment": {"type": "LINUX_CONTAINER", "image": "x", "computeType": "x"},
        }
        self._codebuild(lambda seconds: None)
        with suppress(KeyboardInterrupt):
            self._codebuild(_ctrl_c)

    def _codebuild(self, sleep, builds=None):
        builder = CodeBuildBuilder(
            Settings(codebuild_service_role=ROLE),
            builds=builds or (lambda region: CodeBuild(self.aws.connection, region=region)),
            contexts=self.aws,
            sleep=sleep,
            confirm=lambda question: True,
            **self.parts(),
        )
        self.recording(builder).build(self.plan)

    def recording(self, builder):
        """What a workbench makes of every builder."""
        inventories = Inventories(self.client, self.folder / "cache", NoProgress())
        evidence = Evidence(self.client, lambda: inventories)
        return RecordingBuilder(builder, evidence, clock=self.parts()["clock"], progress=NoProgress())

    def codebuild_batch(self):
        self.codebuild()
        self.api.projects["sagemaker-custom"]["buildBatchConfig"] = {"serviceRole": ROLE}
        gate = BatchGate(
            builds=lambda region: CodeBuild(self.aws.connection, region=region),
            batches=lambda region: CodeBuildBatches(self.aws.connection, region=region),
            monotonic=count(step=10).__next__,
        )
        for sleep in (lambda seconds: None, _ctrl_c):
            # Of an image that no build was left over of.
            self.api.builds.clear()
            self.api.token_expires()
            with suppress(KeyboardInterrupt):
                self._codebuild(sleep, gate.builds(sleep=lambda seconds: None, confirm=lambda question: True))

    def platform_admin(self):
        self.docker()
        self.append()
        self._codebuild(lambda seconds: None)
        self.codebuild_batch()
        self.aws.repositories("sagemaker-custom-", region=REGION, account=ACCOUNT)
        self.aws.tags(REPOSITORY, region=REGION, account=ACCOUNT)

    def prune(self):
        self.aws.account_id()
        for item in self.aws.list_objects("team-catalog", "recipes/"):
            self.aws.read_object("team-catalog", item.key)
        # Before moto is asked, which does not know them all.
        self.session.events.register("before-call.sagemaker.*", _sagemaker)
        uses = ImageUses(self.aws.connection, region=REGION, progress=NoProgress())
        uses.since(datetime(2026, 11, 21, tzinfo=timezone.utc))
        boto3.client("ecr", region_name=REGION).create_repository(repositoryName=REPOSITORY)
        self.aws.repositories("sagemaker-custom-", region=REGION, account=ACCOUNT)
        stored = StoredImages(self.aws.connection, region=REGION, account=ACCOUNT)
        stored.of(REPOSITORY)
        stored.remove(REPOSITORY, ["sha256:" + "1" * 64])
        stored.lifecycle_policy(REPOSITORY)
        stored.put_lifecycle_policy(REPOSITORY, lifecycle_policy(30))


def _sagemaker(model, **kwargs):
    return AWSResponse("", 200, {}, None), LISTED if model.name.startswith("List") else {}


def _deny_some(request, **kwargs):
    if "denied" not in request.url:
        return None
    body = _Body(b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    return AWSResponse(request.url, 403, {"Content-Type": "application/xml"}, body)


class _Body:
    def __init__(self, content):
        self._content = content

    def stream(self, **kwargs):
        yield self._content


def _ctrl_c(seconds):
    raise KeyboardInterrupt


def allowed(document, action, arn):
    return any(
        action in statement["Action"] and any(fnmatchcase(arn, pattern) for pattern in statement["Resource"])
        for statement in document["Statement"]
    )


@pytest.mark.parametrize(
    "route", ["use", "docker", "append", "codebuild", "codebuild-batch", "platform-admin", "prune"]
)
def test_the_policy_of_a_route_allows_what_it_calls_and_nothing_else(route, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    make_wheel(tmp_path, "tiny", "1.0")
    # moto knows no batches, and says so even where another one has answered.
    with moto.mock_aws(config={"core": {"passthrough": {"services": ["codebuild"]}}}):
        bench = Bench(tmp_path)
        getattr(bench, route.replace("-", "_"))()
    bench.record.registry(bench.registry)
    recorded = bench.record.uses

    document = policy(route, PLACE)
    refused = {
        (operation, action, arn)
        for operation, arn in recorded
        for action in ACTIONS[operation]
        if not allowed(document, action, arn)
    }
    assert not refused

    unused = {
        (use.operation, use.resource)
        for use in uses_of(route, PLACE)
        if not any(
            operation == use.operation and any(fnmatchcase(arn, pattern) for pattern in PLACE.arns(use.resource))
            for operation, arn in recorded
        )
    }
    assert not unused


def test_the_service_role_may_what_the_buildspec_and_codebuild_do():
    operations = {use.operation for use in uses_of("codebuild-service", PLACE)}
    programs = set(re.findall(r"aws (?:s3 cp|ecr get-login-password)", BUILDSPEC))
    job = Path(codebuild_job.__file__).read_text()
    programs |= {f"aws {' '.join(words)}" for words in re.findall(r'"(codeartifact)",\s+"([a-z-]+)"', job)}
    protocol = {f"registry.{operation}" for operation in (*ENGINE_PULLS, *ENGINE_PUSHES)}
    own = {"build.log", "build.secret", "build.network", "codeartifact.token", "codeartifact.download"}
    assert operations == {f"build.{program}" for program in programs} | protocol | own
    assert BUILDSPEC.count("aws ") == 3
    actions = {
        action for statement in policy("codebuild-service", PLACE)["Statement"] for action in statement["Action"]
    }
    assert {action for action in actions if action.startswith(("iam:", "codebuild:", "sts:"))} == {
        "sts:GetServiceBearerToken"
    }


def test_every_declared_call_belongs_to_a_route():
    used = {use.operation for route in ROUTES for use in uses_of(route, PLACE)}
    assert used == set(ACTIONS)
    assert set(DESCRIPTIONS) == set(ROUTES) == set(iam.ROUTES)


def test_a_secret_and_a_network_are_allowed_only_where_they_are_used():
    document = json.dumps(policy("codebuild-service", Place()))
    assert "secretsmanager" not in document
    assert "ec2:" not in document
    assert "codeartifact" not in document


@pytest.mark.parametrize("route", ["docker", "append", "platform-admin", "codebuild-service"])
def test_a_bearer_token_is_one_of_codeartifact_alone(route):
    (statement,) = (
        statement
        for statement in policy(route, PLACE)["Statement"]
        if "sts:GetServiceBearerToken" in statement["Action"]
    )
    assert statement["Action"] == ["sts:GetServiceBearerToken"]
    assert statement["Condition"] == {"StringEquals": {"sts:AWSServiceName": "codeartifact.amazonaws.com"}}


def test_codeartifact_is_allowed_where_the_settings_name_it(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_CODEARTIFACT", "company/packages")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_CODEARTIFACT_DOMAIN_OWNER", "111122223333")
    document = printed("docker", "--region", "cn-north-1", "--account", ACCOUNT)
    where = "arn:aws-cn:codeartifact:cn-north-1:111122223333"
    assert f"{where}:domain/company" in document
    assert f"{where}:repository/company/packages" in document
    assert "codeartifact" not in printed("use", "--region", "cn-north-1")


@pytest.mark.parametrize(("route", "has_leases"), [("use", False), ("docker", True), ("codebuild-service", False)])
def test_leases_are_allowed_to_who_builds_where_a_team_has_them(route, has_leases, monkeypatch):
    assert "leases" not in printed(route)
    monkeypatch.setenv("SAGEMAKER_CUSTOM_LEASE_BUCKET", "s3://team-leases/team/")
    assert ("arn:aws:s3:::team-leases/team/leases/*" in printed(route)) is has_leases


def printed(*arguments):
    result = CliRunner().invoke(cli, ["iam", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_command_fills_in_partition_region_and_account(route, region, partition):
    document = json.loads(printed(route, "--region", region, "--account", ACCOUNT))
    arns = {arn for statement in document["Statement"] for arn in statement["Resource"]} - {"*"}
    assert {arn.split(":")[1] for arn in arns} == {partition}
    assert "REGION" not in json.dumps(document)
    # The role of batches starts builds, and no more.
    kind = "project/sagemaker-custom" if route == "codebuild-batch-service" else "repository/sagemaker-custom-*"
    assert any(f"{region}:{ACCOUNT}:{kind}" in arn for arn in arns)


def test_what_is_not_known_stands_in_capitals():
    document = json.loads(printed("docker"))
    assert "arn:aws:ecr:REGION:ACCOUNT:repository/sagemaker-custom-*" in json.dumps(document)


def test_the_role_is_passed_to_codebuild_alone():
    (statement,) = (
        statement for statement in policy("platform-admin", PLACE)["Statement"] if "iam:PassRole" in statement["Action"]
    )
    assert statement["Resource"] == [ROLE]
    assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": "codebuild.amazonaws.com"}}


def test_the_buildspec_and_the_trust_policy_are_printed():
    assert printed("buildspec") == BUILDSPEC
    assert json.loads(printed("codebuild-trust"))["Statement"][0]["Principal"] == {"Service": "codebuild.amazonaws.com"}


def test_hosts_of_the_tests_are_ecr_hosts():
    assert ImageReference(registry=ECR_HOST, repository="x").ecr.account == ACCOUNT
