"""The SDK's estimator for reinforcement learning, with images that are extended on demand."""

from __future__ import annotations

from typing import Any

from sagemaker.rl import RLEstimator, RLFramework, RLToolkit

from sagemaker_custom.catalog import BaseImage
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import RLDialect
from sagemaker_custom.sdk.images import Images
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.mxnet import CustomMXNetModel
from sagemaker_custom.sdk_v2.tensorflow import CustomTensorFlowModel

_SERVED_BY = {"tensorflow": CustomTensorFlowModel, "mxnet": CustomMXNetModel}


class _NamedByText(RLDialect):
    """Toolkit and framework may also be given as text, as on the SDK v3, which has no ``Enum`` of them."""

    def filled(self, call: Call, base: BaseImage) -> dict[str, Any]:
        """Return the two as the SDK v2 wants them."""
        del base
        kinds = {"toolkit": RLToolkit, "framework": RLFramework}
        return {name: kind(call.get(name)) for name, kind in kinds.items() if isinstance(call.get(name), str)}


class CustomRLEstimator(ExtendedEstimator, RLEstimator):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``RLEstimator`` with a few packages more in its images.

    What Coach trains is served by an image of TensorFlow or MXNet; what Ray trains the SDK does not deploy.
    """

    _dialect = _NamedByText(framework="rl")
    # The SDK's constructor checks nothing that is newer here, and forgets the toolkit when it sees an image.
    _placeholder = None
    _images: Images

    def _extended_model(self, model: Any) -> Any:
        if self.image_uri is not None:
            return model
        images = self._images.of_framework(self.framework, model.framework_version)
        return _SERVED_BY[self.framework].taken_over(model, images)
