"""The description of a training job, which either line of the SDK has started → the arguments of its estimator."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from sagemaker.core.common_utils import base_from_name
from sagemaker.core.training.configs import InstanceGroup, SourceCode
from sagemaker.train.constants import DISTRIBUTED_JSON, SM_CODE, SM_DRIVERS, SOURCE_CODE_JSON
from sagemaker.train.distributed import MPI, DistributedConfig, Torchrun

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.attached import JobImage, extras_of
from sagemaker_custom.sdk.dialect import Dialect

logger = logging.getLogger(__name__)

# How the SDK v2 tells its training toolkit of the code; users' parameters have other names.
_OF_THE_TOOLKIT = ("sagemaker_", "_tuning_objective_metric")
_DISTRIBUTED = {"sagemaker_torch_distributed_enabled": "torch_distributed", "sagemaker_mpi_enabled": "mpi"}
_MADE_UNIQUE = re.compile(r"-\d{14}$")


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedCode:
    """What a job of the SDK v3 was told to run."""

    source: SourceCode
    """In S3."""
    distributed: DistributedConfig | None


def image_arguments(details: Mapping[str, Any], dialect: Dialect, session: Any) -> dict[str, Any]:
    """Return the arguments that ask for the image which a job had.

    Args:
        details: As AWS describes the job.
        dialect: Of the class that attaches.
        session: The SDK's.

    Raises:
        UsageError: It is an image of another framework, it does not say what it was extended by, or there is none.
        ImageMissingError: It is not there any more, and with it what it was extended by.
    """
    uri = trained_with(details)
    image = JobImage.of(details, dialect)
    if image is None or image.said is None:
        return {"image_uri": uri}
    arguments = dialect.read_off(image.said)
    if image.is_extended:
        extras, replace = extras_of(uri, session, None)
        arguments |= {"extras": extras, "replace": replace, "cuda_version": image.said.cuda_version}
    return arguments


def trained_with(details: Mapping[str, Any]) -> str:
    """Return the image of a job.

    Args:
        details: As AWS describes the job.

    Raises:
        UsageError: It had none.
    """
    uri = details["AlgorithmSpecification"].get("TrainingImage")
    if uri is None:
        raise UsageError(
            f"the job {details['TrainingJobName']} trained with an algorithm of the marketplace",
            hint="use sagemaker.train.ModelTrainer(algorithm_name=…)",
        )
    return str(uri)


def job_arguments(details: Mapping[str, Any], model_channel_name: str | None) -> dict[str, Any]:
    """Return all other arguments of the estimator; those that say nothing are left out.

    Args:
        details: As AWS describes the job.
        model_channel_name: Of the channel with a model that was trained before.
    """
    algorithm, machines = details["AlgorithmSpecification"], details["ResourceConfig"]
    output, limits = details["OutputDataConfig"], details["StoppingCondition"]
    network, checkpoints = details.get("VpcConfig", {}), details.get("CheckpointConfig", {})
    image_config = algorithm.get("TrainingImageConfig", {})
    parameters = details.get("HyperParameters", {})
    groups = [
        InstanceGroup(
            instance_group_name=group["InstanceGroupName"],
            instance_type=group["InstanceType"],
            instance_count=group["InstanceCount"],
        )
        for group in machines.get("InstanceGroups", ())
    ]
    arguments = {
        **_code_of_the_toolkit(parameters),
        "role": details["RoleArn"],
        "instance_type": machines.get("InstanceType"),
        "instance_count": machines.get("InstanceCount"),
        "instance_groups": groups or None,
        "volume_size": machines.get("VolumeSizeInGB"),
        "volume_kms_key": machines.get("VolumeKmsKeyId"),
        "keep_alive_period_in_seconds": machines.get("KeepAlivePeriodInSeconds"),
        "training_plan": machines.get("TrainingPlanArn"),
        "max_run": limits.get("MaxRuntimeInSeconds"),
        "max_wait": limits.get("MaxWaitTimeInSeconds"),
        "use_spot_instances": details.get("EnableManagedSpotTraining"),
        "max_retry_attempts": details.get("RetryStrategy", {}).get("MaximumRetryAttempts"),
        "input_mode": algorithm.get("TrainingInputMode"),
        "metric_definitions": algorithm.get("MetricDefinitions"),
        "training_repository_access_mode": image_config.get("TrainingRepositoryAccessMode"),
        "training_repository_credentials_provider_arn": image_config.get("TrainingRepositoryAuthConfig", {}).get(
            "TrainingRepositoryCredentialsProviderArn"
        ),
        "output_path": output["S3OutputPath"],
        "output_kms_key": output.get("KmsKeyId") or None,
        "disable_output_compression": output.get("CompressionType") == "NONE" or None,
        "base_job_name": _MADE_UNIQUE.sub("", base_from_name(details["TrainingJobName"])),
        "hyperparameters": _parameters(parameters),
        "environment": details.get("Environment"),
        "subnets": network.get("Subnets"),
        "security_group_ids": network.get("SecurityGroupIds"),
        "enable_network_isolation": details.get("EnableNetworkIsolation"),
        "encrypt_inter_container_traffic": details.get("EnableInterContainerTrafficEncryption"),
        "checkpoint_s3_uri": checkpoints.get("S3Uri"),
        "checkpoint_local_path": checkpoints.get("LocalPath"),
        "enable_remote_debug": details.get("RemoteDebugConfig", {}).get("EnableRemoteDebug"),
        **_model_channel(details, model_channel_name),
    }
    return {name: value for name, value in arguments.items() if value is not None}


def submitted_code(details: Mapping[str, Any], session: Any) -> SubmittedCode | None:
    """Read what the SDK v3 has put beside its job; ``None`` for a job that has no such channels.

    Args:
        details: As AWS describes the job.
        session: The SDK's.
    """
    places = {channel["ChannelName"]: _place(channel) for channel in details.get("InputDataConfig", ())}
    drivers, code = places.get(SM_DRIVERS), places.get(SM_CODE)
    if drivers is None or code is None:
        return None
    try:
        source = _read(session, f"{drivers.rstrip('/')}/{SOURCE_CODE_JSON}")
        distributed = _read(session, f"{drivers.rstrip('/')}/{DISTRIBUTED_JSON}")
    except ClientError as error:
        logger.warning("what the job %s ran cannot be read: %s", details["TrainingJobName"], error)
        return None
    kind = MPI if "mpi_additional_options" in distributed else Torchrun
    return SubmittedCode(
        source=SourceCode(**{**source, "source_dir": code}),
        distributed=kind(**distributed) if distributed else None,
    )


def _read(session: Any, uri: str) -> dict[str, Any]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    document = json.loads(session.s3_client.get_object(Bucket=bucket, Key=key)["Body"].read())
    return {name: value for name, value in document.items() if value is not None}


def _place(channel: Mapping[str, Any]) -> str | None:
    place: str | None = channel["DataSource"].get("S3DataSource", {}).get("S3Uri")
    return place


def _model_channel(details: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    for channel in details.get("InputDataConfig", ()):
        if name and channel["ChannelName"] == name:
            return {"model_channel_name": name, "model_uri": _place(channel)}
    return {}


def _code_of_the_toolkit(parameters: Mapping[str, str]) -> dict[str, Any]:
    said = {
        name: _value(text, texts_are_quoted=True)
        for name, text in parameters.items()
        if name.startswith(_OF_THE_TOOLKIT[0])
    }
    distribution: dict[str, Any] = {kind: {"enabled": True} for name, kind in _DISTRIBUTED.items() if said.get(name)}
    if "mpi" in distribution:
        options = {
            "processes_per_host": said.get("sagemaker_mpi_num_of_processes_per_host"),
            "custom_mpi_options": said.get("sagemaker_mpi_custom_mpi_options"),
        }
        distribution["mpi"] |= {name: value for name, value in options.items() if value}
    return {
        "entry_point": said.get("sagemaker_program"),
        "source_dir": said.get("sagemaker_submit_directory"),
        "container_log_level": said.get("sagemaker_container_log_level"),
        "distribution": distribution or None,
    }


def _parameters(parameters: Mapping[str, str]) -> dict[str, Any]:
    by_the_toolkit = "sagemaker_program" in parameters
    return {
        name: _value(text, texts_are_quoted=by_the_toolkit)
        for name, text in parameters.items()
        if not name.startswith(_OF_THE_TOOLKIT)
    }


def _value(text: str, *, texts_are_quoted: bool) -> Any:
    """Return what was written: JSON by the SDK v2, and by the SDK v3 all but texts."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, str):
        return value if texts_are_quoted else text
    # A text like 1e3 would become another one when it is written again.
    return value if json.dumps(value) == text else text
