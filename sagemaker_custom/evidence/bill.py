"""What an image says of itself, and the inventory of its base → its bill of materials as CycloneDX JSON. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from sagemaker_custom.evidence import purls
from sagemaker_custom.evidence.described import Added, DescribedImage
from sagemaker_custom.inventory import Inventory
from sagemaker_custom.reference import ImageReference

FORMAT = 1
"""Of what stands in a bill: another one gets another serial number."""
_SPEC_VERSION = "1.5"
"""The newest one that Amazon Inspector writes itself, and that common readers know."""
_PROPERTY = "sagemaker-custom:"
_NAMESPACE = uuid.UUID("7f3c6a52-5d0e-5e6b-9c6a-0a5c7f3b1d42")


def bill_of(image: DescribedImage, inventory: Inventory | None) -> bytes:
    """Return the bill of an image: the same bytes whenever the same is known.

    Args:
        image: What it says of itself.
        inventory: What its base has installed; ``None`` where that is not known.
    """
    itself, base = _image(image), _base(image)
    added = [_added(package) for package in image.added]
    inherited = list(_inherited(image, inventory)) if inventory else []
    # Two copies of one package in a base are one for everybody who reads this.
    unique = {component["bom-ref"]: component for component in [base, *added, *inherited]}
    document = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{FORMAT} {image.digest}')}",
        "version": 1,
        "metadata": {
            **({"timestamp": image.created} if image.created else {}),
            "tools": {
                "components": [{"type": "application", "name": "sagemaker-custom", "version": image.version}],
            },
            "component": itself,
        },
        "components": list(unique.values()),
        "dependencies": [
            _depends(itself, [base, *added]),
            _depends(base, inherited),
        ],
        # Packages of the distribution, and what conda or a Dockerfile brought besides Python, are not in it.
        "compositions": [{"aggregate": "incomplete", "assemblies": [itself["bom-ref"], base["bom-ref"]]}],
    }
    return json.dumps(document, indent=2, sort_keys=True).encode()


def _image(image: DescribedImage) -> dict[str, Any]:
    name = purls.image(image.reference, image.digest)
    said = {"fingerprint": image.fingerprint, "builder": image.builder, "verified": image.verified}
    return {
        "type": "container",
        "bom-ref": name,
        "name": image.reference.repository,
        "version": image.digest,
        "purl": name,
        "properties": [{"name": _PROPERTY + key, "value": value} for key, value in said.items()],
    }


def _base(image: DescribedImage) -> dict[str, Any]:
    repository, _, tag = image.base.rpartition(":")
    reference = ImageReference(repository=repository or image.base, tag=tag or None)
    component: dict[str, Any] = {"type": "container", "name": reference.repository, "version": tag or "unknown"}
    if image.base_digest is None:
        return component | {"bom-ref": f"base:{image.base}"}
    name = purls.image(reference, image.base_digest)
    return component | {"bom-ref": name, "purl": name, "version": image.base_digest}


def _added(package: Added) -> dict[str, Any]:
    component = _package(package.name, package.version, "added")
    if package.wheel is None:
        return component
    component["hashes"] = [{"alg": "SHA-256", "content": package.wheel.sha256}]
    # A path of the machine that built it is nobody else's business.
    if package.wheel.url.startswith(("https://", "http://")):
        component["externalReferences"] = [{"type": "distribution", "url": package.wheel.url}]
    return component


def _inherited(image: DescribedImage, inventory: Inventory) -> Iterator[dict[str, Any]]:
    gone = image.removed | {package.name for package in image.added} | set(image.lock.replaced if image.lock else ())
    for package in inventory.packages:
        if package.normalised_name not in gone:
            yield _package(package.name, package.version, "base")


def _package(name: str, version: str, origin: str) -> dict[str, Any]:
    purl = purls.pypi(name, version)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [{"name": _PROPERTY + "origin", "value": origin}],
    }


def _depends(component: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    return {"ref": component["bom-ref"], "dependsOn": sorted({other["bom-ref"] for other in others})}
