"""Nothing, or a command → a sandbox that runs beside it, and the variables that lead into it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.output import json_option, print_document, say
from sagemaker_custom.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from sagemaker_custom.sandbox import Sandbox

_NEEDED = ("moto", "flask", "flask_cors")
"""What the extra ``sandbox`` brings, besides what the package needs anyway."""

_FRAMEWORKS = ("pytorch", "huggingface", "sklearn", "xgboost", "tensorflow")
"""Those of ``sandbox.frameworks``, which would cost ``--help`` the import of Docker's client."""


@click.group()
def sandbox() -> None:
    """Run a whole AWS to try things on."""


_bases_option = click.option(
    "--bases", is_flag=True, help="Make the stand-ins for AWS's PyTorch images first: minutes at first, needs Docker."
)
_framework_option = click.option(
    "--framework",
    "frameworks",
    type=click.Choice(_FRAMEWORKS),
    multiple=True,
    help="Make the stand-ins for this framework's images first; may be repeated.",
)
_region_option = click.option("--region", default="us-east-1", show_default=True, help="Of its sessions and bucket.")
_folder_option = click.option(
    "--folder", type=click.Path(file_okay=False), help="Keeps images between runs; default: in the setting cache_dir."
)


@sandbox.command()
@_bases_option
@_framework_option
@_region_option
@_folder_option
@json_option
def up(bases: bool, frameworks: tuple[str, ...], region: str, folder: str | None, as_json: bool) -> None:
    """Run the sandbox until Ctrl-C.

    Prints the variables that bring other processes into it, to be pasted into a shell.
    """
    with _running(region, folder, frameworks=_wanted(bases, frameworks)) as running:
        if as_json:
            print_document({"environment": running.environment})
        else:
            for name, value in running.environment.items():
                click.echo(f"export {name}={shlex.quote(value)}")
        try:
            say("the sandbox runs until Ctrl-C; what AWS was told is gone then, images stay")
            threading.Event().wait()
        except KeyboardInterrupt:
            say("the sandbox ends")


@sandbox.command(context_settings={"allow_interspersed_args": False})
@_bases_option
@_framework_option
@_region_option
@_folder_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    command: tuple[str, ...],
    bases: bool,
    frameworks: tuple[str, ...],
    region: str,
    folder: str | None,
) -> None:
    """Run a command in a sandbox of its own.

    The exit code is the command's. Write -- before it: sagemaker-custom sandbox run -- python train.py
    """
    with _running(region, folder, frameworks=_wanted(bases, frameworks)) as running:
        ctx.exit(_run(command, {**os.environ, **running.environment}))


def _wanted(bases: bool, frameworks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*["pytorch"] * bases, *frameworks]))


def _run(command: tuple[str, ...], environment: dict[str, str]) -> int:
    try:
        code = subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        raise UsageError(
            f"{command[0]!r} cannot be run: {error.strerror}", hint="write a program that is on PATH"
        ) from error
    # A signal's number, as shells tell it.
    return code if code >= 0 else 128 - code


@contextmanager
def _running(region: str, folder: str | None, *, frameworks: tuple[str, ...]) -> Iterator[Sandbox]:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the sandbox needs {', '.join(missing)}, which is not installed",
            hint="pip install 'sagemaker-custom[sandbox]'",
        )
    from sagemaker_custom.progress import terminal_progress
    from sagemaker_custom.sandbox import Sandbox

    # Else SIGTERM would end this process alone, and leave the registry's running.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with Sandbox(folder, region=region) as running:
            if frameworks:
                with terminal_progress() as progress:
                    running.ensure_bases(progress, frameworks)
            yield running
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
