"""Which docker command is taken, and what it is told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from fakes.fake_engine import FakeEngine, FakeRunner
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.builders.buildkit import (
    BuildKitCommand,
    BuildKitRoute,
    choose_route,
    docker_commands,
    find_buildkit,
)
from sagemaker_custom.builders.classic import ClassicRoute
from sagemaker_custom.builders.route import BuildRequest
from sagemaker_custom.errors import BuildError, DiskFullError

_DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def runner():
    return FakeRunner()


@pytest.fixture
def engine():
    return FakeEngine(FakeRegistry())


def _has(runner, program, version, *, buildx=False):
    runner.answers[program, "--version"] = (0, [f"Docker version {version}, build abc"])
    if buildx:
        runner.answers[program, "buildx", "version"] = (0, ["github.com/docker/buildx v0.12"])


def _find(runner, *programs):
    return find_buildkit(programs, runner=runner, environment={})


class TestChoice:
    def test_a_new_command_without_buildx_is_passed_over(self, runner):
        _has(runner, "/a/docker", "28.2.2")
        _has(runner, "/b/docker", "20.10.24+dfsg1")

        assert _find(runner, "/a/docker", "/b/docker") == BuildKitCommand(program="/b/docker", has_buildx=False)

    def test_a_new_command_with_buildx_is_taken(self, runner):
        _has(runner, "/a/docker", "28.2.2", buildx=True)

        assert _find(runner, "/a/docker") == BuildKitCommand(program="/a/docker", has_buildx=True)

    @pytest.mark.parametrize("version", ["17.12.1", "unknown"])
    def test_commands_that_cannot(self, runner, version):
        _has(runner, "/a/docker", version, buildx=True)

        assert _find(runner, "/a/docker", "/no/docker") is None

    def test_an_old_engine_is_built_on_by_its_api(self, runner):
        _has(runner, "/a/docker", "20.10.24")
        engine = FakeEngine(FakeRegistry(), engine_version="19.03.5")

        route = choose_route(engine, programs=["/a/docker"], runner=runner, environment={})

        assert isinstance(route, ClassicRoute)

    def test_every_command_on_the_path_is_looked_at(self, tmp_path):
        for folder in ("one", "two"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "docker").touch()
        (tmp_path / "link").symlink_to(tmp_path / "two")

        found = docker_commands(f"{tmp_path}/one:{tmp_path}/none:{tmp_path}/two:{tmp_path}/link")

        assert found == (f"{tmp_path}/one/docker", f"{tmp_path}/two/docker")


class _Build:
    """Looks at what the command gets while it runs."""

    def __init__(self):
        self.secrets = {}
        self.modes = {}
        self.dockerfile = ""
        self.context = None

    def __call__(self, command):
        options = dict(word[2:].split("=", 1) for word in command if word.startswith("--") and "=" in word)
        for word in command:
            if word.startswith("--secret="):
                name, path = word.removeprefix("--secret=id=").split(",src=")
                self.secrets[name] = Path(path).read_bytes()
                self.modes[name] = stat.S_IMODE(Path(path).stat().st_mode)
        self.dockerfile = Path(options["file"]).read_text(encoding="utf-8")
        self.context = list(Path(command[-1]).iterdir())
        self.folder = Path(command[-1]).parent
        Path(options["iidfile"]).write_text(_DIGEST, encoding="utf-8")


def _request(**arguments):
    return BuildRequest(
        **{"dockerfile": lambda secret_mounts: f"FROM x\n# {secret_mounts}\n", "platform": "linux/amd64"} | arguments
    )


def _route(engine, runner, *, has_buildx=False, environment=None):
    command = BuildKitCommand(program="/a/docker", has_buildx=has_buildx)
    return BuildKitRoute(engine, command, runner=runner, environment=environment or {})


class TestBuild:
    def test_secrets_pass_as_private_files_that_are_gone_afterwards(self, engine, runner):
        seen = runner.on_build = _Build()
        runner.answers["build",] = (0, ["#1 DONE"])
        lines = []

        built = _route(engine, runner).build(
            _request(ca_bundle=b"PEM", netrc="machine h login u password secret\n"), on_line=lines.append
        )

        assert built == _DIGEST
        assert seen.secrets == {"ca_bundle": b"PEM", "netrc": b"machine h login u password secret\n"}
        assert seen.modes["netrc"] == 0o600
        assert seen.dockerfile == "FROM x\n# True\n"
        assert seen.context == []
        assert not seen.folder.exists()
        assert "secret" not in " ".join(word for word in runner.commands[0] if not word.startswith("--secret="))
        assert lines == ["#1 DONE"]

    def test_the_engine_is_the_one_that_was_asked_before(self, engine, runner):
        runner.on_build = _Build()
        runner.answers["build",] = (0, [])
        environment = {"DOCKER_CONTEXT": "elsewhere", "PATH": "/bin"}

        _route(engine, runner, environment=environment).build(_request(), on_line=lambda line: None)

        assert runner.environments[0] == {
            "PATH": "/bin",
            "DOCKER_HOST": engine.address,
            "DOCKER_BUILDKIT": "1",
            "BUILDX_BUILDER": "default",
        }

    @pytest.mark.parametrize("has_buildx", [True, False])
    def test_buildx_adds_no_attestations(self, engine, runner, has_buildx):
        runner.on_build = _Build()
        runner.answers["build",] = (0, [])

        _route(engine, runner, has_buildx=has_buildx).build(_request(no_cache=True), on_line=lambda line: None)

        assert ({"--provenance=false", "--sbom=false", "--load"} <= set(runner.commands[0])) is has_buildx
        assert "--no-cache" in runner.commands[0]
        assert "--platform=linux/amd64" in runner.commands[0]

    def test_a_failed_step_is_named(self, engine, runner):
        runner.answers["build",] = (1, ["#5 ERROR: executor failed running [/bin/sh -c false]: exit code: 1"])

        with pytest.raises(BuildError, match=r"exit code 1: #5 ERROR: executor failed running"):
            _route(engine, runner).build(_request(), on_line=lambda line: None)

    def test_a_full_disk_is_named(self, engine, runner):
        runner.answers["build",] = (1, ["#5 OSError: [Errno 28] No space left on device"])

        with pytest.raises(DiskFullError, match="no space left on the disk of the Docker Engine") as caught:
            _route(engine, runner).build(_request(), on_line=lambda line: None)

        assert "docker system prune" in caught.value.hint

    def test_a_ca_bundle_that_buildkit_refuses(self, engine, runner):
        with pytest.raises(BuildError, match="the CA bundle has 512001 bytes") as caught:
            _route(engine, runner).build(_request(ca_bundle=b"x" * 512_001), on_line=lambda line: None)

        assert "smaller PEM file" in caught.value.hint


class TestClassic:
    def test_the_ca_bundle_is_in_the_context(self, engine):
        ClassicRoute(engine).build(_request(ca_bundle=b"PEM", no_cache=True), on_line=lambda line: None)

        context = engine.contexts[0]
        assert context.files == {"Dockerfile": b"FROM x\n# False\n", "ca-bundle.pem": b"PEM"}
        assert context.no_cache

    def test_credentials_are_refused(self, engine):
        with pytest.raises(BuildError, match="would stay in the image") as caught:
            ClassicRoute(engine).build(_request(netrc="machine h login u password p\n"), on_line=lambda line: None)

        assert "docker-buildx" in caught.value.hint
        assert engine.contexts == []
