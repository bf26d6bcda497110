"""The SageMaker Python SDK v2's own classes ↔ ImageSpec and SourceBundle; imports ``sagemaker``, nobody else does."""

from sagemaker_custom.sdk_v2.local import CustomLocalSession
from sagemaker_custom.sdk_v2.pytorch import CustomPyTorch, CustomPyTorchModel, CustomPyTorchPredictor
from sagemaker_custom.sdk_v2.repairs import repair_sdk

__all__ = ["CustomLocalSession", "CustomPyTorch", "CustomPyTorchModel", "CustomPyTorchPredictor"]

repair_sdk(__all__)
