"""Which repositories of a registry have got which blobs from this machine, remembered in files."""

from __future__ import annotations

import logging
from hashlib import sha256
from pathlib import Path

from sagemaker_custom.reference import Digest, ImageReference

logger = logging.getLogger(__name__)


class BlobPlaces:
    """Remembers where a blob can be mounted from; what is forgotten, or wrong, costs an upload and nothing else.

    Args:
        folder: Safe to delete.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remember(self, reference: ImageReference, digest: Digest) -> None:
        """Note that the repository of ``reference`` has a blob."""
        path = self._path(reference, digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(reference.repository, encoding="utf-8")
        except OSError as error:
            logger.debug("%s is not remembered: %s", digest, error)

    def other_repository(self, reference: ImageReference, digest: Digest) -> str | None:
        """Return another repository of the same registry that has got the blob."""
        try:
            known = self._path(reference, digest).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
        return known if known and known != reference.repository else None

    def _path(self, reference: ImageReference, digest: Digest) -> Path:
        registry = sha256((reference.registry or "").encode()).hexdigest()[:16]
        return self._folder / registry / digest.partition(":")[2]
