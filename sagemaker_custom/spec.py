"""What the caller asked for → one canonical :class:`ImageSpec`; a document → its fingerprint. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from sagemaker_custom.errors import InvalidExtraError, UsageError

ImageScope = Literal["training", "inference", "processing"]
Processor = Literal["cpu", "gpu", "neuron", "neuronx", "hpu", "eia"]
Architecture = Literal["x86_64", "arm64"]
BuildPolicy = Literal["if-missing", "always", "never"]

FINGERPRINT_FORMAT = 1
"""Part of every fingerprint; rises when the same document would build another image."""

_REMEMBERED = 4096
# Markers are read by recursion.
_UNREADABLE = (InvalidRequirement, InvalidSpecifier, RecursionError)
_PACKAGE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# apt-get takes "NAME-" for an order to remove NAME.
_APT_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](=[A-Za-z0-9.+:~-]+)?")
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
_CONDA_CHANNEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_/-]|\.(?!\.))*")
_CONDA_SPEC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(\s*(==|=|>=|<=|>|<|!=)\s*[A-Za-z0-9_.*+!,<>=-]+)?")
_GRAVITON = re.compile(r"[a-z]+[0-9]+g[a-z]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeExtra:
    """A recipe of the catalog, by name: ``faiss`` or ``faiss==1.8.0``."""

    name: str
    specifier: str = ""
    """PEP 440 specifiers, sorted; empty for whatever the recipe prefers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PipExtra:
    """One package from the index: ``pip:PKG``."""

    requirement: str
    """PEP 508, in canonical spelling."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CondaExtra:
    """One conda package: ``conda:channel::PKG``."""

    spec: str
    """Conda match specification, for example ``faiss-gpu=1.7.3``."""
    channel: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AptExtra:
    """One package of the image's distribution: ``apt:PKG`` or ``apt:PKG=VERSION``."""

    package: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RequirementsExtra:
    """The contents of a requirements file; where it lay does not matter."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    path: str = field(default="requirements.txt", compare=False, repr=False)
    """Of the file, to name it by."""


Extra: TypeAlias = RecipeExtra | PipExtra | CondaExtra | AptExtra | RequirementsExtra


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSpec:
    """Which image is wanted, in canonical form: spelling and order of what the caller wrote are gone."""

    framework: str
    """Name of the catalog's framework, for example ``pytorch``."""
    version: str | None = None
    """As asked: ``2.3`` stands for the newest 2.3.x; ``None`` for the newest of all."""
    py_version: str | None = None
    """For example ``py311``."""
    image_scope: ImageScope | None = "training"
    """``None`` for training, or what else there is when the framework has no training images."""
    processor: Processor | None = "cpu"
    """``None`` for CPU, or what else there is when the framework has no CPU images."""
    architecture: Architecture = "x86_64"
    cuda_version: str | None = None
    """For example ``cu121``; ``None`` for what the catalog has for the version."""
    base_framework: str | None = None
    """What a framework such as ``huggingface`` runs on, for example ``pytorch``."""
    base_framework_version: str | None = None
    """Its version, as asked."""
    sdk_version: str | None = None
    """Of the AWS Neuron SDK, as asked."""
    container_version: str | None = None
    """Ending of the tag of AWS's image, where several images differ in nothing else: ``ubuntu18.04``."""
    extras: tuple[Extra, ...] = ()
    """Sorted, each once."""
    replace: tuple[str, ...] = ()
    """Packages of the base image that the extras may replace; sorted, each once, in canonical spelling."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """What an instance type computes on."""

    processor: Processor
    architecture: Architecture


_FAMILIES: tuple[tuple[re.Pattern[str], Processor], ...] = (
    (re.compile("inf1"), "neuron"),
    (re.compile("inf|trn"), "neuronx"),
    (re.compile("dl1"), "hpu"),
    (re.compile("[gp][0-9]"), "gpu"),
)
"""How the names of instance families begin, by what they compute on; every other one has CPUs alone."""


def hardware_of(instance_type: str | None) -> Hardware:
    """Read processor and architecture off an instance type.

    Args:
        instance_type: ``ml.g5.xlarge``, ``ml_g5``, ``local``, ``local_gpu`` or ``None`` (serverless: CPU).

    Raises:
        UsageError: Not an instance type.
    """
    if instance_type in (None, "local"):
        return Hardware(processor="cpu", architecture="x86_64")
    if instance_type == "local_gpu":
        return Hardware(processor="gpu", architecture="x86_64")
    match = re.fullmatch(r"ml[._]([a-z0-9-]+)(\.[a-z0-9-]+)?", instance_type)
    if not match:
        raise UsageError(
            f"{instance_type!r} is not an instance type",
            hint="write for example 'ml.g5.xlarge', 'local' or 'local_gpu'",
        )
    family = match[1]
    return Hardware(
        processor=next((processor for beginning, processor in _FAMILIES if beginning.match(family)), "cpu"),
        architecture="arm64" if _GRAVITON.fullmatch(family) else "x86_64",
    )


def normalise_cuda(cuda_version: str | None) -> str | None:
    """Spell a CUDA version as the catalog does: ``12.1`` and ``CU121`` → ``cu121``.

    Raises:
        UsageError: It is neither of the two forms.
    """
    if cuda_version is None:
        return None
    match = re.fullmatch(r"(?:cu)?([0-9]{1,2})\.?([0-9])(?:\.[0-9]+)?", str(cuda_version).lower())
    if not match:
        raise UsageError(f"cuda_version {cuda_version!r} cannot be read", hint="write 'cu121' or '12.1'")
    return f"cu{match[1]}{match[2]}"


def normalise_python(py_version: str | None) -> str | None:
    """Spell a Python version as the catalog does: ``3.11`` and ``py311`` → ``py311``; ``py3`` stays.

    Raises:
        UsageError: It is neither of the two forms.
    """
    if py_version is None:
        return None
    match = re.fullmatch(r"(?:py)?([0-9])(?:\.?([0-9]{1,2}))?", str(py_version).lower())
    if not match:
        raise UsageError(f"py_version {py_version!r} cannot be read", hint="write 'py311' or '3.11'")
    return f"py{match[1]}{match[2] or ''}"


@lru_cache(maxsize=_REMEMBERED)
def parse_extra(text: str) -> Extra:
    """Read one entry of ``extras`` that is not a requirements file.

    Args:
        text: ``faiss``, ``faiss==1.8.0``, ``pip:PKG``, ``conda:channel::PKG``, ``conda:PKG`` or ``apt:PKG``.

    Raises:
        InvalidExtraError: It cannot be read; the message says why.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("pip", "conda", "apt"):
        return _recipe(text)
    rest = rest.strip()
    if kind == "pip":
        return PipExtra(requirement=canonical_requirement(rest, where=f"extra {redacted(text)!r}"))
    if kind == "apt":
        if not _APT_NAME.fullmatch(rest):
            raise InvalidExtraError(
                f"extra {text!r} is not a package name", hint="write 'apt:NAME' or 'apt:NAME=VERSION'"
            )
        return AptExtra(package=rest)
    channel, separator, spec = rest.rpartition("::")
    if not _CONDA_SPEC.fullmatch(spec) or (separator and not _CONDA_CHANNEL.fullmatch(channel)):
        raise InvalidExtraError(
            f"extra {text!r} is not a conda package", hint="write 'conda:NAME=VERSION' or 'conda:CHANNEL::NAME=VERSION'"
        )
    return CondaExtra(channel=channel or None, spec=_conda_spec(spec))


