"""The docker SDK → :class:`~sagemaker_custom.builders.engine.Engine`, with errors that say what to do."""

from __future__ import annotations

import shutil
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import docker.utils
from docker.context import ContextAPI

from sagemaker_custom.builders.context_archive import context_archive
from sagemaker_custom.builders.engine import BuildContext, EngineImage, OnLine
from sagemaker_custom.builders.failures import (
    disk_full,
    is_disk_full,
    pull_failure,
    push_failure,
    translated,
    unavailable,
)
from sagemaker_custom.builders.log import LineSplitter
from sagemaker_custom.builders.transfers import follow
from sagemaker_custom.errors import BuildError, SageMakerCustomError
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest, ImageReference, RegistryCredentials

if TYPE_CHECKING:
    from docker import DockerClient

_UNIX = "unix://"
_DEFAULT_ADDRESS = f"{_UNIX}/var/run/docker.sock"
# Seconds of silence on one connection: a push is silent while the engine compresses a large layer.
_SILENCE_TIMEOUT_S = 1800
_MIB = 1024 * 1024


def engine_address(environment: Mapping[str, str]) -> str:
    """Return where the ``docker`` command would look for its engine: ``DOCKER_HOST``, else its current context."""
    if environment.get("DOCKER_HOST"):
        return environment["DOCKER_HOST"]
    try:
        context = ContextAPI.get_current_context()
    except (docker.errors.DockerException, OSError, ValueError):
        return _DEFAULT_ADDRESS
    host = getattr(context, "Host", None)
    return str(host).replace("http+unix://", "unix://") if host else _DEFAULT_ADDRESS


def open_client(address: str, environment: Mapping[str, str]) -> DockerClient:
    """Connect to the engine at ``address``, with TLS as ``DOCKER_TLS_VERIFY`` and ``DOCKER_CERT_PATH`` say.

    Raises:
        OSError: Nothing listens there, or this user may not speak to it.
        DockerException: It does not answer as an engine does.
    """
    if address.startswith(_UNIX):
        # The SDK would hide the reason in its message, and leave the socket open.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(address.removeprefix(_UNIX))
    tls = docker.utils.kwargs_from_env(environment={**environment, "DOCKER_HOST": address}).get("tls")
    return docker.DockerClient(
        base_url=address, tls=tls or False, timeout=_SILENCE_TIMEOUT_S, use_ssh_client=address.startswith("ssh:")
    )


