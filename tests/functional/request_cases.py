"""What a user writes with each class, the same on both lines of the SDK → the requests that SageMaker got for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import sagemaker_custom
from sagemaker_custom.installed_sdk import adapter

IS_V2 = adapter().endswith("v2")
ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
OWN_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/jax:1.2"
CPU, GPU, BIG = "ml.m5.xlarge", "ml.g5.xlarge", "ml.p4d.24xlarge"
TAGS = [{"Key": "team", "Value": "vision"}]
NETWORK = {"subnets": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"]}
_PLACES = {
    "TrainingInput": ("inputs", "inputs"),
    "FileSystemInput": ("inputs", "inputs"),
    "InstanceGroup": ("instance_group", "instance_group"),
    "AsyncInferenceConfig": ("async_inference", "inference_config"),
    "ServerlessInferenceConfig": ("serverless", "serverless_inference_config"),
    "DataCaptureConfig": ("model_monitor", "model_monitor"),
}
"""Name of a value class of the SDK → its module in v2, and in v3 under ``core``."""
_TIMES = re.compile(r"\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-\d{3}|\d{14}|\d{6}-\d{4}(?!\d)|\d{10}-[0-9a-f]{4}")
_ASKS = re.compile("Describe|List|Search|Get")


def of_the_sdk(name: str) -> Any:
    """Return a class that a user imports from the SDK, and that has the same arguments in both."""
    v2, v3 = _PLACES[name]
    return getattr(import_module(f"sagemaker.{v2}" if IS_V2 else f"sagemaker.core.{v3}"), name)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where a user sits: an account, a folder with code, and a name for what the case makes."""

    cloud: Any
    code: Path
    name: str

    @property
    def known(self) -> dict[str, Any]:
        """Arguments that only tests give."""
        return {"sagemaker_session": self.cloud.session, "settings": self.cloud.settings}

    def estimator(self, name: str, **arguments: Any) -> Any:
        """Make an estimator of the class ``name``; ``None`` leaves a usual argument out."""
        usual = {
            "entry_point": "train.py",
            "source_dir": str(self.code),
            "role": ROLE,
            "instance_type": CPU,
            "instance_count": 1,
            **self.known,
        }
        given = {key: value for key, value in {**usual, **FRAMEWORKS[name], **arguments}.items() if value is not None}
        estimator = getattr(sagemaker_custom, name)(**given)
        if arguments.get("extras"):
            self.cloud.push(estimator.plan_image())
            self.cloud.push(estimator.plan_image("inference", CPU))
        return estimator

    def script(self, name: str) -> str:
        """Return the script that serves; the SDK v2's class for TensorFlow takes no folder along for it."""
        return str(self.code / "inference.py") if name == "CustomTensorFlow" else "inference.py"

    def model_data(self) -> str:
        """Leave a model in S3."""
        self.cloud.put_model("given/model.tar.gz")
        return f"s3://{self.cloud.bucket}/given/model.tar.gz"


Case = Callable[[Desk], object]
FRAMEWORKS: dict[str, dict[str, Any]] = {
    "CustomPyTorch": {"framework_version": "2.3", "py_version": "py311"},
    "CustomTensorFlow": {"framework_version": "2.14.1", "py_version": "py310"},
    "CustomHuggingFace": {
        "transformers_version": "4.28.1",
        "pytorch_version": "2.0.0",
        "py_version": "py310",
        "instance_type": GPU,
    },
    "CustomSKLearn": {"framework_version": "1.2-1"},
    "CustomXGBoost": {"framework_version": "1.7-1"},
    "CustomMXNet": {"framework_version": "1.9.0", "py_version": "py38"},
    "CustomChainer": {"framework_version": "5.0.0", "py_version": "py3"},
    "CustomFramework": {"base_image": OWN_IMAGE},
}
"""Every estimator that both lines have, and what it is told about its image."""
_MODELS = [name for name in FRAMEWORKS if name not in ("CustomTensorFlow", "CustomFramework")]
_CHANNELS = {"train": "s3://data/train", "test": "s3://data/test"}


