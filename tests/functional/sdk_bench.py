"""Our classes with the arguments of an ordinary user, and what they send to AWS."""

from __future__ import annotations

import itertools
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sagemaker_custom import (
    CustomHuggingFace,
    CustomHuggingFaceModel,
    CustomMXNet,
    CustomMXNetModel,
    CustomPyTorch,
    CustomPyTorchModel,
    CustomSKLearn,
    CustomSKLearnModel,
    CustomTensorFlow,
    CustomTensorFlowModel,
    CustomXGBoost,
    CustomXGBoostModel,
)
from sagemaker_custom.settings import RegistryEndpoint

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU, GPU = "ml.m5.xlarge", "ml.g5.xlarge"
TYPES = ["text/csv"], ["text/csv"], [CPU], [CPU]
"""What a package of the model registry is described by."""
_HUGGING_FACE = {"transformers_version": "4.28.1", "pytorch_version": "2.0.0", "py_version": "py310"}
ESTIMATORS: dict[str, tuple[type, dict[str, Any]]] = {
    "pytorch": (CustomPyTorch, {"framework_version": "2.3", "py_version": "py311"}),
    "tensorflow": (CustomTensorFlow, {"framework_version": "2.14.1", "py_version": "py310"}),
    "huggingface": (CustomHuggingFace, {**_HUGGING_FACE, "instance_type": GPU}),
    "sklearn": (CustomSKLearn, {"framework_version": "1.2-1"}),
    "xgboost": (CustomXGBoost, {"framework_version": "1.7-1"}),
    "mxnet": (CustomMXNet, {"framework_version": "1.9.0", "py_version": "py38"}),
}
MODELS: dict[str, tuple[type, dict[str, Any]]] = {
    "pytorch": (CustomPyTorchModel, {"framework_version": "2.3", "py_version": "py311"}),
    "tensorflow": (CustomTensorFlowModel, {"framework_version": "2.14.1"}),
    "huggingface": (CustomHuggingFaceModel, _HUGGING_FACE),
    "sklearn": (CustomSKLearnModel, {"framework_version": "1.2-1"}),
    "xgboost": (CustomXGBoostModel, {"framework_version": "1.7-1"}),
    "mxnet": (CustomMXNetModel, {"framework_version": "1.9.0", "py_version": "py38"}),
}
_NUMBERS = itertools.count()


@dataclass(kw_only=True)
class Bench:
    """Makes estimators and models of one test, and listens to what their session sends."""

    cloud: Any
    code: Any
    session: Any
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.name = f"job-{next(_NUMBERS)}"
        self.listen(self.session)

    def listen(self, session: Any) -> None:
        session.sagemaker_client.meta.events.register("provide-client-params.sagemaker", self._on_request)

    def _on_request(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.sent.append((model.name, params))

    def requests(self, operation: str) -> list[dict[str, Any]]:
        return [params for name, params in self.sent if name == operation]

    def request(self, operation: str) -> dict[str, Any]:
        """Return the one request of its kind."""
        [params] = self.requests(operation)
        return params

    @property
    def unreachable(self) -> Any:
        """Settings by which nothing can be asked of a registry."""
        nowhere = RegistryEndpoint(pattern="*.dkr.ecr.*", url="http://127.0.0.1:9")
        return replace(self.cloud.settings, registry_endpoints=(nowhere,))

    def estimator(self, name: str, /, **more: Any) -> Any:
        cls, arguments = ESTIMATORS[name]
        given = {
            "entry_point": "train.py",
            "source_dir": str(self.code),
            "role": ROLE,
            "instance_type": CPU,
            "instance_count": 1,
            "extras": ["pip:zarr"],
            "build": "never",
            "base_job_name": self.name,
        }
        return cls(**given | self._shared() | arguments | more)

    def model(self, name: str, /, **more: Any) -> Any:
        cls, arguments = MODELS[name]
        key = f"{self.name}/model.tar.gz"
        self.cloud.put_model(key)
        given = {
            "model_data": f"s3://{self.cloud.bucket}/{key}",
            "role": ROLE,
            "entry_point": "inference.py",
            "source_dir": str(self.code),
            "extras": ["pip:zarr"],
            "build": "never",
        }
        return cls(**given | self._shared() | arguments | more)

    def _shared(self) -> dict[str, Any]:
        return {"sagemaker_session": self.session, "settings": self.cloud.settings}

    def push(self, owner: Any, image_scope: str = "inference", instance_type: str = CPU) -> str:
        """Put the image of an estimator or model where it is wanted."""
        plan = owner._images.plan(image_scope, instance_type, self.session)
        self.cloud.push(plan)
        return str(plan.reference)

    def trained(self, name: str, /, **more: Any) -> Any:
        """Return an estimator after ``fit()``, whose model lies where the job would have left it."""
        estimator = self.estimator(name, **more)
        if more.get("extras", True):
            self.push(estimator, "training", estimator._get_instance_type())
        estimator.fit({"train": "s3://data/train"}, wait=False, job_name=self.name)
        self.cloud.leave_model(estimator)
        return estimator

    def files(self, uri: str) -> list[str]:
        """List an archive in the default bucket."""
        with tarfile.open(fileobj=self.cloud.download_uri(uri)) as archive:
            return sorted(member.name for member in archive if member.isfile())


def images_in(value: Any) -> Iterator[str]:
    """Find the extended images that a request names."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from images_in(item)
    elif isinstance(value, str) and "/sagemaker-custom-" in value and ".dkr.ecr." in value:
        yield value
