"""The SDK v2's classes over the SDK v3 ↔ ImageSpec and SourceBundle; imports ``sagemaker`` 3, nobody else does."""

# ruff: noqa: F401  # sagemaker_custom.__all__ is the one list of names, and takes them from here

from __future__ import annotations

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
from sagemaker_custom.sdk_v3.processing_files import ProcessingInput, ProcessingOutput
from sagemaker_custom.sdk_v3.processor import (
    CustomFrameworkProcessor,
    CustomHuggingFaceProcessor,
    CustomMXNetProcessor,
    CustomPyTorchProcessor,
    CustomTensorFlowProcessor,
    CustomXGBoostProcessor,
)
from sagemaker_custom.sdk_v3.repairs import repair_sdk
from sagemaker_custom.sdk_v3.rl import CustomRLEstimator
from sagemaker_custom.sdk_v3.source import source_code

repair_sdk()
