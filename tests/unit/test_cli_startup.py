"""The group of commands: what it lists, and that it imports no command before it is used."""

from __future__ import annotations

from typing import get_args

import click
import pytest
from fakes.command_line import run_cli

from sagemaker_custom import _version, spec
from sagemaker_custom.builders import append_check, choice
from sagemaker_custom.cli import COMMANDS, options
from sagemaker_custom.cli import build as building
from sagemaker_custom.cli.lazy import LazyCommand, LazyGroup


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_listed_help_is_the_first_sentence_of_the_commands_own(command):
    assert command.load().get_short_help_str(limit=200) == command.short_help
    assert command.load().name == command.name


def test_commands_are_listed_in_the_order_of_a_work_day():
    listed = run_cli("--help").out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == [command.name for command in COMMANDS]


def test_a_command_is_imported_when_it_is_used_and_not_before():
    group = LazyGroup(name="all", lazy=[LazyCommand("broken", "sagemaker_custom.no_such_module:command", "Fail.")])
    context = click.Context(group)
    assert "Fail." in group.get_help(context)
    assert [item.value for item in group.shell_complete(context, "br")] == ["broken"]
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        group.get_command(context, "broken")


def test_unknown_command_is_told():
    ended = run_cli("plam")
    assert ended.code == 2
    assert "No such command 'plam'" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_prints_json_if_asked_to(command):
    without = {
        "completion": "a script",
        "run": "what the command of the user prints",
        "schema": "JSON in any case",
        "lock": "likewise",
        "sbom": "likewise",
    }

    loaded = command.load()
    leaves = loaded.commands.values() if isinstance(loaded, click.Group) else [loaded]
    lacking = [leaf.name for leaf in leaves if not any("--json" in parameter.opts for parameter in leaf.params)]
    assert set(lacking) <= set(without)


def test_choices_are_those_of_the_code_that_takes_them():
    assert get_args(spec.ImageScope) == options.SCOPES
    assert get_args(spec.Processor) == options.PROCESSORS
    assert get_args(spec.Architecture) == options.ARCHITECTURES
    assert building.BUILDERS == choice.BUILDERS
    assert building.VERIFY == append_check.CHECKS


def test_version_is_printed():
    ended = run_cli("--version")
    assert (ended.code, ended.out) == (0, f"sagemaker-custom, version {_version.__version__}\n")