def fit(name: str, /, inputs: Any = _CHANNELS, job_name: str | None = "case", **arguments: Any) -> Case:
    """Train with an estimator; ``job_name=None`` has the job named by the SDK."""

    def run(desk: Desk) -> None:
        given = inputs() if callable(inputs) else inputs
        made = {key: value() if callable(value) else value for key, value in arguments.items()}
        desk.estimator(name, **made).fit(given, wait=False, job_name=job_name and desk.name)

    return run


def deploy(name: str, /, train: Mapping[str, Any] | None = None, **arguments: Any) -> Case:
    """Train, and deploy what was trained; ``None`` leaves a usual argument out."""

    def run(desk: Desk) -> None:
        estimator = desk.estimator(name, **(train or {}))
        estimator.fit({"train": "s3://data/train"}, wait=False, job_name=desk.name)
        desk.cloud.leave_model(estimator)
        usual = {
            "initial_instance_count": 1,
            "instance_type": CPU,
            "entry_point": desk.script(name),
            "endpoint_name": desk.name,
            "model_name": desk.name,
            "wait": False,
        }
        made = {key: value() if callable(value) else value for key, value in {**usual, **arguments}.items()}
        estimator.deploy(**{key: value for key, value in made.items() if value is not None})

    return run


def serve(name: str, deployed: Mapping[str, Any] | None = None, /, **arguments: Any) -> Case:
    """Deploy a model of one's own; ``None`` leaves a usual argument out."""

    def run(desk: Desk) -> None:
        usual = {
            "model_data": desk.model_data(),
            "role": ROLE,
            "entry_point": "inference.py",
            "source_dir": str(desk.code),
            "name": desk.name,
            **desk.known,
        }
        given = {key: value for key, value in {**usual, **arguments}.items() if value is not None}
        model = getattr(sagemaker_custom, name)(**given)
        where = {"initial_instance_count": 1, "instance_type": CPU, "endpoint_name": desk.name, "wait": False}
        model.deploy(**{key: value for key, value in {**where, **(deployed or {})}.items() if value is not None})

    return run


def _inputs_described() -> dict[str, Any]:
    training_input = of_the_sdk("TrainingInput")
    return {
        "train": training_input(
            "s3://data/train",
            distribution="ShardedByS3Key",
            content_type="application/x-recordio",
            compression="Gzip",
            record_wrapping="RecordIO",
            input_mode="Pipe",
        ),
        "listed": training_input("s3://data/list", s3_data_type="ManifestFile", input_mode="FastFile"),
        "plain": training_input("s3://data/plain"),
    }


def _file_systems() -> dict[str, Any]:
    file_system = of_the_sdk("FileSystemInput")
    return {
        "lustre": file_system("fs-0123456789a", "FSxLustre", "/fsx/data", file_system_access_mode="ro"),
        "elastic": file_system("fs-0123456789b", "EFS", "/data", file_system_access_mode="rw"),
    }


def _groups() -> list[Any]:
    group = of_the_sdk("InstanceGroup")
    return [group("many", "ml.c5.xlarge", 2), group("one", GPU, 1)]


def _inputs_of_groups() -> dict[str, Any]:
    return {"train": of_the_sdk("TrainingInput")("s3://data/train", instance_groups=["many"])}


