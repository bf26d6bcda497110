"""The host's mmdebstrap → the archive of a Debian root, as a stream."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sagemaker_custom.errors import BuildError

SUITE = "bookworm"
"""Its Python is 3.11, that of the release whose tags the stand-ins bear."""
ROOT_PACKAGES = (
    "ca-certificates",
    "curl",
    "gcc",
    "jq",
    "libc6-dev",
    "openjdk-17-jre-headless",
    "python3-dev",
    "python3-venv",
)
"""For both stand-ins, so that they share one layer: the toolkit's C extension, and the model server's Java."""
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_OPTIONS = (
    "--variant=minbase",
    "--quiet",
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    '--aptopt=Acquire::Languages "none"',
    # Java's alternatives are linked into this folder, and fail without it.
    '--essential-hook=mkdir -p "$1/usr/share/man/man1"',
)
_LAST_LINES = 15


@contextmanager
def debian_root() -> Iterator[IO[bytes]]:
    """Yield the uncompressed archive while it is being made.

    Raises:
        BuildError: mmdebstrap is missing or fails.
    """
    command = ["mmdebstrap", *_OPTIONS, f"--include={','.join(ROOT_PACKAGES)}", "--format=tar", SUITE, "-", *_mirror()]
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        except OSError as error:
            raise BuildError(f"mmdebstrap cannot be run: {error}", hint="install it (Debian, Ubuntu)") from error
        with process:
            if process.stdout is not None:
                yield process.stdout
        if process.returncode:
            log.seek(0)
            said = log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
            raise BuildError(
                "mmdebstrap could not make a Debian root; it said:\n" + "\n".join(said),
                hint=f"this machine has to reach a mirror of Debian {SUITE}",
            )


def _mirror() -> list[str]:
    """Return the host's own sources when they are of the same suite: a company's mirror is in there."""
    if platform.system() != "Linux":
        return []
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return []
    if (release.get("ID"), release.get("VERSION_CODENAME")) != ("debian", SUITE):
        return []
    return [str(path) for path in _SOURCES if path.is_file() and path.read_text(encoding="utf-8").strip()][:1]
