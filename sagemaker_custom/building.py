"""Settings and the clients of one caller → the builders of images, put together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sagemaker_custom._version import __version__
from sagemaker_custom.builders import ImageBuilder
from sagemaker_custom.builders.auto import AutoBuilder
from sagemaker_custom.builders.choice import BuilderChoice, check_builder, choose_builder
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference, RegistryCredentials
from sagemaker_custom.settings import Settings

if TYPE_CHECKING:
    from sagemaker_custom.builders.append import AppendBuilder, AppendParts
    from sagemaker_custom.builders.docker import DockerBuilder
    from sagemaker_custom.builders.docker_engine import DockerEngine
    from sagemaker_custom.mirror import Watch
    from sagemaker_custom.registry import RegistryClient
    from sagemaker_custom.wheels import Lock


class Mirror(Protocol):
    """Brings images from one registry to another."""

    def __call__(
        self,
        source: ImageReference,
        target: ImageReference,
        *,
        platform: str,
        progress: Progress,
        watch: Watch | None = None,
    ) -> ImageReference:
        """Bring one, and return where it is, with its digest."""


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Makes builders; each of its parts is made when it is first needed."""

    settings: Settings
    engine: Callable[[], DockerEngine]
    registry: Callable[[], RegistryClient]
    credentials: Callable[[str], RegistryCredentials | None]
    ensure_repository: Callable[[ImageReference], None]
    remove_tag: Callable[[ImageReference], object]
    mirror: Mirror

    def choice(self, plan: BuildPlan, builder: str = "auto") -> BuilderChoice:
        """Return which builder is taken, and why.

        Raises:
            UsageError: There is no such builder.
        """
        return choose_builder(plan, self._wanted(builder))

    def builder(
        self, plan: BuildPlan, builder: str, *, progress: Progress, lock: Lock | None = None
    ) -> ImageBuilder:
        """Return the builder for ``plan``.

        Args:
            plan: What it shall build.
            builder: As the user asked.
            progress: Told what happens.
            lock: What to install; only appending does that exactly.

        Raises:
            UsageError: There is no such builder.
        """
        if lock is not None:
            progress.log("builder append: a lock names every wheel")
            return self._append(progress, lock)
        choice = self.choice(plan, builder)
        progress.log(f"builder {choice.name}: {choice.reason}")
        wanted = self._wanted(builder)
        if wanted == "append":
            return self._append(progress, None)
        if wanted == "docker":
            return self._docker(progress)
        return AutoBuilder(
            lambda: self._append(progress, None),
            lambda: self._docker(progress),
            engine_version=lambda: self.engine().version(),
            progress=progress,
        )

    def _wanted(self, builder: str) -> str:
        check_builder(builder)
        return check_builder(self.settings.builder) if builder == "auto" else builder

    @property
    def _endpoints(self) -> Endpoints:
        return Endpoints(endpoint_for=self.settings.endpoint_for, credentials=self.credentials)

    def _docker(self, progress: Progress) -> DockerBuilder:
        from sagemaker_custom.builders.buildkit import choose_route, docker_commands
        from sagemaker_custom.builders.commands import SubprocessRunner
        from sagemaker_custom.builders.docker import DockerBuilder

        environment = dict(os.environ)
        return DockerBuilder(
            self.engine(),
            registry=self.registry(),
            endpoints=self._endpoints,
            choose_route=lambda: choose_route(
                self.engine(),
                programs=docker_commands(environment.get("PATH", "")),
                runner=SubprocessRunner(),
                environment=environment,
            ),
            ensure_repository=self.ensure_repository,
            remove_tag=self.remove_tag,
            ca_bundle=self.settings.ca_bundle,
            accept_stand_ins=self.settings.accept_stand_ins,
            log_dir=Path(self.settings.cache_dir, "logs"),
            version=__version__,
            token=lambda: secrets.token_hex(4),
            clock=lambda: datetime.now(timezone.utc),
            progress=progress,
        )

    def _append(self, progress: Progress, lock: Lock | None) -> AppendBuilder:
        from sagemaker_custom.builders.append import AppendBuilder

        return AppendBuilder(self._append_parts(progress), version=__version__, lock=lock, progress=progress)