JOBS: dict[str, Case] = {
    "extras": fit("CustomPyTorch", extras=["faiss", "pip:zarr"], build="never"),
    "extras, unnamed job": fit("CustomPyTorch", extras=["faiss"], build="never", job_name=None),
    "GPU": fit("CustomPyTorch", instance_type=GPU, instance_count=2),
    "image of one's own": fit("CustomPyTorch", image_uri=OWN_IMAGE),
    "unnamed job": fit("CustomPyTorch", job_name=None),
    "prefix of the job's name": fit("CustomPyTorch", job_name=None, base_job_name="night"),
    "prefix too long for a job's name": fit("CustomPyTorch", job_name=None, base_job_name="a" * 60),
    "no inputs": fit("CustomPyTorch", inputs=None),
    "one input without a name": fit("CustomPyTorch", inputs="s3://data/all"),
    "described inputs": fit("CustomPyTorch", inputs=_inputs_described),
    "file systems": fit("CustomPyTorch", inputs=_file_systems, **NETWORK),
    "program of the image, unnamed job": fit("CustomFramework", job_name=None),
    "place of the model": fit("CustomTensorFlow", model_dir="s3://data/models"),
    "no place of the model": fit("CustomTensorFlow", model_dir=False),
    "metrics as a series": fit("CustomSKLearn", enable_sagemaker_metrics=True),
    "channel to start from": fit("CustomPyTorch", model_uri="s3://data/model.tar.gz"),
    "FastFile": fit("CustomPyTorch", input_mode="FastFile"),
    "hyperparameters of every kind": fit(
        "CustomPyTorch",
        hyperparameters={
            "epochs": 3,
            "rate": 0.1,
            "small": 1e-7,
            "name": "a $b",
            "digits": "1",
            "exponent": "1e5",
            "yes-text": "true",
            "empty": "",
            "yes": True,
            "no": False,
            "none": None,
            "layers": [1, "two"],
            "more": {"depth": 2, "of": ["a"]},
        },
    ),
    "environment": fit("CustomPyTorch", environment={"COLOUR": "b $c", "NUMBER": "1"}),
    "log level": fit("CustomPyTorch", container_log_level=10),
    "spot with checkpoints": fit(
        "CustomPyTorch",
        use_spot_instances=True,
        max_run=600,
        max_wait=1200,
        checkpoint_s3_uri="s3://data/checkpoints",
        checkpoint_local_path="/opt/ml/kept",
    ),
    "checkpoints alone": fit("CustomPyTorch", checkpoint_s3_uri="s3://data/checkpoints"),
    "network": fit("CustomPyTorch", **NETWORK, encrypt_inter_container_traffic=True),
    "network isolation": fit("CustomPyTorch", enable_network_isolation=True),
    "keys": fit(
        "CustomPyTorch", output_kms_key="key-1", volume_kms_key="key-2", output_path="s3://data/out", volume_size=77
    ),
    "uncompressed output": fit("CustomPyTorch", disable_output_compression=True),
    "code location": fit("CustomPyTorch", code_location="s3://data/code"),
    "code and output in places of their own": fit(
        "CustomPyTorch", code_location="s3://data/code", output_path="s3://other/out", output_kms_key="key-1"
    ),
    "tags": fit("CustomPyTorch", tags=TAGS),
    "tags as a mapping": fit("CustomPyTorch", tags={"team": "vision", "stage": "test"}),
    "metrics": fit("CustomPyTorch", metric_definitions=[{"Name": "loss", "Regex": "loss=([0-9.]+)"}]),
    "warm pool": fit("CustomPyTorch", keep_alive_period_in_seconds=600),
    "retries": fit("CustomPyTorch", max_retry_attempts=3),
    "model to start from": fit("CustomPyTorch", model_uri="s3://data/model.tar.gz", model_channel_name="start"),
    "private registry": fit(
        "CustomPyTorch",
        image_uri="registry.example/team/jax:1.2",
        training_repository_access_mode="Vpc",
        training_repository_credentials_provider_arn="arn:aws:lambda:us-east-1:123456789012:function:f",
        **NETWORK,
    ),
    "remote debugging": fit("CustomPyTorch", enable_remote_debug=True),
    "groups of machines": fit(
        "CustomPyTorch",
        inputs=_inputs_of_groups,
        instance_type=None,
        instance_count=None,
        instance_groups=_groups,
        image_uri=OWN_IMAGE,
    ),
    "torchrun": fit(
        "CustomPyTorch",
        framework_version="2.3.0",
        instance_type=BIG,
        instance_count=2,
        distribution={"torch_distributed": {"enabled": True}},
    ),
    "MPI": fit(
        "CustomTensorFlow",
        instance_count=2,
        distribution={"mpi": {"enabled": True, "processes_per_host": 2, "custom_mpi_options": "-x A"}},
    ),
    "program of the image": fit(
        "CustomFramework",
        entry_point=None,
        source_dir=None,
        base_image=None,
        image_uri=OWN_IMAGE,
        hyperparameters={"epochs": 3, "name": "a", "none": None, "yes": True, "layers": [1]},
    ),
}
"""What else a job may be told."""

