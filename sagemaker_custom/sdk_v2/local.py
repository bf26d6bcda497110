"""The SDK v2's local mode → the same on containers, sessions and endpoints of our own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from sagemaker.local import LocalSession
from sagemaker.local.data import get_data_source_instance
from sagemaker.local.entities import _LocalEndpoint, _LocalProcessingJob, _LocalTrainingJob, _LocalTransformJob
from sagemaker.local.image import (
    _aws_credentials,
    _ecr_login_if_needed,
    _pull_image,
    _SageMakerContainer,
    _Volume,
)
from sagemaker.local.local_session import LocalSagemakerClient
from sagemaker.utils import custom_extractall_tarfile
from sagemaker.workflow.pipeline_context import PipelineSession

from sagemaker_custom.sdk import local_client, local_containers, local_endpoints
from sagemaker_custom.sdk.local_session import LaptopSession

_CODE_PLACE = "/opt/ml/code"


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
        if self.is_studio:
            return list(self.hosts)
        # The SDK draws its names from the generator that scripts seed, so that two of them get the same.
        suffix = secrets.token_hex(3)
        return [f"algo-{number}-{suffix}" for number in range(1, count + 1)]

    def _with_code(self, code: Path, model: Path, root: Path) -> tuple[Path, list[Any], str]:
        del root
        return model, [_Volume(str(code), _CODE_PLACE)], _CODE_PLACE


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


class CustomLocalSession(LaptopSession, LocalSession):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``LocalSession`` for laptops: works without region, credentials, role and default bucket."""

    _container_class = LocalContainer
    _client_class = LocalClient
    _pipeline_session = PipelineSession
