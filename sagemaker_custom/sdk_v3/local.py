"""The SDK v3's local mode, of its core → the same on containers, sessions and endpoints of our own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sagemaker.core.common_utils import custom_extractall_tarfile
from sagemaker.core.local.data import get_data_source_instance
from sagemaker.core.local.entities import (
    _LocalEndpoint,
    _LocalProcessingJob,
    _LocalTrainingJob,
    _LocalTransformJob,
)
from sagemaker.core.local.image import (
    _aws_credentials,
    _ecr_login_if_needed,
    _pull_image,
    _SageMakerContainer,
    _Volume,
)
from sagemaker.core.local.local_session import LocalSagemakerClient, LocalSession
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.pipeline_context import PipelineSession

from sagemaker_custom.sdk import local_client, local_containers, local_endpoints
from sagemaker_custom.sdk.local_session import LaptopSession


class LocalContainer(local_containers.LocalContainer, _SageMakerContainer):  # type: ignore[misc]  # the SDK has no types
    """The SDK's containers, which leave nothing."""

    _sdk = local_containers.SdkFunctions(
        volume=_Volume,
        login=_ecr_login_if_needed,
        pull=_pull_image,
        credentials=_aws_credentials,
        data_source=get_data_source_instance,
        extract=custom_extractall_tarfile,
    )

    def _host_names(self, count: int) -> list[str]:
        # What the SDK sends along to start scripts calls the first one so, as AWS does.
        return [f"algo-{number}" for number in range(1, count + 1)]

    def _with_code(self, code: Path, model: Path, root: Path) -> tuple[Path, list[Any], str]:
        # As the SDK's repacked models have it on AWS; theirs gives way to it.
        copy = root / "model"
        if model != copy:
            shutil.copytree(model, copy, dirs_exist_ok=True)
        shutil.rmtree(copy / "code", ignore_errors=True)
        shutil.copytree(code, copy / "code")
        return copy, [], "/opt/ml/model/code"


class LocalEndpoint(local_endpoints.LocalEndpoint, _LocalEndpoint):  # type: ignore[misc]  # the SDK has no types
    """The SDK's endpoint, ready as soon as it answers."""


class LocalTransformJob(local_endpoints.LocalTransformJob, _LocalTransformJob):  # type: ignore[misc]  # as above
    """The SDK's transform job, on such a server."""


class LocalClient(local_client.LocalClient, LocalSagemakerClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's client, which makes them."""

    _training_job = _LocalTrainingJob
    _processing_job = _LocalProcessingJob
    _transform_job = LocalTransformJob
    _endpoint = LocalEndpoint
    # Without the SDK's telemetry, which asks AWS who calls.
    create_model = LocalSagemakerClient.create_model.__wrapped__
    create_endpoint_config = LocalSagemakerClient.create_endpoint_config.__wrapped__


class LocalTransformer(Transformer):  # type: ignore[misc]  # as above
    """The SDK's transformer, whose model AWS knows nothing of."""

    def delete_model(self) -> None:
        """Forget the model."""
        self.sagemaker_session.sagemaker_client.delete_model(self.model_name)


class CustomLocalSession(LaptopSession, LocalSession):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``LocalSession`` for laptops: works without region, credentials, role and default bucket."""

    _container_class = LocalContainer
    _client_class = LocalClient
    _pipeline_session = PipelineSession
