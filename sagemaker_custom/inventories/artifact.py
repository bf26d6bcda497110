"""An inventory → a small image beside its base in the registry, and back: what one person found out serves all."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from sagemaker_custom import oci
from sagemaker_custom.errors import RegistryError
from sagemaker_custom.inventories.decompression import Gunzip
from sagemaker_custom.inventories.tar_entries import TarEntries, TarEntry
from sagemaker_custom.inventory import FORMAT, Inventory, Records, records_to_document, to_document
from sagemaker_custom.plan import LABEL_PREFIX
from sagemaker_custom.reference import Digest, ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient

_DOCUMENTS = ("inventory", "records")
_LIMIT = 64 * 1024 * 1024
"""Bytes of a document; that of an image with 300,000 files of packages has 25 million."""


def tag_of(base: Digest, python: str) -> str:
    """Return the tag of an inventory.

    Args:
        base: Digest of the manifest.
        python: As it was asked for.
    """
    return f"inventory-{base.removeprefix('sha256:')[:40]}-v{FORMAT}-{slug(python)}"


def slug(python: str) -> str:
    """Return a word for a Python that tags and file names may contain; another one for each."""
    *folders, name = python.strip("/").split("/")
    word = ".".join([*folders, name])
    # A dot in the name of a folder would make two paths look the same.
    is_plain = re.fullmatch(r"[A-Za-z0-9._-]{1,60}", word) and not any("." in folder for folder in folders)
    return word if is_plain else _hashed(python)


def _hashed(python: str) -> str:
    return digest_of(python.encode()).removeprefix("sha256:")[:16]


def publish(registry: RegistryClient, reference: ImageReference, inventory: Inventory, records: Records) -> None:
    """Put an inventory into a registry, as an image of no use but to be read.

    Args:
        registry: Writes it.
        reference: With the tag.
        inventory: What is put there.
        records: Likewise.

    Raises:
        RegistryError: It may not be written, or the tag cannot be moved.
    """
    documents = (to_document(inventory), records_to_document(records))
    archives = [_archive(name, document) for name, document in zip(_DOCUMENTS, documents, strict=True)]
    config = _config(inventory, [digest_of(archive) for archive in archives])
    layers = [gzip.compress(archive, mtime=0) for archive in archives]
    for content in (config, *layers):
        open_content = partial(io.BytesIO, content)
        registry.upload_blob(reference, digest_of(content), len(content), open_content)
    manifest = oci.ImageManifest(
        media_type=oci.DOCKER_MANIFEST,
        config=_descriptor(oci.DOCKER_CONFIG, config),
        layers=tuple(_descriptor(oci.DOCKER_LAYER, layer) for layer in layers),
    )
    content = oci.to_docker_schema2(manifest)
    registry.put_manifest(reference, Manifest(media_type=oci.DOCKER_MANIFEST, content=content))


def fetch(registry: RegistryClient, reference: ImageReference, name: str) -> Mapping[str, Any] | None:
    """Return a document of a published inventory; ``None`` when there is none.

    Args:
        registry: Reads it.
        reference: With the tag.
        name: ``inventory`` or ``records``.

    Raises:
        RegistryError: What is there is something else, or damaged; or the registry does not tell.
    """
    manifest = registry.manifest(reference)
    if manifest is None:
        return None
    layers = oci.parse_manifest(manifest.media_type, manifest.content, name=str(reference)).layers
    if len(layers) != len(_DOCUMENTS):
        raise RegistryError(f"{reference} is not an inventory: it has {len(layers)} layers")
    layer = layers[_DOCUMENTS.index(name)]
    if layer.size > _LIMIT:
        raise RegistryError(f"{reference} is not an inventory: a layer has {layer.size} bytes")
    gunzip, entries = Gunzip(), TarEntries(partial(_is_document, name))
    chunks = registry.read_blob(reference, layer.digest, size=layer.size)
    found = [
        content
        for piece in _limited((piece for chunk in chunks for piece in gunzip.feed(chunk)), reference)
        for entry, content in entries.feed(piece)
        if _is_document(name, entry)
    ]
    if len(found) != 1:
        raise RegistryError(f"{reference} is not an inventory: it has no {name}.json")
    return document_of(found[0], f"{name}.json of {reference}")


def _limited(pieces: Iterable[bytes], reference: ImageReference) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > 2 * _LIMIT:
            raise RegistryError(f"{reference} is not an inventory: a layer unpacks to more than {2 * _LIMIT} bytes")
        yield piece


def document_of(content: bytes, what: str) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        RegistryError: It is none.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{what} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise RegistryError(f"{what} is not a JSON object")
    return document


def _is_document(name: str, entry: TarEntry) -> bool:
    return entry.path == f"{name}.json" and entry.kind == "file" and entry.size <= _LIMIT


def _archive(name: str, document: Mapping[str, Any]) -> bytes:
    content = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(f"{name}.json")
        entry.size, entry.mode = len(content), 0o644
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _config(inventory: Inventory, diff_ids: list[Digest]) -> bytes:
    os, _, architecture = inventory.platform.partition("/")
    document = {
        "architecture": architecture,
        "os": os,
        "config": {"Labels": {f"{LABEL_PREFIX}inventory-of": inventory.base}},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"sagemaker-custom: {name} of {inventory.base}"} for name in _DOCUMENTS],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _descriptor(media_type: str, content: bytes) -> oci.Descriptor:
    return oci.Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
