"""The handler that is put into images which serve, on a stand-in for the toolkit that is only in those images."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest

TOOLKIT = {
    "__init__": "",
    "default_inference_handler": """
class DefaultInferenceHandler:
    def default_predict_fn(self, data, model, context=None):
        raise NotImplementedError("Please provide a predict_fn implementation")
""",
    "transformer": """
class Transformer:
    def __init__(self, default_inference_handler):
        self.handler = default_inference_handler
""",
    "default_handler_service": """
class DefaultHandlerService:
    def __init__(self, transformer):
        self.transformer, self.loaded = transformer, 0
    def initialize(self, context):
        self.loaded += 1
        self.model = context.model
    def handle(self, data, context):
        return [self.loaded, self.transformer.handler.default_predict_fn(data, self.model)]
""",
}


@pytest.fixture
def handler(tmp_path, monkeypatch):
    package = tmp_path / "sagemaker_inference"
    package.mkdir()
    for name, text in TOOLKIT.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = list(sys.path)
    yield importlib.import_module("sagemaker_custom.toolkits.serving_handler")
    for name in [name for name in sys.modules if name.startswith("sagemaker_inference")]:
        del sys.modules[name]
    del sys.modules["sagemaker_custom.toolkits.serving_handler"]
    sys.path[:] = path


def context(model):
    return SimpleNamespace(system_properties={"model_dir": "/opt/ml/models/one"}, model=model)


class Doubling:
    def predict(self, data):
        return data * 2


def test_model_is_loaded_once_and_before_the_first_request(handler):
    assert handler.handle(None, context(Doubling())) is None

    assert handler.handle(3, context(None)) == [1, 6]
    assert handler.handle(4, context(None)) == [1, 8]


def test_script_beside_the_model_is_found(handler):
    handler.handle(None, context(Doubling()))

    assert "/opt/ml/models/one/code" in sys.path


def test_model_that_can_be_called_predicts(handler):
    handler.handle(None, context(lambda data: data + 1))

    assert handler.handle(3, context(None)) == [1, 4]


def test_model_that_cannot_predict_asks_for_a_function(handler):
    handler.handle(None, context(object()))

    with pytest.raises(NotImplementedError, match="provide a predict_fn"):
        handler.handle(3, context(None))
