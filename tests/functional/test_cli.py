"""The command line: what it prints, and what it exits with."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from sagemaker_custom.cli import cli


def test_plan_prints_image_base_reason_and_dockerfile():
    answer = CliRunner().invoke(
        cli, ["plan", "pytorch", "--version", "2.3", "--extra", "faiss", "--local", "--dockerfile"]
    )
    assert answer.exit_code == 0
    assert "image: sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-" in answer.output
    assert "base: 763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-" in answer.output
    assert "reason: pytorch 2.3.0 cpu py311 for training in us-east-1: extended by faiss" in answer.output
    assert "FROM 763104351884" in answer.output
    assert "faiss-cpu==1.12.0" in answer.output


def test_error_ends_it_with_message_hint_and_exit_code():
    program = [sys.executable, "-c", "from sagemaker_custom.cli import main; main()"]
    command = [*program, "plan", "pytorch", "--extra", "fais", "--local"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == (
        "error: there is no recipe 'fais' in the catalog\n"
        "  -> did you mean faiss?; for a package of the index write 'pip:fais'\n"
    )


def test_the_sdk_is_not_imported():
    program = (
        "import sys; from click.testing import CliRunner; from sagemaker_custom.cli import cli;"
        "answer = CliRunner().invoke(cli, ['plan', 'pytorch', '--version', '2.3', '--region', 'us-east-1']);"
        "assert answer.exit_code == 0, answer.output;"
        "assert not {'sagemaker', 'boto3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
