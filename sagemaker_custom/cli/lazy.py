"""Names of commands → a click group that imports a command's module when the command is used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem


class LazyCommand(NamedTuple):
    """A command that is not imported yet."""

    name: str
    target: str
    """``module:attribute``."""
    short_help: str
    """The first sentence of the command's own help, so that the list of commands needs no import."""

    def load(self) -> click.Command:
        """Import it."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group whose help, and whose completion, import none of its commands.

    Args:
        lazy: Its commands, in the order in which they are listed.
        settings: Of :class:`click.Group`.
    """

    def __init__(self, *, lazy: Sequence[LazyCommand], **settings: Any) -> None:
        super().__init__(**settings)
        self.lazy = {command.name: command for command in lazy}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of a work day."""
        del ctx
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; ``None`` when there is none of that name."""
        del ctx
        command = self.lazy.get(cmd_name)
        return command.load() if command else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.short_help) for command in self.lazy.values()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands, or the options, that begin so."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(command.name, help=command.short_help)
            for command in self.lazy.values()
            if command.name.startswith(incomplete)
        ]
