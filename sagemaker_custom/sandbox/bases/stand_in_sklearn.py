"""A request → what scikit-learn predicts, where the user's script does not say otherwise; model_fn is always theirs."""

from sagemaker_inference import content_types
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer


class HandlerService(DefaultHandlerService):
    """What the model server calls; it wants a module to have no other class."""

    class _Defaults(DefaultInferenceHandler):
        def default_input_fn(self, input_data, content_type, context=None):
            array = super().default_input_fn(input_data, content_type, context)
            return array.astype("float32") if content_type in content_types.UTF8_TYPES else array

        def default_predict_fn(self, data, model, context=None):
            return model.predict(data)

    def __init__(self):
        super().__init__(transformer=Transformer(default_inference_handler=self._Defaults()))
