"""A command line → its lines and its exit code; the only place of the builders that starts processes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from sagemaker_custom.builders.engine import OnLine
from sagemaker_custom.builders.log import LineSplitter

_STOP_TIMEOUT_S = 10.0
_CHUNK = 8192


class CommandRunner(Protocol):
    """Runs programs."""

    def run(self, command: Sequence[str], *, environment: Mapping[str, str], on_line: OnLine) -> int:
        """Run ``command`` to its end, without input and without a shell.

        Args:
            command: Program and arguments.
            environment: All of its environment.
            on_line: Called with each line of standard output and standard error.

        Returns:
            The exit code.

        Raises:
            OSError: It cannot be started.
        """


class SubprocessRunner:
    """Runs programs on this machine."""

    def run(self, command: Sequence[str], *, environment: Mapping[str, str], on_line: OnLine) -> int:
        """Run ``command`` to its end; it is stopped when this is interrupted, or this process is killed."""
        with (
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                bufsize=0,
            ) as process,
            _guarded(process.pid),
        ):
            try:
                return self._followed(process, on_line)
            except BaseException:
                # In a notebook, Ctrl-C reaches this process alone.
                self._stop(process)
                raise

    @staticmethod
    def _followed(process: subprocess.Popen[bytes], on_line: OnLine) -> int:
        lines = LineSplitter(on_line)
        while process.stdout and (piece := process.stdout.read(_CHUNK)):
            lines.feed(piece)
        lines.close()
        return process.wait()

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def output_of(command: Sequence[str], *, environment: Mapping[str, str], timeout_s: float) -> str | None:
    """Return what a command without input prints to standard output alone; ``None`` where it fails.

    Raises:
        OSError: It cannot be started.
        TimeoutError: It does not end; what it has printed is not in the error.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            check=False,
            text=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        pass
    else:
        return done.stdout if done.returncode == 0 else None
    raise TimeoutError(f"timeout after {timeout_s:g} seconds")


@contextmanager
def _guarded(pid: int) -> Iterator[None]:
    """Have a process stopped when this one is gone, which the end of a pipe tells, also after SIGKILL."""
    guard = None
    # Without a shell it runs unguarded.
    with suppress(OSError):
        guard = subprocess.Popen(
            ["sh", "-c", 'read -r done || kill "$0"', str(pid)],  # noqa: S607
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C in a terminal reaches a whole group.
            start_new_session=True,
        )
    try:
        yield
    finally:
        if guard is not None:
            with suppress(BrokenPipeError):
                guard.communicate(b"done\n")
