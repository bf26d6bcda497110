"""A model, its code and its image → the container of this machine that serves them."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

from sagemaker.core.common_utils import custom_extractall_tarfile
from sagemaker.core.training.configs import SourceCode

from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.local import CustomLocalSession, LocalContainerDefinition, LocalServer


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalModel:
    """What one endpoint of this machine serves."""

    image: str
    model_data: str | None
    """``s3://…``, ``file://…`` or a path."""
    code: SourceCode | None
    """In a folder of this machine."""
    environment: Mapping[str, str]
    log_level: int
    workspace: Workspace
    """Where the model is unpacked; the server keeps it."""

    def served(self, session: Any) -> LocalServer:
        """Start a container with it, and return when it is healthy.

        Args:
            session: The SDK's; one that is not of local mode says who fetches the model.

        Raises:
            LocalContainerError: It ended, or was not healthy in time.
            EngineUnavailableError: It could not be started.
        """
        if not isinstance(session, CustomLocalSession):
            session = CustomLocalSession(getattr(session, "boto_session", None))
        folder = self.workspace.path / "model"
        self._unpack(folder, session)
        environment = dict(self.environment)
        if self.code is not None:
            copytree(self.code.source_dir, folder / "code", dirs_exist_ok=True)
            environment |= {
                "SAGEMAKER_PROGRAM": str(self.code.entry_script),
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                "SAGEMAKER_CONTAINER_LOG_LEVEL": str(self.log_level),
                "SAGEMAKER_REGION": str(session.boto_region_name),
            }
        definition = LocalContainerDefinition(
            image=self.image, model=folder, environment=environment, shm_size=session.shm_size
        )
        server = LocalServer(
            definition, port=session.serving_port, timeout_s=session.endpoint_timeout_s, keeps=(self.workspace,)
        )
        server.start()
        return server

    def _unpack(self, folder: Path, session: Any) -> None:
        folder.mkdir(exist_ok=True)
        data = self.model_data
        if data is None:
            return
        archive = self.workspace.path / "model.tar.gz"
        if data.startswith("s3://"):
            bucket, _, key = data.removeprefix("s3://").partition("/")
            session.s3_client.download_file(bucket, key, str(archive))
        else:
            archive = Path(data.removeprefix("file://"))
        with tarfile.open(archive) as packed:
            custom_extractall_tarfile(packed, str(folder))
