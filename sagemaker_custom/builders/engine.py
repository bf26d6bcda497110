"""What builders ask of a Docker Engine, as a protocol, and the values that pass through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest, ImageReference, RegistryCredentials

OnLine = Callable[[str], None]
"""Takes one line of output, without its line end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineImage:
    """An image in an engine."""

    id: Digest
    """What the engine calls it by; the digest of its configuration, or of its manifest in the containerd store."""
    labels: Mapping[str, str]
    tags: tuple[str, ...] = ()
    """References with tags that name it."""
    digests: tuple[str, ...] = ()
    """References with manifest digests under which it was pulled or pushed."""
    user: str = ""
    """Whom it runs as; empty for root."""
    layers: tuple[str, ...] = ()
    """Digests of its layers before compression, the lowest first."""

    @property
    def manifest_digests(self) -> frozenset[str]:
        """Digests of the manifests by which registries know it."""
        return frozenset(reference.partition("@")[2] for reference in self.digests)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildContext:
    """Input of the engine's own build, which is the one without BuildKit."""

    files: Mapping[str, bytes]
    """Name to content, put on top of what the folder holds."""
    platform: str
    """For example ``linux/amd64``."""
    folder: Path | None = None
    """Sent whole; nothing in it is ignored."""
    dockerfile: str = "Dockerfile"
    """Name of the Dockerfile in the context."""
    build_args: tuple[tuple[str, str], ...] = ()
    """Values of ``ARG``."""
    target: str | None = None
    """Stage that is built; ``None`` for the last."""
    labels: tuple[tuple[str, str], ...] = ()
    """Put on the image as they are, without the expansion that a Dockerfile does."""
    no_cache: bool = False


class Engine(Protocol):
    """A Docker Engine.

    Every method raises :class:`~sagemaker_custom.errors.EngineUnavailableError` when the engine does not answer, and
    :class:`~sagemaker_custom.errors.DiskFullError` when it says that its disk is full.
    """

    @property
    def address(self) -> str:
        """URL of the engine, as ``DOCKER_HOST`` has it."""

    def version(self) -> str:
        """Return the engine's version, for example ``20.10.24``."""

    def find_image(self, name: str) -> EngineImage | None:
        """Return an image by its id or a reference; ``None`` when the engine does not have it."""

    def find_digest(self, digest: Digest) -> EngineImage | None:
        """Return an image by its manifest's digest, whatever it is called here."""

    def pull(
        self,
        reference: ImageReference,
        *,
        platform: str,
        credentials: RegistryCredentials | None,
        progress: Progress,
    ) -> EngineImage:
        """Pull an image.

        Raises:
            BaseImageError: It does not exist, or may not be pulled.
            RegistryUnavailableError: The engine cannot reach the registry.
        """

    def push(self, reference: ImageReference, *, credentials: RegistryCredentials | None, progress: Progress) -> None:
        """Push an image under the tag that it has here.

        Raises:
            RegistryAccessDeniedError: The registry refuses.
            RegistryUnavailableError: The connection broke.
            RegistryError: Anything else went wrong.
        """

    def tag(self, image_id: str, reference: ImageReference) -> None:
        """Give an image a name."""

    def untag(self, reference: ImageReference) -> None:
        """Take a name away; what was built under it stays in the build cache. Nothing happens where there is none."""

    def discard(self, image_id: str) -> None:
        """Remove an image unless it has a name, or something was built on it."""

    def run(self, image_id: str, command: Sequence[str], *, on_line: OnLine, timeout_s: float) -> int:
        """Run ``command`` in a new container without network, instead of the image's entry point.

        The container is removed, also when this is interrupted.

        Returns:
            The exit code.

        Raises:
            TimeoutError: It was killed after ``timeout_s`` seconds.
            BuildError: The container could not be started.
        """

    def build(self, context: BuildContext, *, on_line: OnLine) -> Digest:
        """Build with the engine's own builder, and return the id of an image without a name.

        Raises:
            BuildError: A step failed; the message is the engine's.
        """
