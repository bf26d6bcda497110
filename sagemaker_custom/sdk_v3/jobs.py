"""A ``ModelTrainer`` whose jobs have a given name, and what is asked of a job, on AWS or on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr
from sagemaker.core.resources import TrainingJob
from sagemaker.train.model_trainer import ModelTrainer
from typing_extensions import Self

_MODEL = "compressed_artifacts/model.tar.gz"


class NamedTrainer(ModelTrainer):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``ModelTrainer``, whose jobs can be given a name of their own."""

    _job_name: str | None = PrivateAttr(default=None)

    def name_next_job(self, name: str | None) -> None:
        """Give the next job this name; ``None`` for one that the SDK makes up."""
        self._job_name = name

    def _create_training_job_args(self, *args: Any, **kwargs: Any) -> Any:
        request = super()._create_training_job_args(*args, **kwargs)
        if self._job_name is not None and "training_job_name" in request:
            request["training_job_name"] = self._job_name
        return request


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
    folder: Path
    """Where the SDK left what it made."""

    @property
    def job_name(self) -> str:
        """The same."""
        return self.name

    @property
    def model_data(self) -> str:
        """Where the model is."""
        return (self.folder / _MODEL).as_uri()

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