ENDPOINTS: dict[str, Case] = {
    "extras": deploy("CustomPyTorch", train={"extras": ["faiss"], "build": "never"}),
    "extras, without names": deploy(
        "CustomPyTorch", train={"extras": ["faiss"], "build": "never"}, endpoint_name=None, model_name=None
    ),
    "without names": deploy("CustomPyTorch", endpoint_name=None, model_name=None),
    "prefix of the job's name": deploy(
        "CustomPyTorch", train={"base_job_name": "night"}, endpoint_name=None, model_name=None
    ),
    "the script that trains": deploy("CustomPyTorch", entry_point=None),
    "image of one's own": deploy("CustomPyTorch", image_uri=OWN_IMAGE),
    "tags": deploy("CustomPyTorch", tags=TAGS),
    "tags of the job": deploy("CustomPyTorch", train={"tags": TAGS}),
    "network of the job": deploy("CustomPyTorch", train={**NETWORK, "enable_network_isolation": True}),
    "environment of the job": deploy("CustomPyTorch", train={"environment": {"A": "b"}, "container_log_level": 10}),
    "environment and workers": deploy("CustomPyTorch", env={"COLOUR": "red"}, model_server_workers=3),
    "keys and time-outs": deploy(
        "CustomPyTorch",
        kms_key="key-1",
        model_kms_key="key-2",
        volume_size=50,
        model_data_download_timeout=600,
        container_startup_health_check_timeout=700,
        initial_instance_count=2,
    ),
    "serverless": deploy(
        "CustomPyTorch",
        initial_instance_count=None,
        instance_type=None,
        serverless_inference_config=lambda: of_the_sdk("ServerlessInferenceConfig")(
            memory_size_in_mb=4096, max_concurrency=3
        ),
    ),
    "async": deploy(
        "CustomPyTorch",
        async_inference_config=lambda: of_the_sdk("AsyncInferenceConfig")(
            output_path="s3://data/out", max_concurrent_invocations_per_instance=2
        ),
    ),
    "data capture": deploy(
        "CustomPyTorch",
        data_capture_config=lambda: of_the_sdk("DataCaptureConfig")(
            enable_capture=True, sampling_percentage=50, destination_s3_uri="s3://data/kept", sagemaker_session=object()
        ),
    ),
}
"""What else an endpoint may be told."""

