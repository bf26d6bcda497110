"""Content → a file in the cache folder, and back, unless it is damaged or somebody else may have written it."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sagemaker_custom.partial_files import replacing

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheFolder:
    """Files that save time while they are there, and that nobody misses: no failure of theirs is raised.

    Several processes may use them at once: each file is there as a whole, or not at all.
    """

    path: Path
    """Is made when there is something to keep."""
    content: str
    """Names what is in the files, and in which format; those of another one are not read."""
    most_files: int
    """The files that were written last are kept."""

    def read(self, name: str) -> bytes | None:
        """Return what was written under ``name``; ``None`` when it is not there or cannot be trusted."""
        path = self.path / name
        try:
            with path.open("rb") as file:
                is_own = _is_own(os.fstat(file.fileno()))
                head, body = file.readline(), file.read()
        except OSError as error:
            logger.debug("%s is not read: %s", path, error)
            return None
        if not is_own or head != self._head(body):
            logger.debug("%s is not used: it is damaged, of another format, or others may write to it", path)
            return None
        return body

    def write(self, name: str, body: bytes) -> None:
        """Keep something under ``name``, in the place of what was there."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with replacing(self.path / name) as file:
                file.write(self._head(body) + body)
        except OSError as error:
            logger.debug("%s is not kept: %s", self.path / name, error)
        else:
            self._forget_oldest()

    def remove(self, name: str) -> None:
        """Keep nothing under ``name``."""
        with suppress(OSError):
            Path(self.path, name).unlink(missing_ok=True)

    def _head(self, body: bytes) -> bytes:
        return f"sagemaker-custom {self.content} {hashlib.sha256(body).hexdigest()}\n".encode()

    def _forget_oldest(self) -> None:
        with suppress(OSError):
            paths = list(self.path.iterdir())
            if len(paths) > self.most_files:
                paths.sort(key=lambda path: path.stat().st_mtime)
                for path in paths[: -self.most_files]:
                    path.unlink(missing_ok=True)


def _is_own(info: os.stat_result) -> bool:
    # Who may write here could have us take one image, or one version of the code, for another.
    return info.st_uid == os.geteuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
