"""A document of the SageMaker SDK's ``image_uri_config`` → images, version aliases and account sets of ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sagemaker_custom.catalog.images import BaseImage, release_of

_SCOPES = {"training": "training", "inference": "inference", "eia": "inference", "inference_graviton": "inference"}
"""The SDK's scope → ours; images of any other scope run as processing jobs."""

_ANY_PROCESSOR = ("cpu", "gpu")
_TOOLS = ("neuron", "neuronx")
_PROCESSORS = {"cpu": "cpu", "gpu": "gpu", "neuron": "neuron", "inf": "neuron", "hpu": "hpu"} | dict.fromkeys(
    ("neuronx", "inf2", "trn", "trn1", "trn2"), "neuronx"
)
# The Python version is in the name of these repositories, and neither in the tag nor in the document.
_PYTHON_IN_REPOSITORY = MappingProxyType({"sagemaker-base-python": ("py310", "py38")})
# The GPU is what these tags mean without saying it.
_NO_GPU_IN_TAG = frozenset({"sagemaker-tritonserver"})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """What the document says of one version, without the levels that lead to it."""

    config: str
    scope: str
    version: str
    labels: tuple[str, ...]
    """Keys below the version: ``pytorch1.13.1``, or ``py3``."""
    processors: tuple[str, ...]
    node: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SdkImages:
    """What one or more documents of the SDK say."""

    images: tuple[BaseImage, ...]
    version_aliases: Mapping[str, str]
    accounts: Mapping[str, Mapping[str, str]]
    """Account set → region → account; the images name these sets."""


def read_sdk_documents(framework: str, documents: Mapping[str, Mapping[str, Any]], *, origin: str) -> SdkImages:
    """Read documents of the SDK as one framework.

    Args:
        framework: What to call it.
        documents: Name of each document, without ``.json`` → what it holds.
        origin: What the images say of where they are from.

    Raises:
        KeyError, TypeError, AttributeError: A document is none of image URIs.
    """
    images: list[BaseImage] = []
    sets: dict[tuple[tuple[str, str], ...], str] = {}
    for config, document in documents.items():
        for entry in _entries(config, document):
            registries = tuple(sorted(entry.node["registries"].items()))
            accounts = sets.setdefault(registries, f"sdk:{config}:{entry.scope}:{entry.version}")
            images += _images(framework, entry, accounts=accounts, origin=origin)
    groups = (group for document in documents.values() for _, group in _groups(document))
    return SdkImages(
        images=tuple(dict.fromkeys(images)),
        version_aliases=_aliases(groups),
        accounts={name: dict(registries) for registries, name in sets.items()},
    )


