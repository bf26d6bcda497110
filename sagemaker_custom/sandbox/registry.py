"""A folder → a real OCI registry on a loopback port, as long as the context lasts."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import requests

from sagemaker_custom.errors import RegistryUnavailableError

_CONFIGURATION: Final = """\
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  delete: {enabled: true}
  filesystem: {rootdirectory: storage}
http: {addr: "127.0.0.1:0"}
"""
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_ATTEMPTS = 3


class LocalRegistry:
    """The program ``docker-registry``, run as a child process.

    What is pushed stays in the folder, so that the next registry on it has it at once.
    """

    def __init__(self, folder: Path, *, executable: str = "docker-registry") -> None:
        """Name the folder; nothing runs yet.

        Args:
            folder: Where images, configuration and log are kept; created when it is missing.
            executable: The distribution project's registry.
        """
        self._folder = folder
        self._executable = executable
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> LocalRegistry:
        """Start, and wait until the registry answers.

        Raises:
            RegistryUnavailableError: It cannot be run, or does not answer.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        remembered = self._folder / "port"
        for _ in range(_ATTEMPTS):
            # An engine remembers by host and port which layers a registry has: another port would cost it
            # minutes of compression. Somebody can take the port before the registry does; then another is tried.
            self._port = _free_port(preferred=_number(remembered))
            self._start()
            if self._answers():
                remembered.write_text(str(self._port), encoding="utf-8")
                return self
            self.close()
        raise RegistryUnavailableError(
            f"{self._executable} does not answer on a loopback port", hint=f"its log is in {self._log}"
        )

    def __exit__(self, *exc_info: object) -> None:
        """Stop the registry; the folder stays."""
        self.close()

    @property
    def address(self) -> str:
        """Host and port, as an image reference has them."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """``http://`` and :attr:`address`; Docker Engines take loopback registries without TLS."""
        return f"http://{self.address}"

    def close(self) -> None:
        """Stop the process."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def _log(self) -> Path:
        return self._folder / "registry.log"

    def _start(self) -> None:
        configuration = self._folder / "registry.yml"
        configuration.write_text(_CONFIGURATION, encoding="utf-8")
        # REGISTRY_* variables override the file: other people's have to go, and ours say what differs each time.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
        environment |= {
            "OTEL_TRACES_EXPORTER": "none",
            "REGISTRY_HTTP_ADDR": self.address,
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(self._folder.absolute() / "storage"),
        }
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [self._executable, "serve", str(configuration)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )
        except OSError as error:
            raise RegistryUnavailableError(
                f"{self._executable} cannot be run: {error}",
                hint="install it (Debian, Ubuntu: docker-registry), or run 'python -m sagemaker_custom.sandbox.engine'",
            ) from error

    def _answers(self) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT_S
        with requests.Session() as session:
            session.trust_env = False
            while self._process and self._process.poll() is None and time.monotonic() < deadline:
                try:
                    if session.get(f"{self.url}/v2/", timeout=2).ok:
                        return True
                except requests.RequestException:
                    time.sleep(0.05)
        return False


def _number(file: Path) -> int:
    """Return the port that ``file`` names; 0, which means any, when it names none."""
    try:
        port = int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return port if 1023 < port <= 65535 else 0


def _free_port(*, preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as listener:
            # As the registry does it: connections of the last one that still wait to vanish are no reason to move.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(listener.getsockname()[1])
    raise RegistryUnavailableError("no loopback port is free", hint="end processes that listen on 127.0.0.1")
