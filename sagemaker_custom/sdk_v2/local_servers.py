"""A serving container → a healthy server at a port of this machine, or why there is none."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # the SDK brings it along
import urllib3

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v2.compose import LocalContainerError
from sagemaker_custom.sdk_v2.local_containers import LocalContainer
from sagemaker_custom.sdk_v2.local_gpu import EngineInfo

_PING_INTERVAL_S = 0.25
_PING_TIMEOUT_S = 5.0
_PORT_TAKEN = ("port is already allocated", "address already in use")


class Serving(Protocol):
    """Containers that have been started to serve."""

    @property
    def ended(self) -> bool:
        """Whether a container, or what runs it, has ended."""

    @property
    def last_lines(self) -> str:
        """What they have said last."""


def wait_until_healthy(
    serving: Serving,
    ping: Callable[[], bool],
    *,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return as soon as a container answers its health check.

    Raises:
        LocalContainerError: It has ended, or does not answer in time; with the last lines of its output.
    """
    deadline = clock() + timeout_s
    while not ping():
        if serving.ended:
            said = serving.last_lines
            raise LocalContainerError(
                f"the serving container ended before it answered /ping; its last lines were\n{said}",
                hint="another container took the port meanwhile: try again with CustomLocalSession(serving_port=0)"
                if any(words in said for words in _PORT_TAKEN)
                else "mend what these lines tell; the whole output stands above",
            )
        if clock() >= deadline:
            raise LocalContainerError(
                f"the serving container did not answer /ping within {timeout_s:g} s; its last lines were\n"
                f"{serving.last_lines}",
                hint="if it needs longer to load the model: CustomLocalSession(endpoint_timeout_s=…)",
            )
        sleep(_PING_INTERVAL_S)


def host_of(engine: EngineInfo) -> str:
    """Return the host on which an engine publishes the ports of its containers.

    Raises:
        EngineUnavailableError: It does not answer.
    """
    if engine.info().get("CgroupDriver") == "none":
        # The rootless engine of SageMaker Studio is behind a bridge of its own.
        return "172.17.0.1"
    address = urlsplit(engine.address)
    return (address.hostname or "localhost") if address.scheme in {"tcp", "ssh"} else "localhost"


def choose_port(wanted: int, host: str) -> int:
    """Return the port to serve at.

    Args:
        wanted: 0 for any free one.
        host: Where it will be published; another machine's ports are not looked at.

    Raises:
        UsageError: Something listens there; says what.
    """
    if host != "localhost":
        return wanted
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", wanted))
        except OSError as error:
            raise UsageError(
                f"port {wanted} is taken by {_holder(wanted)}, and a local endpoint needs it",
                hint="stop that (delete_endpoint() of an earlier predictor), or take another port: "
                "CustomLocalSession(serving_port=8081), or 0 for any free one",
            ) from error
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    with suppress(OSError, subprocess.SubprocessError):
        listing = subprocess.run(
            ["docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}} ({{.Image}})"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        if listing.stdout.strip():
            return f"the container {listing.stdout.splitlines()[0]}"
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process of another user"


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
            suppress(urllib3.exceptions.HTTPError),
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
