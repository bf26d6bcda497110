"""A local run → a folder for all that it writes and downloads, which goes with it whoever owns the files."""

from __future__ import annotations

import logging
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

logger = logging.getLogger(__name__)

_REMOVAL_TIMEOUT_S = 120


class DataSource(Protocol):
    """Files that one of the SDKs has found or downloaded."""

    def get_root_dir(self) -> str:
        """Return the folder that they lie in."""

    def get_file_list(self) -> list[str]:
        """Return their paths."""


class SessionWithin:
    """A session whose downloads and working folders land in one folder.

    Args:
        session: The SDK's local session.
        folder: Takes the place of its ``local.container_root``.
    """

    def __init__(self, session: Any, folder: Path) -> None:
        self._session = session
        config = session.config or {}
        self.config = {**config, "local": {**config.get("local", {}), "container_root": str(folder)}}

    def __getattr__(self, name: str) -> Any:
        """Return what the session has."""
        return getattr(self._session, name)


def make_folders(root: Path, *names: str) -> None:
    """Make folders, and those that they lie in."""
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)


def model_folder(
    uri: str, source: DataSource, root: Path, *, extract: Callable[[tarfile.TarFile, str], object]
) -> Path:
    """Return the folder that has a model, unpacked.

    Args:
        uri: ``s3://…`` or ``file://…``, of an archive or a folder.
        source: What lies there; what had to be downloaded is in ``root``.
        root: Of this run; has a folder ``model``.
        extract: Unpacks an archive into a folder.
    """
    folder = Path(source.get_root_dir())
    archives = [name for name in source.get_file_list() if tarfile.is_tarfile(name)]
    if archives and not folder.is_relative_to(root):
        # The SDK unpacks it where it lies, among the user's own files, and hands all of them to the container.
        if archives != [uri.removeprefix("file://")]:
            shutil.copytree(folder, root / "model", dirs_exist_ok=True)
        folder = root / "model"
    for name in archives:
        with tarfile.open(name) as archive:
            extract(archive, str(folder))
    return folder


def remove_folder(
    folder: Path, image: str, *, keep: Sequence[str] = (), rmtree: Callable[[Path], object] = shutil.rmtree
) -> None:
    """Remove a run's folder; what cannot be removed is told, not raised.

    Args:
        folder: May be gone already.
        image: In which a container removes what containers have written as root, and we may not.
        keep: Names in the folder that stay, and so does the folder then.
        rmtree: Removes as this user.
    """
    if not folder.is_dir():
        return
    for path in [entry for entry in folder.iterdir() if entry.name not in keep] if keep else [folder]:
        try:
            rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            if not _removed_as_root(path, image):
                logger.warning("%s could not be removed, please do it: %s", path, error)


def _removed_as_root(path: Path, image: str) -> bool:
    command = ["docker", "run", "--rm", "--network=none", "--user=0", "--entrypoint=rm"]
    mount = ["--volume", f"{path.parent}:/folder"]
    try:
        subprocess.run(
            [*command, *mount, image, "-rf", f"/folder/{path.name}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_REMOVAL_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("a container could not remove %s: %s", path, error)
        return False
    return not path.exists()
