"""A serving container → a healthy server at a port of this machine, or why there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import urllib3

from sagemaker_custom.errors import LocalContainerError
from sagemaker_custom.sdk.local_containers import LocalContainer
from sagemaker_custom.sdk.serving import wait_until_healthy

_PING_TIMEOUT_S = 5.0


class LocalServer:
    """A serving container and where it is reached.

    Args:
        container: Publishes ``port``.
        host: The engine's.
        port: Of that host.
        timeout_s: For the container to answer its health check.
    """

    def __init__(self, container: LocalContainer, *, host: str, port: int, timeout_s: float) -> None:
        self.container = container
        self._timeout_s = timeout_s
        self.url = f"http://{host}:{port}"

    def start(self, primary_container: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Start it, and return when it is healthy.

        Raises:
            LocalContainerError: It ended, or was not healthy in time.
        """
        self.container.serve(_model_uri(primary_container), environment)
        project = self.container.project
        try:
            if project is not None:
                with urllib3.PoolManager(timeout=_PING_TIMEOUT_S, retries=False) as http:
                    wait_until_healthy(project, lambda: self._answers(http, "/ping"), timeout_s=self._timeout_s)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Return if it still runs.

        Raises:
            LocalContainerError: It has ended since it was healthy; with the last lines of its output.
        """
        project = self.container.project
        if project is not None and project.ended:
            raise LocalContainerError(
                f"the serving container has ended since; its last lines were\n{project.last_lines}",
                hint="delete_endpoint(), then deploy again",
            )

    def stop(self) -> None:
        """Stop and remove it; may be called again."""
        self.container.stop_serving()

    def execution_parameters(self) -> dict[str, Any]:
        """Return what the container wishes for batch transforms, if it says."""
        with (
            urllib3.PoolManager(timeout=_PING_TIMEOUT_S, retries=False) as http,
            # Servers without it may answer anything.
            suppress(urllib3.exceptions.HTTPError, ValueError),
        ):
            answer = http.request("GET", f"{self.url}/execution-parameters")
            if answer.status == 200:
                said = json.loads(answer.data)
                return {name: said[name] for name in ("BatchStrategy", "MaxPayloadInMB") if name in said}
        return {}

    def _answers(self, http: urllib3.PoolManager, path: str) -> bool:
        try:
            return http.request("GET", self.url + path).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def _model_uri(primary_container: Mapping[str, Any]) -> str | None:
    source = primary_container.get("ModelDataSource") or {}
    uri = primary_container.get("ModelDataUrl") or source.get("S3DataSource", {}).get("S3Uri")
    return str(uri) if uri else None
