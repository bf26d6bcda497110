"""What is put right in the SDK: telemetry that waits for ever, and Compose versions it does not know."""

from __future__ import annotations

import socket

import pytest
from sagemaker import deprecations
from sagemaker.local.image import _SageMakerContainer
from sagemaker.telemetry import telemetry_logging

import sagemaker_custom.sdk_v2  # noqa: F401 - puts the repairs in place
from sagemaker_custom.errors import EngineUnavailableError
from sagemaker_custom.sdk.compose import compose_command


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Make shell scripts the only programs on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return add


class TestCompose:
    @pytest.mark.parametrize("version", ["2.24.5", "v2.39.1", "5.0.1", "v5.1.0-desktop.1"])
    def test_plugin_of_any_version_from_two_on_is_used(self, programs, version):
        programs("docker", f"echo {version}")
        assert compose_command() == ["docker", "compose"]

    def test_old_program_is_used_where_docker_has_no_plugin(self, programs):
        programs("docker", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
        programs("docker-compose", "echo 1.29.2")
        assert compose_command() == ["docker-compose"]

    def test_old_program_is_used_where_there_is_no_docker_command(self, programs):
        programs("docker-compose", "echo 1.29.2")
        assert compose_command() == ["docker-compose"]

    def test_neither_is_told_with_what_to_install(self, programs):
        programs("docker", "exit 1")
        with pytest.raises(EngineUnavailableError) as caught:
            compose_command()
        assert str(caught.value).startswith("local mode needs Docker Compose, and there is none\n")
        assert "docker-compose-plugin" in str(caught.value)

    def test_the_sdk_asks_us(self, programs):
        programs("docker", "echo 5.0.1")
        assert _SageMakerContainer._get_compose_cmd_prefix() == ["docker", "compose"]


class TestTelemetry:
    def test_a_host_that_never_answers_does_not_hold_the_caller(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            assert telemetry_logging._requests_helper(url, 0.2) is None


def test_our_classes_are_not_announced_as_deprecated():
    assert "CustomPyTorch" in deprecations._v2_deprecation_warned