class DockerEngine:
    """A Docker Engine, connected when it is first asked something.

    Args:
        connect: Makes the client.
        address: Where it connects to, for messages and for the docker command.
    """

    def __init__(self, connect: Callable[[], DockerClient], *, address: str = _DEFAULT_ADDRESS) -> None:
        self._connect = connect
        self._address = address
        self._client: DockerClient | None = None

    @property
    def address(self) -> str:
        """URL of the engine, as ``DOCKER_HOST`` has it."""
        return self._address

    def close(self) -> None:
        """Close the connections."""
        if self._client:
            self._client.close()
            self._client = None

    def ping(self) -> None:
        """Check that the engine answers.

        Raises:
            EngineUnavailableError: It does not; says why and what to do.
        """
        with self._translated("connecting to it"):
            self._docker.ping()

    def version(self) -> str:
        """Return the engine's version."""
        with self._translated("asking for its version"):
            return str(self._docker.version()["Version"])

    def info(self) -> dict[str, object]:
        """Return what ``docker info`` has: storage driver, data folder, runtimes."""
        with self._translated("asking how it is set up"):
            return dict(self._docker.info())

    def free_space(self) -> str:
        """Say where the engine keeps its images and, where that can be seen from here, how much is free."""
        root = "its data folder"
        with suppress(SageMakerCustomError, docker.errors.DockerException, OSError):
            root = str(self._docker.info()["DockerRootDir"])
            return f"{root}, {shutil.disk_usage(root).free // _MIB} MiB free"
        return root

    def find_image(self, name: str) -> EngineImage | None:
        """Return an image by its id or a reference; ``None`` when the engine does not have it."""
        with self._translated(f"looking for {name}"):
            try:
                return _image(self._docker.images.get(name).attrs)
            except docker.errors.ImageNotFound:
                return None

    def find_digest(self, digest: Digest) -> EngineImage | None:
        """Return an image by its manifest's digest, whatever it is called here."""
        with self._translated(f"looking for {digest}"):
            known = self._docker.api.images()
        ids = (item["Id"] for item in known if any(d.endswith(f"@{digest}") for d in item.get("RepoDigests") or ()))
        found = next(ids, None)
        return self.find_image(found) if found else None

    def pull(
        self,
        reference: ImageReference,
        *,
        platform: str,
        credentials: RegistryCredentials | None,
        progress: Progress,
    ) -> EngineImage:
        """Pull an image; see :meth:`Engine.pull`."""
        task = progress.task(f"pulling {reference.repository}")
        with self._translated(f"pulling {reference}"):
            try:
                events = self._docker.api.pull(
                    reference.name,
                    tag=reference.locator,
                    platform=platform,
                    auth_config=_auth(credentials),
                    stream=True,
                    decode=True,
                )
                with closing(events):
                    failure = follow(events, task)
            except docker.errors.APIError as error:
                failure = error.explanation or str(error)
        if failure:
            raise self._full(failure, f"pulling {reference}") or pull_failure(failure, reference)
        image = self.find_image(str(reference))
        if image is None:
            raise BuildError(f"{reference} was pulled, but the Docker Engine does not have it", hint="pull it again")
        return image

    def push(self, reference: ImageReference, *, credentials: RegistryCredentials | None, progress: Progress) -> None:
        """Push an image under the tag that it has here; see :meth:`Engine.push`."""
        task = progress.task(f"pushing {reference.repository}")
        with self._translated(f"pushing {reference}"):
            try:
                events = self._docker.api.push(
                    reference.name, tag=reference.tag, auth_config=_auth(credentials), stream=True, decode=True
                )
                # The engine goes on pushing until the connection is closed, also after Ctrl-C.
                with closing(events):
                    failure = follow(events, task)
            except docker.errors.APIError as error:
                failure = error.explanation or str(error)
        if failure:
            raise self._full(failure, f"pushing {reference}") or push_failure(failure, reference)

    def tag(self, image_id: str, reference: ImageReference) -> None:
        """Give an image a name."""
        with self._translated(f"tagging {reference}"):
            self._docker.api.tag(image_id, reference.name, tag=reference.tag)

    def untag(self, reference: ImageReference) -> None:
        """Take a name away; nothing happens where there is none."""
        with self._translated(f"removing the tag {reference}"), suppress(docker.errors.ImageNotFound):
            # noprune keeps the layers beneath, which are the cache of the engine's own builder.
            self._docker.api.remove_image(str(reference), noprune=True)

    def discard(self, image_id: str) -> None:
        """Remove an image unless it has a name, or something was built on it."""
        image = self.find_image(image_id)
        if image is None or image.tags:
            return
        with self._translated(f"removing {image_id}"):
            try:
                self._docker.api.remove_image(image_id, noprune=True)
            except docker.errors.APIError as error:
                if error.status_code not in {404, 409}:
                    raise

    def run(self, image_id: str, command: Sequence[str], *, on_line: OnLine, timeout_s: float) -> int:
        """Run ``command`` in a new container; see :meth:`Engine.run`."""
        with self._translated("running a command in the built image"):
            container = self._docker.containers.create(
                image_id, entrypoint=list(command), command=[], network_mode="none", stdin_open=False, tty=False
            )
            try:
                return self._finished(container, on_line, timeout_s)
            finally:
                # Kills it as well; reached by Ctrl-C too.
                container.remove(force=True, v=True)

    def build(self, context: BuildContext, *, on_line: OnLine) -> Digest:
        """Build with the engine's own builder; see :meth:`Engine.build`."""
        with self._translated("building"), context_archive(context) as archive:
            events = self._docker.api.build(
                fileobj=archive,
                custom_context=True,
                dockerfile=context.dockerfile,
                buildargs=dict(context.build_args),
                target=context.target or "",
                platform=context.platform,
                labels=dict(context.labels),
                nocache=context.no_cache,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=None,
            )
            with closing(events):
                built, failure = _follow_build(events, on_line)
        if failure or built is None:
            text = failure or "the engine did not say which image it built"
            raise self._full(text, "building") or BuildError(f"a step of the build failed: {text}")
        return built

    @property
    def _docker(self) -> DockerClient:
        if self._client is None:
            self._client = self._connected()
        return self._client

    def _connected(self) -> DockerClient:
        try:
            return self._connect()
        except (docker.errors.DockerException, OSError, ValueError) as error:
            raise unavailable(error, self._address) from error

    def _translated(self, what: str) -> AbstractContextManager[None]:
        return translated(what, address=self._address, place=self.free_space)

    def _full(self, text: str, what: str) -> SageMakerCustomError | None:
        return disk_full(what, self.free_space()) if is_disk_full(text) else None

    @staticmethod
    def _finished(container: Any, on_line: OnLine, timeout_s: float) -> int:
        late = threading.Event()

        def stop() -> None:
            late.set()
            with suppress(docker.errors.APIError):
                container.kill()

        timer = threading.Timer(timeout_s, stop)
        container.start()
        timer.start()
        try:
            _follow_logs(container, on_line)
            exit_code = int(container.wait()["StatusCode"])
        finally:
            timer.cancel()
        if late.is_set():
            raise TimeoutError(f"still running after {timeout_s:g} s")
        return exit_code


def _follow_logs(container: Any, on_line: OnLine) -> None:
    lines = LineSplitter(on_line)
    pieces = container.logs(stream=True, follow=True, stdout=True, stderr=True)
    try:
        for piece in pieces:
            lines.feed(piece)
        lines.close()
    except BaseException:
        with suppress(docker.errors.APIError):
            container.kill()
        # Only a stream that was read to its end gives its connection back; the SDK's close() leaves it open.
        deque(pieces, maxlen=0)
        raise


def _image(document: Mapping[str, Any]) -> EngineImage:
    config = document.get("Config") or {}
    return EngineImage(
        id=Digest(document["Id"]),
        labels=dict(config.get("Labels") or {}),
        tags=tuple(document.get("RepoTags") or ()),
        digests=tuple(document.get("RepoDigests") or ()),
        user=_user(config.get("User") or ""),
        layers=tuple((document.get("RootFS") or {}).get("Layers") or ()),
    )


def _user(text: str) -> str:
    return "" if text.partition(":")[0] in {"root", "0"} else text


def _auth(credentials: RegistryCredentials | None) -> dict[str, str] | None:
    return {"username": credentials.username, "password": credentials.password} if credentials else None


def _follow_build(events: Any, on_line: OnLine) -> tuple[Digest | None, str | None]:
    built: Digest | None = None
    failure: str | None = None
    lines = LineSplitter(on_line)
    for event in events:
        lines.feed(str(event.get("stream", "")).encode())
        if "error" in event:
            failure = str(event["error"])
        elif "ID" in (event.get("aux") or {}):
            built = Digest(event["aux"]["ID"])
    lines.close()
    return built, failure
