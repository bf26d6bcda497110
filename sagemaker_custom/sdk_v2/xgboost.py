"""The SDK's XGBoost classes, with images that are extended on demand."""

from __future__ import annotations

from sagemaker.xgboost import XGBoost, XGBoostModel, XGBoostPredictor

from sagemaker_custom.sdk.dialect import Python3Dialect
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v2.model import ExtendedModel

_DIALECT = Python3Dialect(framework="xgboost", repository="sagemaker-xgboost", always_versioned=True)


class CustomXGBoostPredictor(XGBoostPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``XGBoostPredictor``, for endpoints of :class:`CustomXGBoost`."""


class CustomXGBoostModel(ExtendedModel, XGBoostModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``XGBoostModel`` with a few packages more in its image."""

    _dialect = _DIALECT
    _predictor_class = CustomXGBoostPredictor


class CustomXGBoost(ExtendedEstimator, XGBoost):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``XGBoost`` estimator with a few packages more in its images."""

    _dialect = _DIALECT
    _model_class = CustomXGBoostModel
