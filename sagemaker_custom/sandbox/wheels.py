"""A folder → the one torch wheel in it, without CUDA, that the stand-ins install."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sagemaker_custom.errors import BuildError

TORCH_VERSION = "2.13.0"
"""What the toolkits were tried with on Python 3.11."""
_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_SOURCES = (("--no-index",), ("--index-url", _CPU_INDEX))
_LAST_LINES = 8


def torch_wheel(folder: Path, *, download: Callable[..., str] | None = None) -> Path:
    """Return torch's CPU wheel for Debian's Python 3.11; download it unless it is in ``folder``.

    A folder of wheels that pip's configuration names (``find-links``) is looked into first, since the plain
    index would give the CUDA build of several gigabytes; then PyTorch's own CPU index is asked.

    Args:
        folder: Where the wheel is kept; created when it is missing.
        download: Takes ``folder`` and pip's options for where to look; returns what pip said. Default: runs pip.

    Raises:
        BuildError: Neither has it.
    """
    download = download or _pip_download
    pattern = f"torch-{TORCH_VERSION}*-cp311-*{platform.machine()}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    said = ""
    for source in _SOURCES:
        there = sorted(folder.glob(pattern))
        if there:
            return there[0]
        said = download(folder, *source)
    there = sorted(folder.glob(pattern))
    if there:
        return there[0]
    raise BuildError(
        f"torch {TORCH_VERSION} for the stand-in images cannot be downloaded; pip said:\n{said}",
        hint=f"allow {_CPU_INDEX}, or put the wheel {pattern} into {folder}",
    )


def _pip_download(folder: Path, *source: str) -> str:
    """Run pip; return the last lines of what it said."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311"),
            *(f"--platform=manylinux_2_28_{platform.machine()}", f"--dest={folder}"),
            *source,
            f"torch=={TORCH_VERSION}",
        ],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return "\n".join(done.stdout.splitlines()[-_LAST_LINES:])
