"""Reinforcement learning with the SDK v2's arguments, over the SDK v3; the metrics that the toolkits print."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import RLDialect, plain_name
from sagemaker_custom.sdk.images import Images
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk_v3.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v3.frameworks import CustomMXNetModel, CustomTensorFlowModel
from sagemaker_custom.sdk_v3.model import ExtendedModel
from sagemaker_custom.sdk_v3.own import CustomFrameworkModel
from sagemaker_custom.settings import Settings

_SERVED_BY: dict[str, type[ExtendedModel]] = {"tensorflow": CustomTensorFlowModel, "mxnet": CustomMXNetModel}
_COACH_RUNS_ON = {
    "0.10": {"tensorflow": "1.11"},
    "0.10.1": {"tensorflow": "1.11"},
    "0.11": {"tensorflow": "1.12", "mxnet": "1.3"},
    "0.11.0": {"tensorflow": "1.11", "mxnet": "1.3"},
    "0.11.1": {"tensorflow": "1.12"},
    "1.0.0": {"tensorflow": "1.12"},
}
"""Version of Coach in AWS's images → version of the framework in them."""
_NUMBER = "[-+]?[0-9]*[.]?[0-9]+([eE][-+]?[0-9]+)?"
_METRICS = {
    "coach": (
        {"Name": "reward-training", "Regex": "^Training>.*Total reward=(.*?),"},
        {"Name": "reward-testing", "Regex": "^Testing>.*Total reward=(.*?),"},
    ),
    "ray": (
        {"Name": "episode_reward_mean", "Regex": f"episode_reward_mean: ({_NUMBER})"},
        {"Name": "episode_reward_max", "Regex": f"episode_reward_max: ({_NUMBER})"},
    ),
}
"""Toolkit → what it prints of its progress."""


class CustomRLEstimator(ExtendedEstimator):
    """Trains by reinforcement learning, with a few packages more in the images.

    ``toolkit`` is ``coach`` or ``ray``, ``framework`` is ``tensorflow``, ``mxnet`` or ``pytorch``. What Coach trains is
    served by an image of its framework; what Ray trains is not deployed.
    """

    _dialect = RLDialect(framework="rl")
    _order = (
        *("entry_point", "toolkit", "toolkit_version", "framework", "source_dir", "hyperparameters"),
        *("image_uri", "metric_definitions"),
    )
    _named = ("toolkit", "toolkit_version", "framework")
    _model_class = ExtendedModel
    toolkit: str | None
    toolkit_version: str | None
    framework: str | None
    _images: Images

    def _read(self, call: Call, settings: Settings | None) -> None:
        metrics = _METRICS.get(plain_name(call.get("toolkit")) or "")
        if metrics and not call.get("metric_definitions") and call.get("image_uri") is None:
            call = replace(call, given=call.given | {"metric_definitions": metrics})
        super()._read(call, settings)
        self.toolkit, self.framework = plain_name(self.toolkit), plain_name(self.framework)

    def create_model(self, **arguments: Any) -> ExtendedModel:
        """Make the model that ``deploy()`` serves.

        Args:
            **arguments: Of the model's class, by the SDK v2's names; ``image_uri`` names another image.

        Raises:
            UsageError: No image of AWS serves what this toolkit trains.
        """
        if self.image_uri is None and self.framework == "tensorflow":
            # TensorFlow Serving runs no script, and the one at hand is for training.
            arguments = {"entry_point": None, "source_dir": None, "dependencies": None, **arguments}
        return super().create_model(**arguments)

    def _served_by(self) -> tuple[type[ExtendedModel], ProvidedImages]:
        if self.image_uri is not None:
            return CustomFrameworkModel, self._images
        framework = self.framework or ""
        version = _COACH_RUNS_ON.get(self.toolkit_version or "", {}).get(framework)
        if self.toolkit != "coach" or version is None:
            raise UsageError(
                f"what {self.toolkit} {self.toolkit_version} on {framework} has trained is served by no image of AWS",
                hint="CustomFrameworkModel(model_data=estimator.model_data, image_uri=…) serves it in one of your own",
            )
        return _SERVED_BY[framework], self._images.of_framework(framework, version)
