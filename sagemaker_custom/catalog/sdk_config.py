"""The SageMaker SDK that is installed, read as files and never imported → frameworks for what our catalog lacks."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from sagemaker_custom.catalog import Catalog
from sagemaker_custom.catalog.images import BaseImage, Framework, is_python, release_of
from sagemaker_custom.catalog.sdk_images import read_sdk_documents

logger = logging.getLogger(__name__)

_FOLDERS = {"sagemaker": "image_uri_config", "sagemaker-core": "core/image_uri_config"}
"""Distribution → where it has its configuration, in the package ``sagemaker``: version 2, and version 3."""

_COMPANIONS = {
    "pytorch": ("pytorch-neuron", "pytorch-neuronx", "pytorch-amzn2023"),
    "huggingface": ("huggingface-neuron", "huggingface-neuronx"),
}
"""Framework → documents that the SDK turns to for some processors or versions of it."""

_REMEMBERED = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class SdkConfig:
    """The configuration of an SDK."""

    folder: Path
    """Where its documents are, one a framework."""
    version: str
    """For people: ``sagemaker 2.257.7``."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SdkFramework:
    """A framework as the SDK knows it."""

    framework: Framework
    accounts: Mapping[str, Mapping[str, str]]
    """Account sets that its images name, besides those of the catalog."""


@cache
def installed_sdk() -> SdkConfig | None:
    """Find the SDK that is installed, editable or not, once a process.

    Returns:
        ``None`` when there is none.
    """
    # For a name without a dot this looks for the package, but does not run it.
    spec = util.find_spec("sagemaker")
    return sdk_in(spec.submodule_search_locations or () if spec else ())


def sdk_in(packages: Iterable[str]) -> SdkConfig | None:
    """Find the SDK's configuration in the folders of its package.

    Args:
        packages: The folders; a namespace package has several.
    """
    for package in packages:
        for distribution, folder in _FOLDERS.items():
            path = Path(package, folder)
            if path.is_dir():
                return SdkConfig(folder=path, version=f"{distribution} {_version(distribution)}")
    return None


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"


@lru_cache(maxsize=_REMEMBERED)
def names(sdk: SdkConfig) -> frozenset[str]:
    """Return what the SDK has a document for."""
    return frozenset(path.stem for path in sdk.folder.glob("*.json"))


@lru_cache(maxsize=_REMEMBERED)
def sdk_framework(name: str, sdk: SdkConfig) -> SdkFramework | None:
    """Read a framework as the SDK knows it; only its own documents are opened.

    Args:
        name: For example ``pytorch`` or ``linear-learner``.
        sdk: Where.

    Returns:
        ``None`` when the SDK has no images of that name.
    """
    configs = [config for config in (name, *_COMPANIONS.get(name, ())) if config in names(sdk)]
    if name not in configs:
        return None
    try:
        read = read_sdk_documents(name, {config: _document(config, sdk) for config in configs}, origin=sdk.version)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # Among the documents are some of other things, and nothing holds a future SDK to this form.
        logger.debug("%s: %s holds no images that can be read: %r", sdk.version, name, error)
        return None
    framework = Framework(name=name, images=read.images, version_aliases=read.version_aliases, provenance=sdk.version)
    return SdkFramework(framework=framework, accounts=read.accounts)


def _document(config: str, sdk: SdkConfig) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((sdk.folder / f"{config}.json").read_text("utf-8"))
    return document


def with_sdk(framework: Framework | None, fallback: Framework) -> Framework:
    """Add to a framework what it lacks.

    Args:
        framework: Ours, whose images all stay and come first; ``None`` when we have no such framework.
        fallback: The SDK's. Of its images those are added of whose version, base framework, scope, processor,
            architecture and Python ours has none. One that is for any processor is not added either when ours has it
            for one: then we know better.
    """
    if framework is None:
        return fallback
    ours = defaultdict(list)
    for image in framework.images:
        ours[_kind(image)].append(image)
    same: dict[tuple[str, str, str], list[BaseImage]] = defaultdict(list)
    for image in fallback.images:
        if image.version not in framework.version_aliases:
            same[image.repository, image.tag, image.image_scope].append(image)
    lacking = [
        replace(image, framework=framework.name)
        for images in same.values()
        if not any(_covers(known, image) for image in images for known in ours[_kind(image)])
        for image in images
    ]
    return replace(
        framework,
        images=(*framework.images, *lacking),
        version_aliases={**fallback.version_aliases, **framework.version_aliases},
    )


def _kind(image: BaseImage) -> tuple[str, ...]:
    return (image.image_scope, image.processor, image.architecture)


def _covers(known: BaseImage, image: BaseImage) -> bool:
    """Whether who asks for ``image`` gets ``known``, which is of the same kind."""
    return (
        _is_version(known, image)
        and is_python(known.py_version, image.py_version)
        and image.base_framework in (None, known.base_framework)
        and (
            image.base_framework_version is None
            or release_of(known.base_framework_version or "0") == release_of(image.base_framework_version)
        )
        and image.sdk_version in (None, known.sdk_version)
    )


def _is_version(known: BaseImage, image: BaseImage) -> bool:
    # A version that is the beginning of one of ours is a tag that AWS moves to the newest.
    is_short = known.repository == image.repository and known.version.startswith(f"{image.version}.")
    return is_short or known.release == image.release


@lru_cache(maxsize=_REMEMBERED)
def extended(catalog: Catalog, name: str, sdk: SdkConfig) -> Catalog | None:
    """Return a catalog that also has what the SDK knows of one framework, images and accounts.

    Args:
        catalog: Ours.
        name: Of the framework, as asked.
        sdk: The one that is installed.

    Returns:
        ``None`` when the SDK has no such framework.
    """
    known_as = catalog.framework_aliases.get(name, name)
    fallback = sdk_framework(name, sdk) or sdk_framework(known_as, sdk)
    if fallback is None:
        return None
    merged = with_sdk(catalog.frameworks.get(known_as), fallback.framework)
    partitions = replace(catalog.partitions, accounts={**catalog.partitions.accounts, **fallback.accounts})
    return replace(catalog, frameworks=_OneReplaced(catalog.frameworks, known_as, merged), partitions=partitions)


class _OneReplaced(Mapping[str, Framework]):
    """A mapping with one other value; the rest stays as lazy as it is."""

    def __init__(self, frameworks: Mapping[str, Framework], name: str, framework: Framework) -> None:
        self._frameworks = frameworks
        self._name = name
        self._framework = framework

    def __getitem__(self, name: str) -> Framework:
        return self._framework if name == self._name else self._frameworks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._frameworks, self._name)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def with_installed_sdk(catalog: Catalog, framework: str) -> Catalog | None:
    """Return a catalog that has what the installed SDK knows of a framework besides; ``None`` without an SDK."""
    sdk = installed_sdk()
    return extended(catalog, framework, sdk) if sdk else None
