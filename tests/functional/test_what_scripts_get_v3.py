"""What a job on the SDK v3 is told, and what its starting script makes of it; for the SDK v3 alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

import sagemaker.train
from sagemaker.core.shapes import Channel

from sagemaker_custom import CustomPyTorch, CustomTensorFlow
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v3.channels import channels_of, model_channel
from sagemaker_custom.sdk_v3.script import encoded_parameters
from sagemaker_custom.sdk_v3.source import code_place

DRIVERS = Path(sagemaker.train.__path__[0]) / "container_drivers"
# What the SDK's scripts do in the container, one after the other.
READ = """
import json, sys
sys.path.insert(0, sys.argv[1])
from common.utils import hyperparameters_to_cli_args, safe_deserialize, safe_serialize
given = {name: safe_deserialize(value) for name, value in json.loads(sys.argv[2]).items()}
print(json.dumps([json.loads(safe_serialize(given)), hyperparameters_to_cli_args(given)]))
"""
GIVEN = {
    "epochs": 3,
    "rate": 0.1,
    "name": "big model",
    "digits": "1",
    "yes": True,
    "yes-text": "true",
    "none": None,
    "layers": [1, "two"],
    "more": {"depth": 2},
    "empty": "",
}
pytestmark = pytest.mark.usefixtures("roles_are_not_asked_about")


@pytest.fixture
def make(cloud, code):
    def estimator(cls=CustomPyTorch, **arguments):
        usual = {
            "entry_point": "train.py",
            "source_dir": str(code),
            "role": "arn:aws:iam::123456789012:role/SageMakerRole",
            "instance_type": "ml.m5.xlarge",
            "instance_count": 1,
            "sagemaker_session": cloud.session,
            "settings": cloud.settings,
        }
        return cls(**usual | arguments)

    return estimator


@pytest.fixture(scope="module")
def read():
    """What the SDK's scripts make of hyperparameters of the request: ``SM_HPS``, and the command line."""
    encoded = encoded_parameters(GIVEN, for_script=True)
    sent = {name: value if isinstance(value, str) else json.dumps(value) for name, value in encoded.items()}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(DRIVERS), json.dumps(sent)], capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)


def test_script_finds_the_same_values_in_the_environment(read):
    assert read[0] == GIVEN


def test_script_gets_text_as_it_is_and_all_else_as_json(read):
    named = dict(zip(read[1][::2], read[1][1::2], strict=True))
    assert named == {
        "--epochs": "3",
        "--rate": "0.1",
        "--name": "big model",
        "--digits": "1",
        "--yes": "true",
        "--yes-text": "true",
        "--none": "null",
        "--layers": '[1, "two"]',
        "--more": '{"depth": 2}',
        "--empty": "",
    }


def test_program_of_an_image_gets_plain_text():
    assert encoded_parameters({"a": True, "b": None, "c": "it's"}, for_script=False) == {
        "a": "True",
        "b": "None",
        "c": "it's",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [({"name": "it's"}, "apostrophe"), ({"names": {"a": ["it's"]}}, "apostrophe"), ({"model.depth": 3}, "variable")],
    ids=["text", "text within", "name"],
)
def test_what_the_starting_script_would_fail_on_is_told(cloud, make, given, said):
    with pytest.raises(UsageError, match=said):
        make(hyperparameters=given).fit(wait=False)
    assert cloud.training_jobs() == []


def test_channel_that_the_starting_script_would_fail_on_is_told(cloud, make):
    with pytest.raises(UsageError, match="'train-a'") as caught:
        make().fit({"train-a": "s3://data/train"}, wait=False)
    assert "letters of English" in caught.value.hint
    assert cloud.training_jobs() == []


def test_hyperparameters_of_the_trainer_stay_as_they_were_given(make):
    trainer = make(hyperparameters={"name": "a"}).model_trainer()
    trainer.train(wait=False)
    assert trainer.hyperparameters == {"name": "a"}
    assert trainer.input_s3_key_prefix is None


def test_two_jobs_of_a_moment_share_neither_name_nor_script(cloud, make):
    estimator = make()
    uris, names = set(), set()
    for _ in range(3):
        estimator.fit(wait=False)
        job = cloud.request("CreateTrainingJob")
        names.add(job["TrainingJobName"])
        [uri] = [
            channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in job["InputDataConfig"]
            if channel["ChannelName"] == "sm_drivers"
        ]
        uris.add(uri)
    assert (len(names), len(uris)) == (3, 3)


def test_metrics_cannot_be_turned_off(make):
    with pytest.raises(UsageError, match="enable_sagemaker_metrics=False"):
        make(enable_sagemaker_metrics=False).fit(wait=False)


def test_place_of_the_model_is_for_tensorflow_alone(make):
    with pytest.raises(UsageError, match="model_dir="):
        make(model_dir="s3://data/models")
    assert make(CustomTensorFlow, model_dir="s3://data/models").hyperparameters() == {"model_dir": "s3://data/models"}


def test_mode_of_the_job_is_that_of_its_channels():
    [channel] = channels_of("s3://data/all")
    assert isinstance(channel, Channel)
    assert not isinstance(channel.input_mode, str)


def test_model_to_start_from_on_this_machine(tmp_path):
    assert model_channel("model", str(tmp_path)).data_source == str(tmp_path)


class TestPlaceOfTheCode:
    @pytest.mark.parametrize(
        ("code_location", "output_path", "place"),
        [
            (None, None, (None, "key")),
            (None, "s3://out/x", ("s3://out/sagemaker-custom/source", "key")),
            ("s3://code/x", None, ("s3://code/x", None)),
            ("s3://code/x", "s3://out/x", ("s3://code/x", None)),
            ("s3://out/code", "s3://out/x", ("s3://out/code", "key")),
        ],
        ids=["default", "beside the output", "elsewhere", "elsewhere than the output", "in the output's bucket"],
    )
    def test_key_of_the_output_is_for_its_bucket(self, cloud, code_location, output_path, place):
        asked = {"code_location": code_location, "output_path": output_path, "kms_key": "key"}
        assert code_place(**asked, session=cloud.session) == place
