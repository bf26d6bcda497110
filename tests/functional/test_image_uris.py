"""``image_uris.retrieve``: the SDK's argument names, one right answer."""

from __future__ import annotations

import pytest
from moto import mock_aws
from sagemaker import image_uris as stock_image_uris
from sagemaker.fw_utils import framework_name_from_image

from sagemaker_custom import image_uris
from sagemaker_custom.errors import CredentialsError, ImageNotInCatalogError, UsageError


def test_china_with_extras_is_in_the_callers_account():
    uri = image_uris.retrieve(
        "pytorch", "cn-northwest-1", "1.9", "py38", cuda_version="cu111", extras=["faiss"], account="123456789012"
    )
    assert uri.startswith(
        "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn/sagemaker-custom-pytorch:1.9.0-training-gpu-py38-cu111-faiss-"
    )


def test_china_without_extras_is_the_image_of_aws():
    uri = image_uris.retrieve("pytorch", "cn-northwest-1", "1.9", "py38", "ml.p3.2xlarge")
    assert uri == (
        "727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn/pytorch-training:1.9.0-gpu-py38-cu111-ubuntu20.04"
    )


@mock_aws
def test_account_is_asked_of_aws_when_nobody_names_it(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    uri = image_uris.retrieve("pytorch", version="2.3", extras="faiss", instance_type="ml.m5.xlarge")
    assert uri.startswith("123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-training-cpu-")


def test_no_credentials_are_told_with_a_way_out():
    with pytest.raises(CredentialsError) as caught:
        image_uris.retrieve("pytorch", "eu-west-1", "2.3", extras=["faiss"])
    assert "credentials" in str(caught.value)
    assert "aws configure" in str(caught.value)


def test_stock_image_needs_no_credentials():
    uri = image_uris.retrieve("pytorch", "eu-west-1", "2.3", "py311", "ml.g5.xlarge", image_scope="inference")
    assert uri.endswith("/pytorch-inference:2.3.0-gpu-py311-cu121-ubuntu20.04-sagemaker")


def test_local_mode_gives_a_bare_tag():
    uri = image_uris.retrieve("pytorch", version="2.3", instance_type="local", extras=["faiss"])
    assert uri.startswith("sagemaker-custom-pytorch:2.3.0-training-cpu-py311-faiss-")


def test_default_version_has_both_halves_of_the_pair():
    training = image_uris.retrieve("pytorch", "us-east-1")
    inference = image_uris.retrieve("pytorch", "us-east-1", image_scope="inference")
    assert "/pytorch-training:2.6.0-cpu-py312-" in training
    assert "/pytorch-inference:2.6.0-cpu-py312-" in inference


def test_default_version_has_the_python_and_the_cuda_that_are_named():
    assert "/pytorch-training:1.12.1-cpu-py38-" in image_uris.retrieve("pytorch", "us-east-1", py_version="py38")
    uri = image_uris.retrieve("pytorch", "us-east-1", cuda_version="cu121", image_scope="inference")
    assert "/pytorch-inference:2.3.0-gpu-py311-cu121-" in uri


def test_region_that_does_not_exist_is_told_with_the_nearest():
    with pytest.raises(ImageNotInCatalogError) as caught:
        image_uris.retrieve("pytorch", "eu-wset-1", "2.3")
    assert "AWS does not publish pytorch-training in eu-wset-1\n  -> it is in eu-west-1" in str(caught.value)
    with pytest.raises(ImageNotInCatalogError, match="there is no AWS region 'narnia-1'"):
        image_uris.retrieve("pytorch", "narnia-1", "2.3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_scope": "serving"}, "image_scope='serving' is not a scope"),
        ({"processor": "tpu"}, "processor='tpu' cannot be read"),
        ({"architecture": "x86"}, "architecture='x86' cannot be read"),
        ({"instance_type": "g5.xlarge"}, "'g5.xlarge' is not an instance type"),
        ({"base_framework_version": "2 x"}, "base_framework_version '2 x' cannot be read"),
        ({"cuda_version": "twelve"}, "cuda_version 'twelve' cannot be read"),
    ],
)
def test_arguments_that_cannot_be_read(arguments, message):
    with pytest.raises(UsageError, match=message):
        image_uris.retrieve("pytorch", "us-east-1", "2.3", **arguments)


@pytest.mark.parametrize("version", ["1.9.0", "1.13.1", "2.0.1", "2.3.0", "2.6.0"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-2", "cn-north-1", "us-gov-west-1"])
@pytest.mark.parametrize("image_scope", ["training", "inference"])
@pytest.mark.parametrize("instance_type", ["ml.m5.xlarge", "ml.p3.2xlarge"])
def test_registry_and_repository_are_those_of_the_sdk(version, region, image_scope, instance_type):
    ours = image_uris.retrieve("pytorch", region, version, None, instance_type, image_scope=image_scope)
    py_version = next(part for part in ours.split("-") if part.startswith("py3"))
    stock = stock_image_uris.retrieve("pytorch", region, version, py_version, instance_type, None, image_scope)
    name, _, tag = stock.rpartition(":")
    assert ours.startswith(f"{name}:{tag}-")


def test_arguments_stand_where_the_sdk_has_them():
    positional = ("pytorch", "eu-west-1", "2.3", "py311", "ml.g5.xlarge", None, "inference")
    name, _, tag = stock_image_uris.retrieve(*positional).rpartition(":")
    assert image_uris.retrieve(*positional).startswith(f"{name}:2.3.0-gpu-py311-")
    assert tag == "2.3-gpu-py311"


def test_the_sdk_never_takes_an_extended_image_for_a_stock_one():
    uri = image_uris.retrieve("pytorch", "us-east-1", "2.3", extras=["faiss"], account="123456789012")
    assert framework_name_from_image(uri) == (None, None, None, None)
