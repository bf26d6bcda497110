"""What the docker SDK raises and what the engine says in its streams → this package's errors."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker.errors
import requests

from sagemaker_custom.builders.engine import EngineImage
from sagemaker_custom.errors import (
    BaseImageError,
    BuildError,
    DiskFullError,
    EngineUnavailableError,
    RegistryAccessDeniedError,
    RegistryError,
    RegistryUnavailableError,
    SageMakerCustomError,
)
from sagemaker_custom.reference import ImageReference

_DENIED = ("denied", "unauthorized", "no basic auth", "authentication required", "forbidden", "not authorized")
_ABSENT = ("not found", "manifest unknown", "name unknown", "no such image", "does not exist")
_TLS = ("x509:", "http response to https client")
_NETWORK = (
    "dial tcp",
    "lookup ",
    "timeout",
    "timed out",
    "connection re",
    "eof",
    "broken pipe",
    "unexpected http status: 5",
)


def check_built_on(base: EngineImage, built: EngineImage, name: ImageReference) -> None:
    """Make sure that an image was built on the base that was meant: a Dockerfile names it by a tag, which can move.

    Raises:
        BuildError: It was not.
    """
    if built.layers[: len(base.layers)] != base.layers:
        raise BuildError(
            f"the image was not built on {base.id}: the Docker Engine had another image under {name} by then",
            hint="somebody else on this machine has pulled or tagged that one at the same time: build again",
        )


def is_disk_full(text: str) -> bool:
    """Tell whether a message of the engine or of a tool says that the disk is full."""
    return "no space left on device" in text.lower()


def wrong_hash(log: str) -> str | None:
    """Return a hint for a build whose log says that pip got another file than the one that was asked for."""
    if "DO NOT MATCH THE HASHES" not in log:
        return None
    return "the index, or something between, has another file under this name than the lock: do not install it"


def disk_full(what: str, place: str) -> DiskFullError:
    """Return the error for a full disk.

    Args:
        what: What was being done.
        place: Where the engine keeps its images, and how much is free there.
    """
    return DiskFullError(
        f"no space left on the disk of the Docker Engine while {what} ({place})",
        hint="free some with 'docker system prune' (images that no container uses: 'docker system prune --all'), "
        "or move the engine's data to a larger disk",
    )


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Let a full disk of this machine out as our error, wherever it was met."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        raise DiskFullError(
            f"no space left on this machine's disk{where}",
            hint="free some, in the cache (setting cache_dir) and for temporary files (variable TMPDIR), "
            "or let them name folders on a larger disk",
        ) from error


def unavailable(error: BaseException, address: str) -> EngineUnavailableError:
    """Return the error for an engine that does not answer."""
    causes = tuple(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EngineUnavailableError(
            f"this user may not speak to the Docker Engine at {address}: permission denied",
            hint="join the group that may ('sudo usermod -aG docker $USER', then log in again), or use sudo",
        )
    if not address.startswith(("unix:", "npipe:")):
        return EngineUnavailableError(
            f"the Docker Engine at {address} cannot be reached: {causes[-1]}",
            hint="check DOCKER_HOST, or unset it to use the engine of this machine",
        )
    if shutil.which("docker") is None and any(isinstance(cause, FileNotFoundError) for cause in causes):
        return EngineUnavailableError(
            f"Docker is not installed: there is no docker command and no engine at {address}",
            hint="install Docker Engine or Docker Desktop, or name an engine elsewhere in DOCKER_HOST",
        )
    return EngineUnavailableError(
        f"the Docker Engine at {address} is not running: {causes[-1]}",
        hint="start Docker ('sudo systemctl start docker', or Docker Desktop); if it runs elsewhere, set DOCKER_HOST",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what lies beneath; urllib3 and requests keep that in their arguments."""
    yield error
    beneath = [item for item in (*error.args, error.__cause__, error.__context__) if isinstance(item, BaseException)]
    if beneath:
        yield from _causes(beneath[0])