_PYTORCH: dict[str, Any] = {"framework_version": "2.3", "py_version": "py311"}
SERVED: dict[str, Case] = {
    "SparkML": serve("CustomSparkMLModel", entry_point=None, source_dir=None, spark_version="3.3"),
    "CustomModel": serve("CustomModel", entry_point=None, source_dir=None, base_image=OWN_IMAGE),
    "CustomModel with code": serve("CustomModel", base_image=OWN_IMAGE),
    "CustomModel without data": serve(
        "CustomModel", entry_point=None, source_dir=None, model_data=None, base_image=OWN_IMAGE
    ),
    "PyTorch": serve("CustomPyTorchModel", **_PYTORCH, env={"COLOUR": "red"}),
    "PyTorch, without names": serve("CustomPyTorchModel", {"endpoint_name": None}, **_PYTORCH, name=None),
    "PyTorch, network": serve(
        "CustomPyTorchModel",
        **_PYTORCH,
        vpc_config={"Subnets": NETWORK["subnets"], "SecurityGroupIds": NETWORK["security_group_ids"]},
        enable_network_isolation=True,
    ),
    "PyTorch, private registry": serve(
        "CustomPyTorchModel",
        **_PYTORCH,
        image_uri="registry.example/team/serving:1",
        image_config={"RepositoryAccessMode": "Vpc"},
    ),
    "PyTorch, code location": serve("CustomPyTorchModel", **_PYTORCH, code_location="s3://data/code"),
    "PyTorch, log level": serve("CustomPyTorchModel", **_PYTORCH, container_log_level=10),
    "PyTorch, version of the AMI": serve(
        "CustomPyTorchModel", {"inference_ami_version": "al2-ami-sagemaker-inference-gpu-2"}, **_PYTORCH
    ),
    "PyTorch, routing": serve(
        "CustomPyTorchModel", {"routing_config": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}, **_PYTORCH
    ),
    "PyTorch, image of one's own": serve("CustomPyTorchModel", {"endpoint_name": None}, image_uri=OWN_IMAGE, name=None),
    "PyTorch, name from which others follow": serve("CustomPyTorchModel", {"endpoint_name": None}, **_PYTORCH),
    "TensorFlow, log level": serve("CustomTensorFlowModel", framework_version="2.14.1", container_log_level=40),
    "PyTorch, tags": serve("CustomPyTorchModel", {"tags": {"team": "vision"}}, **_PYTORCH),
    "TensorFlow": serve("CustomTensorFlowModel", framework_version="2.14.1"),
    "TensorFlow, no code": serve(
        "CustomTensorFlowModel", framework_version="2.14.1", entry_point=None, source_dir=None
    ),
    "Hugging Face from the hub": serve(
        "CustomHuggingFaceModel",
        model_data=None,
        entry_point=None,
        source_dir=None,
        transformers_version="4.28.1",
        pytorch_version="2.0.0",
        py_version="py310",
        env={"HF_MODEL_ID": "gpt2", "HF_TASK": "text-generation"},
    ),
}
"""Models that were not trained here."""

CASES: dict[str, Case] = {
    **{f"{name} trains": fit(name, hyperparameters={"epochs": 3, "name": "big"}) for name in FRAMEWORKS},
    **{f"{name} deploys": deploy(name) for name in FRAMEWORKS},
    **{f"job: {name}": case for name, case in JOBS.items()},
    **{f"endpoint: {name}": case for name, case in ENDPOINTS.items()},
    **{f"model: {name}": case for name, case in SERVED.items()},
}


def write_code(folder: Path) -> Path:
    """Write the code of all cases, whose digest is in the requests."""
    folder.mkdir()
    for name in ("train.py", "inference.py"):
        (folder / name).write_text(f"print({name!r})\n")
        (folder / name).chmod(0o644)
    return folder


def requests_of(name: str, cloud: Any, code: Path) -> list[list[Any]]:
    """Run a case, and return the requests that were more than questions: ``[operation, what was asked for]``."""
    before = len(cloud.sent)
    CASES[name](Desk(cloud=cloud, code=code, name="-".join(re.findall("[a-z0-9]+", name.lower()))))
    return [[operation, _told(params)] for operation, params in cloud.sent[before:] if not _ASKS.match(operation)]


def _told(value: Any) -> Any:
    """Leave out what differs from run to run, and name what has no order by its own name."""
    if isinstance(value, Mapping):
        told = {name: _told(item) for name, item in sorted(value.items())}
        # An empty list says no more than none; a hyperparameter or a variable may be empty.
        return {name: item for name, item in told.items() if item not in (None, [], {})}
    if isinstance(value, list | tuple):
        for key in ("ChannelName", "Key", "VariantName"):
            if value and all(isinstance(item, Mapping) and key in item for item in value):
                return {item[key]: _told({name: of for name, of in item.items() if name != key}) for item in value}
        return [_told(item) for item in value]
    return _TIMES.sub("…", value) if isinstance(value, str) else value
