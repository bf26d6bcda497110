"""Machine-written documents of ``image_catalog`` → base images, accounts and partitions, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from packaging.version import InvalidVersion, Version

from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError
from sagemaker_custom.reference import Digest, ImageReference

SCHEMA_VERSION = 1
"""Of the documents that this package writes and reads."""

_KEYS = "see the documents that are shipped; an image has the keys of catalog.images.BaseImage"
# Where the interpreter is, by how AWS made the image (see docs/explanation/catalog.md).
_PYTHON = {"conda": "/opt/conda/bin/python", "usrlocal": "/usr/local/bin/python", "venv": "/opt/venv/bin/python"}


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseImage:
    """One image that AWS publishes."""

    framework: str
    version: str
    """Full, for example ``2.3.0``."""
    image_scope: str
    """``training`` or ``inference``."""
    processor: str
    """``cpu`` or ``gpu``."""
    architecture: str
    py_version: str
    """For example ``py311``."""
    cuda_version: str | None
    """For example ``cu121``; ``None`` on CPU."""
    os: str
    """For example ``ubuntu20.04`` or ``amzn2023``."""
    repository: str
    tag: str
    accounts: str
    """Name of the account set that publishes it."""
    layout: str
    """``conda``, ``usrlocal`` or ``venv``: how Python got into it."""
    end_of_patch: str | None = None
    """ISO date after which AWS patches it no more, where known."""
    digest: Digest | None = None
    """Of the manifest, where the catalog pins it."""

    @property
    def python(self) -> str:
        """Path of the interpreter in the image."""
        return _PYTHON[self.layout]

    @property
    def package_manager(self) -> str:
        """``apt`` or ``dnf``."""
        return "dnf" if self.os.startswith("amzn") else "apt"

    @property
    def has_conda(self) -> bool:
        """Whether the ``conda`` command is in the image."""
        return self.layout == "conda"

    @property
    def release(self) -> Version:
        """The version, in an order that compares."""
        return Version(self.version)

    def describe(self) -> str:
        """Return one line for people: ``2.3.0 gpu py311 cu121``."""
        return " ".join(filter(None, [self.version, self.processor, self.py_version, self.cuda_version]))


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

    def dns_suffix(self, region: str) -> str:
        """Return the suffix of AWS host names in ``region``; regions that are newer than this catalog work too.

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
        return self.dns_suffixes[partition]

    def registry_host(self, account: str, region: str) -> str:
        """Return the host of the private ECR registry of ``account`` in ``region``."""
        return f"{account}.dkr.ecr.{region}.{self.dns_suffix(region)}"

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


def read_framework(document: object, where: str) -> tuple[BaseImage, ...]:
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
    images, problems = [], []
    for number, entry in enumerate(document.get("images", [])):
        try:
            image = BaseImage(framework=document["framework"], **entry)
            _check(image)
        except (KeyError, TypeError, InvalidVersion) as error:
            problems.append(f"{where}: images[{number}]: {error}")
        else:
            images.append(image)
    if problems:
        raise CatalogError("\n".join(problems), hint=_KEYS)
    return tuple(images)


def _check(image: BaseImage) -> None:
    Version(image.version)
    if not (re.fullmatch(r"py3\d+", image.py_version) and re.fullmatch(r"cu\d{2,3}", image.cuda_version or "cu00")):
        raise TypeError(f"{image.py_version!r} and {image.cuda_version!r} are not like 'py311' and 'cu121'")
    if image.layout not in _PYTHON:
        raise TypeError(f"layout {image.layout!r} is none of {', '.join(_PYTHON)}")


def read_partitions(document: Mapping[str, Any]) -> Partitions:
    """Read ``image_catalog/partitions.json``.

    Raises:
        CatalogError: A part of it is missing or malformed.
    """
    try:
        return Partitions(
            dns_suffixes={name: entry["dns_suffix"] for name, entry in document["partitions"].items()},
            patterns={name: re.compile(entry["region_regex"]) for name, entry in document["partitions"].items()},
            regions=document["regions"],
            accounts=document["account_sets"],
        )
    except (KeyError, TypeError, AttributeError, re.error) as error:
        raise CatalogError(
            f"partitions.json: {error}",
            hint="it maps partitions, regions and account_sets; see the one that is shipped",
        ) from error
