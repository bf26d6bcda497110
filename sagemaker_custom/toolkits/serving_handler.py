"""Requests of the model server → what the user's model_fn, input_fn, predict_fn and output_fn make of them.

What the script leaves out has a default: JSON, NPY and CSV are read and written by SageMaker's inference toolkit, and
a model with a ``predict`` method, or one that can be called, predicts by itself.
"""

from __future__ import annotations

import sys
from typing import Any

from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer


class InferenceHandler(DefaultInferenceHandler):  # type: ignore[misc]  # the toolkit has no types
    """What is done for functions that the script does not have."""

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        """Let the model predict by itself.

        Args:
            data: What input_fn returned.
            model: What model_fn returned.
            context: Of the request.
        """
        predict = getattr(model, "predict", None) or (model if callable(model) else None)
        if predict is None:
            return super().default_predict_fn(data, model, context)
        return predict(data)


class _Service:
    """One worker's service; made when the model server loads the model."""

    def __init__(self) -> None:
        self._service: Any = None

    def handle(self, data: Any, context: Any) -> Any:
        """Load the model at the first call, and answer each that has data."""
        if self._service is None:
            # With several models, each has a script of its own in its folder.
            sys.path.insert(0, context.system_properties.get("model_dir") + "/code")
            service = DefaultHandlerService(Transformer(default_inference_handler=InferenceHandler()))
            service.initialize(context)
            self._service = service
        # The model server's first call has no data: it asks for the model to be loaded.
        return None if data is None else self._service.handle(data, context)


handle = _Service().handle
