"""A request in CSV or LIBSVM → what XGBoost predicts, where the user's script does not say otherwise."""

import io

import numpy
import xgboost
from sagemaker_inference import errors
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer
from sklearn.datasets import load_svmlight_file


class HandlerService(DefaultHandlerService):
    """What the model server calls; it wants a module to have no other class."""

    class _Defaults(DefaultInferenceHandler):
        def default_input_fn(self, input_data, content_type, context=None):
            return xgboost.DMatrix(_matrix(input_data, content_type.split(";")[0].strip()))

        def default_predict_fn(self, data, model, context=None):
            return model.predict(data, validate_features=False)

    def __init__(self):
        super().__init__(transformer=Transformer(default_inference_handler=self._Defaults()))


def _matrix(body, content_type):
    content = body.encode() if isinstance(body, str) else bytes(body)
    if content_type == "text/csv":
        return numpy.genfromtxt(io.BytesIO(content), delimiter=",", ndmin=2)
    if content_type in ("text/libsvm", "text/x-libsvm"):
        # As XGBoost reads such files: what the file numbers 1 is the second feature.
        return load_svmlight_file(io.BytesIO(content), zero_based=True)[0]
    raise errors.UnsupportedFormatError(content_type)
