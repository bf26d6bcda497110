"""What ends a command → a message for people, or a JSON document, and an exit code."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import click

from sagemaker_custom.cli.output import print_document, say
from sagemaker_custom.errors import SageMakerCustomError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
UNEXPECTED = 70
"""Exit code after an error that this package does not know: ``EX_SOFTWARE`` of sysexits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Tells how a command ended."""

    as_json: bool = False
    """Whether an error is a document on standard output, instead of a text on standard error."""
    show_traceback: bool = False

    def run(self, command: Callable[[], object]) -> int:
        """Run a command of click that is not in standalone mode, and return its exit code."""
        try:
            ended = command()
        except SageMakerCustomError as error:
            return self._told(error, error.message, error.hint, error.exit_code)
        except click.ClickException as error:
            return self._usage(error)
        except click.Abort:
            return INTERRUPTED
        except Exception as error:  # noqa: BLE001  # whatever it is, a user is told in one line
            return self._unexpected(error)
        return ended if isinstance(ended, int) else 0

    def _told(self, error: Exception, message: str, hint: str | None, exit_code: int) -> int:
        if self.show_traceback:
            say("".join(traceback.format_exception(error)).rstrip())
        if self.as_json:
            print_document({"error": _document(error, message, hint, exit_code)})
        else:
            say(f"error: {message}" + (f"\n  -> {hint}" if hint else ""))
        return exit_code

    def _usage(self, error: click.ClickException) -> int:
        if not self.as_json:
            error.show()
            return error.exit_code
        context = getattr(error, "ctx", None)
        hint = f"see {context.command_path} --help" if context else None
        return self._told(error, error.format_message(), hint, error.exit_code)

    def _unexpected(self, error: Exception) -> int:
        lines = str(error).strip().splitlines()
        message = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        hint = None if self.show_traceback else "sagemaker-custom --debug COMMAND … shows where it comes from"
        return self._told(error, message, hint, UNEXPECTED)


def end_on_signals() -> None:
    """Have SIGTERM, and the end of the terminal, end this process as Ctrl-C does: nothing is left running or behind.

    A second one ends it at once. The exit code is the one that shells have for the signal.
    """

    def end(number: int, frame: object) -> NoReturn:
        del frame
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Under nohup it is ignored, and stays so.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, end)


def error_document(error: SageMakerCustomError) -> dict[str, str | int | None]:
    """Return what programs are told of an error."""
    return _document(error, error.message, error.hint, error.exit_code)


def _document(error: Exception, message: str, hint: str | None, exit_code: int) -> dict[str, str | int | None]:
    return {"type": type(error).__name__, "message": message, "hint": hint, "exit_code": exit_code}
