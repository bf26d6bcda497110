"""The SDK's MXNet classes, with images that are extended on demand."""

from __future__ import annotations

from typing import Any

from sagemaker.mxnet import MXNet, MXNetModel, MXNetPredictor

from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = Dialect(framework="mxnet", repository="mxnet-training")


class CustomMXNetPredictor(MXNetPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``MXNetPredictor``, for endpoints of :class:`CustomMXNet`."""


class CustomMXNetModel(ExtendedModel, MXNetModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``MXNetModel`` with a few packages more in its image."""

    _dialect = _DIALECT
    _predictor_class = CustomMXNetPredictor

    def _is_mms_version(self) -> bool:
        # Every image with an unknown version here is one of the user's, and none is that old.
        return self.framework_version is None or bool(super()._is_mms_version())


class CustomMXNet(ExtendedEstimator, MXNet):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``MXNet`` estimator with a few packages more in its images."""

    _dialect = _DIALECT
    _model_class = CustomMXNetModel

    def create_model(self, *args: Any, **kwargs: Any) -> Any:
        """Make the model that ``deploy()`` serves; see :meth:`ExtendedEstimator.create_model`."""
        if self.framework_version is None and kwargs.get("entry_point") is None:
            # The SDK would compare the missing version to choose one of these.
            kwargs["entry_point"] = self.entry_point
        return super().create_model(*args, **kwargs)
