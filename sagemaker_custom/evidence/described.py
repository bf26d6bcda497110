"""The labels of an image → what was put into it, as values. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker_custom.errors import UsageError
from sagemaker_custom.oci import Descriptor
from sagemaker_custom.plan import (
    BASE_DIGEST_LABEL,
    BUILDER_LABEL,
    FINGERPRINT_LABEL,
    LABEL_PREFIX,
    LOCK_LABEL,
    VERIFIED_LABEL,
    VERSION_LABEL,
    WHEELS_LABEL,
)
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.wheels.lock import Lock, LockedWheel, read_lock


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """A Python package that the build installed or changed."""

    name: str
    version: str
    wheel: LockedWheel | None = None
    """The file that it is from, where the builder knows it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribedImage:
    """One image, and what it says of itself."""

    reference: ImageReference
    """With its digest."""
    manifest: Descriptor
    created: str | None
    """As the image has it; of an appended one, the time of its base."""
    fingerprint: str
    spec: Mapping[str, Any]
    """What the fingerprint is taken of."""
    base: str
    """``repository:tag`` of the base."""
    base_digest: Digest | None
    """What that tag meant when the image was built."""
    lock: Lock | None
    """Of appended images."""
    added: tuple[Added, ...]
    """Sorted by name."""
    removed: frozenset[str]
    """Packages of the base that are gone."""
    builder: str
    version: str
    """Of this package."""
    verified: str

    @property
    def digest(self) -> Digest:
        """Of the manifest."""
        return self.manifest.digest

    @property
    def inventoried_base(self) -> Digest | None:
        """Manifest whose inventory tells what the base has."""
        return self.lock.base if self.lock else self.base_digest


def describe(
    reference: ImageReference, manifest: Descriptor, labels: Mapping[str, str], created: str | None
) -> DescribedImage:
    """Read what an image says of itself.

    Args:
        reference: Of the image.
        manifest: Of it.
        labels: Of it.
        created: When it says that it was made.

    Raises:
        UsageError: It was not built by this package, or its labels cannot be read.
    """
    if FINGERPRINT_LABEL not in labels:
        raise UsageError(
            f"{reference} was not built by this package: nothing is known of what is in it",
            hint="sagemaker-custom images lists those that were",
        )
    lock = read_lock(labels[WHEELS_LABEL]) if WHEELS_LABEL in labels else None
    changed = _object(labels.get(LOCK_LABEL, "{}"), f"the lock of {reference}")
    wheels = {wheel.name: wheel for wheel in lock.wheels} if lock else {}
    installed = {str(name): str(version) for name, version in (changed.get("installed") or {}).items()}
    added = [Added(name=name, version=version, wheel=wheels.get(name)) for name, version in sorted(installed.items())]
    base_digest = labels.get(BASE_DIGEST_LABEL)
    return DescribedImage(
        reference=reference.with_digest(manifest.digest),
        manifest=manifest,
        created=created,
        fingerprint=labels[FINGERPRINT_LABEL],
        spec=_object(labels.get(f"{LABEL_PREFIX}spec", "{}"), f"the spec of {reference}"),
        base=labels.get(f"{LABEL_PREFIX}base", "unknown"),
        base_digest=Digest(base_digest) if base_digest else None,
        lock=lock,
        added=tuple(added),
        removed=frozenset(map(str, changed.get("removed") or ())),
        builder=labels.get(BUILDER_LABEL, "unknown"),
        version=labels.get(VERSION_LABEL, "unknown"),
        verified=labels.get(VERIFIED_LABEL, "unknown"),
    )


def _object(text: str, what: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {error}", hint="build the image again") from None
    if not isinstance(document, dict):
        raise UsageError(f"{what} is not a JSON object", hint="build the image again")
    return document
