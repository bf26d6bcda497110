"""What the checks of a machine find, and what they say to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import certifi
import pytest
from fakes.fake_aws import FakeAws
from fakes.fake_engine import FakeEngine
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.catalog import Problem
from sagemaker_custom.doctor import CHECKS, examine
from sagemaker_custom.errors import (
    AccessDeniedError,
    AwsError,
    CredentialsError,
    EngineUnavailableError,
    RegistryAccessDeniedError,
    RegistryUnavailableError,
    SettingsError,
)
from sagemaker_custom.installed_sdk import InstalledPart
from sagemaker_custom.machine import Machine, environment_credentials_end, installed, uv_program
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.settings import Settings

BASE = ImageReference.parse("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0")
OWN = ImageReference.parse("123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:latest")
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
GB = 10**9
SDK_V2 = InstalledPart(name="sagemaker", version="2.257.7")


class Engine(FakeEngine):
    """Also tells how it is set up."""

    def __init__(self, **info):
        super().__init__(FakeRegistry())
        self.information = {"Driver": "overlay2", "DockerRootDir": "/", "Runtimes": {"runc": {}}} | info

    def info(self):
        self.version()
        return self.information


class Runner:
    """Runs nothing: commands to what they say."""

    def __init__(self, **said):
        self.said = said

    def run(self, command, *, environment, on_line):
        name = " ".join(command)
        for beginning, text in self.said.items():
            if name.startswith(beginning.replace("_", " ")):
                on_line(text)
                return 0
        raise FileNotFoundError(command[0])


@pytest.fixture
def settings(tmp_path):
    return Settings(cache_dir=str(tmp_path / "not" / "there" / "yet"))


@pytest.fixture
def machine(settings):
    def make(**changes):
        arguments = {
            "settings": lambda: settings,
            "engine": Engine(),
            "aws": FakeAws,
            "find": lambda reference: "sha256:" + "1" * 64,
            "base": lambda region: BASE,
            "own": lambda account, region: OWN,
            "project": lambda name: None,
            "catalogs": dict,
            "docker_commands": ("/usr/bin/docker",),
            "runner": Runner(
                **{"/usr/bin/docker_--version": "Docker version 20.10.24, build 1", "/bin/uv": "uv 0.9.1"}
            ),
            "uv": lambda: "/bin/uv",
            "which": lambda name: f"/usr/bin/{name}",
            "free_bytes": lambda folder: 100 * GB,
            "sdk": lambda: (SDK_V2,),
            "clock": lambda: NOW,
        }
        return Machine(**arguments | changes)

    return make


def found(machine, name):
    [finding] = [finding for finding in examine(machine) if finding.name == name]
    return finding


def test_a_machine_that_has_everything(machine):
    findings = examine(machine())
    assert {finding.outcome for finding in findings} <= {"ok", "skipped"}
    assert set(CHECKS) <= {finding.name for finding in findings}


class TestEngine:
    def test_engine_that_does_not_answer_fails_once_with_its_repair(self, machine):
        engine = Engine()
        engine.failures["version"] = EngineUnavailableError("no engine at x", hint="start it")
        findings = examine(machine(engine=engine))
        failed = [finding for finding in findings if finding.outcome == "failed"]
        assert [(finding.name, finding.detail, finding.repair) for finding in failed] == [
            ("Docker Engine", "no engine at x", "start it")
        ]
        skipped = {finding.name for finding in findings if finding.detail == "not looked at without Docker Engine"}
        assert skipped == {"BuildKit", "disk of the engine", "GPU"}

    def test_without_buildkit_private_indexes_do_not_work(self, machine):
        finding = found(machine(docker_commands=()), "BuildKit")
        assert finding.outcome == "warning"
        assert "without private indexes" in finding.detail
        assert "docker-buildx-plugin" in finding.repair

    @pytest.mark.parametrize(
        ("free", "outcome"), [(100, "ok"), (25, "ok"), (24, "warning"), (8, "warning"), (7, "failed")]
    )
    def test_room_for_images(self, machine, free, outcome):
        finding = found(machine(free_bytes=lambda folder: free * GB), "disk of the engine")
        assert finding.outcome == outcome
        assert (finding.repair is None) == (outcome == "ok")

    def test_disk_of_another_machine_is_not_judged(self, machine):
        engine = Engine(DockerRootDir="/of/another/machine")
        assert found(machine(engine=engine), "disk of the engine").outcome == "skipped"


class TestAppending:
    def test_folder_that_cannot_be_written_to(self, machine):
        finding = found(machine(is_writable=lambda folder: False), "cache folder")
        assert (finding.outcome, "cannot be written to" in finding.detail) == ("failed", True)

    @pytest.mark.parametrize(
        ("program", "detail"), [(None, "is not found"), ("/bin/broken", "/bin/broken does not run")]
    )
    def test_uv_that_is_not_there_or_does_not_run(self, machine, program, detail):
        finding = found(machine(uv=lambda: program), "uv")
        assert (finding.outcome, detail in finding.detail) == ("failed", True)

    def test_uv_that_is_installed_is_found(self):
        assert uv_program()


class TestCompose:
    @pytest.mark.parametrize(
        ("said", "which", "outcome"),
        [
            ("Docker Compose version v2.39.1", None, "ok"),
            ("Docker Compose version v5.0.1", None, "ok"),
            ("Docker Compose version 2.39.1", None, "ok"),
            ("docker-compose version 1.29.2, build 5becea4c", None, "warning"),
            ("something else 22", None, "warning"),
            (None, "/usr/bin/docker-compose", "ok"),
            (None, None, "warning"),
        ],
    )
    def test_only_what_local_mode_takes_counts(self, machine, said, which, outcome):
        runner = Runner(docker_compose=said) if said else Runner()
        finding = found(machine(runner=runner, which=lambda name: which), "Compose")
        assert finding.outcome == outcome
        assert ("docker-compose" in (finding.repair or "")) == (outcome == "warning")

    def test_compose_does_not_help_without_the_docker_command(self, machine):
        here = {"docker-compose": "/usr/bin/docker-compose"}
        finding = found(machine(which=here.get), "Compose")
        assert (finding.outcome, "no docker command" in finding.detail) == ("warning", True)


class TestGpu:
    def test_none_is_no_failure(self, machine):
        assert found(machine(), "GPU").outcome == "skipped"

    def test_gpu_that_containers_cannot_use(self, machine):
        runner = Runner(**{"nvidia-smi": "NVIDIA A10G, 550.1"})
        finding = found(machine(runner=runner), "GPU")
        assert finding.outcome == "warning"
        assert "nvidia-container-toolkit" in finding.repair

    def test_gpu_that_containers_can_use(self, machine):
        runner = Runner(**{"nvidia-smi": "NVIDIA A10G, 550.1"})
        finding = found(machine(runner=runner, engine=Engine(Runtimes={"nvidia": {}})), "GPU")
        assert (finding.outcome, finding.detail) == (
            "ok",
            "NVIDIA A10G, 550.1; the engine has the NVIDIA runtime",
        )


class TestAws:
    def test_without_credentials_local_mode_works(self, machine):
        aws = FakeAws()
        aws.fail("account_id", CredentialsError("no credentials", hint="run aws configure"))
        finding = found(machine(aws=lambda: aws), "AWS")
        assert (finding.outcome, finding.repair) == ("warning", "run aws configure")
        assert finding.detail == "no credentials; only local mode works"
        assert found(machine(aws=lambda: aws), "ECR").outcome == "skipped"

    def test_without_a_region_local_mode_works(self, machine):
        outcomes = {finding.name: finding.outcome for finding in examine(machine(aws=lambda: FakeAws(region=None)))}
        assert (outcomes["AWS"], outcomes["ECR"], outcomes["AWS's images"]) == ("warning", "skipped", "skipped")

    def test_aws_that_does_not_answer_fails_once(self, machine):
        aws = FakeAws()
        aws.fail("account_id", AwsError("no answer from AWS", hint="check the proxy"))
        failed = [finding for finding in examine(machine(aws=lambda: aws)) if finding.outcome == "failed"]
        assert [(finding.name, finding.detail, finding.repair) for finding in failed] == [
            ("AWS", "no answer from AWS", "check the proxy")
        ]

    def test_caller_is_named(self, machine):
        detail = found(machine(), "AWS").detail
        assert detail == "account 123456789012, region us-east-1, as arn:aws:sts::123456789012:user/moto"

    def test_right_that_is_missing_is_named(self, machine):
        aws = FakeAws()
        aws.fail("repositories", AccessDeniedError("ecr:DescribeRepositories was denied", hint="allow it"))
        finding = found(machine(aws=lambda: aws), "ECR")
        assert (finding.outcome, finding.detail) == ("failed", "ecr:DescribeRepositories was denied")

    def test_profile_that_does_not_exist_is_a_finding(self, machine):
        def aws():
            raise CredentialsError("the profile (nope) could not be found", hint="name another one")

        findings = {finding.name: finding for finding in examine(machine(aws=aws))}
        assert findings["AWS"].outcome == "warning"
        assert findings["AWS"].detail == "the profile (nope) could not be found; only local mode works"
        assert findings["own registry"].detail == "not looked at without AWS"
        assert findings["Docker Engine"].outcome == "ok"

    def test_token_that_is_denied_is_told_once_and_repositories_are_still_looked_at(self, machine):
        aws = FakeAws()
        aws.fail("registry_credentials", AccessDeniedError("ecr:GetAuthorizationToken was denied", hint="allow it"))
        findings = examine(machine(aws=lambda: aws))
        failed = [finding for finding in findings if finding.outcome == "failed"]
        assert [(finding.name, finding.detail, finding.repair) for finding in failed] == [
            ("ECR login", "ecr:GetAuthorizationToken was denied", "allow it")
        ]
        skipped = {finding.name for finding in findings if finding.detail == "not looked at without ECR login"}
        assert skipped == {"own registry", "AWS's images"}

    def test_repositories_of_the_configured_account_are_looked_at(self, machine, settings):
        aws, asked = FakeAws(), []
        here = {"region": "us-east-1", "kms_key": None, "scan_on_push": True}
        aws.ensure_repository("sagemaker-custom-pytorch", account="210987654321", **here)

        def own(account, region):
            asked.append((account, region))
            return OWN

        changed = replace(settings, account="210987654321")
        finding = found(machine(aws=lambda: aws, own=own, settings=lambda: changed), "ECR")
        assert finding.detail == "registry of 210987654321: 1 repositories sagemaker-custom-*"
        assert asked == [("210987654321", "us-east-1")]

    @pytest.mark.parametrize("digest", [None, "sha256:" + "1" * 64])
    def test_own_registry_answers_whether_or_not_it_has_the_image(self, machine, digest):
        finding = found(machine(find=lambda reference: digest), "own registry")
        assert (finding.outcome, finding.detail) == ("ok", f"{OWN.registry} answers")

    def test_own_registry_without_a_way_to_it_fails(self, machine):
        def find(reference):
            if reference == OWN:
                raise RegistryUnavailableError("no answer", hint="add the VPC endpoint ecr.dkr")
            return "sha256:" + "1" * 64

        failed = [finding for finding in examine(machine(find=find)) if finding.outcome == "failed"]
        assert [(finding.name, finding.detail, finding.repair) for finding in failed] == [
            ("own registry", "no answer", "add the VPC endpoint ecr.dkr")
        ]

    def test_image_that_is_not_published_there(self, machine):
        finding = found(machine(find=lambda reference: None), "AWS's images")
        assert finding.outcome == "warning"
        assert "source_region" in finding.repair

    def test_registry_that_refuses(self, machine):
        def find(reference):
            raise RegistryAccessDeniedError("cannot look up the image", hint="log in")

        assert found(machine(find=find), "AWS's images").detail == "cannot look up the image"


class TestCodeBuild:
    def test_is_skipped_where_it_is_not_set_up(self, machine):
        assert found(machine(), "CodeBuild").outcome == "skipped"

    def test_a_project_that_is_there(self, machine, settings):
        settings = replace(settings, codebuild_project="team-images")
        asked = []
        finding = found(
            machine(settings=lambda: settings, project=lambda name: asked.append(name) or name), "CodeBuild"
        )
        assert (finding.outcome, asked) == ("ok", ["team-images"])

    def test_a_project_that_the_first_build_creates(self, machine, settings):
        settings = replace(settings, codebuild_service_role="builds")
        finding = found(machine(settings=lambda: settings), "CodeBuild")
        assert finding.outcome == "ok"
        assert finding.detail == "the first build creates project sagemaker-custom, with builds"

    def test_a_project_that_nobody_can_create(self, machine, settings):
        settings = replace(settings, codebuild_project="team-imgaes")
        finding = found(machine(settings=lambda: settings), "CodeBuild")
        assert finding.outcome == "failed"
        assert finding.detail == "there is no project team-imgaes in us-east-1, and no role to create it with"
        assert "codebuild_service_role" in finding.repair


class TestCredentialsThatEnd:
    def findings(self, machine, **left):
        end = NOW + timedelta(**left)
        return {finding.name: finding for finding in examine(machine(credentials_end=lambda: end))}

    def test_ended_ones_are_told_as_such_and_nothing_is_asked_with_them(self, machine):
        aws, end = FakeAws(), NOW - timedelta(minutes=1)
        findings = examine(machine(aws=lambda: aws, credentials_end=lambda: end))
        [finding] = [finding for finding in findings if finding.name == "AWS"]
        assert finding.outcome == "warning"
        assert finding.detail == (
            "the credentials in the environment ended at 2026-11-21 11:59 UTC; only local mode works"
        )
        assert "aws sso login" in finding.repair
        assert not aws.calls

    def test_ones_that_end_during_a_build_are_a_warning_and_the_rest_is_looked_at(self, machine):
        findings = self.findings(machine, minutes=59)
        finding = findings["credentials"]
        assert (finding.outcome, "2026-11-21 12:59 UTC" in finding.detail) == ("warning", True)
        assert "aws sso login" in finding.repair
        assert (findings["AWS"].outcome, findings["ECR"].outcome) == ("ok", "ok")

    def test_ones_that_last_are_told_with_their_end(self, machine):
        finding = self.findings(machine, hours=1)["credentials"]
        assert (finding.outcome, finding.repair) == ("ok", None)
        assert finding.detail == "those in the environment end at 2026-11-21 13:00 UTC"

    def test_without_an_end_nothing_is_said(self, machine):
        assert "credentials" not in {finding.name for finding in examine(machine())}

    @pytest.mark.parametrize(
        ("variables", "end"),
        [
            ({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": "2026-11-21T12:00:00Z"}, NOW),
            ({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": "2026-11-21T14:00:00+02:00"}, NOW),
            ({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": "2026-11-21T12:00:00"}, None),
            ({"AWS_ACCESS_KEY_ID": "a", "AWS_CREDENTIAL_EXPIRATION": "soon"}, None),
            ({"AWS_ACCESS_KEY_ID": "a"}, None),
            ({"AWS_CREDENTIAL_EXPIRATION": "2026-11-21T12:00:00Z"}, None),
        ],
    )
    def test_the_environment_says_when_its_credentials_end(self, variables, end):
        assert environment_credentials_end(variables) == end


def test_wrong_setting_is_told_and_the_rest_still_examined(machine):
    def settings():
        raise SettingsError("there is no setting 'acount'", hint="did you mean 'account'?")

    findings = examine(machine(settings=settings))
    [failed] = [finding for finding in findings if finding.outcome == "failed"]
    assert (failed.name, failed.repair) == ("settings", "did you mean 'account'?")
    assert "Docker Engine" in {finding.name for finding in findings if finding.outcome == "ok"}


def test_ca_bundle_without_certificates(machine, settings, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate")
    finding = found(machine(settings=lambda: replace(settings, ca_bundle=str(bundle))), "CA bundle")
    assert finding.outcome == "failed"
    assert finding.detail.startswith(f"{bundle} has no certificates that can be read: ")
    assert "ca_bundle" in finding.repair


def test_ca_bundle_that_can_be_read(machine, settings):
    finding = found(machine(settings=lambda: replace(settings, ca_bundle=certifi.where())), "CA bundle")
    assert (finding.outcome, finding.detail) == ("ok", certifi.where())


def test_catalog_with_problems_is_a_failure_with_the_command_that_shows_all(machine):
    problem = Problem(file="extras/a.yaml", path="name", message="is missing")
    findings = [
        finding
        for finding in examine(machine(catalogs=lambda: {"/team": [problem], "/good": []}))
        if finding.name == "team catalogs"
    ]
    assert [finding.outcome for finding in findings] == ["failed", "ok"]
    assert findings[0].repair == "sagemaker-custom catalog validate /team"
    assert "extras/a.yaml" in findings[0].detail


def parts_of_v3(**versions):
    known = {
        "sagemaker": "3.27.0",
        "core": "2.27.0",
        "train": "1.27.0",
        "serve": "1.27.0",
        "mlops": "1.27.0",
    } | versions
    names = {name: name if name == "sagemaker" else f"sagemaker-{name}" for name in known}
    return tuple(InstalledPart(name=names[name], version=version) for name, version in known.items() if version)


def with_missing(parts, name):
    return tuple(replace(part, missing=76) if part.name == name else part for part in parts)


class TestSdk:
    @pytest.mark.parametrize(
        ("parts", "detail"),
        [
            ((SDK_V2,), "2.257.7"),
            ((SDK_V2, InstalledPart(name="sagemaker-core", version="1.0.78")), "2.257.7"),
            (parts_of_v3(), "3.27.0"),
            (parts_of_v3(sagemaker="3.30.1"), "3.30.1"),
        ],
        ids=["v2", "v2 and its core", "v3", "newer v3"],
    )
    def test_either_line_is_well(self, machine, parts, detail):
        finding = found(machine(sdk=lambda: parts), "SageMaker SDK")
        assert (finding.outcome, finding.detail, finding.repair) == ("ok", detail, None)

    @pytest.mark.parametrize(
        ("parts", "detail", "repair"),
        [
            ((), "it is not installed", "pip install 'sagemaker-custom[sdk]'; [v2] and [v3] stay with one line of it"),
            (
                parts_of_v3(sagemaker=None, serve=None, mlops=None),
                "only parts of it: sagemaker-core 2.27.0, sagemaker-train 1.27.0",
                "pip install 'sagemaker-custom[v3]'",
            ),
            (
                (InstalledPart(name="sagemaker", version="2.199.0"),),
                "2.199.0; the classes here are made for 2.257 and newer",
                "pip install --upgrade 'sagemaker-custom[v2]'",
            ),
            (
                parts_of_v3(sagemaker="3.4.1"),
                "3.4.1; the classes here are made for 3.27 and newer",
                "pip install --upgrade 'sagemaker-custom[v3]'",
            ),
            (parts_of_v3(sagemaker="4.0"), "4.0, of which the classes here know nothing", "[v3]', or [v2]"),
            (
                with_missing(parts_of_v3(), "sagemaker-serve"),
                "3.27.0, but pip has removed modules of sagemaker-serve 1.27.0",
                "pip uninstall -y sagemaker sagemaker-core sagemaker-train sagemaker-serve sagemaker-mlops, and then",
            ),
            (
                parts_of_v3(sagemaker="2.257.7", core="1.0.78"),
                "2.257.7, among parts of the SDK v3: sagemaker-train 1.27.0, sagemaker-serve 1.27.0, sagemaker-mlops",
                "pip install --upgrade 'sagemaker-custom[v2]'",
            ),
        ],
        ids=["none", "without the whole", "old v2", "old v3", "unknown line", "v3 over v2", "v2 over v3"],
    )
    def test_what_does_not_fit_is_told_with_what_repairs_it(self, machine, parts, detail, repair):
        finding = found(machine(sdk=lambda: parts), "SageMaker SDK")
        assert finding.outcome == "warning"
        assert detail in finding.detail
        assert repair in finding.repair


def test_check_that_breaks_is_a_finding_too(machine):
    def base(region):
        raise ZeroDivisionError("oops")

    finding = found(machine(base=base), "AWS's images")
    assert (finding.outcome, finding.detail) == ("failed", "the check itself broke: ZeroDivisionError: oops")


def test_distributions_are_looked_up_without_being_imported():
    assert installed("pytest") == pytest.__version__
    assert installed("no-such-distribution") is None
