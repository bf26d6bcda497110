"""Extend the Amazon SageMaker deep learning images in one line, and use them by the SDK's own classes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sagemaker_custom._version import __version__
from sagemaker_custom.errors import SageMakerCustomError

__all__ = [
    "BuildPlan",
    "CustomChainer",
    "CustomChainerModel",
    "CustomChainerPredictor",
    "CustomFramework",
    "CustomFrameworkModel",
    "CustomFrameworkProcessor",
    "CustomHuggingFace",
    "CustomHuggingFaceModel",
    "CustomHuggingFacePredictor",
    "CustomHuggingFaceProcessor",
    "CustomLocalSession",
    "CustomMXNet",
    "CustomMXNetModel",
    "CustomMXNetPredictor",
    "CustomMXNetProcessor",
    "CustomModel",
    "CustomPredictor",
    "CustomPyTorch",
    "CustomPyTorchModel",
    "CustomPyTorchPredictor",
    "CustomPyTorchProcessor",
    "CustomRLEstimator",
    "CustomSKLearn",
    "CustomSKLearnModel",
    "CustomSKLearnPredictor",
    "CustomSparkMLModel",
    "CustomSparkMLPredictor",
    "CustomTensorFlow",
    "CustomTensorFlowModel",
    "CustomTensorFlowPredictor",
    "CustomTensorFlowProcessor",
    "CustomXGBoost",
    "CustomXGBoostModel",
    "CustomXGBoostPredictor",
    "CustomXGBoostProcessor",
    "ProcessingInput",
    "ProcessingOutput",
    "SageMakerCustomError",
    "Settings",
    "__version__",
    "image_uris",
    "inference_image",
    "remote_image",
    "source_code",
    "training_image",
]

# Loaded when first used: the SDK takes seconds to import, and the command line does without it.
_LAZY = {
    "BuildPlan": "sagemaker_custom.plan",
    "Settings": "sagemaker_custom.settings",
    "inference_image": "sagemaker_custom.sdk.functions",
    "remote_image": "sagemaker_custom.sdk.functions",
    "training_image": "sagemaker_custom.sdk.functions",
}


def __getattr__(name: str) -> Any:
    if name == "image_uris":
        return import_module("sagemaker_custom.image_uris")
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in __all__:
        from sagemaker_custom.installed_sdk import adapter

        return getattr(import_module(adapter()), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
