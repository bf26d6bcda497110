"""What an image says of itself, and when it was built → its provenance, an in-toto statement by SLSA v1. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sagemaker_custom.evidence import purls
from sagemaker_custom.evidence.described import DescribedImage
from sagemaker_custom.reference import Digest, ImageReference

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
_URN = "urn:sagemaker-custom"


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildTimes:
    """When a build ran."""

    started: datetime
    finished: datetime


def provenance_of(image: DescribedImage, times: BuildTimes | None) -> bytes:
    """Return the provenance of an image.

    Args:
        image: What it says of itself.
        times: ``None`` where it is told afterwards, from the labels alone.
    """
    # Labels hold no secrets: indexes are in the spec without their logins.
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": image.reference.name, "digest": _sha256(image.digest)}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{_URN}:build:{image.builder}:v1",
                "externalParameters": {"spec": image.spec},
                "internalParameters": {"fingerprint": image.fingerprint, "verified": image.verified},
                "resolvedDependencies": list(_dependencies(image)),
            },
            "runDetails": {
                "builder": {"id": f"{_URN}:builder:{image.builder}", "version": {"sagemaker-custom": image.version}},
                "metadata": _metadata(times),
            },
        },
    }
    return json.dumps(statement, indent=2, sort_keys=True).encode()


def _dependencies(image: DescribedImage) -> Iterator[dict[str, Any]]:
    if image.base_digest:
        repository, _, tag = image.base.rpartition(":")
        base = ImageReference(repository=repository or image.base, tag=tag or None)
        yield {
            "name": image.base,
            "uri": purls.image(base, image.base_digest),
            "digest": _sha256(image.base_digest),
        }
    for package in image.added:
        dependency: dict[str, Any] = {"name": package.name, "uri": purls.pypi(package.name, package.version)}
        if package.wheel:
            dependency |= {"name": package.wheel.filename, "digest": {"sha256": package.wheel.sha256}}
            # A path of the machine that built it is nobody else's business.
            if package.wheel.url.startswith(("https://", "http://")):
                dependency["downloadLocation"] = package.wheel.url
        yield dependency


def _metadata(times: BuildTimes | None) -> dict[str, str]:
    if times is None:
        return {}
    return {"startedOn": _utc(times.started), "finishedOn": _utc(times.finished)}


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sha256(digest: Digest) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}
