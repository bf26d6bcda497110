"""The SDK's scikit-learn classes, with images that are extended on demand."""

from __future__ import annotations

from sagemaker.sklearn import SKLearn, SKLearnModel, SKLearnPredictor

from sagemaker_custom.sdk.dialect import Python3Dialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = Python3Dialect(framework="sklearn", repository="sagemaker-scikit-learn")


class CustomSKLearnPredictor(SKLearnPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``SKLearnPredictor``, for endpoints of :class:`CustomSKLearn`."""


class CustomSKLearnModel(ExtendedModel, SKLearnModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``SKLearnModel`` with a few packages more in its image."""

    _dialect = _DIALECT
    _predictor_class = CustomSKLearnPredictor


class CustomSKLearn(ExtendedEstimator, SKLearn):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``SKLearn`` estimator with a few packages more in its images."""

    _dialect = _DIALECT
    _model_class = CustomSKLearnModel
