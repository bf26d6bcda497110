"""Arguments of ``uv`` → what it answered; the only place of this package that starts processes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sagemaker_custom.errors import BuildError

NO_SOLUTION = 1
"""uv's exit code when no versions go together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UvAnswer:
    """What a run of uv left."""

    code: int
    output: str
    """Standard output."""
    messages: str
    """Standard error."""


class Uv(Protocol):
    """Runs uv."""

    def run(self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> UvAnswer:
        """Run it to its end.

        Args:
            arguments: Without the program.
            folder: Where it runs; settings of a project in the caller's folder must not count.
            environment: All of it.

        Raises:
            BuildError: It cannot be started.
        """


class SubprocessUv:
    """Runs the uv that is installed beside this package."""

    def run(self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> UvAnswer:
        """Run it; see :meth:`Uv.run`."""
        try:
            done = subprocess.run(
                [self._program(), *arguments],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except OSError as error:
            raise BuildError(f"uv cannot be started: {error}", hint="reinstall it: pip install --force uv") from error
        return UvAnswer(code=done.returncode, output=done.stdout, messages=done.stderr)

    @staticmethod
    def _program() -> str:
        import uv

        return uv.find_uv_bin()
