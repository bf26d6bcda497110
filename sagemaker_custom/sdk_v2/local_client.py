"""Requests of the SageMaker API → local jobs and endpoints, whose failures are told as they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sagemaker.local.entities import _LocalProcessingJob, _LocalTrainingJob
from sagemaker.local.local_session import LocalSagemakerClient
from sagemaker.utils import format_tags

from sagemaker_custom.errors import SageMakerCustomError
from sagemaker_custom.sdk_v2.local_endpoints import LocalEndpoint, LocalTransformJob

logger = logging.getLogger(__name__)


class InterruptedRunError(SageMakerCustomError, KeyboardInterrupt):
    """Ctrl-C ended a local run; still a ``KeyboardInterrupt``.

    The SDK's ``fit`` lets only what is an ``Exception`` out, and returns after a plain ``KeyboardInterrupt`` as if the
    training were done.
    """


class LocalClient(LocalSagemakerClient):  # type: ignore[misc]  # the SDK has no types
    """Local mode's SageMaker API, on containers that leave nothing behind."""

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
        container = self.sagemaker_session.local_container(
            ResourceConfig["InstanceType"],
            ResourceConfig["InstanceCount"],
            AlgorithmSpecification["TrainingImage"],
            entrypoint=AlgorithmSpecification.get("ContainerEntrypoint"),
            arguments=AlgorithmSpecification.get("ContainerArguments"),
        )
        job = _LocalTrainingJob(container)
        with _said_to_be_failed(job, f"training job {TrainingJobName}"):
            LocalSagemakerClient._training_jobs[TrainingJobName] = job  # noqa: SLF001
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
        job = _LocalProcessingJob(container)
        with _said_to_be_failed(job, f"processing job {ProcessingJobName}"):
            LocalSagemakerClient._processing_jobs[ProcessingJobName] = job  # noqa: SLF001
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
        job = LocalTransformJob(TransformJobName, ModelName, self.sagemaker_session)
        with _said_to_be_failed(job, f"transform job {TransformJobName}"):
            LocalSagemakerClient._transform_jobs[TransformJobName] = job  # noqa: SLF001
            job.start(TransformInput, TransformOutput, TransformResources, **kwargs)

    def create_endpoint(self, EndpointName: str, EndpointConfigName: str, Tags: Any = None) -> None:  # noqa: N803
        """Serve, and return when the endpoint is in service."""
        endpoint = LocalEndpoint(EndpointName, EndpointConfigName, format_tags(Tags), self.sagemaker_session)
        with _said_to_be_failed(endpoint, f"start of endpoint {EndpointName}"):
            endpoint.serve()
        LocalSagemakerClient._endpoints[EndpointName] = endpoint  # noqa: SLF001

    def delete_endpoint(self, EndpointName: str) -> None:  # noqa: N803
        """Stop and forget an endpoint."""
        super().delete_endpoint(EndpointName)
        LocalSagemakerClient._endpoints.pop(EndpointName, None)  # noqa: SLF001


@contextmanager
def _said_to_be_failed(job: Any, what: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        job.state = "Stopped"
        raise InterruptedRunError(f"the {what} was interrupted; its containers are removed") from error
    except BaseException:
        job.state = "Failed"
        raise
