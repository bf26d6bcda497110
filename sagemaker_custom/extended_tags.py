"""A base image, extras and a fingerprint → the tag in our repository; and what such a tag says. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from typing_extensions import assert_never

from sagemaker_custom.catalog import BaseImage
from sagemaker_custom.spec import AptExtra, CondaExtra, Extra, PipExtra, RecipeExtra, RequirementsExtra

LONGEST_TAG = 128
"""Of a tag, in characters."""
_FINGERPRINT = 20
_TAG = re.compile(
    r"(?P<version>[A-Za-z0-9_.+-]+?)"
    r"(?:-(?!py[0-9])(?P<base_framework>[a-z]+)(?P<base_framework_version>[0-9][0-9A-Za-z_.]*)?)??"
    r"-(?P<image_scope>training|inference|processing)"
    r"-(?P<processor>cpu|gpu|neuronx|neuron|hpu|eia)"
    r"(?:-(?P<architecture>arm64))?"
    r"(?:-(?P<py_version>py[0-9]+))?"
    r"(?:-(?P<cuda_version>cu[0-9]+))?"
    r"(?:-sdk(?P<sdk_version>[0-9][0-9.]*[0-9]))?"
    r"(?:-(?P<extras>[A-Za-z0-9.-]+?))?"
    r"-(?P<fingerprint>[0-9a-f]{20})"
    r"(?:-r(?P<revision>[0-9A-Za-z-]+))?"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtendedTag:
    """What the tag of an extended image says; its labels hold the whole truth."""

    version: str
    base_framework: str | None = None
    base_framework_version: str | None = None
    image_scope: str
    processor: str
    architecture: str = "x86_64"
    py_version: str | None = None
    cuda_version: str | None = None
    sdk_version: str | None = None
    extras: str | None = None
    """Names of the extras, cut off where they are long."""
    fingerprint: str
    """The first 20 of its 64 hexadecimal digits."""
    revision: str | None = None
    """Of a fresh build (``build="always"``)."""


@lru_cache(maxsize=4096)
def extended_tag(base: BaseImage, extras: tuple[Extra, ...], fingerprint: str, revision: str | None = None) -> str:
    """Return the tag of an extended image.

    Args:
        base: What is extended.
        extras: By what; names that do not fit are cut off.
        fingerprint: Of everything that decides on the image's contents; unequal images have unequal ones.
        revision: Names a fresh build.
    """
    ending = fingerprint[:_FINGERPRINT] + (f"-r{revision}" if revision else "")
    known = [
        _plain(base.version),
        f"{base.base_framework}{_plain(base.base_framework_version or '')}" if base.base_framework else None,
        base.image_scope,
        base.processor,
        base.architecture if base.architecture != "x86_64" else None,
        base.py_version,
        base.cuda_version,
        f"sdk{base.sdk_version}" if base.sdk_version else None,
    ]
    names = [re.sub(r"[^A-Za-z0-9.]+", "-", _short(extra)).strip("-.") for extra in extras]
    readable = "-".join(filter(None, [*known, *names]))
    return f"{readable[: LONGEST_TAG - len(ending) - 1].rstrip('-.')}-{ending}"


def mirrored_tag(base: BaseImage) -> str:
    """Return the tag of AWS's image where it lies beside the extended ones; both scopes share that repository."""
    return f"base-{base.image_scope}-{base.tag}"[:LONGEST_TAG]


def read_extended_tag(tag: str) -> ExtendedTag | None:
    """Return what ``tag`` says, ``None`` when it is none of :func:`extended_tag`."""
    match = _TAG.fullmatch(tag)
    if match is None:
        return None
    return ExtendedTag(**{name: text for name, text in match.groupdict().items() if text is not None})


def _plain(version: str) -> str:
    """Replace what a tag may not hold, as the ``+`` of a local version."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", version)


def _short(extra: Extra) -> str:
    match extra:
        case RecipeExtra():
            return extra.name
        case PipExtra():
            return re.split(r"[^a-z0-9-]", extra.requirement)[0]
        case CondaExtra():
            return re.split(r"[=<>!]", extra.spec)[0]
        case AptExtra():
            return extra.package.partition("=")[0]
        case RequirementsExtra():
            return "requirements"
        case _:
            assert_never(extra)
