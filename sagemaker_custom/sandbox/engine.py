"""A machine → a Docker Engine that answers, and the programs the sandbox runs; on Debian and Ubuntu they are installed.

``python -m sagemaker_custom.sandbox.engine`` prepares a machine and says what it found.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import docker
from docker.errors import DockerException

from sagemaker_custom.errors import EngineUnavailableError, SageMakerCustomError

logger = logging.getLogger(__name__)

ClientFactory = Callable[[], docker.DockerClient]
_START_TIMEOUT_S = 60.0
_LAST_LINES = 15
_ANSWER_TIMEOUT_S = 1800
_DAEMON_LOG = Path("/var/log/sagemaker-custom-dockerd.log")


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """An executable the sandbox runs, and where it comes from."""

    name: str
    """Looked up on ``PATH``."""
    packages: tuple[str, ...]
    """Debian packages that hold it; the first one that the release has is taken."""


DAEMON = Program(name="dockerd", packages=("docker.io",))
PROGRAMS = (
    Program(name="docker", packages=("docker-cli", "docker.io")),
    Program(name="docker-compose", packages=("docker-compose",)),
    Program(name="docker-registry", packages=("docker-registry",)),
    Program(name="mmdebstrap", packages=("mmdebstrap",)),
)


class Host(Protocol):
    """What preparing a machine does to it."""

    def can_install(self) -> bool:
        """Tell whether packages can be installed: root on Debian or Ubuntu."""

    def has(self, program: str) -> bool:
        """Tell whether ``program`` can be run."""

    def install(self, programs: Sequence[Program]) -> None:
        """Install what holds ``programs``.

        Raises:
            EngineUnavailableError: The package manager failed.
        """

    def start_daemon(self) -> str:
        """Start the Docker daemon, detached from this process; return where its log is."""

    def daemon_failure(self) -> str | None:
        """Return the daemon's last log lines when it has ended, ``None`` while it runs."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class LocalHost:
    """The machine this runs on."""

    def __init__(self, log: Path = _DAEMON_LOG) -> None:
        self._log = log
        self._daemon: subprocess.Popen[bytes] | None = None

    def can_install(self) -> bool:
        """Tell whether packages can be installed: root on Debian or Ubuntu."""
        return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None

    def has(self, program: str) -> bool:
        """Tell whether ``program`` can be run; the compose plugin of the docker command counts as docker-compose."""
        if shutil.which(program):
            return True
        return program == "docker-compose" and _succeeds("docker", "compose", "version")

    def install(self, programs: Sequence[Program]) -> None:
        """Install what holds ``programs`` with apt.

        Raises:
            EngineUnavailableError: apt failed; the message ends with what it said.
        """
        _apt("update")
        packages = sorted({_packaged(program) for program in programs})
        logger.info("installing %s", " ".join(packages))
        _apt("install", "--yes", "--no-install-recommends", "debian-archive-keyring", *packages)

    def start_daemon(self) -> str:
        """Start the Docker daemon by systemd where that runs, else as a detached process."""
        if Path("/run/systemd/system").is_dir():
            _succeeds("systemctl", "start", "docker")
            return "journalctl -u docker"
        with self._log.open("ab") as log:
            self._daemon = subprocess.Popen(
                ["dockerd"],  # noqa: S607  # the one on PATH is meant
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return str(self._log)

    def daemon_failure(self) -> str | None:
        """Return the daemon's last log lines when it has ended, ``None`` while it runs."""
        if self._daemon is None or self._daemon.poll() is None:
            return None
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:])

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def open_client() -> docker.DockerClient:
    """Connect to the engine that the environment names; patient, as committing and pushing gigabytes take their time.

    Raises:
        DockerException: None answers.
    """
    return docker.from_env(timeout=_ANSWER_TIMEOUT_S)


