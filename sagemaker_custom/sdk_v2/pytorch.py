"""The SDK's PyTorch classes, with images that are extended on demand."""

from __future__ import annotations

from sagemaker.pytorch import PyTorch, PyTorchModel, PyTorchPredictor

from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = Dialect(framework="pytorch", repository="pytorch-training")


class CustomPyTorchPredictor(PyTorchPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorchPredictor``, for endpoints of :class:`CustomPyTorch`."""


class CustomPyTorchModel(ExtendedModel, PyTorchModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorchModel`` with a few packages more in its image."""

    _dialect = _DIALECT
    _predictor_class = CustomPyTorchPredictor

    def _is_mms_version(self) -> bool:
        # Every image with an unknown version here is one of the user's, and none is that old.
        return self.framework_version is None or bool(super()._is_mms_version())


class CustomPyTorch(ExtendedEstimator, PyTorch):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorch`` estimator with a few packages more in its images."""

    _dialect = _DIALECT
    _model_class = CustomPyTorchModel
