"""The SDK's Hugging Face classes, with images that are extended on demand."""

from __future__ import annotations

from sagemaker.huggingface import HuggingFace, HuggingFaceModel, HuggingFacePredictor

from sagemaker_custom.sdk.dialect import HuggingFaceDialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = HuggingFaceDialect(framework="huggingface")


class CustomHuggingFacePredictor(HuggingFacePredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``HuggingFacePredictor``, for endpoints of :class:`CustomHuggingFace`."""


class CustomHuggingFaceModel(ExtendedModel, HuggingFaceModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``HuggingFaceModel`` with a few packages more in its image."""

    _dialect = _DIALECT
    _predictor_class = CustomHuggingFacePredictor


class CustomHuggingFace(ExtendedEstimator, HuggingFace):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``HuggingFace`` estimator with a few packages more in its images.

    AWS makes the training images for GPUs only; in local mode they run on a CPU too.
    """

    _dialect = _DIALECT
    _model_class = CustomHuggingFaceModel
