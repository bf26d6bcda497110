"""The command line on images of the user's own, without an engine and without an account."""

from __future__ import annotations

import re
import shlex

import pytest
from fakes.command_line import run_cli
from fakes.own_plan import own_plan

from sagemaker_custom.own_images import own_image
from sagemaker_custom.provision import build_command

ACCOUNT = ("--region", "us-east-1", "--account", "123456789012")


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "churn"
    root.mkdir()
    (root / "Dockerfile").write_text("FROM debian\n")
    return root


def test_folder_resolves_to_an_image_of_its_content(folder):
    first = run_cli("resolve", "--folder", str(folder), *ACCOUNT)
    (folder / "train").write_text("#!/bin/sh\n")
    second = run_cli("resolve", "--folder", str(folder), *ACCOUNT)

    host = r"123456789012\.dkr\.ecr\.us-east-1\.amazonaws\.com"
    pattern = rf"{host}/sagemaker-custom-churn:dockerfile_[0-9a-f]{{12}}-training-cpu-[0-9a-f]{{20}}\n"
    assert re.fullmatch(pattern, first.out)
    assert re.fullmatch(pattern, second.out)
    assert first.out != second.out


def test_plan_tells_folder_steps_and_dockerfile(folder):
    ended = run_cli(
        *("plan", "--folder", str(folder), "--toolkit", "add", "--image-scope", "inference", "--local"),
        *("--extra", "pip:tiny", "--dockerfile"),
    )

    lines = ended.out.splitlines()
    assert f"reason: built from the folder {folder}, extended by SageMaker's toolkit, pip:tiny" in lines
    assert f"folder: {folder} (1 paths)" in lines
    assert "step: SageMaker's toolkit, unless there is a serve program: sagemaker-inference==1.10.1" in ended.out
    assert "verify: command -v serve" in lines
    assert 'CMD ["serve"]' in lines
    assert not any(line.startswith("serving:") for line in lines)


def test_document_of_a_base_image_that_is_used_as_it_is():
    said = run_cli("plan", "--base-image", "quay.io/team/jax:1", *ACCOUNT, "--json").document

    assert (said["image"], said["needs_build"], said["fingerprint"]) == ("quay.io/team/jax:1", False, None)
    assert said["warnings"] == [
        "SageMaker takes quay.io/team/jax:1 for training in a VPC alone, since it is not in Amazon ECR"
    ]


def test_bare_base_image_is_planned_by_its_name_where_no_engine_answers():
    ended = run_cli("resolve", "--base-image", "team-jax:1", *ACCOUNT)

    assert "/sagemaker-custom-team-jax:1-training-cpu-" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pytorch", "--folder", "x"], "'pytorch' is an image of the catalog"),
        (["--folder", "x", "--version", "2.3"], "--version is not for an image of your own"),
        (["--folder", "x", "--base-image", "y"], "not both"),
        (["--folder", "x", "--build-arg", "A"], "--build-arg 'A' cannot be read"),
        (["--folder", "no-such"], "there is no folder 'no-such' to build"),
        ([], "no image is named"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "build"])
def test_what_cannot_be_is_refused(command, arguments, message):
    ended = run_cli(command, *arguments, "--local")

    assert ended.code == 2
    assert message in ended.err


def test_all_named_images_take_no_image_of_your_own():
    ended = run_cli("build", "--all", "--folder", "x")

    assert (ended.code, "--all builds every named image" in ended.err) == (2, True)


@pytest.mark.parametrize("scope", ["training", "inference"])
def test_command_that_an_error_tells_names_the_same_image(folder, scope):
    (folder / "gpu").mkdir()
    (folder / "gpu" / "Dockerfile").write_text("FROM debian\n")
    own = own_image(
        dockerfile=folder,
        dockerfile_name="gpu/Dockerfile",
        build_args={"A": "b c"},
        target="t",
        name="mine",
        toolkit="add",
        python="/opt/python",
        py_version="py311",
        cuda_version="cu121",
        held=("jax", "numpy"),
    )
    plan = own_plan(own, "pip:tiny", "lightgbm", scope=scope, processor="gpu")
    words = shlex.split(build_command(plan))

    assert run_cli("resolve", *words[2:]).out == f"{plan.reference}\n"
