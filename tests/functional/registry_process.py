"""Starts Debian's ``docker-registry`` on a free port of the loopback interface."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from sagemaker_custom.reference import RegistryCredentials

_START_TIMEOUT_S = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningRegistry:
    """A registry process."""

    host: str
    """Address and port, as references write it."""
    root: Path
    """What it stores."""

    @property
    def url(self) -> str:
        return f"http://{self.host}"


@contextmanager
def running_registry(folder: Path, *, login: RegistryCredentials | None = None) -> Iterator[RunningRegistry]:
    """Run a registry that keeps its content in ``folder``; fails the test where there is none to run.

    Args:
        folder: Empty.
        login: The only user who gets in; ``None`` lets everybody in.
    """
    binary = shutil.which("docker-registry")
    if binary is None:
        pytest.fail("docker-registry is not installed: run 'python -m sagemaker_custom.sandbox.engine'")
    registry = RunningRegistry(host=f"127.0.0.1:{free_port()}", root=folder)
    configuration = folder / "config.yml"
    # JSON is YAML, too.
    configuration.write_text(json.dumps(_configuration(registry, login)), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, "serve", str(configuration)], stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(registry, process)
            yield registry
        finally:
            process.terminate()
            process.wait(timeout=_START_TIMEOUT_S)


def _configuration(registry: RunningRegistry, login: RegistryCredentials | None) -> dict[str, object]:
    storage = {"filesystem": {"rootdirectory": str(registry.root / "data")}, "delete": {"enabled": True}}
    configuration: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": storage,
        "http": {"addr": registry.host},
    }
    if login:
        import bcrypt

        users = registry.root / "htpasswd"
        hashed = bcrypt.hashpw(login.password.encode(), bcrypt.gensalt(rounds=4)).decode()
        users.write_text(f"{login.username}:{hashed}\n", encoding="utf-8")
        configuration["auth"] = {"htpasswd": {"realm": "test", "path": str(users)}}
    return configuration


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(registry: RunningRegistry, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{registry.url}/v2/", timeout=1).close()
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    log = (registry.root / "log").read_text(encoding="utf-8", errors="replace")
    pytest.fail(f"docker-registry did not start: {log[-2000:]}")
