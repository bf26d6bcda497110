"""The classes of each framework, with images that are extended on demand, over the SDK v3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from packaging.version import Version

from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import Dialect, HuggingFaceDialect, Python3Dialect
from sagemaker_custom.sdk_v3 import predictor as predictors
from sagemaker_custom.sdk_v3.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v3.jobs import NamedTrainer
from sagemaker_custom.sdk_v3.model import ExtendedModel
from sagemaker_custom.settings import Settings

_COMMON = ("framework_version", "py_version")
_HUGGING_FACE = ("transformers_version", "tensorflow_version", "pytorch_version", "py_version")
_BY_PLACE = ("entry_point", *_COMMON, "source_dir", "hyperparameters", "image_uri")
_MODEL_BY_PLACE = ("model_data", "role", "entry_point", *_COMMON, "image_uri", "predictor_cls", "model_server_workers")

_PYTORCH = Dialect(framework="pytorch")
_TENSORFLOW = Dialect(framework="tensorflow", serves_any_python=True)
_SKLEARN = Python3Dialect(framework="sklearn")
_XGBOOST = Python3Dialect(framework="xgboost")
_HUGGINGFACE = HuggingFaceDialect(framework="huggingface")
_MXNET = Dialect(framework="mxnet")
_CHAINER = Dialect(framework="chainer")


_TENSORFLOW_LOG_LEVEL = "SAGEMAKER_TFS_NGINX_LOGLEVEL"
_TENSORFLOW_LOG_LEVELS: Mapping[int, str] = {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "crit"}


class _Measured(ExtendedEstimator):
    """Keeps metrics as a time series, which AWS does by itself for its own images alone."""

    _measured_since: ClassVar[str]
    """The first version for which the SDK v2 asks for it."""

    def model_trainer(self) -> NamedTrainer:
        trainer = super().model_trainer()
        version = self._dialect.asked(Call(given=vars(self), defaults={}, takes=frozenset())).version
        if self._job.enable_sagemaker_metrics is None and version and Version(version) >= Version(self._measured_since):
            trainer.record_metrics(True)
        return trainer


class CustomPyTorchModel(ExtendedModel):
    """A PyTorch model, with a few packages more in its image."""

    _dialect = _PYTORCH
    _predictor_class = predictors.CustomPyTorchPredictor
    _order = _MODEL_BY_PLACE
    _named = _COMMON


class CustomPyTorch(_Measured):
    """Trains PyTorch models, with a few packages more in the images."""

    _dialect = _PYTORCH
    _model_class = CustomPyTorchModel
    _measured_since = "1.3"
    _order = (*_BY_PLACE, "distribution", "compiler_config", "training_recipe", "recipe_overrides")
    _named = _COMMON


class CustomTensorFlowModel(ExtendedModel):
    """A TensorFlow model, with a few packages more in its image."""

    _dialect = Dialect(framework="tensorflow", python=None)
    _predictor_class = predictors.CustomTensorFlowPredictor
    _order = (
        *("model_data", "role", "entry_point", "image_uri", "framework_version", "container_log_level"),
        "predictor_cls",
    )
    _named = _COMMON

    def _read(self, call: Call, settings: Settings | None) -> None:
        super()._read(call, settings)
        level = _TENSORFLOW_LOG_LEVELS.get(call.get("container_log_level") or 0)
        if level is not None:
            env = {**(self._arguments.env or {}), _TENSORFLOW_LOG_LEVEL: level}
            self._arguments = replace(self._arguments, env=env)


class CustomTensorFlow(_Measured):
    """Trains TensorFlow models, with a few packages more in the images.

    The script is told ``--model_dir``, as with the SDK v2: below the job's output, what you give, or, for ``False``,
    not at all.
    """

    _dialect = _TENSORFLOW
    _model_class = CustomTensorFlowModel
    _measured_since = "1.15"
    _isolates_models = True
    model_dir: Any
    _order = ("py_version", "framework_version", "model_dir", "image_uri", "distribution", "compiler_config")
    _named = (*_COMMON, "model_dir")

    def hyperparameters(self) -> Mapping[str, Any]:
        """Return those that the script gets."""
        starts_by_mpi = (self._job.distribution or {}).get("mpi", {}).get("enabled", False)
        place = self.model_dir or ("/opt/ml/model" if starts_by_mpi or self._is_local else None)
        told = {} if self.model_dir is False or place is None else {"model_dir": place}
        return {**super().hyperparameters(), **told}

    def model_trainer(self) -> NamedTrainer:
        """Make the SDK v3's ``ModelTrainer`` that ``fit()`` runs: image made sure of, code uploaded."""
        trainer = super().model_trainer()
        if self.model_dir is not False and "model_dir" not in trainer.hyperparameters:
            trainer.tell_place("model_dir", "model")
        return trainer


