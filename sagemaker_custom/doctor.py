"""What this machine has → findings, one a check, each with what to do where something is missing."""

from __future__ import annotations

import re
import shutil
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path
from typing import Literal, Protocol

from sagemaker_custom.builders.buildkit import choose_route
from sagemaker_custom.builders.classic import ClassicRoute
from sagemaker_custom.builders.commands import CommandRunner
from sagemaker_custom.builders.engine import Engine
from sagemaker_custom.catalog import Problem
from sagemaker_custom.errors import CredentialsError, SageMakerCustomError, SettingsError
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.settings import Settings

Outcome = Literal["ok", "warning", "failed", "skipped"]

_GB = 1_000_000_000
_GPU_IMAGE_GB = 25
_CPU_IMAGE_GB = 8
_CACHE_GB = 1
# About as long as a GPU image takes to build and push.
_LONG_BUILD = timedelta(hours=1)


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
    catalogs: Callable[[], Mapping[str, Sequence[Problem]]]
    """Checks the team catalogs: location → what is wrong."""
    docker_commands: Sequence[str]
    """Every ``docker`` on PATH."""
    runner: CommandRunner
    which: Callable[[str], str | None] = shutil.which
    free_bytes: Callable[[str], int] = field(default=lambda folder: shutil.disk_usage(folder).free)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    sdk_version: Callable[[], str | None] = field(default=lambda: installed("sagemaker"))
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


