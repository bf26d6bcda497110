"""The same calls on the SDK's classes and on ours: the same requests but for the image and the source's key."""

from __future__ import annotations

import copy
import itertools
import re
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from functional_parts import Cloud
from sagemaker.async_inference import AsyncInferenceConfig
from sagemaker.chainer import Chainer
from sagemaker.huggingface import HuggingFace
from sagemaker.inputs import FileSystemInput, TrainingInput
from sagemaker.model_monitor import DataCaptureConfig
from sagemaker.mxnet import MXNet
from sagemaker.pytorch import PyTorch
from sagemaker.rl import RLEstimator, RLFramework, RLToolkit
from sagemaker.serverless import ServerlessInferenceConfig
from sagemaker.sklearn import SKLearn
from sagemaker.tensorflow import TensorFlow
from sagemaker.tuner import ContinuousParameter, HyperparameterTuner
from sagemaker.xgboost import XGBoost

import sagemaker_custom

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
CPU, GPU = "ml.m5.xlarge", "ml.g5.xlarge"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A class of the SDK, and how it is called."""

    stock: type
    arguments: dict[str, Any]
    instance_type: str = CPU
    instance_count: int = 1
    deploys: bool = True
    extra: str = "pip:zarr"
    """What its images take."""

    @property
    def ours(self) -> type:
        return getattr(sagemaker_custom, f"Custom{self.stock.__name__}")


KINDS = {
    "pytorch": Kind(stock=PyTorch, arguments={"framework_version": "2.3", "py_version": "py311"}),
    "tensorflow": Kind(stock=TensorFlow, arguments={"framework_version": "2.14.1", "py_version": "py310"}),
    "tensorflow-2.16": Kind(stock=TensorFlow, arguments={"framework_version": "2.16.2", "py_version": "py310"}),
    "huggingface": Kind(
        stock=HuggingFace,
        arguments={"transformers_version": "4.28.1", "pytorch_version": "2.0.0", "py_version": "py310"},
        instance_type=GPU,
    ),
    "sklearn": Kind(stock=SKLearn, arguments={"framework_version": "1.2-1"}),
    "xgboost": Kind(stock=XGBoost, arguments={"framework_version": "1.7-1"}),
    "mxnet": Kind(stock=MXNet, arguments={"framework_version": "1.9.0", "py_version": "py38"}),
    "chainer": Kind(stock=Chainer, arguments={"framework_version": "5.0.0", "py_version": "py3"}),
    "coach": Kind(
        stock=RLEstimator,
        arguments={"toolkit": RLToolkit.COACH, "toolkit_version": "0.11.1", "framework": RLFramework.TENSORFLOW},
    ),
    "ray": Kind(
        stock=RLEstimator,
        arguments={"toolkit": RLToolkit.RAY, "toolkit_version": "1.6.0", "framework": RLFramework.PYTORCH},
        deploys=False,
    ),
}


@dataclass
class Requests:
    """What was sent to SageMaker, with the names that differ from run to run made equal."""

    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def listen(self, session: Any) -> None:
        session.sagemaker_client.meta.events.register("provide-client-params.sagemaker", self._on_request)

    def _on_request(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name.startswith("Create"):
            self.sent.append((model.name, self._neutral(copy.deepcopy(params))))

    def _neutral(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._neutral(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self._neutral(item) for item in value]
        if key in ("TrainingImage", "Image", "ImageUri"):
            self.images.append(value)
            return "an image"
        if isinstance(value, str) and value.strip('"').endswith("/sourcedir.tar.gz"):
            return "the code"
        if isinstance(value, str):
            return re.sub(r"run-[a-z]+|\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-\d+|\d{6}-\d{4}(-[0-9a-f]+)?", "…", value)
        return value


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One for all: each run has names of its own."""
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        running.create_bucket("data")
        yield running


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


_NAMES = map("".join, itertools.product(string.ascii_lowercase, repeat=4))


@pytest.fixture
def run(cloud, code):
    """Run a scenario with a class, and return what AWS got."""

    def requests_of(kind: Kind, cls: type, scenario: Callable[..., None], **more: Any) -> Requests:
        name = f"run-{next(_NAMES)}"
        session = cloud.new_session()
        requests = Requests()
        requests.listen(session)
        arguments = {
            "entry_point": "train.py",
            "source_dir": str(code),
            "role": ROLE,
            "instance_type": kind.instance_type,
            "instance_count": kind.instance_count,
            "sagemaker_session": session,
            "base_job_name": name,
            **kind.arguments,
        }
        # The class for TensorFlow takes the folder of the training code along for nothing but training.
        script = str(code / "inference.py") if kind.stock is TensorFlow else "inference.py"
        make = Maker(cloud=cloud, cls=cls, arguments=arguments | more, name=name, script=script)
        scenario(make)
        return requests

    return requests_of


