"""The command line with moto's AWS and a real registry: builds, logins, mirrors and what runs in a sandbox."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.command_line import run_cli
from fakes.team_catalog import NAMED, write_team
from registry_process import running_registry

from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.oci import DOCKER_CONFIG, DOCKER_MANIFEST
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.settings import Settings
from sagemaker_custom.wiring import Parts

MAIN = "from sagemaker_custom.cli import main; main()"
# A shell starts what runs in its background with interrupts ignored, and so would these tests their programs.
INTERRUPTIBLE = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"
ACCOUNT = "123456789012"
STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"


@dataclass(frozen=True)
class Cloud:
    """What is there, besides the variables that lead to it."""

    registry_host: str
    team: str

    def push(self, reference, labels=None):
        """Put an image without layers there; return its digest."""
        client = Parts(settings=Settings.load()).registry
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Labels": labels or {}},
                "rootfs": {"type": "layers", "diff_ids": []},
            }
        ).encode()
        client.upload_blob(reference, digest_of(config), len(config), lambda: io.BytesIO(config))
        described = {"mediaType": DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)}
        content = json.dumps(
            {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": described, "layers": []}
        ).encode()
        return client.put_manifest(reference, Manifest(media_type=DOCKER_MANIFEST, content=content))

    def push_extended(self):
        """Put the training image of the named image there."""
        spec = image_spec("pytorch", version="2.3", image_scope="training", processor="cpu", extras=["faiss"])
        plan = Parts(settings=Settings.load()).plan(spec)
        self.push(plan.reference, plan.labels)
        return plan


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """An AWS and a registry that the variables lead to, and a team catalog; there is no engine that could build."""
    team = tmp_path / "team"
    shop = write_team(team)
    shop.write_text(NAMED.replace('"2.3", "2.2"', '"2.3"').replace("gpu, cpu", "cpu").partition("regions")[0])
    store = tmp_path / "registry"
    store.mkdir()
    with SandboxAws() as aws, running_registry(store) as registry:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS", f"*.dkr.ecr.*={registry.url}")
        monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS", "1")
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        yield Cloud(registry_host=registry.host, team=str(team))


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A docker command on PATH that writes down how it was called; fails when there is a file 'refuse'."""
    folder = tmp_path / "programs"
    folder.mkdir()
    program = folder / "docker"
    program.write_text(
        "#!/bin/sh\n"
        f'cd "{folder}"; echo "$@" >> arguments; cat >> password; echo >> password\n'
        'if [ -e refuse ]; then echo "Error response from daemon: no" >&2; exit 1; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


class TestBuild:
    def test_image_that_is_there_is_printed_and_not_built(self, cloud):
        plan = cloud.push_extended()
        ended = run_cli("build", "pytorch", "--version", "2.3", "--extra", "faiss")
        assert (ended.code, ended.out) == (0, f"{plan.reference}\n")
        assert "is there, nothing to build" in ended.err
        (told,) = run_cli("build", "pytorch", "--version", "2.3", "--extra", "faiss", "--json").document["images"]
        assert told == {
            "name": "pytorch",
            "version": "2.3.0",
            "image_scope": "training",
            "processor": "cpu",
            "region": "us-east-1",
            "status": "present",
            "image": str(plan.reference),
            "error": None,
        }

    def test_image_that_cannot_be_built_ends_with_the_errors_code(self, cloud):
        del cloud
        ended = run_cli("build", "pytorch", "--version", "2.3", "--extra", "faiss", "--json")
        assert ended.code == 5
        assert ended.document["error"]["type"] == "BaseImageError"

    def test_named_image_is_all_images_of_it_and_a_failure_does_not_end_it(self, cloud):
        plan = cloud.push_extended()
        ended = run_cli("build", "shop", "--catalog", cloud.team, "--region", "us-east-1")
        assert ended.code == 1
        head, present, failed = ended.out.splitlines()
        assert head.split() == ["image", "status", "URI,", "or", "why", "not"]
        assert re.fullmatch(rf"shop 2\.3 training cpu us-east-1 +present +{plan.reference}", present)
        assert re.match(r"shop 2\.3 inference cpu us-east-1 +failed +the base image .* does not exist", failed)
        assert "[2/2] shop 2.3 inference cpu us-east-1: failed\n" in ended.err
        assert ended.err.endswith("1 present, 1 failed\n")

    def test_one_of_a_named_image_is_chosen_by_options(self, cloud):
        plan = cloud.push_extended()
        ended = run_cli("build", "shop", "--catalog", cloud.team, "--image-scope", "training")
        assert (ended.code, ended.out) == (0, f"{plan.reference}\n")

    def test_all_builds_every_named_image(self, cloud):
        cloud.push_extended()
        ended = run_cli("build", "--all", "--catalog", cloud.team, "--json")
        outcomes = {(one["name"], one["image_scope"]): one for one in ended.document["images"] if one["name"] == "shop"}
        assert ended.code == 1
        assert outcomes["shop", "training"]["status"] == "present"
        assert outcomes["shop", "training"]["error"] is None
        assert outcomes["shop", "inference"]["status"] == "failed"
        assert outcomes["shop", "inference"]["error"]["exit_code"] == 5


class TestPlan:
    def test_digest_that_the_base_has_now_is_asked_for(self, cloud):
        digest = cloud.push(ImageReference.parse(STOCK))
        ended = run_cli("plan", "pytorch", "--version", "2.3", "--digest")
        assert f"base digest: {digest}\n" in ended.out
        assert run_cli("plan", "pytorch", "--version", "2.3", "--digest", "--json").document["base_digest"] == digest

    def test_base_that_the_registry_lacks_is_told(self, cloud):
        del cloud
        ended = run_cli("plan", "pytorch", "--version", "2.3", "--digest")
        assert (ended.code, ended.out) == (5, "")
        assert f"error: the registry has no {STOCK}\n" in ended.err


class TestMirror:
    def test_base_is_brought_to_the_own_registry(self, cloud):
        digest = cloud.push(ImageReference.parse(STOCK))
        arguments = ("mirror", "pytorch", "--version", "2.3", "--region", "eu-west-1", "--from-region", "us-east-1")
        ended = run_cli(*arguments)
        target = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-custom-pytorch:"
        assert ended.code == 0, ended.err
        assert ended.out.startswith(target)
        assert ended.out.endswith(f"@{digest}\n")
        assert "copied 1 blobs" in ended.err
        again = run_cli(*arguments, "--json").document
        assert (again["source"], again["blobs_copied"], again["bytes_copied"]) == (STOCK, 0, 0)

    def test_without_a_source_the_setting_is_named(self, cloud):
        del cloud
        ended = run_cli("mirror", "pytorch", "--version", "2.3", "--region", "eu-west-1")
        assert ended.code == 2
        assert "source_region" in ended.err


class TestImages:
    def test_what_was_built_is_listed_with_its_base_and_whether_that_moved(self, cloud):
        plan = cloud.push_extended()
        parts = Parts(settings=Settings.load())
        parts.aws.ensure_repository(plan.reference.repository, region="us-east-1", kms_key=None, scan_on_push=True)
        cloud.push(ImageReference.parse(STOCK))
        ended = run_cli("images", "--check-base", "--json")
        assert ended.code == 0
        [image] = ended.document
        assert (image["reference"], image["kind"]) == (str(plan.reference), "extended")
        assert (image["framework"], image["version"], image["extras"]) == ("pytorch", "2.3.0", "faiss")
        assert image["base"] == "pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
        assert image["base_state"] == "unknown"
        head, row = run_cli("images", "pytorch").out.splitlines()
        assert head.split()[:2] == ["framework", "version"]
        assert plan.reference.tag in row
        assert run_cli("images", "tensorflow", "--json").document == []

    def test_without_images_it_is_told_where_was_looked(self, cloud):
        del cloud
        ended = run_cli("images")
        assert (ended.code, ended.out) == (0, "")
        assert "there are no images in repositories sagemaker-custom-* of us-east-1" in ended.err


class TestDoctor:
    def test_what_is_missing_is_told_with_its_repair_and_the_exit_code(self, cloud):
        cloud.push(ImageReference.parse(STOCK))
        ended = run_cli("doctor", "--json")
        by_name = {finding["name"]: finding for finding in ended.document}
        assert ended.code == 1
        assert by_name["Docker Engine"]["outcome"] == "failed"
        assert by_name["Docker Engine"]["repair"]
        assert by_name["BuildKit"]["outcome"] == "skipped"
        assert (by_name["AWS"]["outcome"], by_name["ECR"]["outcome"]) == ("ok", "ok")
        assert by_name["AWS"]["detail"].startswith(f"account {ACCOUNT}, region us-east-1, as arn:aws:sts::")
        assert by_name["AWS's images"]["outcome"] == "warning"

    def test_wrong_setting_is_a_finding_and_no_traceback(self, cloud, monkeypatch):
        del cloud
        monkeypatch.setenv("SAGEMAKER_CUSTOM_ACOUNT", "1")
        ended = run_cli("doctor")
        assert ended.code == 1
        assert "did you mean 'account'?" in ended.out


class TestLogin:
    def test_docker_gets_the_password_by_its_input_alone(self, cloud, docker):
        ended = run_cli("login", "--base")
        host = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
        assert ended.code == 0, ended.err
        assert f"docker is logged in to {host}" in ended.out
        assert "docker is logged in to 763104351884.dkr.ecr.us-east-1.amazonaws.com" in ended.out
        called = (docker / "arguments").read_text().splitlines()
        assert called == [f"login --username AWS --password-stdin {cloud.registry_host}"] * 2
        password = (docker / "password").read_text().splitlines()[0]
        assert password
        assert password not in ended.out + ended.err + "".join(called)

    def test_registry_of_another_account_and_region(self, cloud, docker):
        del cloud, docker
        ended = run_cli("login", "--region", "cn-north-1", "--account", "210987654321", "--json")
        assert ended.document == {"registries": ["210987654321.dkr.ecr.cn-north-1.amazonaws.com.cn"]}

    def test_refusal_is_told_in_dockers_words(self, cloud, docker):
        (docker / "refuse").touch()
        ended = run_cli("login")
        assert ended.code == 6
        expected = f"error: docker could not log in to {cloud.registry_host}: Error response from daemon: no\n"
        assert ended.err.startswith(expected)

    def test_without_docker_it_is_told(self, cloud, tmp_path, monkeypatch):
        del cloud
        monkeypatch.setenv("PATH", str(tmp_path))
        ended = run_cli("login")
        assert ended.code == 5
        assert ended.err.startswith("error: there is no docker command on PATH\n")

    def test_region_without_images_of_aws_is_told(self, cloud, docker):
        del cloud
        ended = run_cli("login", "--base", "--region", "us-isob-west-9")
        assert ended.code == 2
        assert "AWS publishes no deep learning images in us-isob-west-9" in ended.err
        assert not (docker / "arguments").exists()


class TestRefresh:
    def test_repository_that_is_not_there_changes_nothing(self, cloud):
        del cloud
        ended = run_cli("catalog", "refresh", "sklearn", "--from", "ecr")
        assert ended.code == 0, ended.err
        assert "no change: sklearn" in ended.out
        assert "has no repository" in ended.out
        assert "listing sagemaker-scikit-learn of 683313688378 in us-east-1\n" in ended.err


class TestSandbox:
    def test_command_runs_in_it_and_its_exit_code_is_ours(self, tmp_path):
        script = "import os, sys; print(os.environ['AWS_ENDPOINT_URL']); sys.exit(7)"
        command = [sys.executable, "-c", MAIN, "sandbox", "run", "--folder", str(tmp_path)]
        ended = subprocess.run(
            [*command, "--", sys.executable, "-c", script], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 7
        assert ended.stdout.startswith("http://127.0.0.1:")

    def test_program_that_is_not_there_is_told(self, tmp_path):
        ended = run_cli("sandbox", "run", "--folder", str(tmp_path), "--", "no-such-program")
        assert ended.code == 2
        assert "'no-such-program' cannot be run" in ended.err

    def test_options_after_the_command_are_the_commands(self, tmp_path):
        command = [sys.executable, "-c", MAIN, "sandbox", "run", "--folder", str(tmp_path)]
        script = "import sys; print(sys.argv[1:])"
        ended = subprocess.run(
            [*command, sys.executable, "-c", script, "--region", "x", "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.stdout == "['--region', 'x', '--json']\n"

    def test_interrupt_ends_it_with_130(self, tmp_path):
        command = [sys.executable, "-c", INTERRUPTIBLE, "sandbox", "run", "--folder", str(tmp_path), "--"]
        script = "import time; print('up', flush=True); time.sleep(60)"
        with started([*command, sys.executable, "-c", script]) as process:
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        assert not is_running(tmp_path)

    @pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
    def test_it_runs_until_it_is_told_to_end(self, tmp_path, ending):
        command = [sys.executable, "-c", INTERRUPTIBLE, "sandbox", "up", "--json", "--folder", str(tmp_path)]
        with started(command) as process:
            lines = [process.stdout.readline()]
            while lines[-1] != "}\n":
                assert lines[-1], process.stderr.read()
                lines.append(process.stdout.readline())
            environment = json.loads("".join(lines))["environment"]
            assert environment["SAGEMAKER_CUSTOM_ACCOUNT"] == ACCOUNT
            assert "until Ctrl-C" in process.stderr.readline()
            process.send_signal(ending)
            out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "the sandbox ends\n")
        assert not is_running(tmp_path)

    def test_without_moto_the_extra_is_named(self):
        program = f"import sys; sys.modules['moto'] = None; {MAIN}"
        command = [sys.executable, "-c", program, "sandbox", "up"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert ended.stderr == (
            "error: the sandbox needs moto, which is not installed\n  -> pip install 'sagemaker-custom[sandbox]'\n"
        )


@contextmanager
def started(command):
    """Start a program, which does not outlive the test."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_running(folder):
    """Tell whether a process has been started with ``folder`` in its command line, and has not ended."""
    for _ in range(50):
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
        if not any(str(folder).encode() in line for line in lines):
            return False
        time.sleep(0.1)
    return True