def ensure_engine(*, client_factory: ClientFactory = open_client, host: Host | None = None) -> docker.DockerClient:
    """Return a client of a running Docker Engine; install and start one where that is possible.

    Args:
        client_factory: Makes a client and fails when no engine answers.
        host: The machine to prepare; default: this one.

    Raises:
        EngineUnavailableError: No engine answers, and none could be started.
    """
    host = host or LocalHost()
    client, problem = _connect(client_factory)
    if client:
        return client
    if not host.can_install():
        raise EngineUnavailableError(
            f"no Docker Engine answers: {problem}",
            hint="install and start Docker (on Debian and Ubuntu: 'sudo apt-get install docker.io docker-compose "
            "docker-registry mmdebstrap', then 'sudo usermod -aG docker $USER' and log in again), "
            "or name a running engine in DOCKER_HOST",
        )
    if not host.has(DAEMON.name):
        host.install([DAEMON])
    client, problem = _connect(client_factory)
    return client or _started(client_factory, host)


def ensure_programs(programs: Sequence[Program] = PROGRAMS, *, host: Host | None = None) -> None:
    """Install those of ``programs`` that are missing.

    Raises:
        EngineUnavailableError: Some are missing, and cannot be installed from here.
    """
    host = host or LocalHost()
    missing = [program for program in programs if not host.has(program.name)]
    if not missing:
        return
    names = ", ".join(program.name for program in missing)
    if not host.can_install():
        packages = " ".join(program.packages[-1] for program in missing)
        raise EngineUnavailableError(
            f"the sandbox needs {names}",
            hint=f"install them; on Debian and Ubuntu: 'sudo apt-get install {packages}'",
        )
    host.install(missing)
    still = [program.name for program in missing if not host.has(program.name)]
    if still:
        raise EngineUnavailableError(
            f"{', '.join(still)} cannot be run, although the packages are installed", hint="look at PATH"
        )


def _connect(client_factory: ClientFactory) -> tuple[docker.DockerClient | None, str]:
    try:
        client = client_factory()
    except DockerException as error:
        return None, str(error)
    try:
        client.ping()
    except DockerException as error:
        client.close()
        return None, str(error)
    return client, ""


def _started(client_factory: ClientFactory, host: Host) -> docker.DockerClient:
    where = host.start_daemon()
    problem = ""
    for _ in range(int(_START_TIMEOUT_S * 2)):
        client, problem = _connect(client_factory)
        if client:
            return client
        failure = host.daemon_failure()
        if failure is not None:
            raise EngineUnavailableError(
                f"the Docker daemon ended at once; its last words:\n{failure}",
                hint=f"the whole log is in {where}; in a container, the daemon needs --privileged",
                log_path=where,
            )
        host.sleep(0.5)
    raise EngineUnavailableError(
        f"the Docker daemon was started, but does not answer after {_START_TIMEOUT_S:.0f} s: {problem}",
        hint=f"its log is in {where}",
        log_path=where,
    )


def _packaged(program: Program) -> str:
    known = (name for name in program.packages[:-1] if _succeeds("apt-cache", "show", "--quiet=2", name))
    return next(known, program.packages[-1])


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _apt(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    done = subprocess.run(
        ["apt-get", "--quiet=2", *arguments],  # noqa: S607  # the one on PATH is meant
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    if done.returncode:
        said = "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
        raise EngineUnavailableError(
            f"'apt-get {arguments[0]}' failed; it said:\n{said}",
            hint="repair what it names, or install Docker by hand and start it",
        )


def main() -> int:
    """Prepare this machine; print what is there.

    Returns:
        The exit code.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        client = ensure_engine()
        version = client.version()["Version"]
        client.close()
        ensure_programs()
    except SageMakerCustomError as error:
        logger.error("%s", error)  # noqa: TRY400  # the message is for people
        return error.exit_code
    logger.info("Docker Engine %s answers; %s are there", version, ", ".join(program.name for program in PROGRAMS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
