"""A kept layer → what is in it, read from its very bytes once and then from a document beside them."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from dataclasses import dataclass
from typing import IO, Any, cast

from sagemaker_custom.errors import DigestMismatchError
from sagemaker_custom.wheels.contents import record_hash
from sagemaker_custom.wheels.kept import LayerBlob, digest_of_file, replacing

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The files of a layer."""

    files: dict[str, tuple[str, str]]
    """Absolute path → hash and size as RECORD has them."""
    records: dict[str, str]
    """Absolute path of each RECORD → its text."""


def listing_of(layer: LayerBlob) -> Listing:
    """Return what is in a layer.

    Raises:
        DigestMismatchError: The file is damaged.
    """
    path = layer.path.with_suffix("").with_suffix(".listing.gz")
    try:
        document = json.loads(gzip.decompress(path.read_bytes()))
        if document["digest"] == layer.digest:
            files = {name: (str(hashed), str(size)) for name, (hashed, size) in document["files"].items()}
            return Listing(files=files, records=dict(document["records"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        pass  # Whatever is wrong with the document, the layer itself is there.
    listing = _read(layer)
    text = json.dumps({"digest": layer.digest, "files": listing.files, "records": listing.records})
    with replacing(path) as file:
        file.write(gzip.compress(text.encode(), 1))
    return listing


def _read(layer: LayerBlob) -> Listing:
    found = Listing(files={}, records={})
    if digest_of_file(layer.path) != layer.digest:
        raise DigestMismatchError(
            f"{layer.path} is damaged: it is not {layer.digest} any more",
            hint="remove it, or the whole cache folder, and try again",
        )
    # tarfile's own streaming of gzip ends after the first member, and layers have many.
    with gzip.open(layer.path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        while (entry := archive.next()) is not None:
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is not None:
                _add(found, f"/{entry.name}", content)
            # tarfile keeps every header otherwise.
            cast("Any", archive).members = []
    return found


def _add(found: Listing, path: str, stream: IO[bytes]) -> None:
    is_record = path.endswith(".dist-info/RECORD")
    digest, size, kept = hashlib.sha256(), 0, []
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if is_record:
            kept.append(chunk)
    found.files[path] = (f"sha256={record_hash(digest.digest())}", str(size))
    if is_record:
        found.records[path] = b"".join(kept).decode()
