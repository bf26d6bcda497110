"""What the SDK v3's start script cannot carry is told before there is a job."""

from __future__ import annotations

import pytest

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

from sagemaker.core.training.configs import InputData

from sagemaker_custom import CustomFramework
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v3.script import check_script_values


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("greeting", "it's", "apostrophe"),
        ("deep", {"list": ["it's"]}, "apostrophe"),
        ("lr.decay", 0.1, "shell variable of its name"),
        ("größe", 1, "shell variable of its name"),
    ],
    ids=["apostrophe", "apostrophe-within", "dot", "umlaut"],
)
def test_hyperparameter_that_would_end_the_job_is_refused(name, value, told):
    with pytest.raises(UsageError, match=f"'{name}'.*{told}"):
        check_script_values({"epochs": 1, name: value}, [])


def test_channel_that_would_end_the_job_is_refused():
    with pytest.raises(UsageError, match="'my-data'"):
        check_script_values({}, [InputData(channel_name="my-data", data_source="s3://bucket/data")])


def test_others_are_left_alone():
    values = {"batch-size": 16, "words": 'a "b" $c `d` ü', "none": None, "flag": True}
    check_script_values(values, [InputData(channel_name="my_data", data_source="s3://bucket/data")])


@pytest.mark.parametrize("name", ["use_spot_instances", "checkpoint_s3_uri", "checkpoint_local_path"])
def test_what_local_mode_has_not_is_told_before_anything_is_asked(name, tmp_path):
    (tmp_path / "train.py").write_text("")
    given = {"use_spot_instances": True}.get(name, "s3://bucket/checkpoints")
    estimator = CustomFramework(
        "train.py", str(tmp_path), image_uri="there-is-none", instance_type="local", **{name: given}
    )
    with pytest.raises(UsageError, match=f"{name}=.* is not for local mode"):
        estimator.fit()
