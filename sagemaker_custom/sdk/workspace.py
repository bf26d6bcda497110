"""A private folder, for as long as an object or a container needs it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path


class Workspace:
    """A private folder of an estimator or model, for as long as it or a container of its own needs it.

    Args:
        root: Where it is made; default: where the system has its temporary files.
    """

    def __init__(self, root: str | None = None) -> None:
        # Resolved, since Docker on macOS cannot mount by the link that the system's temporary folder is behind.
        self.path = Path(tempfile.mkdtemp(prefix="sagemaker-custom-", dir=root)).resolve()
        # Containers write as root, so that some files may not be ours to remove.
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder now; otherwise it goes with this object, or at the end of the process."""
        self._finalizer()
