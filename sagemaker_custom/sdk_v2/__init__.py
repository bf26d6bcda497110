"""The SageMaker Python SDK v2's own classes ↔ ImageSpec and SourceBundle; imports ``sagemaker``, nobody else does."""

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

__all__ = [
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
]

repair_sdk(__all__)
