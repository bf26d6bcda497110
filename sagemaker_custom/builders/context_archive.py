"""A build context → the archive that a Docker Engine takes, the same bytes for the same content."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sagemaker_custom.builders.engine import BuildContext

_IN_MEMORY_BYTES = 8 * 1024 * 1024


@contextmanager
def context_archive(context: BuildContext) -> Iterator[IO[bytes]]:
    """Yield the archive; a large one lies on the disk meanwhile."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            if context.folder:
                _add_folder(archive, context.folder, context.files)
            for name, content in sorted(context.files.items()):
                # Its defaults for owner and time make equal files equal archives, which the build cache looks at.
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        stream.seek(0)
        yield stream


def _add_folder(archive: tarfile.TarFile, root: Path, files: Mapping[str, bytes]) -> None:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if relative not in files:
                _add(archive, path, relative)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    entry = archive.gettarinfo(path, arcname=name)
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    if entry.islnk():
        # Two names of one file: each gets its own copy, as in the folder that was read.
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
    if not entry.isreg():
        archive.addfile(entry)
        return
    with path.open("rb") as content:
        archive.addfile(entry, content)
