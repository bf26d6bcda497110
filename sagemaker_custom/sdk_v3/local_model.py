"""A model, its code and its image → an endpoint, or batch transforms, on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagemaker.core.training.configs import SourceCode

from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.local import CustomLocalSession


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalModel:
    """What one endpoint of this machine serves, or transforms batches."""

    image: str
    model_data: str | None
    """``s3://…``, ``file://…`` or a path."""
    code: SourceCode | None
    """In a folder of this machine."""
    environment: Mapping[str, str]
    log_level: int
    workspace: Workspace
    """Where the code is."""

    def serve(self, name: str, instance_type: str, session: CustomLocalSession) -> None:
        """Make an endpoint of it, and return when it is in service.

        Args:
            name: Of the endpoint.
            instance_type: ``local`` or ``local_gpu``.
            session: Has the endpoint, and fetches the model.

        Raises:
            LocalContainerError: Its container ended, or was not healthy in time.
            EngineUnavailableError: It could not be started.
            UsageError: The port is taken.
        """
        client = session.sagemaker_client
        self.create(name, session)
        variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": instance_type}
        client.create_endpoint_config(name, [{**variant, "InitialInstanceCount": 1, "InitialVariantWeight": 1}])
        client.create_endpoint(name, name)

    def create(self, name: str, session: CustomLocalSession) -> None:
        """Make it a model that the session knows.

        Args:
            name: Of the model.
            session: Has the model.
        """
        container = {"Image": self.image, "Environment": self._environment(session.boto_region_name)}
        address = {} if self.model_data is None else {"ModelDataUrl": _address(self.model_data)}
        session.sagemaker_client.create_model(name, {**container, **address})

    def _environment(self, region: str) -> dict[str, str]:
        if self.code is None:
            return dict(self.environment)
        return {
            "SAGEMAKER_PROGRAM": str(self.code.entry_script),
            "SAGEMAKER_SUBMIT_DIRECTORY": f"file://{self.code.source_dir}",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": str(self.log_level),
            "SAGEMAKER_REGION": region,
            **self.environment,
        }


def _address(place: str) -> str:
    return place if "://" in place else f"file://{Path(place).absolute()}"
