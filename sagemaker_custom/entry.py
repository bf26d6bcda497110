"""A name in an archive and a file on disk → one entry that is safe to unpack, with what tells that the file changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from sagemaker_custom.errors import SourceError

if TYPE_CHECKING:
    import os
    from pathlib import Path


class Stamp(NamedTuple):
    """What a file system says of a file; when it says the same again, the content is the same, too.

    Nobody can set the time of the last change of an inode, so that a file which was exchanged, or whose time of
    modification was set back, has another stamp.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, info: os.stat_result) -> Stamp:
        """Take it from what ``stat`` says."""
        return cls(info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One file or folder of an archive.

    Raises:
        SourceError: The name would leave the folder that the archive is unpacked in.
    """

    name: str
    """Path in the archive, with ``/`` between its parts."""
    path: str | Path
    """Where the content is; a symlink stands for what it points to."""
    kind: Literal["file", "directory"] = "file"
    size: int = 0
    """Bytes of a file; 0 for a folder."""
    executable: bool = False
    stamp: Stamp | None = field(default=None, compare=False)
    """Of the file when it was listed; ``None`` for a folder, and where nobody asked."""

    def __post_init__(self) -> None:
        # Two dots are looked for first: of all names, next to none have them.
        if not self.name or self.name.startswith("/") or (".." in self.name and ".." in self.name.split("/")):
            raise SourceError(
                f"{self.path}: {self.name!r} cannot be a name in an archive",
                hint="names in an archive are relative and stay below the folder it is unpacked in",
            )

    @property
    def mode(self) -> int:
        """The normalised permissions: 0755 for folders and executables, else 0644."""
        return 0o755 if self.executable or self.kind == "directory" else 0o644
