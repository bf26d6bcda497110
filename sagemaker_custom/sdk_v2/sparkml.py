"""The SDK's model of SparkML, with images that are extended on demand."""

from __future__ import annotations

from typing import Any

from sagemaker.sparkml import SparkMLModel, SparkMLPredictor

from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk_v2.model import ExtendedModel, ServesByUri


class CustomSparkMLPredictor(SparkMLPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``SparkMLPredictor``, for endpoints of :class:`CustomSparkMLModel`."""


class _SparkMLModel(ServesByUri, SparkMLModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's class, without the look-up of AWS's image in its constructor."""

    def __init__(
        self, model_data: Any, role: str | None = None, spark_version: str = "3.3", image_uri: Any = None, **kwargs: Any
    ) -> None:
        del spark_version
        super(SparkMLModel, self).__init__(image_uri, model_data, role, **kwargs)


class CustomSparkMLModel(ExtendedModel, _SparkMLModel):
    """The SDK's ``SparkMLModel`` with a few packages more in its image."""

    _dialect = Dialect(framework="sparkml-serving", version="spark_version", python=None)
    _predictor_class = CustomSparkMLPredictor
