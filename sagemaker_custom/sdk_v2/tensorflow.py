"""The SDK's TensorFlow classes, with images that are extended on demand."""

from __future__ import annotations

from typing import Any

from sagemaker.tensorflow import TensorFlow, TensorFlowModel, TensorFlowPredictor

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = Dialect(framework="tensorflow", repository="tensorflow-training", serves_any_python=True)


class CustomTensorFlowPredictor(TensorFlowPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``TensorFlowPredictor``, for endpoints of :class:`CustomTensorFlow`."""


class CustomTensorFlowModel(ExtendedModel, TensorFlowModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``TensorFlowModel`` with a few packages more in its image."""

    _dialect = Dialect(framework="tensorflow", python=None)
    _predictor_class = CustomTensorFlowPredictor

    def _get_image_uri(
        self,
        instance_type: Any,
        accelerator_type: str | None = None,
        region_name: str | None = None,
        serverless_inference_config: Any = None,
    ) -> Any:
        # The SDK's own methods ask this one, and not serving_image_uri().
        del accelerator_type, serverless_inference_config
        if self.image_uri:
            return self.image_uri
        return self._images.uri("inference", instance_type, self.sagemaker_session, region_name)


class CustomTensorFlow(ExtendedEstimator, TensorFlow):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``TensorFlow`` estimator with a few packages more in its images."""

    _dialect = _DIALECT
    _model_class = CustomTensorFlowModel

    def _validate_args(self, py_version: str | None) -> None:
        super()._validate_args(py_version)
        # Where no image is given the SDK would say so, but it cannot see that here.
        if self.image_uri == self._placeholder and self._only_legacy_mode_supported():
            raise UsageError(
                f"TensorFlow {self.framework_version} has no script mode",
                hint="take a later version, or give AWS's image as image_uri= with model_dir=False",
            )
