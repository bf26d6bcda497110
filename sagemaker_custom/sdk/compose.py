"""Services of a local run → their containers by Docker Compose, what these say, and nothing left of them at the end."""

from __future__ import annotations

import atexit
import logging
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from sagemaker_custom.errors import EngineUnavailableError

logger = logging.getLogger(__name__)

OWN_NETWORK = "sagemaker-local"
"""What services call the network that is made for their project alone."""

_VERSION_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 1
_DOWN_TIMEOUT_S = 120
_DOWN = ("down", "--volumes", "--remove-orphans", "--timeout", str(_STOP_TIMEOUT_S))
_LAST_LINES = 40
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HTTP_TIMEOUT = {"COMPOSE_HTTP_TIMEOUT": "120"}
"""The old program's own minute is short for an engine that creates a container from a large image."""


def compose_command() -> list[str]:
    """Return the command that runs Docker Compose: the plugin from version 2 on, else ``docker-compose``.

    Raises:
        EngineUnavailableError: There is neither.
    """
    if _plugin_major() >= 2:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise EngineUnavailableError(
        "local mode needs Docker Compose, and there is none",
        hint="install the package docker-compose-plugin (or docker-compose), then try 'docker compose version'",
    )


def _plugin_major() -> int:
    try:
        answer = subprocess.run(
            ["docker", "compose", "version", "--short"],  # noqa: S607 - whatever docker the user has
            capture_output=True,
            text=True,
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.match(r"v?(\d+)\.", answer.stdout.strip())
    return int(match[1]) if answer.returncode == 0 and match else 0


class ComposeProject:
    """Containers with a network of their own, under a name that nobody else has.

    They go when :meth:`remove` is called, when the process ends, and also when it is killed.

    Args:
        command: As :func:`compose_command` returns it.
        services: By name, in Compose's own language.
        folder: Of this run alone, for the Compose file; removed too when the process is killed.
        other_folders: Which are removed then as well.
        secret_environment: Environment that services take over by name, so that no file has the values.
    """

    def __init__(
        self,
        command: Sequence[str],
        services: Mapping[str, Any],
        *,
        folder: Path,
        secret_environment: Mapping[str, str],
        other_folders: Sequence[Path] = (),
    ) -> None:
        self.name = f"sagemaker-custom-{secrets.token_hex(6)}"
        self._file = folder / "docker-compose.yaml"
        self._compose = [*command, "-p", self.name, "-f", str(self._file)]
        self._secrets = secret_environment
        self._folders = [str(folder), *map(str, other_folders)]
        self._tail: deque[str] = deque(maxlen=_LAST_LINES)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._echoes = True
        self._owner = os.getpid()
        content: dict[str, Any] = {"services": dict(services)}
        networks = {name for service in services.values() for name in service.get("networks", ())}
        if networks:
            # Those that the user names are there already, and stay.
            content["networks"] = {name: {} if name == OWN_NETWORK else {"external": True} for name in sorted(networks)}
        if command[-1] == "docker-compose":
            # Releases of before 2020 take a file without it for one of the first format; the plugin warns about it.
            content["version"] = "2.3"
        with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            yaml.safe_dump(content, file, default_flow_style=False)

    @property
    def ended(self) -> bool:
        """Whether a container, or Compose itself, has ended."""
        return self._process is not None and self._process.poll() is not None

    @property
    def last_lines(self) -> str:
        """What the containers and Compose have said last, without colours and without the AWS keys."""
        if self._reader is not None and self.ended:
            self._reader.join(_STOP_TIMEOUT_S)
        text = "\n".join(f"  {_COLOUR.sub('', line)}" for line in self._tail)
        for name, value in self._secrets.items():
            text = text.replace(value, f"<{name}>")
        return text

    def start(self) -> None:
        """Start the containers; their output goes to ``sys.stdout`` as it comes.

        Raises:
            EngineUnavailableError: Compose cannot be run.
        """
        self._launch()
        self._reader = threading.Thread(target=self._follow, daemon=True, name=self.name)
        self._reader.start()

    def run(self) -> int:
        """Start the containers and follow them until the first one ends; return Compose's exit code."""
        process = self._launch()
        self._follow()
        return process.wait()

    def remove(self) -> None:
        """Stop and remove what is there of containers, network and Compose file; may be called again."""
        if self._process is None or os.getpid() != self._owner:
            return
        self._echoes = False
        if self._process.poll() is None:
            # Compose's own way to stop takes ten seconds, and two that stop the same containers stumble.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._reader is not None:
            self._reader.join(_DOWN_TIMEOUT_S)
        self._down()
        self._file.unlink(missing_ok=True)
        self._dismiss_guard()
        self._process = None
        atexit.unregister(self.remove)

    def _launch(self) -> subprocess.Popen[bytes]:
        self._guard = self._start_guard()
        logger.info("starting the containers of %s", self.name)
        try:
            self._process = subprocess.Popen(
                [*self._compose, "up", "--abort-on-container-exit"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**_HTTP_TIMEOUT, **os.environ, **self._secrets},
                # Ctrl-C in a terminal reaches a whole group: an endpoint shall outlive it, a training is ended by us.
                start_new_session=True,
            )
        except OSError as error:
            self._dismiss_guard()
            raise EngineUnavailableError(
                f"Docker Compose cannot be run: {error}", hint="try 'docker compose version'"
            ) from error
        atexit.register(self.remove)
        return self._process

    def _start_guard(self) -> subprocess.Popen[bytes]:
        """Start what removes everything when this process is gone, which its end of a pipe tells."""
        # A word is written when all is removed; the end of the pipe without one means that we were killed.
        script = f'read -r done || {{ "$@"; rm -rf {shlex.join(self._folders)}; }}'
        return subprocess.Popen(
            ["sh", "-c", script, "sh", *self._compose, *_DOWN],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _dismiss_guard(self) -> None:
        if self._guard is not None:
            with suppress(BrokenPipeError):
                self._guard.communicate(b"done\n")
            self._guard = None

    def _follow(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with process.stdout as output:
            for piece in output:
                line = piece.decode("utf-8", "replace")
                self._tail.append(line.rstrip())
                if self._echoes:
                    # A notebook or a test may have closed its own output in the meantime.
                    with suppress(ValueError, OSError):
                        sys.stdout.write(line)
                        sys.stdout.flush()

    def _down(self) -> None:
        try:
            answer = subprocess.run(
                [*self._compose, *_DOWN],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_DOWN_TIMEOUT_S,
                env={**_HTTP_TIMEOUT, **os.environ},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("containers of %s may be left: %s", self.name, error)
            return
        if answer.returncode != 0:
            logger.warning("containers of %s may be left: %s", self.name, answer.stderr.strip())