@contextmanager
def translated(what: str, *, address: str, place: Callable[[], str]) -> Iterator[None]:
    """Let only our errors out.

    Args:
        what: What is being done, for messages.
        address: Of the engine.
        place: Says where its images are.
    """
    try:
        yield
    except docker.errors.APIError as error:
        text = error.explanation or str(error)
        raise disk_full(what, place()) if is_disk_full(text) else _refusal(text, what) from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise unavailable(error, address) from error


def _refusal(text: str, what: str) -> BuildError:
    return BuildError(f"the Docker Engine refused while {what}: {text}")


def pull_failure(text: str, reference: ImageReference) -> SageMakerCustomError:
    """Return the error for a pull that the engine gave up."""
    lower = text.lower()
    # Denied before absent: the engine says "does not exist or may require 'docker login': denied".
    if any(word in lower for word in _DENIED):
        return base_denied(reference, text)
    if any(word in lower for word in _TLS):
        return _no_tls(f"the Docker Engine could not pull {reference}: {text}", reference)
    if any(word in lower for word in _NETWORK):
        return RegistryUnavailableError(
            f"the Docker Engine could not pull {reference}: {text}",
            hint=f"check that the engine's machine reaches {reference.registry}, and try again"
            if reference.registry
            else f"the engine has no image {reference} and asked Docker Hub: build or load it there, or name its host",
        )
    if any(word in lower for word in _ABSENT):
        return base_absent(reference)
    return BaseImageError(f"the Docker Engine could not pull {reference}: {text}")


def base_absent(reference: ImageReference) -> BaseImageError:
    """Return the error for a base image that the registry does not have."""
    if reference.registry is None:
        return BaseImageError(
            f"the base image {reference} does not exist: neither the Docker Engine nor Docker Hub has it",
            hint="build or load it there, or write the host of its registry in front of its name",
        )
    return BaseImageError(
        f"the base image {reference} does not exist: its registry knows no tag or digest {reference.locator!r} "
        f"in {reference.repository}",
        hint="choose another framework_version, py_version or region; "
        "where registry_endpoints sends this registry elsewhere, put the image there",
    )


def own_base_gone(reference: ImageReference, image_id: str) -> BaseImageError:
    """Return the error for an image of the engine that was removed or replaced since the plan was made."""
    return BaseImageError(
        f"the Docker Engine no longer has {image_id}, which was {reference} when the image was planned",
        hint="plan again: the name may stand for another image now",
    )


def base_denied(reference: ImageReference, text: str) -> BaseImageError:
    """Return the error for a base image that may not be pulled."""
    if reference.registry is None:
        return BaseImageError(
            f"the Docker Engine has no image {reference}, and Docker Hub does not give it: {text}",
            hint="build or load it there, write the host of its registry in front of its name, or run 'docker login'",
        )
    ecr = reference.ecr
    where = f" (account {ecr.account}, region {ecr.region})" if ecr else ""
    return BaseImageError(
        f"no access to the base image {reference}{where}: {text}",
        hint="allow the caller ecr:GetAuthorizationToken, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer for "
        f"{reference.repository} there, and check that the region is one the account has enabled"
        if ecr
        else f"run 'docker login {reference.registry}' as someone who may pull {reference.repository}",
    )


def push_failure(text: str, reference: ImageReference) -> RegistryError:
    """Return the error for a push that the engine gave up."""
    lower = text.lower()
    message = f"the Docker Engine could not push {reference}: {text}"
    if any(word in lower for word in _DENIED):
        return RegistryAccessDeniedError(
            message,
            hint="allow the caller ecr:GetAuthorizationToken, ecr:BatchCheckLayerAvailability, "
            "ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload and ecr:PutImage",
        )
    if any(word in lower for word in _TLS):
        return _no_tls(message, reference)
    if any(word in lower for word in _NETWORK):
        return RegistryUnavailableError(message, hint="try again: layers that have arrived are not sent again")
    return RegistryError(message)


def _no_tls(message: str, reference: ImageReference) -> RegistryUnavailableError:
    return RegistryUnavailableError(
        message,
        hint="the engine has to trust that registry: put its authority in "
        f"/etc/docker/certs.d/{reference.registry}/ca.crt, "
        "or list a registry without TLS under insecure-registries in /etc/docker/daemon.json",
    )
