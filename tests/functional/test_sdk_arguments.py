"""What the classes say of arguments that cannot be, and which arguments they show."""

from __future__ import annotations

import inspect

import pytest

from sagemaker_custom import (
    CustomHuggingFace,
    CustomMXNet,
    CustomPyTorch,
    CustomRLEstimator,
    CustomSKLearn,
    CustomTensorFlow,
    CustomXGBoost,
)
from sagemaker_custom.errors import UsageError

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"


@pytest.fixture(autouse=True)
def region(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


class TestWrongUse:
    """Each is told by what was given and what to do."""

    @pytest.mark.parametrize(
        ("cls", "arguments", "said"),
        [
            (CustomHuggingFace, {"transformers_version": "4.46", "instance_type": "ml.m5.xlarge"}, "gpu"),
            (
                CustomHuggingFace,
                {"transformers_version": "4.28", "pytorch_version": "2.0", "tensorflow_version": "2.6"},
                "both given",
            ),
            (CustomTensorFlow, {"framework_version": "9.9"}, "9.9"),
            (CustomSKLearn, {"framework_version": "1.2-1", "py_version": "py311"}, "only supports Python 3"),
            (CustomMXNet, {"extras": ["no-such-recipe"]}, "no recipe 'no-such-recipe'"),
            (CustomXGBoost, {"framework_version": "1.7-1", "extra": ["shap"]}, "did you mean 'extras'"),
            (CustomRLEstimator, {"toolkit_version": "0.11.1"}, "toolkit"),
        ],
    )
    def test_is_told(self, cls, arguments, said):
        call = {"entry_point": "train.py", "role": ROLE, "instance_type": "ml.m5.xlarge", "instance_count": 1}
        with pytest.raises((ValueError, TypeError, AttributeError), match=said):
            cls(**call | arguments)

    def test_legacy_tensorflow_has_no_script_mode(self):
        with pytest.raises(UsageError, match="has no script mode"):
            CustomTensorFlow(
                entry_point="train.py",
                framework_version="1.10",
                py_version="py2",
                role=ROLE,
                instance_type="local",
                instance_count=1,
            )


class TestSignatures:
    def test_the_sdks_arguments_and_ours_are_shown(self):
        shown = list(inspect.signature(CustomTensorFlow).parameters)
        assert shown[:2] == ["py_version", "framework_version"]
        assert {"model_dir", "extras", "serving_version", "settings", "kwargs"} <= set(shown)

    def test_positions_are_the_sdks(self, tmp_path):
        estimator = CustomPyTorch("train.py", "2.3", "py311", str(tmp_path), instance_type="local", instance_count=1)
        assert (estimator.framework_version, estimator.py_version) == ("2.3", "py311")
        assert estimator.source_dir == str(tmp_path)

    def test_a_users_own_class_shows_its_own(self):
        class Team(CustomPyTorch):
            def __init__(self, script, **kwargs):
                super().__init__(script, framework_version="2.3", extras=["pip:zarr"], **kwargs)

        assert list(inspect.signature(Team).parameters) == ["script", "kwargs"]
        assert "-zarr-" in Team("train.py", instance_type="local", instance_count=1).training_image_uri()