def examine(machine: Machine) -> tuple[Finding, ...]:
    """Run every check; one that fails, or breaks, stops no other."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        not_ok = {finding.name for finding in findings if finding.outcome != "ok"}
        lacking = next((needed for needed in _NEEDED.get(name, ()) if needed in not_ok), None)
        if lacking:
            # The check of what is lacking has said so, and what to do.
            findings.append(Finding(name=name, outcome="skipped", detail=f"not looked at without {lacking}"))
            continue
        try:
            findings += check(machine)
        except SageMakerCustomError as error:
            findings.append(Finding(name=name, outcome="failed", detail=error.message, repair=error.hint))
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, and the others still count
            broken = f"the check itself broke: {type(error).__name__}: {error}"
            findings.append(Finding(name=name, outcome="failed", detail=broken))
    return tuple(findings)


def _settings(machine: Machine) -> Iterator[Finding]:
    settings = machine.settings()
    where = f"account {settings.account or 'of the caller'}, repositories {settings.repository_prefix}-*"
    yield Finding(name="settings", outcome="ok", detail=where)
    yield _ca_bundle(settings.ca_bundle)


def _ca_bundle(file: str | None) -> Finding:
    if file is None:
        detail = "none: the authorities that come with Python and the images"
        return Finding(name="CA bundle", outcome="ok", detail=detail)
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        return Finding(
            name="CA bundle",
            outcome="failed",
            detail=f"{file} has no certificates that can be read: {error}",
            repair="name a PEM file in the setting ca_bundle, or in the variable that announces this one",
        )
    return Finding(name="CA bundle", outcome="ok", detail=file)


def _engine(machine: Machine) -> Iterator[Finding]:
    version, info = machine.engine.version(), machine.engine.info()
    detail = f"{version} at {machine.engine.address}, storage driver {info.get('Driver', 'unknown')}"
    yield Finding(name="Docker Engine", outcome="ok", detail=detail)


def _buildkit(machine: Machine) -> Iterator[Finding]:
    route = choose_route(
        machine.engine, programs=machine.docker_commands, runner=machine.runner, environment=machine.environment
    )
    if not isinstance(route, ClassicRoute):
        yield Finding(name="BuildKit", outcome="ok", detail=f"images are built by {route.name}")
        return
    yield Finding(
        name="BuildKit",
        outcome="warning",
        detail="no docker command on PATH has it: images are built by the engine itself, without private indexes",
        repair="install docker-buildx-plugin, or docker.io with its buildx",
    )


def _compose(machine: Machine) -> Iterator[Finding]:
    said = (machine.output("docker", "compose", "version") or "").strip()
    if "v2" in said:
        yield Finding(name="Compose", outcome="ok", detail=said)
    elif not machine.which("docker"):
        # The SDK asks it for its compose plugin before it looks for docker-compose.
        yield Finding(
            name="Compose",
            outcome="warning",
            detail="there is no docker command, which the SDK's local mode calls",
            repair="for local mode, install Docker's command line and docker-compose",
        )
    elif machine.which("docker-compose"):
        yield Finding(name="Compose", outcome="ok", detail=f"docker-compose at {machine.which('docker-compose')}")
    else:
        yield Finding(
            name="Compose",
            outcome="warning",
            detail=f"{said} is not one that the SDK's local mode takes" if said else "there is none",
            repair="for local mode, install the Compose plugin in version 2, or docker-compose",
        )


def _disk(machine: Machine) -> Iterator[Finding]:
    root = str(machine.engine.info().get("DockerRootDir") or "")
    # The engine of another machine, or of Docker Desktop, keeps its images where this process cannot look.
    if not root or not Path(root).is_dir():
        yield Finding(
            name="disk of the engine", outcome="skipped", detail=f"{root or 'its folder'} is not seen from here"
        )
        return
    free = machine.free_bytes(root) / _GB
    if free >= _GPU_IMAGE_GB:
        yield Finding(name="disk of the engine", outcome="ok", detail=f"{free:.0f} GB free in {root}")
        return
    needed = f"a GPU image takes about {_GPU_IMAGE_GB} GB, a CPU image {_CPU_IMAGE_GB} GB"
    yield Finding(
        name="disk of the engine",
        outcome="warning" if free >= _CPU_IMAGE_GB else "failed",
        detail=f"{free:.0f} GB free in {root}; {needed}",
        repair="remove images that are not needed: docker image prune",
    )


def _cache(machine: Machine) -> Iterator[Finding]:
    folder = Path(machine.settings().cache_dir)
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = machine.free_bytes(str(there)) / _GB
    yield Finding(
        name="cache folder",
        outcome="ok" if free >= _CACHE_GB else "warning",
        detail=f"{free:.0f} GB free in {folder}",
        repair=None if free >= _CACHE_GB else "make room, or name another folder in the setting cache_dir",
    )


def _gpu(machine: Machine) -> Iterator[Finding]:
    said = machine.output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if not said:
        yield Finding(
            name="GPU",
            outcome="skipped",
            detail="nvidia-smi finds none",
            repair="nothing to do, unless instance_type='local_gpu' is wanted",
        )
        return
    runtimes = machine.engine.info().get("Runtimes") or {}
    gpus = "; ".join(said.splitlines())
    if isinstance(runtimes, Mapping) and "nvidia" in runtimes:
        yield Finding(name="GPU", outcome="ok", detail=f"{gpus}; the engine has the NVIDIA runtime")
        return
    yield Finding(
        name="GPU",
        outcome="warning",
        detail=f"{gpus}; but containers cannot use it: the engine lacks the NVIDIA runtime",
        repair="for instance_type='local_gpu', install nvidia-container-toolkit and run nvidia-ctk runtime configure",
    )


def _aws(machine: Machine) -> Iterator[Finding]:
    end, renew = (
        machine.credentials_end(),
        "get new ones, for example by `aws sso login`, and put them in the environment",
    )
    if end and end <= machine.clock():
        # boto3 itself would only say that they "were refreshed, but are still expired".
        detail = f"the credentials in the environment ended at {_moment(end)}; only local mode works"
        yield Finding(name="AWS", outcome="warning", detail=detail, repair=renew)
        return
    try:
        aws = machine.aws()
        detail = f"account {aws.account_id()}, region {aws.region}, as {aws.caller_arn()}"
    except (CredentialsError, SettingsError) as error:
        detail = f"{error.message}; only local mode works"
        yield Finding(name="AWS", outcome="warning", detail=detail, repair=error.hint)
        return
    yield Finding(name="AWS", outcome="ok", detail=detail)
    if end:
        is_long = end - machine.clock() >= _LONG_BUILD
        yield Finding(
            name="credentials",
            outcome="ok" if is_long else "warning",
            detail=f"those in the environment end at {_moment(end)}"
            + ("" if is_long else ", maybe before a build does"),
            repair=None if is_long else renew,
        )


def _moment(time: datetime) -> str:
    return f"{time.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def _owner(machine: Machine) -> str:
    return machine.settings().account or machine.aws().account_id()


def _login(machine: Machine) -> Iterator[Finding]:
    region, owner = machine.aws().region, _owner(machine)
    machine.aws().registry_credentials(account=owner, region=region)
    yield Finding(name="ECR login", outcome="ok", detail=f"a token for the registries in {region}")


def _repositories(machine: Machine) -> Iterator[Finding]:
    prefix, owner = f"{machine.settings().repository_prefix}-", _owner(machine)
    names = machine.aws().repositories(prefix, region=machine.aws().region, account=owner)
    detail = f"registry of {owner}: {len(names)} repositories {prefix}*"
    yield Finding(name="ECR", outcome="ok", detail=detail)


def _registry(machine: Machine) -> Iterator[Finding]:
    image = machine.own(_owner(machine), machine.aws().region)
    # Absent or not: the host answers, which in a VPC takes an endpoint of its own, besides that of ECR's API.
    machine.find(image)
    yield Finding(name="own registry", outcome="ok", detail=f"{image.registry} answers")


def _bases(machine: Machine) -> Iterator[Finding]:
    base = machine.base(machine.aws().region)
    if machine.find(base):
        yield Finding(name="AWS's images", outcome="ok", detail=f"{base} can be read")
        return
    yield Finding(
        name="AWS's images",
        outcome="warning",
        detail=f"{base} is not there",
        repair="AWS may not publish it in this region: see the setting source_region",
    )


def _catalogs(machine: Machine) -> Iterator[Finding]:
    checked = machine.catalogs()
    if not checked:
        yield Finding(name="team catalogs", outcome="skipped", detail="none is configured")
    for location, problems in checked.items():
        yield Finding(
            name="team catalogs",
            outcome="failed" if problems else "ok",
            detail=f"{location}: {len(problems)} problems, the first: {problems[0]}" if problems else location,
            repair=f"sagemaker-custom catalog validate {location}" if problems else None,
        )


def _sdk(machine: Machine) -> Iterator[Finding]:
    version = machine.sdk_version()
    major = re.match(r"\d+", version or "")
    if version and major and int(major[0]) == 2:
        yield Finding(name="SageMaker SDK", outcome="ok", detail=version)
        return
    yield Finding(
        name="SageMaker SDK",
        outcome="warning",
        detail=f"version {version}, of which the classes here know nothing" if version else "it is not installed",
        repair="for CustomPyTorch and its like: pip install 'sagemaker-custom[sdk]'",
    )


CHECKS: Mapping[str, Callable[[Machine], Iterator[Finding]]] = {
    "settings": _settings,
    "Docker Engine": _engine,
    "BuildKit": _buildkit,
    "Compose": _compose,
    "disk of the engine": _disk,
    "cache folder": _cache,
    "GPU": _gpu,
    "AWS": _aws,
    "ECR login": _login,
    "ECR": _repositories,
    "own registry": _registry,
    "AWS's images": _bases,
    "team catalogs": _catalogs,
    "SageMaker SDK": _sdk,
}
"""Name, for a check that cannot be made → check."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "BuildKit": ("Docker Engine",),
    "disk of the engine": ("Docker Engine",),
    "GPU": ("Docker Engine",),
    "cache folder": ("settings",),
    "ECR login": ("AWS", "settings"),
    "ECR": ("AWS", "settings"),
    "own registry": ("AWS", "settings", "ECR login"),
    "AWS's images": ("AWS", "settings", "ECR login"),
    "team catalogs": ("settings",),
}
"""Check → earlier ones without which it would only repeat what they found."""
