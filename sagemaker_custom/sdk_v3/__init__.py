"""The SDK v2's classes over the SDK v3 ↔ ImageSpec and SourceBundle; imports ``sagemaker`` 3, nobody else does."""

# ruff: noqa: F401  # sagemaker_custom.__all__ is the one list of names, and takes them from here

from __future__ import annotations

from typing import Any

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v3.frameworks import (
    CustomChainer,
    CustomChainerModel,
    CustomHuggingFace,
    CustomHuggingFaceModel,
    CustomMXNet,
    CustomMXNetModel,
    CustomPyTorch,
    CustomPyTorchModel,
    CustomSKLearn,
    CustomSKLearnModel,
    CustomSparkMLModel,
    CustomTensorFlow,
    CustomTensorFlowModel,
    CustomXGBoost,
    CustomXGBoostModel,
)
from sagemaker_custom.sdk_v3.local import CustomLocalSession
from sagemaker_custom.sdk_v3.own import CustomFramework, CustomFrameworkModel, CustomModel
from sagemaker_custom.sdk_v3.predictor import (
    CustomChainerPredictor,
    CustomHuggingFacePredictor,
    CustomMXNetPredictor,
    CustomPredictor,
    CustomPyTorchPredictor,
    CustomSKLearnPredictor,
    CustomSparkMLPredictor,
    CustomTensorFlowPredictor,
    CustomXGBoostPredictor,
)
from sagemaker_custom.sdk_v3.repairs import repair_sdk
from sagemaker_custom.sdk_v3.source import source_code

repair_sdk()

_PROCESSOR = "sagemaker.core.processing.FrameworkProcessor(image_uri=training_image(…))"
_INSTEAD = {
    "CustomRLEstimator": "sagemaker.train.ModelTrainer(training_image=training_image('ray-pytorch', …))",
    **{
        f"Custom{framework}Processor": _PROCESSOR
        for framework in ("Framework", "HuggingFace", "MXNet", "PyTorch", "TensorFlow", "XGBoost")
    },
}


def __getattr__(name: str) -> Any:
    if name in _INSTEAD:
        raise UsageError(f"{name} is not there with the SDK v3", hint=f"use {_INSTEAD[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
