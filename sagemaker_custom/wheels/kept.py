"""Layers on this machine's disk: the chunks of an archive → a compressed file that appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sagemaker_custom.compression import gzip_chunks
from sagemaker_custom.errors import UsageError
from sagemaker_custom.partial_files import replacing
from sagemaker_custom.progress import Task
from sagemaker_custom.reference import Digest, parse_digest

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBlob:
    """A layer as a registry takes it."""

    digest: Digest
    """Of the compressed bytes."""
    diff_id: Digest
    """Of the archive before compression."""
    size: int
    path: Path
    """Holds the compressed bytes."""
    created_by: str
    """What the image's history says of it."""


class KeptLayer:
    """The place of one layer: its file, and a document beside it that is written last.

    Args:
        folder: Where layers are kept.
        key: What decides on the layer's bytes, as a hash.
        created_by: For the image's history.
    """

    def __init__(self, folder: Path, key: str, *, created_by: str) -> None:
        self._blob = folder / f"{key}.tar.gz"
        self._document = folder / f"{key}.json"
        self._created_by = created_by

    def read(self) -> LayerBlob | None:
        """Return the layer, unless it is not here, or damaged."""
        try:
            document = json.loads(self._document.read_bytes())
            digest, diff_id = parse_digest(document["digest"]), parse_digest(document["diff_id"])
            status = self._blob.stat()
        except (FileNotFoundError, ValueError, KeyError, TypeError, UsageError):
            return None
        if status.st_size != document.get("size"):
            return None
        # Hashing takes a second for some hundred megabytes: only when somebody has written since.
        if status.st_mtime_ns != document.get("mtime_ns") and digest_of_file(self._blob) != digest:
            return None
        return self._layer(digest, diff_id, status.st_size)

    def write(self, archive: Iterable[bytes], task: Task) -> LayerBlob:
        """Compress an archive into its place; two processes that do so at once write the same bytes.

        Raises:
            OSError: The disk is full, or not writable; nothing is left behind.
        """
        self._blob.parent.mkdir(parents=True, exist_ok=True)
        packed, unpacked = hashlib.sha256(), hashlib.sha256()

        def watched() -> Iterator[bytes]:
            for chunk in archive:
                unpacked.update(chunk)
                task.advance(len(chunk))
                yield chunk

        try:
            with replacing(self._blob) as file:
                for chunk in gzip_chunks(watched()):
                    packed.update(chunk)
                    file.write(chunk)
        finally:
            task.finish()
        digest, diff_id = (Digest(f"sha256:{hashed.hexdigest()}") for hashed in (packed, unpacked))
        status = self._blob.stat()
        document = {"digest": digest, "diff_id": diff_id, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
        with replacing(self._document) as file:
            file.write(json.dumps(document).encode())
        return self._layer(digest, diff_id, status.st_size)

    def _layer(self, digest: Digest, diff_id: Digest, size: int) -> LayerBlob:
        return LayerBlob(digest=digest, diff_id=diff_id, size=size, path=self._blob, created_by=self._created_by)


def digest_of_file(path: Path) -> Digest:
    """Return the digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return Digest(f"sha256:{digest.hexdigest()}")
