"""Packages and images → package URLs, which name them for every tool. Pure."""

from __future__ import annotations

from urllib.parse import quote

from packaging.utils import canonicalize_name

from sagemaker_custom.reference import Digest, ImageReference


def pypi(name: str, version: str) -> str:
    """Return the name of a Python package."""
    return f"pkg:pypi/{_quoted(canonicalize_name(name))}@{_quoted(version)}"


def image(reference: ImageReference, digest: Digest) -> str:
    """Return the name of an image; its tag and repository are said besides its digest."""
    _, _, last = reference.repository.rpartition("/")
    where = {"repository_url": reference.name, "tag": reference.tag}
    qualifiers = "&".join(f"{key}={_quoted(value, safe='/')}" for key, value in where.items() if value)
    return f"pkg:oci/{_quoted(last)}@{_quoted(digest)}?{qualifiers}"


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=safe)