@dataclass(kw_only=True)
class Maker:
    """Makes the estimator of a scenario."""

    cloud: Any
    cls: type
    arguments: dict[str, Any]
    name: str
    script: str

    def __call__(self, **more: Any) -> Any:
        estimator = self.cls(**self.arguments | more)
        if self.arguments.get("extras"):
            self.cloud.push(estimator.plan_image())
        return estimator

    def trained(self, **more: Any) -> Any:
        estimator = self(**more)
        estimator.fit({"train": "s3://data/train"}, wait=False, job_name=self.name)
        self.cloud.leave_model(estimator)
        if self.arguments.get("extras"):
            self.push_serving(estimator)
        return estimator

    def push_serving(self, estimator: Any) -> None:
        model = estimator.create_model(entry_point=self.script)
        self.cloud.push(model._images.plan("inference", CPU, self.arguments["sagemaker_session"]))


def fit(make):
    make(hyperparameters={"epochs": 3, "rate": 0.1, "name": "a $b"}).fit(
        {"train": "s3://data/train", "test": "s3://data/test"}, wait=False, job_name=make.name
    )


def fit_without_inputs(make):
    make().fit(wait=False, job_name=make.name)


def deploy(make):
    estimator = make.trained()
    estimator.deploy(
        1, CPU, wait=False, endpoint_name=make.name, model_name=make.name, entry_point=make.script, tags=TAGS
    )


def transform(make):
    estimator = make.trained()
    transformer = estimator.transformer(1, CPU, model_name=make.name, entry_point=make.script, max_payload=6)
    transformer.transform("s3://data/batch", content_type="text/csv", job_name=make.name, wait=False)


def register(make):
    estimator = make.trained()
    model = estimator.create_model(name=make.name, entry_point=make.script)
    model.register(["text/csv"], ["text/csv"], [CPU], [CPU], model_package_group_name=make.name)


def tune(make):
    estimator = make(metric_definitions=METRICS)
    tuner = HyperparameterTuner(estimator, "accuracy", {"rate": ContinuousParameter(0.1, 1.0)}, METRICS, max_jobs=2)
    tuner.fit({"train": "s3://data/train"}, wait=False, job_name=make.name)


TAGS = [{"Key": "team", "Value": "vision"}]
METRICS = [{"Name": "accuracy", "Regex": "accuracy: ([0-9.]+)"}]
SCENARIOS = (fit, fit_without_inputs, deploy, transform, register, tune)


def run_both(run, kind, scenario, **more):
    return run(kind, kind.stock, scenario, **more), run(kind, kind.ours, scenario, **more)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.__name__)
@pytest.mark.parametrize("name", KINDS)
def test_same_requests_as_the_sdks_own_class(run, cloud, name, scenario):
    kind = KINDS[name]
    if not kind.deploys and scenario in (deploy, transform, register):
        for cls in (kind.stock, kind.ours):
            with pytest.raises(NotImplementedError, match="Ray"):
                run(kind, cls, scenario)
        return
    stock, ours = run_both(run, kind, scenario)
    assert [sent[0] for sent in ours.sent] == [sent[0] for sent in stock.sent] != []
    if scenario is tune:
        # The tuner writes down the class, to make it again when it attaches.
        for _, request in [*stock.sent, *ours.sent]:
            hyperparameters = request["TrainingJobDefinition"]["StaticHyperParameters"]
            assert hyperparameters.pop("sagemaker_estimator_class_name")
            assert hyperparameters.pop("sagemaker_estimator_module")
    assert ours.sent == stock.sent
    repositories = [[image.rpartition(":")[0] for image in requests.images] for requests in (stock, ours)]
    assert repositories[0] == repositories[1] != []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.__name__)
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.deploys])
def test_extras_change_the_image_and_nothing_else(run, cloud, name, scenario):
    kind = KINDS[name]
    plain = run(kind, kind.ours, scenario, settings=cloud.settings)
    extended = run(kind, kind.ours, scenario, settings=cloud.settings, extras=[kind.extra], build="never")
    assert extended.sent == plain.sent
    assert len(extended.images) == len(plain.images)
    assert all("/sagemaker-custom-" in image for image in extended.images)
    assert not any("/sagemaker-custom-" in image for image in plain.images)