def _groups(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every scope with what has ``versions``; several scopes can share it."""
    if "versions" in document:
        yield from ((scope, document) for scope in document.get("scope", ["processing"]))
    else:
        yield from document.items()


def _entries(config: str, document: Mapping[str, Any]) -> Iterator[_Entry]:
    for scope, group in _groups(document):
        for version, node in _versions(group).items():
            for labels, leaf in _leaves(node):
                yield _Entry(
                    config=config,
                    scope=scope,
                    version=version,
                    labels=labels,
                    processors=tuple(group.get("processors") or leaf.get("processors") or ()),
                    node=leaf,
                )


def _leaves(node: object, labels: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if not isinstance(node, Mapping):
        return
    if "registries" in node:
        yield labels, node
        return
    for label, inner in node.items():
        yield from _leaves(inner, (*labels, label))


def _versions(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions, with what the SDK calls aliases but makes tags of: images of their own, published alike."""
    versions = group["versions"]
    named = {
        alias: versions[version]
        for alias, version in group.get("version_aliases", {}).items()
        if not _begins(version, alias) and "tag_prefix" not in versions[version]
    }
    return {**versions, **named}


def _aliases(groups: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the short versions that do not stand for the newest version that begins with them."""
    aliases: dict[str, str] = {}
    for group in groups:
        versions = _versions(group)
        for short, full in group.get("version_aliases", {}).items():
            fitting = [version for version in versions if version == short or _begins(version, short)]
            if short not in versions and max(fitting, key=release_of, default=None) != full:
                aliases.setdefault(short, full)
    return aliases


def _begins(version: str, beginning: str) -> bool:
    return version.startswith((f"{beginning}.", f"{beginning}-"))


def _images(framework: str, entry: _Entry, *, accounts: str, origin: str) -> Iterator[BaseImage]:
    scope = _SCOPES.get(entry.scope, "processing")
    base_framework, base_version = _base(entry.labels)
    for py_version in _pythons(entry):
        for word in entry.processors or (None,):
            sdk_version = _newest_sdk(entry.node.get("sdk_versions", ()))
            tag = _tag(entry, word, py_version, base_version, sdk_version)
            for processor in _processors(entry, word, tag):
                yield BaseImage(
                    framework=framework,
                    version=entry.version or "latest",
                    image_scope=scope,
                    processor=processor,
                    architecture="arm64" if _is_arm(entry) else "x86_64",
                    py_version=py_version,
                    cuda_version=_said(tag, r"cu\d{2,3}") if processor == "gpu" else None,
                    base_framework=base_framework,
                    base_framework_version=base_version,
                    sdk_version=(sdk_version or _said(tag, r"sdk[\d.]+") or "").removeprefix("sdk") or None,
                    os=_said(tag, r"ubuntu\d+\.\d+|amzn2023"),
                    repository=_repository(entry, py_version),
                    tag=tag,
                    accounts=accounts,
                    origin=origin,
                )


def _base(labels: Sequence[str]) -> tuple[str | None, str | None]:
    match = next(filter(None, (re.fullmatch(r"(pytorch|tensorflow)(\d.*)", label) for label in labels)), None)
    return (match[1], match[2]) if match else (None, None)


def _pythons(entry: _Entry) -> Sequence[str | None]:
    said = [label for label in entry.labels if re.fullmatch(r"py\d+", label)]
    return said or _PYTHON_IN_REPOSITORY.get(entry.config) or entry.node.get("py_versions") or [None]


def _repository(entry: _Entry, py_version: str | None) -> str:
    repository = str(entry.node["repository"])
    if entry.config in _PYTHON_IN_REPOSITORY and py_version:
        return f"{repository}-{py_version.removeprefix('py')}"
    return repository


def _is_arm(entry: _Entry) -> bool:
    return entry.scope == "inference_graviton" or entry.config.endswith("-arm64")


def _newest_sdk(versions: Iterable[str]) -> str | None:
    return max(versions, key=release_of, default=None)


def _processors(entry: _Entry, word: str | None, tag: str) -> tuple[str, ...]:
    """Return our words for the processors that an image is for."""
    if entry.scope == "eia":
        return ("eia",)
    if word is None:
        if "neuronx" in tag.split("-"):
            return ("neuronx",)
        if _said(tag, r"cu\d{2,3}"):
            return ("gpu",)
        return ("cpu",) if _is_arm(entry) else _ANY_PROCESSOR
    if entry.config.endswith("-neuronx"):
        return ("neuronx",)
    # Some configurations have an image a family of instances: "c5", "p3".
    return (_PROCESSORS.get(word) or ("gpu" if word[0] in "gp" else "cpu"),)


def _tag(entry: _Entry, processor: str | None, py: str | None, base: str | None, sdk: str | None) -> str:
    if entry.scope == "inference_graviton" and "container_version" not in entry.node:
        return "-".join(filter(None, [entry.version, "arm64", processor, py]))
    prefix = f"{base}-transformers{entry.version}" if base else str(entry.node.get("tag_prefix", entry.version))
    endings = entry.node.get("container_version", {})
    ending = endings.get(processor) or (next(iter(endings.values())) if len(endings) == 1 else None)
    for_sagemaker = "sagemaker" if re.search("-inference-(graviton|arm64)$", entry.node["repository"]) else None
    python = py if entry.config not in _PYTHON_IN_REPOSITORY else None
    words = [prefix, _processor_in_tag(entry, processor), python, sdk, ending, for_sagemaker]
    # An URI without a tag means this one.
    return "-".join(filter(None, words)) or "latest"


def _processor_in_tag(entry: _Entry, processor: str | None) -> str | None:
    if not entry.node.get("processor_in_tag", True) or (entry.config in _NO_GPU_IN_TAG and processor == "gpu"):
        return None
    tool = entry.config.rpartition("-")[2]
    # What the SDK's callers hand over as ``inference_tool`` stands in place of the processor.
    return tool if processor and processor not in _TOOLS and tool in _TOOLS else processor


def _said(tag: str, pattern: str) -> str | None:
    match = re.search(rf"(?:^|-)({pattern})(?=-|$)", tag)
    return match[1] if match else None
