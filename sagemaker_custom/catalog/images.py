"""Machine-written documents of ``image_catalog`` → base images, accounts and partitions, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from difflib import get_close_matches
from functools import cache
from typing import Any

from packaging.version import InvalidVersion, Version

from sagemaker_custom.catalog.tags import Repository, read_repositories
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError
from sagemaker_custom.reference import Digest, ImageReference, parse_digest

SCHEMA_VERSION = 1
"""Of the documents that this package writes and reads."""

_KEYS = "see the documents that are shipped; an image has the keys of catalog.images.BaseImage"
# Where the interpreter is, by how AWS made the image (see docs/explanation/catalog.md).
_PYTHON = {"conda": "/opt/conda/bin/python", "usrlocal": "/usr/local/bin/python", "venv": "/opt/venv/bin/python"}
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")
_ACCOUNT = re.compile(r"[0-9]{12}")
_WORD = re.compile(r"[A-Za-z0-9_.+-]+")
_KNOWN = {
    "image_scope": ("training", "inference", "processing"),
    "processor": ("cpu", "gpu", "neuron", "neuronx", "hpu", "eia"),
    "architecture": ("x86_64", "arm64"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """One image that AWS publishes. ``None`` stands for what is not known, or not the case."""

    framework: str
    """As the SageMaker SDK calls it, for example ``pytorch`` or ``huggingface``."""
    version: str
    """Full, for example ``2.3.0``; of ``huggingface`` that of Transformers."""
    image_scope: str
    """``training``, ``inference`` or ``processing``."""
    processor: str
    """``cpu``, ``gpu``, ``neuron`` (Inferentia 1), ``neuronx`` (Inferentia 2, Trainium), ``hpu`` or ``eia``."""
    architecture: str = "x86_64"
    """``x86_64`` or ``arm64``."""
    py_version: str | None = None
    """For example ``py311``; ``py3`` where AWS says no more."""
    cuda_version: str | None = None
    """For example ``cu121``; ``None`` without NVIDIA GPU."""
    base_framework: str | None = None
    """What the framework runs on, for example ``pytorch`` for ``huggingface``."""
    base_framework_version: str | None = None
    """Its version, for example ``2.0.0``."""
    sdk_version: str | None = None
    """Of the AWS Neuron SDK, for example ``2.26.0``; or of Gaudi's SynapseAI."""
    os: str | None = None
    """For example ``ubuntu20.04`` or ``amzn2023``."""
    repository: str
    tag: str
    accounts: str
    """Name of the account set that publishes it."""
    layout: str | None = None
    """``conda``, ``usrlocal`` or ``venv``: how Python got into it."""
    end_of_patch: str | None = None
    """ISO date after which AWS patches it no more."""
    digest: Digest | None = None
    """Of the manifest, where the catalog pins it."""
    origin: str | None = None
    """Where the entry is from when AWS's own list of images does not have it, for example ``sagemaker 2.257.7``."""

    @property
    def python(self) -> str:
        """Path of the interpreter in the image; a name to look for on ``PATH`` where the path is not known."""
        return _PYTHON[self.layout] if self.layout else "python3"

    @property
    def platform(self) -> str:
        """``linux/amd64`` or ``linux/arm64``, as registries call it."""
        return "linux/arm64" if self.architecture == "arm64" else "linux/amd64"

    @property
    def package_manager(self) -> str:
        """``apt`` or ``dnf``."""
        return "dnf" if (self.os or "").startswith("amzn") else "apt"

    @property
    def has_conda(self) -> bool:
        """Whether the ``conda`` command is in the image."""
        return self.layout == "conda"

    @property
    def release(self) -> Version:
        """The version, in an order that compares."""
        return release_of(self.version)

    @property
    def accelerator(self) -> str:
        """Version of what the processor needs, for people: ``cu121``, or ``sdk2.26.0`` for AWS Neuron."""
        return self.cuda_version or (f"sdk{self.sdk_version}" if self.sdk_version else "")

    def version_of(self, framework: str) -> Version | None:
        """Return which version of ``framework`` is in the image.

        Args:
            framework: The image's own, the one that it runs on, or ``transformers``.

        Returns:
            ``None`` when that framework is not in it, as far as the catalog knows.
        """
        if framework == self.framework or (framework == "transformers" and self.framework == "huggingface"):
            return self.release
        if framework == self.base_framework and self.base_framework_version:
            return release_of(self.base_framework_version)
        return None

    def describe(self) -> str:
        """Return one line for people: ``2.3.0 gpu py311 cu121``."""
        base = f"on {self.base_framework} {self.base_framework_version or ''}".rstrip() if self.base_framework else None
        architecture = self.architecture if self.architecture != "x86_64" else None
        words = [self.version, base, self.processor, architecture, self.py_version, self.accelerator]
        return " ".join(filter(None, words))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Framework:
    """All images of one framework, and how their tags are made."""

    name: str
    images: tuple[BaseImage, ...]
    """Of several for one combination, the preferred one comes first."""
    version_aliases: Mapping[str, str]
    """Short version → full version, where that is not simply the newest."""
    repositories: tuple[Repository, ...] = ()
    """Where AWS publishes the images, and how their tags are read."""
    provenance: str = ""
    """What the entries were taken from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partitions:
    """Which partition a region is in, and which account publishes there."""

    dns_suffixes: Mapping[str, str]
    """Partition → DNS suffix."""
    patterns: Mapping[str, re.Pattern[str]]
    """Partition → regular expression of its region names."""
    regions: Mapping[str, str]
    """Region → partition."""
    accounts: Mapping[str, Mapping[str, str]]
    """Account set → region → account."""

    def partition(self, region: str) -> str:
        """Return the partition of ``region``; regions that are newer than this catalog work too.

        Raises:
            ImageNotInCatalogError: No partition has regions of that name.
        """
        partition = self.regions.get(region) or next(
            (name for name, pattern in self.patterns.items() if pattern.fullmatch(region)), None
        )
        if partition is None:
            near = get_close_matches(region, self.regions, n=3)
            raise ImageNotInCatalogError(
                f"there is no AWS region {region!r}",
                hint=f"did you mean {', '.join(near)}?" if near else "write for example 'us-east-1'",
            )
        return partition

    def dns_suffix(self, region: str) -> str:
        """Return the suffix of AWS host names in ``region``.

        Raises:
            ImageNotInCatalogError: No partition has regions of that name.
        """
        return self.dns_suffixes[self.partition(region)]

    def registry_host(self, account: str, region: str) -> str:
        """Return the host of the private ECR registry of ``account`` in ``region``."""
        return f"{account}.dkr.ecr.{region}.{self.dns_suffix(region)}"

    def publishes(self, image: BaseImage, region: str) -> bool:
        """Whether AWS publishes ``image`` in ``region``, as far as the catalog knows."""
        return region in self.accounts[image.accounts]

    def reference(self, image: BaseImage, region: str) -> ImageReference:
        """Return where AWS publishes ``image`` for ``region``.

        Raises:
            ImageNotInCatalogError: AWS does not publish it there.
        """
        published = self.accounts[image.accounts]
        if region not in published:
            self.dns_suffix(region)
            raise ImageNotInCatalogError(
                f"AWS does not publish {image.repository} in {region}",
                hint=f"it is in {', '.join(get_close_matches(region, published, n=3) or sorted(published))}",
            )
        return ImageReference(
            registry=self.registry_host(published[region], region),
            repository=image.repository,
            tag=image.tag,
            digest=image.digest,
        )


def is_python(known: str | None, asked: str | None) -> bool:
    """Tell whether an image with the Python ``known`` is one of those that ``asked`` means.

    AWS names many images ``py3``, or not at all, whatever their Python 3 is.
    """
    if None in (known, asked) or known == asked:
        return True
    shorter, longer = sorted((known or "", asked or ""))
    return shorter in ("py2", "py3") and longer.startswith(shorter)


_FIELDS = tuple(field.name for field in fields(BaseImage))


@cache
def release_of(version: str) -> Version:
    """Return a version in an order that compares; of ``1.4-2-py312`` and ``b9522`` the part that is one."""
    try:
        return Version(version)
    except InvalidVersion:
        number = re.search(r"\d+(?:\.\d+)*(?:-\d+)?", version)
        return Version(number[0] if number else "0")


def read_framework(document: object, where: str) -> Framework:
    """Read a document of ``image_catalog/frameworks``.

    Args:
        document: The parsed JSON.
        where: Its file name, for errors.

    Raises:
        CatalogError: It is of another schema version, or an entry is malformed; lists every bad entry.
    """
    if not isinstance(document, Mapping):
        raise CatalogError(f"{where}: it has to be a JSON object", hint=_KEYS)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise CatalogError(
            f"{where}: schema_version is {document.get('schema_version')!r}, this release reads {SCHEMA_VERSION}",
            hint="update sagemaker-custom, or write the document anew",
        )
    if not isinstance(document.get("framework"), str) or not isinstance(document.get("images", []), list):
        raise CatalogError(f"{where}: framework has to be a text, and images a list", hint=_KEYS)
    aliases = document.get("version_aliases", {})
    if not _NAME.fullmatch(document["framework"]) or not (
        isinstance(aliases, Mapping) and all(isinstance(text, str) for pair in aliases.items() for text in pair)
    ):
        raise CatalogError(
            f"{where}: framework has to be a name such as 'pytorch', and version_aliases texts", hint=_KEYS
        )
    images, problems = [], []
    for number, entry in enumerate(document.get("images", [])):
        try:
            image = BaseImage(framework=document["framework"], **entry)
            _check(image)
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{where}: images[{number}]: {getattr(error, 'message', error)}")
        else:
            images.append(image)
    try:
        repositories = read_repositories(document.get("repositories", []))
    except (KeyError, TypeError, ValueError) as error:
        problems.append(f"{where}: repositories: {error}")
    if problems:
        raise CatalogError("\n".join(problems), hint=_KEYS)
    return Framework(
        name=document["framework"],
        images=tuple(images),
        version_aliases=aliases,
        repositories=repositories,
        provenance=document.get("provenance", ""),
    )


def _check(image: BaseImage) -> None:
    for name in _FIELDS:
        if not isinstance(getattr(image, name), str | None):
            raise TypeError(f"{name} {getattr(image, name)!r} is not a text")
    _check_name(image)
    if image.end_of_patch is not None:
        date.fromisoformat(image.end_of_patch)
    if image.py_version is not None and not re.fullmatch(r"py\d+", image.py_version):
        raise TypeError(f"py_version {image.py_version!r} is not like 'py311'")
    if image.cuda_version is not None and not re.fullmatch(r"cu\d{2,3}", image.cuda_version):
        raise TypeError(f"cuda_version {image.cuda_version!r} is not like 'cu121'")
    if image.layout is not None and image.layout not in _PYTHON:
        raise TypeError(f"layout {image.layout!r} is none of {', '.join(_PYTHON)}")
    for name, known in _KNOWN.items():
        if getattr(image, name) not in known:
            raise TypeError(f"{name} {getattr(image, name)!r} is none of {', '.join(known)}")


def _check_name(image: BaseImage) -> None:
    # They become names of repositories and tags, and stand in Dockerfiles.
    ImageReference.parse(f"{image.repository}:{image.tag}")
    if image.digest is not None:
        parse_digest(image.digest)
    if not _WORD.fullmatch(image.version):
        raise TypeError(f"version {image.version!r} is not like '2.3.0'")


def read_partitions(document: Mapping[str, Any]) -> Partitions:
    """Read ``image_catalog/partitions.json``.

    Raises:
        CatalogError: A part of it is missing or malformed.
    """
    try:
        _check_hosts(document)
        return Partitions(
            dns_suffixes={name: entry["dns_suffix"] for name, entry in document["partitions"].items()},
            patterns={name: re.compile(entry["region_regex"]) for name, entry in document["partitions"].items()},
            regions=document["regions"],
            accounts=document["account_sets"],
        )
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, re.error) as error:
        raise CatalogError(
            f"partitions.json: {error}",
            hint="it maps partitions, regions and account_sets; see the one that is shipped",
        ) from error


def _check_hosts(document: Mapping[str, Any]) -> None:
    # Host names are made of them, and Dockerfiles name those.
    for entry in document["partitions"].values():
        if not _HOST.fullmatch(entry["dns_suffix"]):
            raise ValueError(f"dns_suffix {entry['dns_suffix']!r} is not the end of a host name")
    for region, account in (pair for accounts in document["account_sets"].values() for pair in accounts.items()):
        if not (_NAME.fullmatch(region) and _ACCOUNT.fullmatch(account)):
            raise ValueError(f"account {account!r} in {region!r} is not an account in a region")
