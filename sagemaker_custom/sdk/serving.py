"""A container that serves → healthy at a port of this machine, or why not; for local mode of either SDK."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # the SDK brings it along

from sagemaker_custom.errors import LocalContainerError, UsageError

_PING_INTERVAL_S = 0.25
_PORT_TAKEN = ("port is already allocated", "address already in use")


class EngineInfo(Protocol):
    """What is asked of a Docker Engine."""

    @property
    def address(self) -> str:
        """URL of the engine, as ``DOCKER_HOST`` has it."""

    def info(self) -> dict[str, object]:
        """Return what ``docker info`` has."""


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
