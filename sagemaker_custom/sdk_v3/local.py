"""Local mode on the SDK v3: a session that asks AWS for nothing, and endpoints that are containers of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import docker.errors
import urllib3
from sagemaker.core.local.local_session import LocalSession

from sagemaker_custom.builders.docker_engine import open_client
from sagemaker_custom.errors import EngineUnavailableError, UsageError
from sagemaker_custom.sdk.serving import choose_port, host_of, wait_until_healthy
from sagemaker_custom.wiring import DEFAULT_LOCAL_REGION, Parts

DEFAULT_SERVING_PORT = 8080
_CONTAINER_PORT = 8080
_LAST_LINES = 40
_PING_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 80.0
"""What AWS gives a container for an answer, and a little more."""
_HEADERS = {
    "Content-Type": "ContentType",
    "Accept": "Accept",
    "X-Amzn-SageMaker-Custom-Attributes": "CustomAttributes",
}
_SHM_SIZE = "2g"


class CustomLocalSession(LocalSession):  # type: ignore[misc]  # the SDK has no types
    """The SDK v3's ``LocalSession``, which needs neither region nor credentials to be made.

    Args:
        boto_session: Default: the environment's.
        *args: Of the SDK's class.
        endpoint_timeout_s: How long a serving container may take until it is healthy.
        serving_port: Of this machine, for endpoints; 0 takes any free one; default: 8080.
        shm_size: Of ``/dev/shm`` in serving containers; for training the SDK v3 has no such choice.
        **kwargs: Every other argument of the SDK's class.
    """

    def __init__(
        self,
        boto_session: boto3.Session | None = None,
        *args: Any,
        endpoint_timeout_s: float = 600.0,
        serving_port: int | None = None,
        shm_size: str | None = None,
        **kwargs: Any,
    ) -> None:
        session: Any = boto_session or boto3.Session()
        if session.region_name is None:
            session = boto3.Session(region_name=DEFAULT_LOCAL_REGION)
        self.endpoint_timeout_s = endpoint_timeout_s
        self.serving_port = DEFAULT_SERVING_PORT if serving_port is None else serving_port
        self.shm_size = shm_size or _SHM_SIZE
        super().__init__(session, *args, **kwargs)


def clean_up(folder: Path) -> None:
    """Remove what the SDK leaves of a job: its containers, and a file for Docker Compose with AWS keys in it.

    Args:
        folder: Where it ran; Compose calls the containers after it.
    """
    (folder / "docker-compose.yaml").unlink(missing_ok=True)
    label = f"com.docker.compose.project={folder.name}"
    with (
        suppress(docker.errors.DockerException, OSError),
        closing(Parts().engine) as engine,
        closing(open_client(engine.address, {})) as client,
    ):
        for container in client.containers.list(all=True, filters={"label": label}):
            container.remove(force=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalContainerDefinition:
    """What runs, and with what."""

    image: str
    model: Path
    """Folder that becomes ``/opt/ml/model``."""
    environment: Mapping[str, str]
    shm_size: str = _SHM_SIZE


class LocalServer:
    """A serving container, and what is asked of a runtime client; without the SDK's, which always pulls the image.

    Args:
        definition: What runs.
        port: Of this machine; 0 for any free one.
        timeout_s: For the container to answer its health check.
        keeps: What must not be collected while it runs: its folders.
    """

    def __init__(
        self, definition: LocalContainerDefinition, *, port: int, timeout_s: float, keeps: tuple[object, ...] = ()
    ) -> None:
        self._keeps = keeps
        self._definition = definition
        self._timeout_s = timeout_s
        with closing(Parts().engine) as engine:
            self._address, host = engine.address, host_of(engine)
        self._port = choose_port(port, host)
        self.url = f"http://{host}:{self._port}"
        self._container: Any = None

    def start(self) -> None:
        """Start it, and return when it is healthy.

        Raises:
            LocalContainerError: It ended, or was not healthy in time.
            EngineUnavailableError: It could not be started.
        """
        # Folders of this machine are mounted, so that the engine is on it, and needs no TLS.
        client = open_client(self._address, {})
        definition = self._definition
        try:
            self._container = client.containers.run(
                definition.image,
                "serve",
                detach=True,
                environment=dict(definition.environment),
                ports={f"{_CONTAINER_PORT}/tcp": self._port},
                shm_size=definition.shm_size,
                volumes={str(definition.model): {"bind": "/opt/ml/model", "mode": "rw"}},
            )
            with urllib3.PoolManager(timeout=_PING_TIMEOUT_S, retries=False) as http:
                wait_until_healthy(self, lambda: self._is_healthy(http), timeout_s=self._timeout_s)
        except docker.errors.DockerException as error:
            self.stop()
            raise EngineUnavailableError(
                f"the container of {definition.image} could not be started: {error}",
                hint="'docker images' lists what there is; deploy() builds what is missing",
            ) from error
        except BaseException:
            self.stop()
            raise

    @property
    def ended(self) -> bool:
        """Whether the container has ended."""
        self._container.reload()
        return self._container.status in {"exited", "dead"}

    @property
    def last_lines(self) -> str:
        """What it has said last."""
        return str(self._container.logs(tail=_LAST_LINES).decode(errors="replace"))

    def stop(self) -> None:
        """Stop and remove it; may be called again."""
        container, self._container, self._keeps = self._container, None, ()
        if container is not None:
            with suppress(docker.errors.NotFound):
                container.remove(force=True)
            container.client.close()

    def invoke_endpoint(self, **request: Any) -> dict[str, Any]:
        """Answer as the runtime client of boto3 does.

        Args:
            **request: By the API's names; what is about several variants or models one container has no use for.

        Raises:
            UsageError: The container refuses the request; with what it says.
        """
        headers = {header: request.get(name) for header, name in _HEADERS.items()}
        with urllib3.PoolManager(timeout=_ANSWER_TIMEOUT_S, retries=False) as http:
            answer = http.request(
                "POST",
                f"{self.url}/invocations",
                body=request["Body"],
                headers={name: value for name, value in headers.items() if value},
                preload_content=False,
            )
            data = answer.read()
        if answer.status != 200:
            raise UsageError(
                f"the container answered {answer.status}: {data.decode(errors='replace')}",
                hint="its log has more: docker logs",
            )
        return {"Body": _Body(data), "ContentType": answer.headers.get("Content-Type", "")}

    def _is_healthy(self, http: urllib3.PoolManager) -> bool:
        try:
            return http.request("GET", f"{self.url}/ping").status == 200
        except urllib3.exceptions.HTTPError:
            return False


class _Body:
    """The stream that deserializers read."""

    def __init__(self, data: bytes) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=1 << 24)  # noqa: SIM115 - closed by close()
        self._file.write(data)
        self._file.seek(0)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()

    def iter_lines(self) -> Any:
        return iter(self._file)