def _conda_spec(text: str) -> str:
    # Names do not tell upper from lower case, build strings do.
    return re.sub(r"^[^=<>!]+", lambda name: name[0].lower(), re.sub(r"\s+", "", text))


def _recipe(text: str) -> RecipeExtra:
    # "===" takes any characters for a version.
    _check_printable(text, f"extra {redacted(text)!r}", "write a recipe, for example 'faiss==1.8.0'")
    try:
        requirement = Requirement(text)
    except _UNREADABLE as error:
        raise InvalidExtraError(
            f"extra {redacted(text)!r} cannot be read: {error}".splitlines()[0],
            hint="write a recipe ('faiss', 'faiss==1.8.0'), 'pip:PKG', 'conda:CHANNEL::PKG', 'apt:PKG' "
            "or the path of a requirements.txt",
        ) from error
    if requirement.url or requirement.marker or requirement.extras:
        raise InvalidExtraError(
            f"extra {redacted(text)!r} is not a recipe of the catalog",
            hint=f"write 'pip:{redacted(text)}' for a package of the index",
        )
    return RecipeExtra(name=canonicalize_name(requirement.name), specifier=_sorted_specifiers(requirement.specifier))


def _check_printable(text: str, what: str, hint: str) -> None:
    if not text.strip().isprintable():
        raise InvalidExtraError(f"{what} has a line end or another character that cannot be printed", hint=hint)


def canonical_requirement(text: str, *, where: str) -> str:
    """Spell a PEP 508 requirement in the one canonical way.

    Args:
        text: For example ``Faiss_CPU >= 1.8, <2``.
        where: What to call the place in an error, for example ``requirements.txt:3``.

    Raises:
        InvalidExtraError: It is not a requirement, or its URL holds credentials or is one of this machine.
    """
    # PEP 508 lets line ends into URLs and markers; in a Dockerfile they would end the instruction.
    _check_printable(text.replace("\t", " "), f"{where}: {redacted(text)!r}", "write one requirement, on one line")
    try:
        requirement = Requirement(text.strip())
    except _UNREADABLE as error:
        raise InvalidExtraError(
            f"{where}: {redacted(text)!r} is not a requirement: {str(error).splitlines()[0]}",
            hint="put its name before the URL: 'NAME @ https://…'"
            if "://" in text
            else "write it as pip does, for example 'faiss-cpu==1.8.0'",
        ) from error
    if requirement.url:
        _check_url(requirement.url, f"{where}: the URL of {requirement.name!r}")
    extras = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
    target = f" @ {requirement.url}" if requirement.url else _sorted_specifiers(requirement.specifier)
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{canonicalize_name(requirement.name)}{extras}{target}{marker}"


