"""What a local container needs → its service in Docker Compose's language; touches nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.compose import OWN_NETWORK

DEFAULT_SHM_SIZE = "2g"
"""Docker's own 64 MB are too little for the workers of a PyTorch ``DataLoader``; memory is only taken as it is used."""
DEFAULT_SERVING_PORT = 8080
SECRET_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
S3_ENDPOINT_NAME = "AWS_ENDPOINT_URL_S3"

_SIZE = re.compile(r"\d+(\.\d+)?([bkmg]b?)?", re.IGNORECASE)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_HOST_NAME = "host.docker.internal"
_CONTAINER_PORT = 8080


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalOptions:
    """What the user of a local session chose for its containers."""

    shm_size: str | None = None
    """Size of ``/dev/shm``; default: that of the SDK's ``container_config``, else :data:`DEFAULT_SHM_SIZE`."""
    endpoint_timeout_s: float = 600.0
    """How long a serving container may take until it answers ``/ping``."""
    serving_port: int | None = None
    """Port of this machine for endpoints; 0 for any free one; default: the SDK's configuration's, else 8080."""

    def __post_init__(self) -> None:
        """Check what was given.

        Raises:
            UsageError: A value cannot work.
        """
        if self.shm_size is not None and not _SIZE.fullmatch(self.shm_size):
            raise UsageError(f"shm_size={self.shm_size!r} is not a size", hint="write it as in '512m' or '2g'")
        if self.endpoint_timeout_s <= 0:
            raise UsageError(
                f"endpoint_timeout_s={self.endpoint_timeout_s!r} leaves no time", hint="give seconds, 600 for example"
            )
        if self.serving_port is not None and not 0 <= self.serving_port <= 65535:
            raise UsageError(f"serving_port={self.serving_port!r} is no port", hint="0 takes any that is free")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSpec:
    """One container of a local job or endpoint."""

    image: str
    command: str
    """``train``, ``process`` or ``serve``."""
    alias: str
    """Its name for the other containers."""
    mounts: tuple[str, ...]
    """``FOLDER:/PATH`` each."""
    environment: Mapping[str, Any]
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    shm_size: str | None = None
    gpu_device: Mapping[str, Any] | None = None
    serving_port: int = DEFAULT_SERVING_PORT
    in_studio: bool = False
    container_config: Mapping[str, Any]
    """The user's own, in Compose's language and read by its rules; ours comes over it, but for networks and hosts."""


def compose_service(spec: ServiceSpec) -> dict[str, Any]:
    """Return the service, with every value as the container shall get it and the AWS keys by name only."""
    reached_by = spec.environment.get(S3_ENDPOINT_NAME)
    environment = dict(spec.environment)
    if reached_by is not None:
        environment[S3_ENDPOINT_NAME] = reachable_url(str(reached_by))
    ours: dict[str, Any] = {
        "image": spec.image,
        "stdin_open": True,
        "tty": True,
        "volumes": list(spec.mounts),
        "environment": [name if name in SECRET_NAMES else f"{name}={value}" for name, value in environment.items()],
        **_program(spec),
        **_network(spec),
    }
    service = {**spec.container_config, **_without_interpolation(ours)}
    if reached_by is not None and _HOST_NAME in environment[S3_ENDPOINT_NAME]:
        service["extra_hosts"] = [*_as_list(service.get("extra_hosts")), f"{_HOST_NAME}:host-gateway"]
    if spec.shm_size is not None or not {"shm_size", "ipc"} & set(spec.container_config):
        service["shm_size"] = spec.shm_size or DEFAULT_SHM_SIZE
    if spec.gpu_device is not None:
        service["deploy"] = {"resources": {"reservations": {"devices": [{**spec.gpu_device}]}}}
    return service


def reachable_url(url: str) -> str:
    """Return an address of this machine as a container has to call it; others stay as they are."""
    parts = urlsplit(url)
    if parts.hostname not in _LOOPBACK:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=_HOST_NAME + port).geturl()


def _program(spec: ServiceSpec) -> dict[str, Any]:
    if spec.entrypoint:
        return {"entrypoint": [*spec.entrypoint, *spec.arguments]}
    if spec.command == "process":
        return {"command": list(spec.arguments)} if spec.arguments else {}
    return {"command": list(spec.arguments) or spec.command}


def _network(spec: ServiceSpec) -> dict[str, Any]:
    if spec.in_studio:
        # SageMaker Studio has one network for all that its users run, and no ports.
        return {"network_mode": "sagemaker"}
    others = spec.container_config.get("networks") or ()
    others = others if isinstance(others, Mapping) else dict.fromkeys(others)
    network: dict[str, Any] = {"networks": {**others, OWN_NETWORK: {"aliases": [spec.alias]}}}
    if spec.command == "serve":
        network["ports"] = [f"{spec.serving_port}:{_CONTAINER_PORT}"]
    return network


def _without_interpolation(value: Any) -> Any:
    """Double each ``$`` in all texts: Compose would take ``$WORD`` for one of its own variables."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: _without_interpolation(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [_without_interpolation(entry) for entry in value]
    return value


def _as_list(hosts: Any) -> list[str]:
    if isinstance(hosts, Mapping):
        return [f"{name}:{address}" for name, address in hosts.items()]
    return list(hosts or ())
