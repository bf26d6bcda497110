"""A Dockerfile and what is handed to it in secret → an image without a name; two ways to get there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from sagemaker_custom.builders.engine import OnLine
from sagemaker_custom.reference import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderContext:
    """A folder of the user's own, copied so that nothing in it changes any more and nothing is ignored."""

    path: Path
    dockerfile: str
    """Name of the Dockerfile in the folder, whether it is an entry of it or not."""
    has_dockerfile: bool
    """Whether it is one; otherwise it was ignored, and the image must not get it."""
    build_args: tuple[tuple[str, str], ...] = ()
    target: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRequest:
    """One build."""

    dockerfile: Callable[[bool], str] = field(repr=False)
    """Renders the Dockerfile; asked whether there are secret mounts."""
    platform: str
    """For example ``linux/amd64``."""
    ca_bundle: bytes | None = field(default=None, repr=False)
    """PEM that the build trusts."""
    netrc: str = field(default="", repr=False)
    """Credentials of package indexes; empty where none are needed."""
    no_cache: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """What the Dockerfile copies."""
    folder: FolderContext | None = None
    """Context of a Dockerfile of the user's own; ``files`` is empty then."""


class BuildRoute(Protocol):
    """One way to build."""

    @property
    def name(self) -> str:
        """As the image's label has it."""

    def build(self, request: BuildRequest, *, on_line: OnLine) -> Digest:
        """Build, and return the id of an image without a name.

        Raises:
            BuildError: A step failed, or this way cannot keep the credentials secret.
        """


RouteChoice: TypeAlias = Callable[[], BuildRoute]
"""Picks the route when something has to be built; asks the engine and the docker commands."""