FEATURES: dict[str, dict[str, Any]] = {
    "spot with checkpoints": {
        "use_spot_instances": True,
        "max_run": 600,
        "max_wait": 1200,
        "checkpoint_s3_uri": "s3://data/checkpoints",
        "checkpoint_local_path": "/opt/ml/checkpoints",
    },
    "warm pool": {"keep_alive_period_in_seconds": 600},
    "VPC": {"subnets": ["subnet-1"], "security_group_ids": ["sg-1"], "encrypt_inter_container_traffic": True},
    "KMS": {"output_kms_key": "key-1", "volume_kms_key": "key-2", "output_path": "s3://data/out"},
    "network isolation": {"enable_network_isolation": True},
    "code location": {"code_location": "s3://data/code", "output_path": "s3://data/out"},
    "tags, metrics, environment": {"tags": TAGS, "metric_definitions": METRICS, "environment": {"A": "b $c"}},
    "retries and a limit": {"max_retry_attempts": 3, "max_run": 100, "volume_size": 77},
    "private registry": {
        "training_repository_access_mode": "Vpc",
        "training_repository_credentials_provider_arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
    },
    "profiler and debugger off": {"disable_profiler": True, "debugger_hook_config": False},
    "container arguments": {"container_entry_point": ["bash"], "container_arguments": ["train", "--fast"]},
    "model channel": {"model_uri": "s3://data/model.tar.gz", "model_channel_name": "start"},
    "log level": {"container_log_level": 10},
}


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_of_a_job_is_passed_on(run, cloud, feature):
    arguments = FEATURES[feature]
    stock, ours = run_both(run, KINDS["pytorch"], fit, **arguments)
    assert ours.sent == stock.sent
    assert stock.sent != run(KINDS["pytorch"], PyTorch, fit).sent or feature in UNSEEN


UNSEEN = {"code location"}
"""What only changes the source's key, which is left out here."""

DISTRIBUTIONS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "torch_distributed": (
        "pytorch",
        {"torch_distributed": {"enabled": True}},
        {"instance_type": "ml.p4d.24xlarge", "instance_count": 2, "framework_version": "2.3.0"},
    ),
    "pytorchddp": (
        "pytorch",
        {"pytorchddp": {"enabled": True}},
        {"instance_type": "ml.p4d.24xlarge", "framework_version": "2.2.0", "py_version": "py310"},
    ),
    "smdistributed": (
        "pytorch",
        {"smdistributed": {"dataparallel": {"enabled": True}}},
        {"instance_type": "ml.p4d.24xlarge", "instance_count": 2, "framework_version": "2.0.1", "py_version": "py310"},
    ),
    "mpi": ("tensorflow", {"mpi": {"enabled": True, "processes_per_host": 2}}, {}),
    "parameter server": ("tensorflow", {"parameter_server": {"enabled": True}}, {"instance_count": 2}),
    "multi worker": (
        "tensorflow",
        {"multi_worker_mirrored_strategy": {"enabled": True}},
        {"instance_count": 2},
    ),
    "mxnet parameter server": ("mxnet", {"parameter_server": {"enabled": True}}, {"instance_count": 2}),
    "mxnet mpi": ("mxnet", {"mpi": {"enabled": True, "processes_per_host": 2}}, {}),
}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_distribution_is_passed_on(run, distribution):
    kind, value, more = DISTRIBUTIONS[distribution]
    stock, ours = run_both(run, KINDS[kind], fit, distribution=value, **more)
    assert ours.sent == stock.sent
    assert "true" in str(stock.sent)


INPUTS = {
    "channel with a content type": {"train": TrainingInput("s3://data/x", content_type="text/csv", input_mode="Pipe")},
    "file system": {
        "train": FileSystemInput("fs-0123456789a", "FSxLustre", "/fsx/data", file_system_access_mode="ro"),
    },
    "text": "s3://data/train",
}


@pytest.mark.parametrize("inputs", INPUTS)
def test_every_kind_of_input_is_passed_on(run, inputs):
    def scenario(make):
        make(subnets=["subnet-1"], security_group_ids=["sg-1"]).fit(INPUTS[inputs], wait=False, job_name=make.name)

    stock, ours = run_both(run, KINDS["pytorch"], scenario)
    assert ours.sent == stock.sent


ENDPOINTS: dict[str, dict[str, Any]] = {
    "serverless": {"serverless_inference_config": ServerlessInferenceConfig(memory_size_in_mb=4096)},
    "async": {
        "initial_instance_count": 1,
        "instance_type": CPU,
        "async_inference_config": AsyncInferenceConfig(output_path="s3://data/out"),
    },
    "data capture": {
        "initial_instance_count": 1,
        "instance_type": CPU,
        "data_capture_config": DataCaptureConfig(True, 50, "s3://data/captured", sagemaker_session=object()),
    },
    "kms, volume and time-outs": {
        "initial_instance_count": 2,
        "instance_type": CPU,
        "kms_key": "key-1",
        "volume_size": 50,
        "model_data_download_timeout": 600,
        "container_startup_health_check_timeout": 700,
    },
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", ["pytorch", "tensorflow", "huggingface", "sklearn", "xgboost", "mxnet"])
def test_every_kind_of_endpoint_is_passed_on(run, cloud, name, endpoint):
    def scenario(make):
        make.trained().deploy(
            wait=False, endpoint_name=make.name, model_name=make.name, entry_point=make.script, **ENDPOINTS[endpoint]
        )

    stock, ours = run_both(run, KINDS[name], scenario)
    assert [sent[0] for sent in stock.sent][-2:] == ["CreateEndpointConfig", "CreateEndpoint"]
    assert ours.sent == stock.sent
