"""The SDK's Chainer classes, with images that are extended on demand."""

from __future__ import annotations

from sagemaker.chainer import Chainer, ChainerModel, ChainerPredictor

from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = Dialect(framework="chainer", repository="sagemaker-chainer")


class CustomChainerPredictor(ChainerPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``ChainerPredictor``, for endpoints of :class:`CustomChainer`."""


class CustomChainerModel(ExtendedModel, ChainerModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``ChainerModel`` with a few packages more in its image."""

    _dialect = _DIALECT
    _predictor_class = CustomChainerPredictor


class CustomChainer(ExtendedEstimator, Chainer):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``Chainer`` estimator with a few packages more in its images."""

    _dialect = _DIALECT
    _model_class = CustomChainerModel
