"""Inventories → files below the cache folder, and back; a file that is damaged is as good as none."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.inventories.artifact import document_of, slug
from sagemaker_custom.partial_files import replacing
from sagemaker_custom.reference import Digest

logger = logging.getLogger(__name__)


class DiskCache:
    """Documents by digest of the base and by Python.

    Args:
        folder: Is made when there is something to keep.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, base: Digest, python: str, name: str) -> Mapping[str, Any] | None:
        """Return a document; ``None`` when it is not there or cannot be read."""
        path = self._path(base, python, name)
        try:
            return document_of(gzip.decompress(path.read_bytes()), str(path))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, zlib.error, RegistryError) as error:
            logger.info("%s is not used: %s", path, error)
            return None

    def write(self, base: Digest, python: str, name: str, document: Mapping[str, Any]) -> None:
        """Keep a document; who reads at the same time sees the whole of the old or of the new one."""
        path = self._path(base, python, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(gzip.compress(json.dumps(document).encode(), compresslevel=1, mtime=0))
        except OSError as error:
            logger.warning("the inventory of %s is not kept on disk: %s", base, error)

    def _path(self, base: Digest, python: str, name: str) -> Path:
        return self._folder / base.removeprefix("sha256:") / f"{slug(python)}.{name}.json.gz"
