"""A kept layer → what is in it, from the document beside it; without one, from its very bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import IO, Any, cast

from sagemaker_custom.errors import DigestMismatchError
from sagemaker_custom.partial_files import replacing
from sagemaker_custom.wheels.kept import LayerBlob, digest_of_file
from sagemaker_custom.wheels.tar_layer import Listing, is_record

_CHUNK_BYTES = 1 << 20


def listing_of(layer: LayerBlob) -> Listing:
    """Return what is in a layer.

    Raises:
        DigestMismatchError: The file is damaged.
    """
    try:
        document = json.loads(gzip.decompress(_place(layer).read_bytes()))
        if document["digest"] == layer.digest:
            files = {name: (str(hashed), str(size)) for name, (hashed, size) in document["files"].items()}
            return Listing(files=files, records=dict(document["records"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        pass  # Whatever is wrong with the document, the layer itself is there.
    listing = _read(layer)
    keep_listing(layer, listing)
    return listing


def keep_listing(layer: LayerBlob, listing: Listing) -> None:
    """Write what is in a layer beside it."""
    text = json.dumps({"digest": layer.digest, "files": listing.files, "records": listing.records})
    with replacing(_place(layer)) as file:
        file.write(gzip.compress(text.encode(), 1))


def _place(layer: LayerBlob) -> Path:
    return layer.path.with_suffix("").with_suffix(".listing.gz")


def _read(layer: LayerBlob) -> Listing:
    found = Listing()
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
    digest, size, kept = hashlib.sha256(), 0, []
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if is_record(path):
            kept.append(chunk)
    found.add(path, digest.digest(), size, b"".join(kept))
