"""The stand-ins there are: of each framework the recipes, and the stock images whose names they are published under."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sandbox.stand_ins import Recipe

_PATH = "/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_QUIET_PYTHON = "PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1"
_SHELL = 'CMD ["/bin/bash"]'
_TRAINING_ENTRY = ('ENTRYPOINT ["bash","-m","start_with_right_hostname.sh"]', _SHELL)
_SERVING_ENTRY = ('ENTRYPOINT ["python","/usr/local/bin/dockerd-entrypoint.py"]', 'CMD ["serve"]')
_SERVING = (
    # Without it a model server starts a worker, with its own framework, for every core of the machine.
    "ENV SAGEMAKER_MODEL_SERVER_WORKERS=1",
    "EXPOSE 8080 8081",
    "LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true",
)
_ROOT = "a Debian root with Python 3.11 in /opt/conda, a plain virtual environment without conda; in it "
_NO_AWS_SERVING = (
    "AWS's sagemaker-training, sagemaker-inference and Multi Model Server. What AWS adds to them for this framework is "
    "in no package index, and stands in here as a few lines of our own: {}. "
)
_PURPOSE = "To try things without an AWS account."


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """A recipe, and the stock image that it takes the place of."""

    recipe: Recipe
    repository: str
    tag: str
    account: str
    """Of the stock image in us-east-1. The sandbox has one registry for all."""

    @property
    def reference(self) -> str:
        """What the stock image is called in us-east-1."""
        return f"{self.account}.dkr.ecr.us-east-1.amazonaws.com/{self.repository}:{self.tag}"


PYTHON = Recipe(
    name="python", about=f"{_ROOT}NumPy, SciPy and boto3.", instructions=(f"ENV PATH={_PATH}", "WORKDIR /", _SHELL)
)
PYTHON_TORCH = Recipe(
    name="python-torch", about=f"{_ROOT}torch for CPUs.", parent=PYTHON, has_torch=True, instructions=(_SHELL,)
)
TOOLKIT = Recipe(name="toolkit", about=f"{_ROOT}AWS's sagemaker-training.", parent=PYTHON, instructions=(_SHELL,))

_DLC = "763104351884"
_ALGORITHMS = "683313688378"

PYTORCH_TRAINING = Recipe(
    name="pytorch-training",
    about=f"{_ROOT}AWS's sagemaker-training and sagemaker-pytorch-training, and torch 2.13 for CPUs. {_PURPOSE}",
    parent=PYTHON_TORCH,
    files=("start_with_right_hostname.sh",),
    instructions=(
        "ENV SAGEMAKER_TRAINING_MODULE=sagemaker_pytorch_container.training:main",
        f"ENV DLC_CONTAINER_TYPE=training {_QUIET_PYTHON}",
        *_TRAINING_ENTRY,
    ),
)
PYTORCH_INFERENCE = Recipe(
    name="pytorch-inference",
    about=f"{_ROOT}AWS's sagemaker-inference and sagemaker-pytorch-inference, TorchServe, "
    f"and torch 2.13 for CPUs. {_PURPOSE}",
    parent=PYTHON_TORCH,
    files=("dockerd-entrypoint.py",),
    instructions=(
        "ENV SAGEMAKER_SERVING_MODULE=sagemaker_pytorch_serving_container.serving:main",
        f"ENV DLC_CONTAINER_TYPE=inference {_QUIET_PYTHON}",
        *_SERVING,
        *_SERVING_ENTRY,
    ),
)
_PYTORCH_TAG = "2.3.0-cpu-py311-ubuntu20.04-sagemaker"

HUGGINGFACE_TRAINING = Recipe(
    name="huggingface-training",
    about=f"{_ROOT}AWS's sagemaker-training and sagemaker-pytorch-training, torch 2.13 for CPUs, Transformers 4.46.1, "
    f"Accelerate and Datasets; no CUDA, and none of the other libraries of the stock image. {_PURPOSE}",
    parent=PYTORCH_TRAINING,
    instructions=_TRAINING_ENTRY,
)
HUGGINGFACE_INFERENCE = Recipe(
    name="huggingface-inference",
    about=f"{_ROOT}Hugging Face's and AWS's inference toolkits, Multi Model Server, torch 2.13 for CPUs "
    f"and Transformers 4.46.1, without what it needs for audio. {_PURPOSE}",
    parent=PYTHON_TORCH,
    files=("dockerd-entrypoint.py",),
    instructions=(
        "ENV SAGEMAKER_SERVING_MODULE=sagemaker_huggingface_inference_toolkit.serving:main",
        f"ENV DLC_CONTAINER_TYPE=inference {_QUIET_PYTHON}",
        *_SERVING,
        *_SERVING_ENTRY,
    ),
)
# AWS has no Hugging Face image that trains on CPUs: on a machine without GPU, people train in this one.
_HUGGINGFACE_TRAINING_TAG = "2.3.0-transformers4.46.1-gpu-py311-cu121-ubuntu20.04"
_HUGGINGFACE_INFERENCE_TAG = "2.3.0-transformers4.46.1-cpu-py311-ubuntu22.04"

SKLEARN = Recipe(
    name="sklearn",
    about=f"{_ROOT}scikit-learn 1.2.1, pandas, {_NO_AWS_SERVING.format('fetching the code, and predict_fn')}{_PURPOSE}",
    parent=TOOLKIT,
    files=("dockerd-entrypoint.py", "serve", "stand_in_serving.py", "stand_in_sklearn.py"),
    instructions=(
        "ENV SAGEMAKER_SERVING_MODULE=stand_in_serving:main STAND_IN_HANDLER=stand_in_sklearn",
        f"ENV {_QUIET_PYTHON}",
        *_SERVING,
        _SHELL,
    ),
)
_SKLEARN_TAG = "1.2-1-cpu-py3"

XGBOOST = Recipe(
    name="xgboost",
    about=f"{_ROOT}XGBoost 3.0.5, scikit-learn 1.2.1, pandas, "
    f"{_NO_AWS_SERVING.format('fetching the code, input_fn and predict_fn')}"
    f"The algorithm mode, without a script, is missing. {_PURPOSE}",
    parent=SKLEARN,
    files=("stand_in_xgboost.py",),
    instructions=("ENV STAND_IN_HANDLER=stand_in_xgboost", _SHELL),
)
_XGBOOST_TAG = "3.0-5"

TENSORFLOW_TRAINING = Recipe(
    name="tensorflow-training",
    about=f"{_ROOT}AWS's sagemaker-training and sagemaker-tensorflow-training, and TensorFlow 2.19 for CPUs. "
    f"{_PURPOSE}",
    parent=TOOLKIT,
    files=("python", "start_with_right_hostname.sh"),
    instructions=(
        "ENV SAGEMAKER_TRAINING_MODULE=sagemaker_tensorflow_container.training:main",
        f"ENV DLC_CONTAINER_TYPE=training {_QUIET_PYTHON}",
        *_TRAINING_ENTRY,
    ),
)
_TENSORFLOW_TAG = "2.19.0-cpu-py312-ubuntu22.04-sagemaker"

FRAMEWORKS: Mapping[str, tuple[Publication, ...]] = MappingProxyType(
    {
        "pytorch": (
            Publication(recipe=PYTORCH_TRAINING, repository="pytorch-training", tag=_PYTORCH_TAG, account=_DLC),
            Publication(recipe=PYTORCH_INFERENCE, repository="pytorch-inference", tag=_PYTORCH_TAG, account=_DLC),
        ),
        "huggingface": (
            Publication(
                recipe=HUGGINGFACE_TRAINING,
                repository="huggingface-pytorch-training",
                tag=_HUGGINGFACE_TRAINING_TAG,
                account=_DLC,
            ),
            Publication(
                recipe=HUGGINGFACE_INFERENCE,
                repository="huggingface-pytorch-inference",
                tag=_HUGGINGFACE_INFERENCE_TAG,
                account=_DLC,
            ),
        ),
        "sklearn": (
            Publication(recipe=SKLEARN, repository="sagemaker-scikit-learn", tag=_SKLEARN_TAG, account=_ALGORITHMS),
        ),
        "xgboost": (
            Publication(recipe=XGBOOST, repository="sagemaker-xgboost", tag=_XGBOOST_TAG, account=_ALGORITHMS),
        ),
        "tensorflow": (
            Publication(
                recipe=TENSORFLOW_TRAINING, repository="tensorflow-training", tag=_TENSORFLOW_TAG, account=_DLC
            ),
        ),
    }
)
"""By the name that the SageMaker SDK has for the framework. TensorFlow's only trains."""


def publications_for(frameworks: Iterable[str]) -> tuple[Publication, ...]:
    """Return the publications of some frameworks.

    Raises:
        UsageError: There is none of one of them.
    """
    wanted = tuple(frameworks)
    unknown = [name for name in wanted if name not in FRAMEWORKS]
    if unknown:
        raise UsageError(
            f"there is no stand-in for {', '.join(unknown)}", hint=f"there are some for {', '.join(FRAMEWORKS)}"
        )
    return tuple(item for name in wanted for item in FRAMEWORKS[name])
