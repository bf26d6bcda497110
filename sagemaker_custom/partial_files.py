"""A place on disk → a file or folder that appears there whole or not at all; what killed processes left is swept."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

PREFIX = ".partial-"
"""Begins the names of what is not whole yet."""
_YOUNG_S = 10.0
"""A file of this age may not have its lock yet."""
_ABANDONED_S = 24 * 3600.0
"""Where the file system has no locks, age alone has to tell."""


@contextmanager
def replacing(path: Path, *, beside: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a new file, which takes the place of ``path`` at the end, or vanishes after an error.

    Args:
        path: Of the file.
        beside: Folder of the same file system that the file is in until then; default: that of ``path``.
    """
    folder = beside or path.parent
    sweep(folder)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, delete=False) as file:
        try:
            _hold(file.fileno())
            yield cast("BinaryIO", file)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def unfinished_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``, which vanishes at the end unless it was given another name."""
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    descriptor = None
    try:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            _hold(descriptor)
        yield folder
    finally:
        if descriptor is not None:
            os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)


class TemporaryFolder(tempfile.TemporaryDirectory[str]):
    """A folder for the time of a ``with``, which also goes when Ctrl-C comes while it is being removed.

    Args:
        parent: Default: the system's folder for temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        super().__init__(prefix="sagemaker-custom-", dir=parent)

    def cleanup(self) -> None:
        """Remove it."""
        try:
            super().cleanup()
        except BaseException:
            shutil.rmtree(self.name, ignore_errors=True)
            raise


def sweep(folder: Path) -> None:
    """Remove what processes that are gone have left in ``folder``; no failure of this is raised."""
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}*"):
            if _is_left(path):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    try:
        age_s = time.time() - path.stat().st_mtime
        if age_s < _YOUNG_S:
            return False
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return _hold(descriptor) if age_s < _ABANDONED_S else True
    finally:
        os.close(descriptor)


def _hold(descriptor: int) -> bool:
    """Lock a file until it is closed, or its process ends, however it ends; tell whether that worked."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
