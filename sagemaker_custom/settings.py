"""Environment, configuration file and overrides → one frozen :class:`Settings`; nothing else looks for settings."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import platformdirs

from sagemaker_custom.errors import SettingsError
from sagemaker_custom.setting_values import (
    RegistryEndpoint,
    check_indexes,
    is_file,
    read_count,
    read_endpoints,
    read_flag,
    read_locations,
    read_number,
    read_scan,
    read_text,
    read_texts,
)

_ENV_PREFIX = "SAGEMAKER_CUSTOM_"
# A company's CA bundle is nearly always announced by one of these already.
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
# What besides decides where the configuration file and the cache folder are.
_LOOKED_AT = frozenset({*_CA_VARIABLES, "HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"})
_REMEMBERED = 16
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{1,149}")
_SHORTEST, _LONGEST = 5, 2160
_CHOICES = {
    "mirror": ("if-missing", "always"),
    "verify": ("auto", "run", "static"),
    "scan": ("off", "report", "block:CRITICAL", "block:HIGH", "block:MEDIUM", "block:LOW"),
    "codebuild_cache": ("NO_CACHE", "LOCAL"),
}
_PREFIX = re.compile(r"[a-z0-9]+(?:[-/][a-z0-9]+)*")
_BUCKET = re.compile(r"(?:s3://)?[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[\w!.*'()/-]*)?")
_LEASE_S = (5.0, 3600.0)
# The SDK takes an image "sagemaker-pytorch:…" for one of AWS's of old, and its version for the framework's.
_STOCK_PREFIXES = ("sagemaker", "sagemaker-rl")

__all__ = ["RegistryEndpoint", "Settings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that can be configured, with its default."""

    account: str | None = None
    """AWS account whose registry holds the extended images; default: the caller's."""
    region: str | None = None
    """Region of the command line and ``image_uris``; default: the boto session's. An estimator's is its session's."""
    profile: str | None = None
    """AWS profile of the command line and ``image_uris``; default: boto3's choice. An estimator's is its session's."""
    repository_prefix: str = "sagemaker-custom"
    """Repositories are called ``<prefix>-<framework>``; has to contain ``sagemaker``, without ``_`` and ``.``."""
    registry_endpoints: tuple[RegistryEndpoint, ...] = ()
    """Registry hosts that are reached at another address; the first pattern that matches counts."""
    repository_kms_key: str | None = None
    """KMS key (ARN, id or alias) of repositories that are created here; default: AES-256."""
    scan_on_push: bool = True
    """Whether repositories that are created here scan each image."""
    scan: str = "off"
    """What scans decide: nothing (``off``), ``report``, or ``block:HIGH``: no image with such findings is used."""
    scan_ignore: tuple[str, ...] = ()
    """Names of findings that do not count, for example ``CVE-2024-1234``."""
    scan_timeout_s: float = 900.0
    """How many seconds the scan of an image is waited for."""
    ca_bundle: str | None = None
    """PEM file that the build and the registry client trust; default: ``PIP_CERT`` and its like."""
    pip_index_url: str | None = field(default=None, repr=False)
    """Index for pip steps; may hold credentials, which never reach the image."""
    pip_extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    """Further indexes for pip steps; may hold credentials."""
    pip_keyring_provider: str = "disabled"
    """``subprocess``: what neither URL nor netrc file opens, the command ``keyring`` is asked for; or ``disabled``."""
    codeartifact: str | None = None
    """``DOMAIN/REPOSITORY`` of AWS CodeArtifact that pip steps use as the index, with a token of its own each time."""
    codeartifact_domain_owner: str | None = None
    """AWS account that the domain belongs to; default: the caller's."""
    codeartifact_region: str | None = None
    """Region of the domain; default: that of the image."""
    builder: str = "auto"
    """What ``builder="auto"`` means: ``auto``, ``append``, ``docker`` or ``codebuild``."""
    verify: str = "auto"
    """How appended images are checked: ``run`` in an engine, ``static``, or ``auto``: run where that costs little."""
    codebuild_project: str | None = None
    """CodeBuild project that builds; default: ``sagemaker-custom``, created with ``codebuild_service_role``."""
    codebuild_service_role: str | None = None
    """ARN or name of the role that builds run as; needed where the project does not exist yet."""
    codebuild_bucket: str | None = None
    """S3 bucket for build contexts; default: the SageMaker SDK's, ``sagemaker-<region>-<account>``."""
    codebuild_vpc_id: str | None = None
    """VPC that a project which is created here runs in; default: none."""
    codebuild_subnets: tuple[str, ...] = ()
    """Subnets of that VPC."""
    codebuild_security_group_ids: tuple[str, ...] = ()
    """Security groups in that VPC."""
    codebuild_compute_type: str | None = None
    """Size of the machine; default: the project's, ``BUILD_GENERAL1_MEDIUM`` where it is created here."""
    codebuild_image: str | None = None
    """Image that builds run in, with docker, aws and python3; default: the project's, AWS's own where created here."""
    codebuild_cache: str = "NO_CACHE"
    """``NO_CACHE``, or ``LOCAL`` for Docker's layers on the build host; for a project that is created here."""
    codebuild_index_secret: str | None = None
    """Name or ARN of the secret in Secrets Manager with a netrc file for package indexes."""
    codebuild_ca_bundle: str | None = None
    """PEM file that the steps of the build trust; default: what the base image trusts."""
    codebuild_timeout_minutes: int = 120
    """Minutes after which CodeBuild gives a build up."""
    cache_dir: str = field(default_factory=lambda: platformdirs.user_cache_dir("sagemaker-custom", appauthor=False))
    """Folder for build logs and what the sandbox keeps; safe to delete."""
    lease_bucket: str | None = None
    """Bucket, or ``s3://bucket/prefix``, where machines keep each other from building the same; default: none."""
    lease_s: float = 60.0
    """After how many seconds without a sign of life of the machine that builds another one takes over."""
    registry_timeout_s: float = 60.0
    """Seconds without a byte after which a registry request is given up."""
    registry_attempts: int = 6
    """How often a registry request is tried before it is given up."""
    serving_version: str = "same"
    """Which inference image serves what was trained: ``same`` version, ``nearest``, or a version such as ``2.6``."""
    source_region: str | None = None
    """Region that base images are brought from; default: none are brought."""
    source_profile: str | None = None
    """AWS profile whose credentials read them there, for another partition; default: the caller's."""
    mirror: str = "if-missing"
    """Which ones are brought: those not published in the job's region (``if-missing``), or ``always`` all."""
    catalog: tuple[str, ...] = ()
    """Folders or ``s3://`` prefixes of team catalogs, those that count most last."""
    catalog_offline: bool = False
    """Whether catalogs of S3 are taken from the copies on this machine, without asking S3 for changes."""
    accept_stand_ins: bool = False
    """Whether local mode takes the sandbox's stand-ins, which bear the names of AWS's images; the sandbox says yes."""
    sdk_telemetry: bool = True
    """Whether the SageMaker SDK may send its usage telemetry (never in local mode)."""

    def __post_init__(self) -> None:
        """Refuse values that would fail much later.

        Raises:
            SettingsError: A value cannot work.
        """
        if "sagemaker" not in self.repository_prefix or not _PREFIX.fullmatch(self.repository_prefix):
            raise SettingsError(
                f"repository_prefix {self.repository_prefix!r} cannot be used",
                hint="it has to contain 'sagemaker', and only a-z 0-9 - /: training job names have no '_' and '.'",
            )
        if self.repository_prefix.rpartition("/")[2] in _STOCK_PREFIXES:
            raise SettingsError(
                f"repository_prefix {self.repository_prefix!r} would make repositories look like AWS's own to the SDK",
                hint="take a longer one, for example 'sagemaker-custom'",
            )
        if self.account is not None and not re.fullmatch("[0-9]{12}", self.account):
            raise SettingsError(
                f"account {self.account!r} is not an AWS account id",
                hint="write its 12 digits, in a file between quotes",
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"{name} {getattr(self, name)!r} cannot be used", hint=f"write one of {', '.join(choices)}"
                )
        if self.lease_bucket is not None and not _BUCKET.fullmatch(self.lease_bucket):
            raise SettingsError(
                f"lease_bucket {self.lease_bucket!r} cannot be used", hint="write BUCKET or s3://BUCKET/PREFIX"
            )
        if not _LEASE_S[0] <= self.lease_s <= _LEASE_S[1]:
            raise SettingsError(
                f"lease_s {self.lease_s:g} cannot be used",
                hint=f"write between {_LEASE_S[0]:g} and {_LEASE_S[1]:g} seconds: S3 is written four times in it",
            )
        for name in ("ca_bundle", "codebuild_ca_bundle"):
            file = getattr(self, name)
            if file is not None and not is_file(Path(file)):
                raise SettingsError(f"{name} {file!r} is not a file", hint="name a PEM file")
        check_indexes(self.pip_keyring_provider, self.codeartifact, has_index_url=self.pip_index_url is not None)
        self._check_codebuild()

    def _check_codebuild(self) -> None:
        if self.codebuild_project is not None and not _PROJECT.fullmatch(self.codebuild_project):
            raise SettingsError(
                f"codebuild_project {self.codebuild_project!r} is not the name of a project",
                hint="write its name, not its ARN: 2 to 150 of A-Z a-z 0-9 - _",
            )
        network = (self.codebuild_vpc_id, self.codebuild_subnets, self.codebuild_security_group_ids)
        if any(network) and not all(network):
            raise SettingsError(
                "codebuild_vpc_id, codebuild_subnets and codebuild_security_group_ids belong together",
                hint="set all three, or none",
            )
        # CodeBuild's own limits.
        if not _SHORTEST <= self.codebuild_timeout_minutes <= _LONGEST:
            raise SettingsError(
                f"codebuild_timeout_minutes {self.codebuild_timeout_minutes} cannot be used",
                hint=f"write {_SHORTEST} to {_LONGEST}",
            )

    @classmethod
    def load(
        cls,
        env: Mapping[str, str] | None = None,
        file: Path | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Collect the settings; what comes later wins: defaults, file, environment, ``overrides``.

        Catalogs of file and environment add up.

        Args:
            env: Where ``SAGEMAKER_CUSTOM_<NAME>`` is looked up; default: ``os.environ``.
            file: YAML file of settings; default: ``SAGEMAKER_CUSTOM_CONFIG``, else
                ``sagemaker-custom/config.yaml`` in the user's configuration folder, if it is there.
            overrides: Field names to values, as :class:`Settings` takes them.

        Raises:
            SettingsError: An unknown name or a value of the wrong kind; says where.
        """
        if env is None and file is None and not overrides:
            return _load_unchanged(_surroundings())
        env = os.environ if env is None else env
        values: dict[str, Any] = {}
        ca_bundle = next((env[name] for name in _CA_VARIABLES if is_file(Path(env.get(name, "")))), None)
        if ca_bundle:
            values["ca_bundle"] = ca_bundle
        in_file, in_environment = _from_file(env, file), _from_environment(env)
        values |= in_file | in_environment
        # A variable that sets one catalog more must not take away the team's own.
        values["catalog"] = (*in_file.get("catalog", ()), *in_environment.get("catalog", ()))
        values |= {_known(name, "overrides"): value for name, value in (overrides or {}).items()}
        return cls(**values)

    @property
    def has_codebuild(self) -> bool:
        """Whether somebody set CodeBuild up: named a project, or a role to create one with."""
        return bool(self.codebuild_project or self.codebuild_service_role)

    def endpoint_for(self, host: str) -> str:
        """Return the URL at which the registry ``host`` is reached."""
        for endpoint in self.registry_endpoints:
            if endpoint.matches(host):
                return endpoint.url.rstrip("/")
        return f"https://{host}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Surroundings:
    """All that decides on the settings of this process, so that they are only read again when it changes."""

    variables: tuple[tuple[str, str], ...] = field(repr=False)
    file: tuple[int, int] | None
    """Time and size of the configuration file."""
    has_bundles: tuple[bool, ...]


def _surroundings() -> _Surroundings:
    variables = tuple(
        (name, os.environ[name]) for name in os.environ if name.startswith(_ENV_PREFIX) or name in _LOOKED_AT
    )
    try:
        status = _configuration_file(variables).stat()
    except OSError:
        status = None
    return _Surroundings(
        variables=variables,
        file=(status.st_mtime_ns, status.st_size) if status else None,
        has_bundles=tuple(is_file(_path(value)) for name, value in variables if name in _CA_VARIABLES),
    )


@lru_cache(maxsize=_REMEMBERED)
def _configuration_file(variables: tuple[tuple[str, str], ...]) -> Path:
    named = dict(variables).get(_ENV_PREFIX + "CONFIG")
    return Path(named) if named else _default_file()


@lru_cache(maxsize=_REMEMBERED)
def _path(text: str) -> Path:
    return Path(text)


@lru_cache(maxsize=_REMEMBERED)
def _load_unchanged(surroundings: _Surroundings) -> Settings:
    del surroundings
    return Settings.load(os.environ)


def _default_file() -> Path:
    return Path(platformdirs.user_config_dir("sagemaker-custom", appauthor=False), "config.yaml")


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    given = {name: value for name, value in env.items() if name.startswith(_ENV_PREFIX) and value}
    given.pop(_ENV_PREFIX + "CONFIG", None)
    names = {variable: _known(variable.removeprefix(_ENV_PREFIX).lower(), variable) for variable in given}
    return {names[variable]: _read(value, names[variable], variable) for variable, value in given.items()}


def _from_file(env: Mapping[str, str], file: Path | None) -> dict[str, Any]:
    named = file or (Path(env[_ENV_PREFIX + "CONFIG"]) if env.get(_ENV_PREFIX + "CONFIG") else None)
    path = named or _default_file()
    if not is_file(path):
        if named:
            raise SettingsError(f"the configuration file {named} does not exist", hint="create it, or unset its name")
        return {}
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", hint="it has to be a text file in UTF-8") from error
    except yaml.YAMLError as error:
        # The parser's own message quotes the line, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path}{line}: this is not YAML", hint="write one 'name: value' a line") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path} has to map setting names to values", hint="write one 'name: value' a line")
    values = {name: _read(value, _known(str(name), str(path)), f"{path}: {name}") for name, value in document.items()}
    if "catalog" in values:
        values["catalog"] = tuple(_beside(location, path) for location in values["catalog"])
    return values


def _beside(location: str, file: Path) -> str:
    """Return a location with what is relative in it read from the folder of the configuration file."""
    return location if location.startswith("s3://") else str(file.absolute().parent / Path(location).expanduser())


def _known(name: str, where: str) -> str:
    if name in _READERS:
        return name
    near = get_close_matches(name, _READERS, n=1)
    raise SettingsError(
        f"{where}: there is no setting {name!r}",
        hint=f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(sorted(_READERS))}",
    )


def _read(value: object, name: str, where: str) -> Any:
    try:
        return _READERS[name](value)
    except (TypeError, ValueError) as error:
        # A URL may hold a password.
        shown = "what it is" if name.startswith("pip_") or "@" in str(value) else repr(value)
        raise SettingsError(f"{where} cannot be {shown}: {error}", hint="see docs/reference/settings.md") from error


_SPECIAL_READERS: dict[str, Callable[[object], Any]] = {
    "registry_endpoints": read_endpoints,
    "scan_on_push": read_flag,
    "scan": read_scan,
    "scan_ignore": read_texts,
    "scan_timeout_s": read_number,
    "catalog": read_locations,
    "catalog_offline": read_flag,
    "accept_stand_ins": read_flag,
    "sdk_telemetry": read_flag,
    "pip_extra_index_urls": read_texts,
    "lease_s": read_number,
    "registry_timeout_s": read_number,
    "registry_attempts": read_count,
    "codebuild_subnets": read_texts,
    "codebuild_security_group_ids": read_texts,
    "codebuild_timeout_minutes": read_count,
}
_READERS: dict[str, Callable[[object], Any]] = {
    item.name: _SPECIAL_READERS.get(item.name, read_text) for item in fields(Settings)
}
