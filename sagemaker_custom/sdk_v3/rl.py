"""Reinforcement learning with the SDK v2's arguments, over the SDK v3; the metrics that the toolkits print."""

from __future__ import annotations

from typing import Any

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import RLDialect
from sagemaker_custom.sdk.images import Images
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
_NUMBER = r"[-+]?\d*\.?\d+([eE][-+]?\d+)?"
_METRICS = {
    "coach": (
        {"Name": "reward-training", "Regex": r"^Training>.*Total reward=(.*?),"},
        {"Name": "reward-testing", "Regex": r"^Testing>.*Total reward=(.*?),"},
    ),
    "ray": (
        {"Name": "episode_reward_mean", "Regex": f"episode_reward_mean: ({_NUMBER})"},
        {"Name": "episode_reward_max", "Regex": f"episode_reward_max: ({_NUMBER})"},
    ),
}


class CustomRLEstimator(ExtendedEstimator):
    """Trains by reinforcement learning, with a few packages more in the images.

    ``toolkit`` and ``framework`` are named by their names: ``coach`` or ``ray``; ``tensorflow``, ``mxnet`` or
    ``pytorch``. What Coach trains is served by an image of TensorFlow or MXNet; what Ray trains is not deployed.
    """

    _dialect = RLDialect(framework="rl")
    _model_class = CustomFrameworkModel
    _order = (
        *("entry_point", "toolkit", "toolkit_version", "framework", "source_dir", "hyperparameters"),
        *("image_uri", "metric_definitions"),
    )
    _named = ("toolkit", "toolkit_version", "framework")
    toolkit: Any
    toolkit_version: Any
    framework: Any

    def _read(self, call: Call, settings: Settings | None) -> None:
        super()._read(call, settings)
