"""What this machine has → findings, one a check, each with what to do where something is missing."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from packaging.version import Version

from sagemaker_custom.builders.buildkit import choose_route
from sagemaker_custom.builders.classic import ClassicRoute
from sagemaker_custom.builders.codebuild_project import DEFAULT_PROJECT
from sagemaker_custom.errors import CredentialsError, SageMakerCustomError, SettingsError
from sagemaker_custom.installed_sdk import OLDEST, PARTS, InstalledPart
from sagemaker_custom.machine import Finding, Machine

_GB = 1_000_000_000
_GPU_IMAGE_GB = 25
_CPU_IMAGE_GB = 8
_CACHE_GB = 1
# About as long as a GPU image takes to build and push.
_LONG_BUILD = timedelta(hours=1)
_OF_V3_ALONE = PARTS[2:]
_OLDEST_COMPOSE = 2


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
    major = re.search(r"\bv?(\d+)\.\d", said)
    if major and int(major[1]) >= _OLDEST_COMPOSE:
        yield Finding(name="Compose", outcome="ok", detail=said)
    elif not machine.which("docker"):
        yield Finding(
            name="Compose",
            outcome="warning",
            detail="there is no docker command, which the SDK's local mode calls first",
            repair="for local mode, install Docker's command line and docker-compose",
        )
    elif machine.which("docker-compose"):
        yield Finding(name="Compose", outcome="ok", detail=f"docker-compose at {machine.which('docker-compose')}")
    else:
        yield Finding(
            name="Compose",
            outcome="warning",
            detail=f"{said} is not one that local mode takes" if said else "there is none",
            repair="for local mode, install the Compose plugin (docker-compose-plugin), or docker-compose",
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
    if not machine.is_writable(str(there)):
        yield Finding(
            name="cache folder",
            outcome="failed",
            detail=f"{folder} cannot be written to",
            repair="make it writable, or name another folder in the setting cache_dir",
        )
        return
    yield Finding(
        name="cache folder",
        outcome="ok" if free >= _CACHE_GB else "warning",
        detail=f"{free:.0f} GB free in {folder}",
        repair=None if free >= _CACHE_GB else "make room, or name another folder in the setting cache_dir",
    )


def _uv(machine: Machine) -> Iterator[Finding]:
    program = machine.uv()
    said = machine.output(program, "--version") if program else None
    if said:
        yield Finding(name="uv", outcome="ok", detail=f"{said.strip()} at {program}")
        return
    yield Finding(
        name="uv",
        outcome="failed",
        detail=f"{program} does not run" if program else "its program is not found; without it nothing can be appended",
        repair="install it anew: pip install --force-reinstall uv",
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


def _codebuild(machine: Machine) -> Iterator[Finding]:
    settings = machine.settings()
    if not settings.has_codebuild:
        yield Finding(name="CodeBuild", outcome="skipped", detail="it is not set up")
        return
    name = settings.codebuild_project or DEFAULT_PROJECT
    role = settings.codebuild_service_role
    if machine.project(name):
        yield Finding(name="CodeBuild", outcome="ok", detail=f"project {name} is there")
    elif role:
        yield Finding(name="CodeBuild", outcome="ok", detail=f"the first build creates project {name}, with {role}")
    else:
        yield Finding(
            name="CodeBuild",
            outcome="failed",
            detail=f"there is no project {name} in {machine.aws().region}, and no role to create it with",
            repair="correct codebuild_project, or set codebuild_service_role to the role that builds run as",
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
    parts = {part.name: part for part in machine.sdk()}
    whole = parts.get("sagemaker")
    problem = _sdk_problem(parts) if whole else _no_sdk(parts)
    detail, repair = problem or (f"{whole.version if whole else ''}", None)
    yield Finding(name="SageMaker SDK", outcome="warning" if problem else "ok", detail=detail, repair=repair)


def _no_sdk(parts: Mapping[str, InstalledPart]) -> tuple[str, str]:
    if parts:
        return (
            f"it is not installed, only parts of it: {_versions(parts.values())}",
            "pip install 'sagemaker-custom[v3]'",
        )
    return (
        "it is not installed",
        "for CustomPyTorch and its like: pip install 'sagemaker-custom[sdk]'; [v2] and [v3] stay with one line of it",
    )


def _sdk_problem(parts: Mapping[str, InstalledPart]) -> tuple[str, str] | None:
    version = parts["sagemaker"].version
    line = version.partition(".")[0]
    oldest = OLDEST.get(line)
    if oldest is None:
        return f"{version}, of which the classes here know nothing", "pip install 'sagemaker-custom[v3]', or [v2]"
    if Version(version) < Version(oldest):
        return f"{version}; the classes here are made for {oldest} and newer", _install(line)
    # Both lines have files of the same names, and pip removes the old ones after it has written the new ones.
    broken = [part for part in parts.values() if part.missing]
    if broken:
        return f"{version}, but pip has removed modules of {_versions(broken)} with the other line's", _afresh(line)
    left = [part for name, part in parts.items() if line == "2" and name in _OF_V3_ALONE]
    if left:
        return f"{version}, among parts of the SDK v3: {_versions(left)}", _afresh(line)
    return None


def _versions(parts: Iterable[InstalledPart]) -> str:
    return ", ".join(f"{part.name} {part.version}" for part in parts)


def _install(line: str) -> str:
    return f"pip install --upgrade 'sagemaker-custom[v{line}]'"


def _afresh(line: str) -> str:
    return f"pip uninstall -y {' '.join(PARTS)}, and then {_install(line)}"


CHECKS: Mapping[str, Callable[[Machine], Iterator[Finding]]] = {
    "settings": _settings,
    "Docker Engine": _engine,
    "BuildKit": _buildkit,
    "Compose": _compose,
    "disk of the engine": _disk,
    "cache folder": _cache,
    "uv": _uv,
    "GPU": _gpu,
    "AWS": _aws,
    "ECR login": _login,
    "ECR": _repositories,
    "own registry": _registry,
    "AWS's images": _bases,
    "CodeBuild": _codebuild,
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
    "CodeBuild": ("AWS", "settings"),
    "team catalogs": ("settings",),
}
"""Check → earlier ones without which it would only repeat what they found."""