def _check_url(url: str, what: str) -> None:
    try:
        shown, scheme = without_credentials(url), urlsplit(url).scheme
    except ValueError as error:
        raise InvalidExtraError(f"{what} cannot be read", hint="write 'NAME @ https://…'") from error
    if shown != url:
        raise InvalidExtraError(
            f"{what} holds credentials, which would stay in the image",
            hint="put the package on an index, and the index with its credentials in the setting pip_index_url",
        )
    if not scheme or scheme.endswith("file"):
        raise InvalidExtraError(
            f"{what} names something on this machine, which the image does not have",
            hint="give the folder as dependencies=, or put the package on an index",
        )


def _sorted_specifiers(specifiers: SpecifierSet) -> str:
    return ",".join(sorted(str(specifier) for specifier in specifiers))


def normalise_extras(extras: Iterable[Extra]) -> tuple[Extra, ...]:
    """Sort extras and drop repetitions, so that neither matters.

    Raises:
        InvalidExtraError: One recipe is asked for in two versions.
    """
    unique = sorted(set(extras), key=lambda extra: (type(extra).__name__, repr(extra)))
    recipes: dict[str, RecipeExtra] = {}
    for extra in unique:
        if isinstance(extra, RecipeExtra):
            other = recipes.setdefault(extra.name, extra)
            if other != extra:
                raise InvalidExtraError(
                    f"the recipe {extra.name!r} is asked for twice, as {other.name + other.specifier!r} "
                    f"and as {extra.name + extra.specifier!r}",
                    hint="keep one of them",
                )
    return tuple(unique)


def normalise_replace(packages: Iterable[str] | str) -> tuple[str, ...]:
    """Spell the names of packages that may be replaced in the one canonical way; a single one need not be in a list.

    Raises:
        UsageError: One of them is not the name of a package.
    """
    names = [packages] if isinstance(packages, str) else list(packages)
    for name in names:
        if not _PACKAGE_NAME.fullmatch(name):
            raise UsageError(
                f"replace={name!r} is not the name of a package",
                hint="name packages of the base image alone, for example replace=['numpy']; versions go into extras",
            )
    return tuple(sorted({str(canonicalize_name(name)) for name in names}))


def without_credentials(url: str) -> str:
    """Return ``url`` without user name and password; ``git+ssh://git@…`` names no secret and stays.

    Raises:
        UsageError: It is not a URL.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{redacted(url)!r} is not a URL", hint="write for example 'https://host/path'") from error
    user, _, host = parts.netloc.rpartition("@")
    if not user or (parts.scheme.endswith("ssh") and ":" not in user):
        return url
    return urlunsplit(parts._replace(netloc=host))


def redacted(text: str) -> str:
    """Return ``text``, whatever it is, fit for a message: what may be credentials in a URL is left out."""
    return _URL_CREDENTIALS.sub("", text)


def fingerprint(document: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hexadecimal digits) of the canonical JSON of ``document``.

    Canonical: keys sorted, no white space, every list and text delimited and typed by JSON itself, and the
    format's number in front, so that unequal documents never share bytes.
    """
    return hashlib.sha256(canonical_json({"format": FINGERPRINT_FORMAT, "image": document}).encode()).hexdigest()


def canonical_json(document: Mapping[str, Any]) -> str:
    """Return the one JSON text of ``document``."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def with_scope(spec: ImageSpec, image_scope: ImageScope, instance_type: str | None) -> ImageSpec:
    """Return the counterpart of ``spec`` for another scope and instance type: the other half of the pair.

    What belongs to one image alone (CUDA, Neuron SDK, the ending of the tag) goes along only to an image of the same
    scope and processor.
    """
    hardware = hardware_of(instance_type)
    same = spec.image_scope == image_scope and spec.processor in (None, hardware.processor)
    return replace(
        spec,
        image_scope=image_scope,
        processor=hardware.processor,
        architecture=hardware.architecture,
        cuda_version=spec.cuda_version if same else None,
        sdk_version=spec.sdk_version if same else None,
        container_version=spec.container_version if same else None,
    )


def parse_base_framework(text: str | None) -> tuple[str | None, str | None]:
    """Read the SDK's ``base_framework_version``: ``pytorch2.0.0`` → ``("pytorch", "2.0.0")``; a version alone works.

    Raises:
        UsageError: It cannot be read.
    """
    if text is None:
        return None, None
    match = re.fullmatch(r"([a-z]*?)[-=]*([0-9][0-9.]*)?", text.lower())
    if not match or not (match[1] or match[2]):
        raise UsageError(f"base_framework_version {text!r} cannot be read", hint="write for example 'pytorch2.0.0'")
    return match[1] or None, match[2]
