"""Requests of the SageMaker API → local jobs and endpoints, whose failures are told as they are; for either SDK."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from sagemaker_custom.errors import InterruptedRunError
from sagemaker_custom.sdk.local_containers import SdkClass
from sagemaker_custom.sdk.local_endpoints import LocalEndpoint, LocalTransformJob

logger = logging.getLogger(__name__)


class LocalClient(SdkClass):  # type: ignore[misc]  # the SDK has no types
    """Local mode's SageMaker API, on containers that leave nothing behind; to be put before the SDK's own class."""

    _training_job: ClassVar[Any]
    _processing_job: ClassVar[Any]
    _transform_job: ClassVar[type[LocalTransformJob]]
    _endpoint: ClassVar[type[LocalEndpoint]]
    # The SDK's own: what describes, lists and deletes looks there.
    _training_jobs: ClassVar[dict[str, Any]]
    _processing_jobs: ClassVar[dict[str, Any]]
    _transform_jobs: ClassVar[dict[str, Any]]
    _endpoints: ClassVar[dict[str, Any]]
    sagemaker_session: Any

    def create_training_job(
        self,
        TrainingJobName: str,  # noqa: N803
        AlgorithmSpecification: dict[str, Any],  # noqa: N803
        OutputDataConfig: dict[str, Any],  # noqa: N803
        ResourceConfig: dict[str, Any],  # noqa: N803
        InputDataConfig: Any = None,  # noqa: N803
        Environment: dict[str, Any] | None = None,  # noqa: N803
        **kwargs: Any,
    ) -> None:
        """Train, and return when it is done."""
        what = f"training job {TrainingJobName}"
        with _told_if_interrupted(what):
            container = self.sagemaker_session.local_container(
                ResourceConfig["InstanceType"],
                ResourceConfig["InstanceCount"],
                AlgorithmSpecification["TrainingImage"],
                entrypoint=AlgorithmSpecification.get("ContainerEntrypoint"),
                arguments=AlgorithmSpecification.get("ContainerArguments"),
            )
        job = self._training_job(container)
        with _said_to_be_failed(job, what):
            self._training_jobs[TrainingJobName] = job
            job.training_job_name = TrainingJobName
            job.start(
                InputDataConfig or [],
                OutputDataConfig,
                kwargs.get("HyperParameters") or {},
                Environment or {},
                TrainingJobName,
            )

    def create_processing_job(
        self,
        ProcessingJobName: str,  # noqa: N803
        AppSpecification: dict[str, Any],  # noqa: N803
        ProcessingResources: dict[str, Any],  # noqa: N803
        Environment: dict[str, Any] | None = None,  # noqa: N803
        ProcessingInputs: Any = None,  # noqa: N803
        ProcessingOutputConfig: dict[str, Any] | None = None,  # noqa: N803
        **kwargs: Any,
    ) -> None:
        """Process, and return when it is done."""
        ignored = sorted({"ExperimentConfig", "NetworkConfig", "StoppingCondition"} & set(kwargs))
        if ignored:
            logger.warning("local mode does without %s", ", ".join(ignored))
        cluster = ProcessingResources["ClusterConfig"]
        container = self.sagemaker_session.local_container(
            cluster["InstanceType"],
            cluster["InstanceCount"],
            AppSpecification["ImageUri"],
            entrypoint=AppSpecification.get("ContainerEntrypoint"),
            arguments=AppSpecification.get("ContainerArguments"),
        )
        job = self._processing_job(container)
        with _said_to_be_failed(job, f"processing job {ProcessingJobName}"):
            self._processing_jobs[ProcessingJobName] = job
            job.start(ProcessingInputs or [], ProcessingOutputConfig or {}, Environment or {}, ProcessingJobName)

    def create_transform_job(
        self,
        TransformJobName: str,  # noqa: N803
        ModelName: str,  # noqa: N803
        TransformInput: dict[str, Any],  # noqa: N803
        TransformOutput: dict[str, Any],  # noqa: N803
        TransformResources: dict[str, Any],  # noqa: N803
        **kwargs: Any,
    ) -> None:
        """Transform, and return when it is done."""
        job = self._transform_job(TransformJobName, ModelName, self.sagemaker_session)
        with _said_to_be_failed(job, f"transform job {TransformJobName}"):
            self._transform_jobs[TransformJobName] = job
            job.start(TransformInput, TransformOutput, TransformResources, **kwargs)

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str, Tags: Any = None) -> None:  # noqa: N803
        """Serve, and return when the endpoint is in service."""
        endpoint = self._endpoint(EndpointName, EndpointConfigName, Tags, self.sagemaker_session)
        with _said_to_be_failed(endpoint, f"start of endpoint {EndpointName}"):
            endpoint.serve()
        self._endpoints[EndpointName] = endpoint

    @classmethod
    def find_endpoint(cls, name: str) -> LocalEndpoint | None:
        """Return an endpoint that this process has made."""
        return cls._endpoints.get(name)

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803
        """Stop and forget an endpoint."""
        super().delete_endpoint(EndpointName)
        self._endpoints.pop(EndpointName, None)


@contextmanager
def _told_if_interrupted(what: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(f"the {what} was interrupted; its containers are removed") from error


@contextmanager
def _said_to_be_failed(job: Any, what: str) -> Iterator[None]:
    try:
        with _told_if_interrupted(what):
            yield
    except InterruptedRunError:
        job.state = "Stopped"
        raise
    except BaseException:
        job.state = "Failed"
        raise
