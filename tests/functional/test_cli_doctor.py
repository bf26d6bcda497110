"""``doctor`` where the credentials, the AWS configuration or the way to a registry are not as they should be."""

from __future__ import annotations

import pytest
from fakes.command_line import run_cli

from sagemaker_custom.sandbox.aws import SandboxAws


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    """A machine on which nothing is configured, and no engine runs."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS", "1")


@pytest.fixture
def aws(monkeypatch):
    """Moto, which the environment leads to."""
    with SandboxAws() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def findings():
    ended = run_cli("doctor", "--json")
    assert ended.code == 1, ended.err  # the engine
    return {finding["name"]: finding for finding in ended.document}


def test_profile_that_does_not_exist_is_a_finding_beside_the_others(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nope")
    found = findings()
    assert found["AWS"]["outcome"] == "warning"
    assert "(nope) could not be found; only local mode works" in found["AWS"]["detail"]
    assert "AWS_PROFILE" in found["AWS"]["repair"]
    assert found["Docker Engine"]["outcome"] == "failed"


def test_configuration_that_is_not_one_is_a_finding_beside_the_others(tmp_path):
    (tmp_path / "config").write_text("garbage [")
    found = findings()
    assert found["AWS"]["outcome"] == "warning"
    assert f"Unable to parse config file: {tmp_path / 'config'}" in found["AWS"]["detail"]


def test_credentials_that_have_ended_are_told_as_such(aws, monkeypatch):
    monkeypatch.setenv("AWS_CREDENTIAL_EXPIRATION", "2020-01-01T00:00:00Z")
    found = findings()
    assert found["AWS"]["detail"] == (
        "the credentials in the environment ended at 2020-01-01 00:00 UTC; only local mode works"
    )
    assert {found[name]["outcome"] for name in ("ECR login", "ECR", "own registry", "AWS's images")} == {"skipped"}


def test_registry_that_nobody_reaches_is_told_apart_from_ecrs_api(aws, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS", "*.dkr.ecr.*=http://127.0.0.1:9")
    found = findings()
    assert [found[name]["outcome"] for name in ("ECR login", "ECR", "own registry")] == ["ok", "ok", "failed"]
    assert "the connection to 127.0.0.1:9 failed" in found["own registry"]["detail"]
    assert found["own registry"]["repair"]
