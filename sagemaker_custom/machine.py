"""What the checks of a machine look at, each part behind a name of its own, and what a check found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from typing import Literal, Protocol

from sagemaker_custom.builders.commands import CommandRunner
from sagemaker_custom.builders.engine import Engine
from sagemaker_custom.catalog import Problem
from sagemaker_custom.installed_sdk import InstalledPart, installed_parts
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.settings import Settings

Outcome = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a check found."""

    name: str
    outcome: Outcome
    detail: str
    repair: str | None = None
    """What to do, where there is something to do."""


class EngineInformation(Engine, Protocol):
    """An engine that also tells how it is set up."""

    def info(self) -> Mapping[str, object]:
        """Return what ``docker info`` has."""


class AwsIdentity(Protocol):
    """What is asked of AWS."""

    @property
    def region(self) -> str:
        """Where."""

    def account_id(self) -> str:
        """Return the caller's account."""

    def caller_arn(self) -> str:
        """Return which user or role the caller is."""

    def registry_credentials(self, *, account: str, region: str) -> object:
        """Get a token for a registry."""

    def repositories(self, prefix: str, *, region: str, account: str | None = None) -> tuple[str, ...]:
        """List repositories."""


def uv_program() -> str | None:
    """Return the path of uv's program, as its package knows it."""
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError:
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the checks look at."""

    settings: Callable[[], Settings]
    engine: EngineInformation
    aws: Callable[[], AwsIdentity]
    find: Callable[[ImageReference], Digest | None]
    """Asks a registry for an image."""
    base: Callable[[str], ImageReference]
    """Region → one of AWS's images there."""
    own: Callable[[str, str], ImageReference]
    """Account and region → an image that may, or may not, be in the registry there."""
    project: Callable[[str], object | None]
    """Looks up a project of CodeBuild by its name."""
    catalogs: Callable[[], Mapping[str, Sequence[Problem]]]
    """Checks the team catalogs: location → what is wrong."""
    docker_commands: Sequence[str]
    """Every ``docker`` on PATH."""
    runner: CommandRunner
    which: Callable[[str], str | None] = shutil.which
    free_bytes: Callable[[str], int] = field(default=lambda folder: shutil.disk_usage(folder).free)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_writable: Callable[[str], bool] = field(default=lambda folder: os.access(folder, os.W_OK))
    uv: Callable[[], str | None] = uv_program
    sdk: Callable[[], tuple[InstalledPart, ...]] = installed_parts
    """What is installed of the SageMaker SDK."""
    credentials_end: Callable[[], datetime | None] = field(default=lambda: None)
    """When the credentials end for good; ``None`` when that is not known, or boto3 renews them."""
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(timezone.utc))

    def output(self, *command: str) -> str | None:
        """Return what a command says; ``None`` when it fails or is not there."""
        lines: list[str] = []
        try:
            code = self.runner.run(command, environment=self.environment, on_line=lines.append)
        except OSError:
            return None
        return "\n".join(lines) if code == 0 else None


def installed(distribution: str) -> str | None:
    """Return the version of an installed distribution, without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def environment_credentials_end(environment: Mapping[str, str]) -> datetime | None:
    """Return when the credentials in these variables end; ``None`` when there are none, or they do not say.

    ``aws configure export-credentials --format env`` and its like write it beside the keys, where nothing renews them.
    """
    if not environment.get("AWS_ACCESS_KEY_ID"):
        return None
    try:
        end = datetime.fromisoformat(environment.get("AWS_CREDENTIAL_EXPIRATION", "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return end if end.tzinfo else None
