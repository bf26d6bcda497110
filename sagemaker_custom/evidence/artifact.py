"""A document about an image → an OCI artifact beside it in its registry, and back."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass

from sagemaker_custom import oci
from sagemaker_custom.errors import RegistryError, TagConflictError
from sagemaker_custom.reference import Digest, ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
_LIMIT = 64 * 1024 * 1024
"""Bytes of a document; that of an image with 600 packages has 300,000."""
_TAG = re.compile(r"sha256-(?P<digest>[0-9a-f]{64})\.(?:sbom|provenance)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of document."""

    name: str
    """What its tags end in."""
    media_type: str
    title: str
    """File name that tools which fetch it give it."""


# The tag of a bill is cosign's, which fetches it. That of the provenance is not: cosign expects a signed one there.
SBOM = Kind(name="sbom", media_type="application/vnd.cyclonedx+json", title="bom.json")
PROVENANCE = Kind(name="provenance", media_type="application/vnd.in-toto+json", title="provenance.json")
KINDS = (SBOM, PROVENANCE)


def tag_of(subject: Digest, kind: Kind) -> str:
    """Return the tag of a document about an image."""
    return f"{subject.replace(':', '-')}.{kind.name}"


def subject_of(tag: str) -> Digest | None:
    """Return the digest of the image that a tag's document is about; ``None`` for every other tag."""
    match = _TAG.fullmatch(tag)
    return Digest(f"sha256:{match['digest']}") if match else None


def publish(
    registry: RegistryClient, image: ImageReference, subject: oci.Descriptor, kind: Kind, document: bytes
) -> bool:
    """Put a document beside an image, unless there is one.

    Args:
        registry: Writes it.
        image: What it is about.
        subject: The manifest of that.
        kind: What it is.
        document: What is put there.

    Returns:
        Whether it was put there now.

    Raises:
        RegistryError: It could not be written.
    """
    place = image.with_tag(tag_of(subject.digest, kind))
    for content in (_EMPTY, document):
        registry.upload_blob(place, digest_of(content), len(content), lambda content=content: io.BytesIO(content))  # type: ignore[misc]
    layer = _described(kind.media_type, document) | {"annotations": {"org.opencontainers.image.title": kind.title}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.OCI_MANIFEST,
        "artifactType": kind.media_type,
        "config": _described(_EMPTY_TYPE, _EMPTY),
        "layers": [layer],
        # Registries that know referrers find it by this.
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
    }
    content = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    try:
        registry.put_manifest(place, Manifest(media_type=oci.OCI_MANIFEST, content=content))
    except TagConflictError:
        return False
    return True


def fetch(registry: RegistryClient, image: ImageReference, subject: Digest, kind: Kind) -> bytes | None:
    """Return the document beside an image; ``None`` when there is none.

    Raises:
        RegistryError: What is there is something else; or the registry does not tell.
    """
    place = image.with_tag(tag_of(subject, kind))
    manifest = registry.manifest(place)
    if manifest is None:
        return None
    layers = oci.parse_manifest(manifest.media_type, manifest.content, name=str(place)).layers
    about = json.loads(manifest.content).get("subject")
    is_its = isinstance(about, dict) and about.get("digest") == subject
    if len(layers) != 1 or layers[0].media_type != kind.media_type or layers[0].size > _LIMIT or not is_its:
        raise RegistryError(f"{place} is no {kind.name} of that image", hint="delete the tag, and store it again")
    return b"".join(registry.read_blob(place, layers[0].digest, size=layers[0].size))


def _described(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
