"""Images that people extend by hand with conda and pip in a region of China: which they are, and how they are built."""

from __future__ import annotations

import json

import boto3
import pytest
from sagemaker.session import Session

from sagemaker_custom import CustomPyTorch, Settings, image_uris
from sagemaker_custom.dockerfile import BuildEnvironment, render
from sagemaker_custom.resolve import CondaStep, PipStep

ACCOUNT = "123456789012"
REGION = "cn-northwest-1"
MINE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com.cn/sagemaker-custom-pytorch"
FAISS = ["conda:conda-forge::faiss-gpu", "conda:conda-forge::cudatoolkit=11.1"]
PYG_FROM_PYTORCH_ORG = {
    "schema_version": 1,
    "name": "pyg-upstream",
    "summary": "PyTorch Geometric with PyTorch as pytorch.org builds it",
    "homepage": "https://pyg.org",
    "verify": ["python -c 'import torch_geometric'"],
    "variants": [
        {
            "when": {"framework": "pytorch", "framework_version": ">=1.10,<1.11", "cuda": "==11.3"},
            "version": "2.0.4",
            "pip": {
                "packages": [
                    "torch==1.10.0+cu113",
                    "torchvision==0.11.1+cu113",
                    "torchaudio==0.10.0+cu113",
                    "torch-geometric=={version}",
                    "torch-scatter",
                    "torch-sparse",
                    "torch-cluster",
                    "torch-spline-conv",
                ],
                "find_links": [
                    "https://download.pytorch.org/whl/cu113/torch_stable.html",
                    "https://data.pyg.org/whl/torch-1.10.0+cu113.html",
                ],
                "replaces": ["torch", "torchvision", "torchaudio"],
            },
            "uninstall": ["torch", "torchvision"],
        }
    ],
}


@pytest.fixture
def planned():
    boto_session = boto3.Session(aws_access_key_id="AKIA", aws_secret_access_key="x", region_name=REGION)

    def plan(**arguments):
        estimator = CustomPyTorch(
            **{
                "entry_point": "flat.py",
                "role": f"arn:aws-cn:iam::{ACCOUNT}:role/SageMakerRole",
                "instance_type": "ml.p3.2xlarge",
                "instance_count": 1,
                "py_version": "py38",
                "sagemaker_session": Session(boto_session),
                "settings": Settings(account=ACCOUNT),
                **arguments,
            }
        )
        return estimator.plan_image()

    return plan


def dockerfile_of(plan):
    return render(plan, str(plan.base_reference), BuildEnvironment(secret_mounts=True)).replace(" \\\n", "")


def test_conda_packages_on_the_base_of_the_region(planned):
    plan = planned(framework_version="1.9", extras=FAISS)
    assert str(plan.base_reference) == (
        f"727897471807.dkr.ecr.{REGION}.amazonaws.com.cn/pytorch-training:1.9.0-gpu-py38-cu111-ubuntu20.04"
    )
    assert str(plan.reference).startswith(f"{MINE}:1.9.0-training-gpu-py38-cu111-")
    assert str(plan.reference) == image_uris.retrieve(
        "pytorch", REGION, "1.9", "py38", "ml.p3.2xlarge", extras=FAISS, account=ACCOUNT
    )
    assert {step.channels for step in plan.steps if isinstance(step, CondaStep)} == {("conda-forge",)}
    assert sorted(name for step in plan.steps for name in step.packages) == ["cudatoolkit=11.1", "faiss-gpu"]
    text = dockerfile_of(plan)
    assert text.startswith(f"FROM {plan.base_reference}\nRUN ")
    assert " && conda install -y -c conda-forge cudatoolkit=11.1" in text
    assert " && conda clean -afy && " in text
    assert "held > /tmp/sagemaker-custom/now.txt" in text


def test_recipe_takes_operators_that_fit_the_torch_of_aws(planned):
    plan = planned(framework_version="1.10.0", extras=["pyg"])
    [step] = plan.steps
    assert step.packages[0] == "torch-geometric==2.0.4"
    assert step.find_links == ("https://data.pyg.org/whl/torch-1.10.0+cu113.html",)
    assert "torch" in plan.held
    assert not step.replaces


def test_torch_is_replaced_by_a_recipe_of_the_team(planned, tmp_path):
    (tmp_path / "extras").mkdir()
    (tmp_path / "extras" / "pyg-upstream.yaml").write_text(json.dumps(PYG_FROM_PYTORCH_ORG))
    plan = planned(framework_version="1.10.0", extras=["pyg-upstream"], catalog=str(tmp_path))
    [step] = plan.steps
    assert isinstance(step, PipStep)
    text = dockerfile_of(plan)
    assert "pip --no-input --disable-pip-version-check uninstall -y torch torchvision && " in text
    assert "torch==1.10.0+cu113" in text
    assert "--find-links https://data.pyg.org/whl/torch-1.10.0+cu113.html" in text
    [guard] = [part for part in text.split(" && ") if part.startswith("held() {")]
    assert "torchtext" in guard
    assert "torchvision" not in guard


def test_base_is_brought_from_another_partition(planned):
    settings = Settings(account=ACCOUNT, source_region="us-east-1", source_profile="global", mirror="always")
    plan = planned(framework_version="1.10.0", extras=["pyg"], settings=settings)
    assert str(plan.mirror_of) == (
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:1.10.0-gpu-py38-cu113-ubuntu20.04-sagemaker"
    )
    assert str(plan.base_reference).startswith(f"{MINE}:base-training-1.10.0-")
    assert "mirrored from us-east-1" in plan.reason
