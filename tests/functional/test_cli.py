"""The command line without an account: what it prints, what it exits with, and what it does not import."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete
from fakes.command_line import run_cli
from fakes.team_catalog import write_team

from sagemaker_custom.cli import cli
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.provision import build_command
from sagemaker_custom.wiring import Parts

FAISS = ("pytorch", "--version", "2.3", "--extra", "faiss", "--local")
EXTENDED = r"sagemaker-custom-pytorch:2\.3\.0-training-cpu-py311-faiss-[0-9a-f]{20}"
STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"

SERVED = (
    "serving: pytorch-inference:2.3.0-cpu-py311-ubuntu20.04-sagemaker "
    "serves pytorch 2.3.0: the version that is trained with"
)


def run_process(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def team(tmp_path):
    """A catalog with one named image."""
    write_team(tmp_path / "team")
    return str(tmp_path / "team")


class TestResolve:
    def test_prints_the_uri_alone(self):
        ended = run_cli("resolve", *FAISS)
        assert ended.code == 0
        assert re.fullmatch(EXTENDED + "\n", ended.out)

    def test_stock_image_of_a_framework_on_another(self):
        ended = run_cli(
            *("resolve", "huggingface", "--version", "4.28", "--base-framework-version", "pytorch2.0.0"),
            *("--instance-type", "ml.p3.2xlarge", "--region", "eu-west-1", "--json"),
        )
        image = ended.document["image"]
        assert image.startswith("763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-training:2.0.0-")
        assert "-gpu-" in image

    def test_what_is_no_longer_patched_is_told_beside_it(self):
        assert run_cli("resolve", *FAISS).err.startswith("warning: AWS patches pytorch-training:2.3.0-cpu-py311")

    def test_local_instance_type_means_local_mode(self):
        answer = run_cli("resolve", "pytorch", "--version", "2.3", "--extra", "faiss", "--instance-type", "local")
        assert answer.out == run_cli("resolve", *FAISS).out

    def test_named_image_has_its_defaults(self, team):
        ended = run_cli("resolve", "shop", "--catalog", team, "--local")
        assert re.match(r"sagemaker-custom-pytorch:2\.3\.0-training-gpu-py311-cu121-faiss-", ended.out)

    def test_named_image_takes_what_is_chosen(self, team):
        chosen = ("--version", "2.2", "--image-scope", "inference", "--instance-type", "ml.m5.xlarge")
        ended = run_cli("resolve", "shop", "--catalog", team, "--local", *chosen)
        assert re.match(r"sagemaker-custom-pytorch:2\.2\.0-inference-cpu-py310-faiss-", ended.out)

    def test_named_image_is_not_made_for_everything(self, team):
        ended = run_cli("resolve", "shop", "--catalog", team, "--local", "--processor", "hpu")
        assert ended.code == 2
        assert ended.err == (
            "error: the named image 'shop' is not made for processor 'hpu'\n"
            "  -> it is made for gpu, cpu; its team can add to it\n"
        )

    def test_option_that_a_named_image_leaves_no_choice_in(self, team):
        ended = run_cli("resolve", "shop", "--catalog", team, "--local", "--sdk-version", "2.20")
        assert ended.code == 2
        assert "--sdk-version is not for the named image 'shop'" in ended.err


COMMANDS = {
    "extended": ("pytorch", {"version": "2.3", "extras": ["faiss", "pip:tinydb>=4"]}),
    "gpu": ("pytorch", {"version": "2.3", "cuda_version": "cu121", "image_scope": "inference", "extras": ["faiss"]}),
    "arm64": ("pytorch", {"version": "2.3", "instance_type": "ml.c7g.xlarge", "image_scope": "inference"}),
    "neuron": ("pytorch", {"version": "2.1", "instance_type": "ml.trn1.2xlarge"}),
    "on another": ("huggingface", {"version": "4.28", "base_framework_version": "pytorch2.0.0"}),
    "ending": ("pytorch", {"version": "1.8.1", "container_version": "ubuntu18.04"}),
}


@pytest.mark.parametrize(("framework", "arguments"), COMMANDS.values(), ids=COMMANDS)
def test_command_that_an_error_tells_names_the_same_image(framework, arguments):
    spec = image_spec(framework, **arguments)
    plan = Parts(region="us-east-1").plan(spec, account="123456789012")
    _, *words = shlex.split(build_command(plan, "resolve"))
    assert run_cli(*words, "--region", "us-east-1", "--account", "123456789012").out == f"{plan.reference}\n"


class TestPlan:
    @pytest.mark.parametrize(
        ("version", "serving_version", "said"),
        [
            (
                "2.3",
                "same",
                r"pytorch-inference:2\.3\.0-cpu-py311-\S+ serves pytorch 2\.3\.0: the version that is trained",
            ),
            ("2.8", "same", r"none: AWS has no inference image of pytorch 2\.8\.0 .*serving_version='nearest'"),
            ("2.8", "nearest", r"pytorch-inference:2\.6\.0-cpu-py312-\S+ serves pytorch 2\.8\.0: AWS has no inference"),
        ],
    )
    def test_what_serves_it_is_told_with_the_reason(self, monkeypatch, version, serving_version, said):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_SERVING_VERSION", serving_version)
        arguments = ("plan", "pytorch", "--version", version, "--processor", "gpu", "--region", "us-east-1")
        assert re.search(f"^serving: {said}", run_cli(*arguments).out, re.MULTILINE)
        assert re.match(said, run_cli(*arguments, "--json").document["serving"])

    def test_nothing_serves_what_is_for_inference_itself(self):
        ended = run_cli("plan", "pytorch", "--version", "2.3", "--image-scope", "inference", "--region", "us-east-1")
        assert "serving:" not in ended.out

    def test_prints_image_base_reason_steps_and_dockerfile(self):
        ended = run_cli("plan", *FAISS, "--dockerfile")
        lines = ended.out.splitlines()
        assert ended.code == 0
        assert re.fullmatch(f"image: {EXTENDED}", lines[0])
        assert lines[1:5] == [
            f"base: {STOCK}",
            "reason: pytorch 2.3.0 cpu py311 for training in us-east-1: extended by faiss",
            SERVED,
            "step: pip: faiss-cpu==1.12.0",
        ]
        assert lines[5].startswith('verify: python -c "import faiss')
        assert lines[6] == "builder: docker: images for local mode belong into the Docker Engine"
        assert f"FROM {STOCK}" in lines

    def test_document_has_it_all(self):
        document = run_cli("plan", *FAISS, "--json", "--dockerfile").document
        assert re.fullmatch(EXTENDED, document["image"])
        assert (document["base"], document["base_digest"], document["needs_build"]) == (STOCK, None, True)
        assert document["steps"][0]["packages"] == ["faiss-cpu==1.12.0"]
        assert document["image"].endswith(document["fingerprint"][:20])
        assert document["builder"]["name"] == "docker"
        assert document["warnings"]
        assert document["dockerfile"].startswith(f"FROM {STOCK}")

    def test_stock_image_has_nothing_to_build(self):
        ended = run_cli("plan", "pytorch", "--version", "2.3", "--region", "us-east-1", "--dockerfile")
        assert ended.out == (
            f"image: {STOCK}\nbase: {STOCK}\n"
            "reason: pytorch 2.3.0 cpu py311 for training in us-east-1: no extras, so AWS's image as it is\n"
            f"{SERVED}\n"
        )

    def test_every_kind_of_step_is_named(self):
        extras = ("--extra", "apt:libgomp1", "--extra", "conda:conda-forge::jq=1.7", "--extra", "onnxruntime")
        ended = run_cli("plan", "pytorch", "--version", "2.3", "--local", *extras)
        assert "step: packages of the distribution: libgomp1\n" in ended.out
        assert "step: conda: jq=1.7 from conda-forge\n" in ended.out
        assert re.search("step: pip: onnxruntime==.*, after removing onnxruntime-gpu\n", ended.out)

    def test_mirrored_base_is_told(self, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_SOURCE_REGION", "us-east-1")
        monkeypatch.setenv("SAGEMAKER_CUSTOM_MIRROR", "always")
        ended = run_cli("plan", "pytorch", "--version", "2.3", "--region", "eu-west-1", "--account", "123456789012")
        assert f"mirror of: {STOCK}\n" in ended.out


class TestErrors:
    def test_error_ends_it_with_message_hint_and_exit_code(self):
        program = "from sagemaker_custom.cli import main; main()"
        ended = run_process(program, "plan", "pytorch", "--extra", "lightgbn", "--local")
        assert ended.returncode == 2
        assert ended.stderr == (
            "error: there is no recipe 'lightgbn' in the catalog\n"
            "  -> did you mean lightgbm?; for a package of the index write 'pip:lightgbn'\n"
        )

    def test_with_json_an_error_is_the_document(self):
        ended = run_cli("resolve", "pytorhc", "--json")
        assert ended.code == 2
        assert ended.document["error"]["type"] == "ImageNotInCatalogError"
        assert ended.document["error"]["exit_code"] == 2
        assert "pytorch" in ended.document["error"]["hint"]
        assert ended.err == ""

    def test_with_json_wrong_use_is_the_document(self):
        ended = run_cli("resolve", "--json", "--nothing-like-it", "pytorch")
        assert ended.code == 2
        assert ended.document["error"]["message"].startswith("No such option")

    def test_no_credentials_are_told(self):
        ended = run_cli("build", "pytorch", "--version", "2.3", "--extra", "faiss", "--region", "eu-west-1")
        assert ended.code == 7
        assert "credentials" in ended.err
        assert "aws configure" in ended.err

    def test_debug_shows_where_an_error_comes_from(self):
        program = "from sagemaker_custom.cli import main; main()"
        ended = run_process(program, "--debug", "plan", "pytorch", "--extra", "fais", "--local")
        assert ended.stderr.startswith("Traceback (most recent call last)")
        assert ended.stderr.endswith("for a package of the index write 'pip:fais'\n")

    def test_reader_that_goes_away_ends_it_quietly(self):
        program = (
            "import os, sys\n"
            "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
            "from sagemaker_custom.cli import main; main()"
        )
        ended = run_process(program, "extras")
        assert (ended.returncode, ended.stderr) == (1, "")


class TestImports:
    @pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["completion", "bash"], ["build", "--help"]])
    def test_help_imports_nothing_slow(self, arguments):
        program = (
            "import json, sys\n"
            "from sagemaker_custom.cli import main\n"
            "try:\n    main()\n"
            "except SystemExit as ended:\n    assert not ended.code\n"
            "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
        )
        ended = run_process(program, *arguments)
        slow = {"boto3", "botocore", "docker", "moto", "packaging", "pydantic", "requests", "rich", "sagemaker", "yaml"}
        assert slow & set(json.loads(ended.stderr)) == set()

    @pytest.mark.parametrize(
        "arguments",
        [
            ["plan", "pytorch", "--version", "2.3", "--region", "us-east-1"],
            ["resolve", "recsys", "--local", "--region", "us-east-1", "--json"],
            ["extras", "faiss"],
            ["extras", "--framework", "pytorch"],
            ["catalog", "list", "--origin"],
            ["catalog", "validate"],
            ["catalog", "refresh", "pytorch", "--from", "sdk"],
        ],
        ids=" ".join,
    )
    def test_no_command_imports_the_sdk(self, arguments):
        program = (
            "import sys\n"
            "from sagemaker_custom.cli import main\n"
            "try:\n    main()\n"
            "except SystemExit as ended:\n    assert not ended.code\n"
            "assert not {'sagemaker', 'boto3'} & set(sys.modules)"
        )
        ended = run_process(program, *arguments)
        assert ended.returncode == 0, ended.stderr


class TestTerminal:
    def test_tables_are_drawn_and_nothing_of_them_is_cut_off(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "60")
        reader, terminal = os.openpty()
        command = [sys.executable, "-c", "from sagemaker_custom.cli import main; main()", "extras"]
        subprocess.run(command, stdout=terminal, check=True)
        os.close(terminal)
        shown = b""
        # Linux says that a terminal is gone by an error.
        with contextlib.suppress(OSError):
            while piece := os.read(reader, 65536):
                shown += piece
        os.close(reader)
        assert "───" in shown.decode()
        assert "…" not in shown.decode()
        assert "Similarity search and" in shown.decode()


class TestBuild:
    def test_nothing_named_is_told(self):
        ended = run_cli("build")
        assert (ended.code, "no image is named" in ended.err) == (2, True)

    def test_all_takes_no_choice(self):
        ended = run_cli("build", "--all", "pytorch")
        assert ended.code == 2
        assert "--all builds every named image" in ended.err


class TestCompletion:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_script_names_our_program(self, shell):
        script = run_cli("completion", shell).out
        assert "_SAGEMAKER_CUSTOM_COMPLETE" in script
        assert "sagemaker-custom" in script

    @staticmethod
    def offered(*words):
        *before, incomplete = words
        items = ShellComplete(cli, {}, "sagemaker-custom", "X").get_completions(before, incomplete)
        return {item.value for item in items}

    def test_commands(self):
        assert self.offered("re") == {"resolve"}
        assert self.offered("--d") == {"--debug"}

    def test_frameworks_and_named_images(self, team, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CATALOG", team)
        assert self.offered("plan", "sh") == {"shop"}
        assert {"pytorch", "pytorch-smp"} <= self.offered("plan", "pyt")

    def test_catalog_of_the_same_line_counts(self, team):
        assert self.offered("plan", "--catalog", team, "sh") == {"shop"}

    def test_extras_regions_and_versions(self):
        assert {"faiss"} <= self.offered("build", "pytorch", "--extra", "fa")
        assert self.offered("build", "--extra", "pip") == {"pip:"}
        assert self.offered("plan", "--region", "eu-west-1") == {"eu-west-1"}
        assert "2.3.0" in self.offered("plan", "pytorch", "--version", "2.3")
        assert self.offered("extras", "fai") == {"faiss"}
        assert self.offered("catalog", "refresh", "autog") == {"autogluon"}

    def test_broken_settings_offer_nothing_and_print_nothing(self, monkeypatch, capsys):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CATALOG", "/no/such/folder")
        assert self.offered("plan", "pyt") == set()
        assert capsys.readouterr() == ("", "")
