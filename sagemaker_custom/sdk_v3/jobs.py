"""A ``ModelTrainer`` whose requests are those of the SDK v2, and what is asked of a job, on AWS or on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import PrivateAttr
from sagemaker.core.common_utils import base_name_from_image, name_from_base
from sagemaker.core.resources import TrainingJob
from sagemaker.train.model_trainer import Mode, ModelTrainer
from typing_extensions import Self

from sagemaker_custom.sdk_v3.script import check_script_values, encoded_parameters


class NamedTrainer(ModelTrainer):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``ModelTrainer``, whose jobs have names and hyperparameters as those of the SDK v2."""

    _job_name: str | None = PrivateAttr(default=None)
    _metrics: bool | None = PrivateAttr(default=None)
    _place: tuple[str, str] | None = PrivateAttr(default=None)

    def name_next_job(self, name: str | None) -> None:
        """Give the next job this name; ``None`` for one that is made up."""
        self._job_name = name

    def record_metrics(self, enabled: bool) -> None:
        """Say whether SageMaker shall keep the job's metrics as a time series."""
        self._metrics = enabled

    def tell_place(self, parameter: str, folder: str) -> None:
        """Have a hyperparameter say where, below the job's output, a folder of the job is.

        Args:
            parameter: Name of the hyperparameter.
            folder: Name of the folder.
        """
        self._place = (parameter, folder)

    def _create_training_job_args(self, input_data_config: Any = None, **kwargs: Any) -> Any:
        if self.source_code is not None:
            check_script_values(self.hyperparameters or {}, input_data_config or ())
        name = self._job_name or name_from_base(self.base_job_name)
        with self._as_sent(name):
            request = super()._create_training_job_args(input_data_config, **kwargs)
        if self.training_mode is not Mode.LOCAL_CONTAINER:
            # They are in S3 by now.
            self.forget_drivers()
        if self._metrics is not None and "algorithm_specification" in request:
            request["algorithm_specification"].enable_sage_maker_metrics_time_series = self._metrics
        # Local mode and pipelines get it by the API's names; those of a pipeline have none.
        return request | {key: name for key in ("training_job_name", "TrainingJobName") if key in request}

    @contextmanager
    def _as_sent(self, job_name: str) -> Iterator[None]:
        sent: Any = self
        given, prefix = sent.hyperparameters, sent.input_s3_key_prefix
        parameters = {**(given or {})}
        if self._place is not None and self.output_data_config is not None:
            parameter, folder = self._place
            output = str(self.output_data_config.s3_output_path).rstrip("/")
            parameters[parameter] = f"{output}/{job_name}/{folder}"
        sent.hyperparameters = encoded_parameters(parameters, for_script=self.source_code is not None)
        # Names that the SDK makes up are of a second: two jobs of one would share the script that starts them.
        sent.input_s3_key_prefix = prefix or job_name
        try:
            yield
        finally:
            sent.hyperparameters, sent.input_s3_key_prefix = given, prefix

    def forget_drivers(self) -> None:
        """Remove what starts scripts, which the SDK keeps until a job has succeeded."""
        if self._temp_code_dir is not None:
            self._temp_code_dir.cleanup()


def base_name_of(image: Any) -> str:
    """Return how jobs, models and endpoints with an image are called unless something else is said.

    Args:
        image: Its URI, or a parameter of a pipeline.
    """
    return re.sub("[^a-zA-Z0-9]+", "-", base_name_from_image(image)).strip("-")


@dataclass(frozen=True, kw_only=True, slots=True)
class AwsJob:
    """A training job on AWS, with the names that the SDK v2 has for what one asks of it."""

    job: TrainingJob
    """The SDK v3's."""
    sagemaker_session: Any

    @classmethod
    def named(cls, name: str, session: Any) -> Self:
        """Ask AWS for a job.

        Args:
            name: Of the job.
            session: The SDK's.
        """
        job = TrainingJob.get(name, session=session.boto_session, region=session.boto_region_name)
        return cls(job=job, sagemaker_session=session)

    @property
    def image_uri(self) -> str:
        """What it trained with."""
        return str(self.job.algorithm_specification.training_image)

    @property
    def name(self) -> str:
        """Of the job."""
        return str(self.job.training_job_name)

    job_name = name

    @property
    def model_data(self) -> str:
        """Where the model is, or will be."""
        artifacts = getattr(self.job, "model_artifacts", None)
        if not artifacts:
            self.job.refresh()
            artifacts = self.job.model_artifacts
        return str(artifacts.s3_model_artifacts)

    def describe(self) -> dict[str, Any]:
        """Return what AWS says of it."""
        said: dict[str, Any] = self.sagemaker_session.sagemaker_client.describe_training_job(TrainingJobName=self.name)
        return said

    def wait(self, logs: Any = "All") -> None:
        """Wait for its end.

        Args:
            logs: Whether to print its log meanwhile.
        """
        # "None" is how the SDK v2 says it.
        self.job.wait(logs=bool(logs) and logs != "None")

    def stop(self) -> None:
        """Stop it."""
        self.job.stop()


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalJob:
    """A training job that ran in containers on this machine."""

    name: str
    """Of the job."""
    model_data: str
    """Where the model is."""

    @property
    def job_name(self) -> str:
        """The same as the name."""
        return self.name

    def describe(self) -> dict[str, Any]:
        """Return what AWS would say of it."""
        return {
            "TrainingJobName": self.name,
            "TrainingJobStatus": "Completed",
            "ModelArtifacts": {"S3ModelArtifacts": self.model_data},
        }

    def wait(self, logs: Any = "All") -> None:
        """Return: it has ended."""

    def stop(self) -> None:
        """Return: it has ended."""


def train_here(trainer: NamedTrainer, channels: Sequence[Any], session: Any) -> LocalJob:
    """Do what a trainer would ask AWS for in containers of this machine.

    Args:
        trainer: In the SDK's mode for that, so that its code and channels stay here.
        channels: Of the SDK v3.
        session: Of local mode; has the containers.

    Raises:
        LocalContainerError: A container ended with an error.
        EngineUnavailableError: No container can be started.
    """
    request = trainer._create_training_job_args(list(channels) or None, boto3=True)  # noqa: SLF001 - no other way
    request["InputDataConfig"] = [_channel_of_files(channel) for channel in request.get("InputDataConfig") or ()]
    request["OutputDataConfig"] = {"S3OutputPath": "", **(request.get("OutputDataConfig") or {})}
    client, name = session.sagemaker_client, request["TrainingJobName"]
    client.create_training_job(**request)
    model = client.describe_training_job(name)["ModelArtifacts"]["S3ModelArtifacts"]
    return LocalJob(name=name, model_data=model)


def _channel_of_files(channel: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a channel as local mode reads it: files of this machine are no file system of AWS there."""
    here = channel["DataSource"].get("FileSystemDataSource")
    if here is None:
        return dict(channel)
    files = {"FileUri": f"file://{here['DirectoryPath']}", "FileDataDistributionType": "FullyReplicated"}
    return {**channel, "DataSource": {"FileDataSource": files}}
