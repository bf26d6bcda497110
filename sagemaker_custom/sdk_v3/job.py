"""Arguments of an estimator by the SDK v2's names → the parts of the SDK v3's ``ModelTrainer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sagemaker.core.shapes import RetryStrategy
from sagemaker.core.training.configs import (
    CheckpointConfig,
    Compute,
    InstanceGroup,
    MetricDefinition,
    Networking,
    OutputDataConfig,
    RemoteDebugConfig,
    StoppingCondition,
    TrainingImageConfig,
    TrainingRepositoryAuthConfig,
)
from sagemaker.train.distributed import MPI, SMP, DistributedConfig, Torchrun
from typing_extensions import Self

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v3.call import refuse_others
from sagemaker_custom.sdk_v3.jobs import NamedTrainer

_MPI = "distribution={'mpi': {'enabled': True, 'processes_per_host': …, 'custom_mpi_options': …}}"
INSTEAD = {
    "additional_mpi_options": _MPI,
    "compiler_config": "an older image by image_uri= on the SDK v2: AWS has ended SageMaker Training Compiler",
    "container_arguments": "model_trainer(), and command= and args= of its SourceCode",
    "container_entry_point": "model_trainer(), and command= of its SourceCode",
    "debugger_hook_config": "the SDK v2: the SDK v3 has no SageMaker Debugger for its ModelTrainer",
    "disable_profiler": "nothing: the SDK v3 never turns the profiler on",
    "enable_infra_check": "model_trainer().with_infra_check_config()",
    "enable_session_tag_chaining": "model_trainer().with_session_chaining_config()",
    "git_config": "source_dir= with a clone of the repository",
    "instance_placement_config": "model_trainer(), and its compute",
    "num_processes": _MPI,
    "process_slots_per_host": _MPI,
    "use_mpi": _MPI,
    "model_dir": "SM_MODEL_DIR in the script, which the SDK v3 sets",
    "profiler_config": "the SDK v2: the SDK v3 has no profiler for its ModelTrainer",
    "recipe_overrides": "sagemaker.train.ModelTrainer.from_recipe()",
    "rules": "the SDK v2: the SDK v3 has no SageMaker Debugger for its ModelTrainer",
    "script_mode": "nothing: every script runs in script mode",
    "tensorboard_output_config": "model_trainer().with_tensorboard_output_config()",
    "training_recipe": "sagemaker.train.ModelTrainer.from_recipe()",
}
"""Arguments of the SDK v2 that the SDK v3 has no place for → what does the same."""

_LOG_LEVEL = 20
_FOR_AWS_ALONE = ("use_spot_instances", "checkpoint_s3_uri", "checkpoint_local_path")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobArguments:
    """What an estimator of the SDK v2 takes besides its image; names, meanings and defaults are those of the v2."""

    entry_point: str | None = None
    source_dir: str | None = None
    dependencies: Sequence[str] | None = None
    hyperparameters: Mapping[str, Any] | None = None
    role: str | None = None
    instance_type: Any = None
    instance_count: Any = None
    instance_groups: Sequence[Any] | None = None
    volume_size: Any = 30
    volume_kms_key: Any = None
    keep_alive_period_in_seconds: Any = None
    training_plan: Any = None
    max_run: Any = 24 * 60 * 60
    max_wait: Any = None
    max_retry_attempts: Any = None
    use_spot_instances: Any = False
    input_mode: Any = "File"
    output_path: Any = None
    output_kms_key: Any = None
    disable_output_compression: bool = False
    code_location: str | None = None
    base_job_name: str | None = None
    sagemaker_session: Any = None
    tags: Any = None
    subnets: Sequence[Any] | None = None
    security_group_ids: Sequence[Any] | None = None
    enable_network_isolation: Any = None
    encrypt_inter_container_traffic: Any = None
    model_uri: Any = None
    model_channel_name: str = "model"
    metric_definitions: Sequence[Mapping[str, Any]] | None = None
    checkpoint_s3_uri: Any = None
    checkpoint_local_path: Any = None
    environment: Mapping[str, Any] | None = None
    container_log_level: int = _LOG_LEVEL
    distribution: Mapping[str, Any] | None = None
    training_repository_access_mode: Any = None
    training_repository_credentials_provider_arn: Any = None
    enable_remote_debug: Any = None
    enable_sagemaker_metrics: Any = None
    image_uri_region: str | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any], known: frozenset[str]) -> Self:
        """Take the arguments of a call.

        Args:
            given: By name.
            known: Names that somebody else reads, for what a misspelt one may have meant.

        Raises:
            UsageError: The SDK v3 cannot do what one asks for, says what does; or no SDK has it.
        """
        names = {field.name for field in fields(cls)}
        refuse_others(given, names, INSTEAD, known)
        return cls(**{name: value for name, value in given.items() if name in names})

    def check_local(self) -> None:
        """See that nothing is asked for which only AWS has.

        Raises:
            UsageError: Something is.
        """
        for name in _FOR_AWS_ALONE:
            if getattr(self, name):
                raise UsageError(
                    f"{name}={getattr(self, name)!r} is not for local mode, as with the SDK v2",
                    hint="leave it out where instance_type is 'local'",
                )

    def container_environment(self) -> dict[str, Any]:
        """Return what the container gets, as texts."""
        level = {} if self.container_log_level == _LOG_LEVEL else {"SM_LOG_LEVEL": str(self.container_log_level)}
        given = self.environment or {}
        return level | {name: str(value) if isinstance(value, int | float) else value for name, value in given.items()}

    def compute(self) -> Compute:
        """Say on what machines."""
        groups = [
            InstanceGroup(
                instance_group_name=group.instance_group_name,
                instance_type=group.instance_type,
                instance_count=group.instance_count,
            )
            for group in self.instance_groups or ()
        ]
        optional = {
            "volume_kms_key_id": self.volume_kms_key,
            "keep_alive_period_in_seconds": self.keep_alive_period_in_seconds,
            "training_plan_arn": self.training_plan,
            "instance_groups": groups or None,
            "instance_type": self.instance_type,
            "instance_count": None if groups else self.instance_count or 1,
            "enable_managed_spot_training": self.use_spot_instances or None,
        }
        return Compute(volume_size_in_gb=self.volume_size, **_given(optional))

    def networking(self) -> Networking | None:
        """Say in which network."""
        optional = {
            "subnets": list(self.subnets) if self.subnets else None,
            "security_group_ids": list(self.security_group_ids) if self.security_group_ids else None,
            "enable_network_isolation": self.enable_network_isolation,
            "enable_inter_container_traffic_encryption": self.encrypt_inter_container_traffic,
        }
        return Networking(**_given(optional)) if _given(optional) else None

    def output(self, default_path: str) -> OutputDataConfig:
        """Say where the model goes.

        Args:
            default_path: Where the user has named none.
        """
        compression = "NONE" if self.disable_output_compression else None
        optional = {"kms_key_id": self.output_kms_key, "compression_type": compression}
        return OutputDataConfig(s3_output_path=self.output_path or default_path, **_given(optional))

    def stopping(self) -> StoppingCondition:
        """Say how long it may take."""
        return StoppingCondition(
            max_runtime_in_seconds=self.max_run, **_given({"max_wait_time_in_seconds": self.max_wait})
        )

    def checkpoint(self) -> CheckpointConfig | None:
        """Say where checkpoints go."""
        if self.checkpoint_s3_uri is None:
            return None
        return CheckpointConfig(s3_uri=self.checkpoint_s3_uri, **_given({"local_path": self.checkpoint_local_path}))

    def image_config(self) -> TrainingImageConfig | None:
        """Say how the image is fetched, where it lies in a registry other than ECR."""
        if self.training_repository_access_mode is None:
            return None
        arn = self.training_repository_credentials_provider_arn
        auth = TrainingRepositoryAuthConfig(training_repository_credentials_provider_arn=arn) if arn else None
        mode = self.training_repository_access_mode
        return TrainingImageConfig(
            training_repository_access_mode=mode, **_given({"training_repository_auth_config": auth})
        )

    def add_to(self, trainer: NamedTrainer) -> None:
        """Tell a trainer what its constructor does not take."""
        if self.metric_definitions:
            named = [MetricDefinition(name=item["Name"], regex=item["Regex"]) for item in self.metric_definitions]
            trainer.with_metric_definitions(named)
        if self.enable_sagemaker_metrics is False:
            raise UsageError(
                "enable_sagemaker_metrics=False cannot be done with the SDK v3, which sends nothing that is false",
                hint="leave it out; metrics are kept where the SDK v2 has them kept by itself",
            )
        if self.enable_sagemaker_metrics is not None:
            trainer.record_metrics(self.enable_sagemaker_metrics)
        if self.max_retry_attempts is not None:
            trainer.with_retry_strategy(RetryStrategy(maximum_retry_attempts=self.max_retry_attempts))
        if self.enable_remote_debug is not None:
            trainer.with_remote_debug_config(RemoteDebugConfig(enable_remote_debug=self.enable_remote_debug))


def distributed_of(distribution: Mapping[str, Any] | None) -> DistributedConfig | None:
    """Read ``distribution`` of the SDK v2.

    Raises:
        UsageError: The SDK v3 has no such way to start a script on many machines.
    """
    asked = {name: options for name, options in (distribution or {}).items() if _is_enabled(options)}
    parallel = (asked.pop("smdistributed", None) or {}).copy()
    model_parallel = parallel.pop("modelparallel", None)
    if not asked and not parallel and not model_parallel:
        return None
    if parallel or len(asked) > 1 or (model_parallel and "torch_distributed" not in asked):
        raise _cannot_distribute(distribution)
    [(name, options)] = asked.items() if asked else [("", {})]
    if name == "torch_distributed":
        smp = SMP(**model_parallel.get("parameters", {})) if model_parallel else None
        return Torchrun(**_given({"smp": smp}))
    if name == "mpi":
        more = options.get("custom_mpi_options", "").split()
        count = options.get("processes_per_host")
        return MPI(**_given({"process_count_per_node": count, "mpi_additional_options": more or None}))
    raise _cannot_distribute(distribution)


def _cannot_distribute(distribution: Any) -> UsageError:
    return UsageError(
        f"distribution={distribution!r} cannot be done with the SDK v3",
        hint="use {'torch_distributed': {'enabled': True}} or {'mpi': {'enabled': True}}",
    )


def _is_enabled(options: Any) -> bool:
    return isinstance(options, Mapping) and bool(options.get("enabled", "enabled" not in options))


def _given(optional: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in optional.items() if value is not None}
