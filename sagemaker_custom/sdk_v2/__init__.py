"""The SageMaker Python SDK v2's own classes ↔ ImageSpec and SourceBundle; imports ``sagemaker``, nobody else does."""

# ruff: noqa: F401  # sagemaker_custom.__all__ is the one list of names, and takes them from here

from __future__ import annotations

from typing import Any, NoReturn

from sagemaker.processing import ProcessingInput, ProcessingOutput

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v2.chainer import CustomChainer, CustomChainerModel, CustomChainerPredictor
from sagemaker_custom.sdk_v2.huggingface import CustomHuggingFace, CustomHuggingFaceModel, CustomHuggingFacePredictor
from sagemaker_custom.sdk_v2.local import CustomLocalSession
from sagemaker_custom.sdk_v2.mxnet import CustomMXNet, CustomMXNetModel, CustomMXNetPredictor
from sagemaker_custom.sdk_v2.own import CustomFramework, CustomFrameworkModel, CustomModel, CustomPredictor
from sagemaker_custom.sdk_v2.processor import (
    CustomFrameworkProcessor,
    CustomHuggingFaceProcessor,
    CustomMXNetProcessor,
    CustomPyTorchProcessor,
    CustomTensorFlowProcessor,
    CustomXGBoostProcessor,
)
from sagemaker_custom.sdk_v2.pytorch import CustomPyTorch, CustomPyTorchModel, CustomPyTorchPredictor
from sagemaker_custom.sdk_v2.repairs import repair_sdk
from sagemaker_custom.sdk_v2.rl import CustomRLEstimator
from sagemaker_custom.sdk_v2.sklearn import CustomSKLearn, CustomSKLearnModel, CustomSKLearnPredictor
from sagemaker_custom.sdk_v2.sparkml import CustomSparkMLModel, CustomSparkMLPredictor
from sagemaker_custom.sdk_v2.tensorflow import CustomTensorFlow, CustomTensorFlowModel, CustomTensorFlowPredictor
from sagemaker_custom.sdk_v2.xgboost import CustomXGBoost, CustomXGBoostModel, CustomXGBoostPredictor

# Every class of ours, for the SDK warns of each subclass of its own by name.
repair_sdk([name for name in globals() if name.startswith("Custom")])


def source_code(*args: Any, **arguments: Any) -> NoReturn:
    """Say that it is for the SDK v3's classes.

    Raises:
        UsageError: Always.
    """
    del args, arguments
    raise UsageError(
        "source_code() makes an argument of the SDK v3's classes",
        hint="give entry_point= and source_dir= to an estimator, which packs them, or install the SDK v3",
    )