class CustomHuggingFaceModel(ExtendedModel):
    """A Hugging Face model, with a few packages more in its image."""

    _dialect = _HUGGINGFACE
    _predictor_class = predictors.CustomHuggingFacePredictor
    _order = ("role", "model_data", "entry_point", *_HUGGING_FACE, "image_uri", "predictor_cls", "model_server_workers")
    _named = _HUGGING_FACE


class CustomHuggingFace(_Measured):
    """Trains Hugging Face models, with a few packages more in the images."""

    _dialect = _HUGGINGFACE
    _model_class = CustomHuggingFaceModel
    _measured_since = "0"
    _order = (
        *("py_version", "entry_point", "transformers_version", "tensorflow_version", "pytorch_version"),
        *("source_dir", "hyperparameters", "image_uri", "distribution", "compiler_config"),
    )
    _named = _HUGGING_FACE


class CustomSKLearnModel(ExtendedModel):
    """A scikit-learn model, with a few packages more in its image."""

    _dialect = _SKLEARN
    _predictor_class = predictors.CustomSKLearnPredictor
    _order = _MODEL_BY_PLACE
    _named = _COMMON


class CustomSKLearn(ExtendedEstimator):
    """Trains scikit-learn models, with a few packages more in the images."""

    _dialect = _SKLEARN
    _model_class = CustomSKLearnModel
    _isolates_models = True
    _order = (*_BY_PLACE, "image_uri_region")
    _named = _COMMON


class CustomXGBoostModel(ExtendedModel):
    """An XGBoost model, with a few packages more in its image."""

    _dialect = _XGBOOST
    _predictor_class = predictors.CustomXGBoostPredictor
    _order = (
        *("model_data", "role", "entry_point", "framework_version", "image_uri", "py_version", "predictor_cls"),
        "model_server_workers",
    )
    _named = _COMMON


class CustomXGBoost(ExtendedEstimator):
    """Trains XGBoost models, with a few packages more in the images."""

    _dialect = _XGBOOST
    _model_class = CustomXGBoostModel
    _order = (
        *("entry_point", "framework_version", "source_dir", "hyperparameters", "py_version"),
        *("image_uri", "image_uri_region"),
    )
    _named = _COMMON


class CustomMXNetModel(ExtendedModel):
    """An MXNet model, with a few packages more in its image."""

    _dialect = _MXNET
    _predictor_class = predictors.CustomMXNetPredictor
    _order = _MODEL_BY_PLACE
    _named = _COMMON


class CustomMXNet(_Measured):
    """Trains MXNet models, with a few packages more in the images."""

    _dialect = _MXNET
    _model_class = CustomMXNetModel
    _measured_since = "1.6"
    _order = (*_BY_PLACE, "distribution")
    _named = _COMMON


class CustomChainerModel(ExtendedModel):
    """A Chainer model, with a few packages more in its image."""

    _dialect = _CHAINER
    _predictor_class = predictors.CustomChainerPredictor
    _order = (
        *("model_data", "role", "entry_point", "image_uri", "framework_version", "py_version", "predictor_cls"),
        "model_server_workers",
    )
    _named = _COMMON


class CustomChainer(ExtendedEstimator):
    """Trains Chainer models, with a few packages more in the images."""

    _dialect = _CHAINER
    _model_class = CustomChainerModel
    _order = (
        *("entry_point", "use_mpi", "num_processes", "process_slots_per_host", "additional_mpi_options"),
        *("source_dir", "hyperparameters", "framework_version", "py_version", "image_uri"),
    )
    _named = _COMMON


class CustomSparkMLModel(ExtendedModel):
    """A model of SparkML, with a few packages more in its image."""

    _dialect = Dialect(framework="sparkml-serving", version="spark_version", python=None)
    _predictor_class = predictors.CustomSparkMLPredictor
    _order = ("model_data", "role", "spark_version", "image_uri")
    _named = ("spark_version",)
