"""A pushed staging tag → the same image, checked and in the form that SageMaker accepts, under its final tag."""

from __future__ import annotations

from typing import NoReturn

from sagemaker_custom import oci
from sagemaker_custom.errors import RegistryError, TagConflictError
from sagemaker_custom.oci import ImageManifest
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import Manifest, RegistryClient


def promote(
    client: RegistryClient,
    *,
    staging: ImageReference,
    final: ImageReference,
    fingerprint: str,
    architecture: str = "amd64",
) -> Digest:
    """Give what was pushed its final tag, which from then on says what it holds.

    Args:
        client: Of the registry that has both.
        staging: Tag that was pushed.
        final: Tag that it gets, in the same repository.
        fingerprint: That the image's label has to say.
        architecture: Chosen where an index was pushed.

    Returns:
        The digest under the final tag: of another process's image when that was first with the same fingerprint.

    Raises:
        TagConflictError: The final tag holds an image with another fingerprint.
        RegistryError: What was pushed is incomplete, or another image; or the registry fails.
    """
    pushed = _image_manifest(client, staging, architecture)
    manifest = _accepted_form(pushed, staging)
    pinned = staging.with_digest(pushed.digest)
    _check_labels(client, pinned, fingerprint)
    _check_blobs(client, pinned, oci.parse_manifest(manifest.media_type, manifest.content, name=str(staging)))
    return put_final(client, final, manifest, fingerprint=fingerprint, architecture=architecture)


def put_final(
    client: RegistryClient,
    final: ImageReference,
    manifest: Manifest,
    *,
    fingerprint: str,
    architecture: str = "amd64",
) -> Digest:
    """Put a manifest, all of whose blobs are there, under its final tag, unless somebody else was first.

    Args:
        client: Of the registry.
        final: Tag that it gets.
        manifest: In the form that SageMaker accepts.
        fingerprint: That the label of its image says.
        architecture: Chosen where somebody put an index under the tag.

    Returns:
        The digest under the final tag: of another process's image when that was first with the same fingerprint.

    Raises:
        TagConflictError: The final tag holds an image with another fingerprint.
        RegistryError: The registry fails.
    """
    # Repositories whose tags are not immutable would let a put replace what others use already.
    if client.find(final) is not None:
        return _already_there(client, final, fingerprint, architecture)
    try:
        digest = client.put_manifest(final, manifest)
    except TagConflictError:
        return _already_there(client, final, fingerprint, architecture)
    # The registry has the last word: another process may have put its own image of the same fingerprint just now.
    return digest if client.find(final) == digest else _already_there(client, final, fingerprint, architecture)


def _image_manifest(client: RegistryClient, staging: ImageReference, architecture: str) -> Manifest:
    manifest = client.manifest(staging) or _incomplete(staging, "its tag is not there")
    if not oci.is_index(manifest.media_type):
        return manifest
    index = oci.parse_index(manifest.media_type, manifest.content, name=str(staging))
    chosen = oci.select_platform(index, architecture=architecture, name=str(staging))
    return client.manifest(staging.with_digest(chosen.digest)) or _incomplete(staging, f"it lacks {chosen.digest}")


def _accepted_form(manifest: Manifest, staging: ImageReference) -> Manifest:
    parsed = oci.parse_manifest(manifest.media_type, manifest.content, name=str(staging))
    rewritten = oci.to_docker_schema2(parsed)
    # to_docker_schema2 also refuses layers that SageMaker cannot read; what is right already keeps its digest.
    return (
        manifest
        if manifest.media_type == oci.DOCKER_MANIFEST
        else Manifest(media_type=oci.DOCKER_MANIFEST, content=rewritten)
    )


def _check_labels(client: RegistryClient, image: ImageReference, fingerprint: str) -> None:
    found = _fingerprint_of(client, image)
    if found != fingerprint:
        raise RegistryError(
            f"{image} was pushed with the fingerprint {found or 'of nothing'} instead of {fingerprint}",
            hint="build it again; if it happens again, something between here and the registry rewrites images",
        )


def _fingerprint_of(client: RegistryClient, image: ImageReference, architecture: str = "amd64") -> str | None:
    config = client.image_config(image, architecture=architecture)
    return oci.labels(config).get(FINGERPRINT_LABEL) if config is not None else None


def _check_blobs(client: RegistryClient, image: ImageReference, manifest: ImageManifest) -> None:
    for blob in (manifest.config, *manifest.layers):
        if not client.has_blob(image, blob.digest):
            _incomplete(image, f"it lacks {blob.digest}")


def _already_there(client: RegistryClient, final: ImageReference, fingerprint: str, architecture: str) -> Digest:
    digest = client.find(final)
    if digest is None:
        raise RegistryError(
            f"{final} was put, but the registry says that there is no such tag",
            hint="look for somebody who removes tags, or for a cache in front of the registry",
        )
    found = _fingerprint_of(client, final.with_digest(digest), architecture)
    if found != fingerprint:
        raise TagConflictError(
            f"{final} holds an image with the fingerprint {found or 'of nothing'}, not {fingerprint}",
            hint="somebody pushed it by hand: remove that tag, or set another repository_prefix",
        )
    return digest


def _incomplete(image: ImageReference, what: str) -> NoReturn:
    raise RegistryError(f"{image} did not reach the registry whole: {what}", hint="build it again")
