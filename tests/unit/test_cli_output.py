"""What people and programs read, and how a command that fails ends."""

from __future__ import annotations

import json

import click
import pytest

from sagemaker_custom.cli.failures import INTERRUPTED, UNEXPECTED, Report
from sagemaker_custom.cli.output import aligned, print_document, print_pairs, print_table, warn
from sagemaker_custom.errors import BuildError, ImageNotInCatalogError


def failing(error):
    def command():
        raise error

    return command


def test_table_without_a_terminal_is_aligned_lines(capsys):
    print_table(("name", "version"), [("faiss", "1.12.0"), ("flash-attn", None)])
    assert capsys.readouterr().out == "name        version\nfaiss       1.12.0\nflash-attn\n"


def test_cell_of_several_lines_stays_in_its_row(capsys):
    print_table(("check", "found"), [("ECR", "500: <html>\n<p>no</p>\n"), ("SDK", "2.257")])
    assert capsys.readouterr().out == "check  found\nECR    500: <html> <p>no</p>\nSDK    2.257\n"


def test_table_without_rows_is_its_head():
    assert aligned([["name", "version"]]) == ["name  version"]


def test_pairs_leave_out_what_is_not_known(capsys):
    print_pairs([("image", "a:b"), ("digest", None)])
    assert capsys.readouterr().out == "image: a:b\n"


def test_document_keeps_what_is_not_ascii(capsys):
    print_document({"why": "Käse"})
    assert capsys.readouterr().out == '{\n  "why": "Käse"\n}\n'


def test_warnings_go_to_standard_error(capsys):
    warn(["it is old"])
    assert capsys.readouterr() == ("", "warning: it is old\n")


def test_error_of_ours_is_message_hint_and_its_exit_code(capsys):
    assert Report().run(failing(ImageNotInCatalogError("there is no x", hint="take y"))) == 2
    assert capsys.readouterr() == ("", "error: there is no x\n  -> take y\n")


def test_error_of_ours_is_one_document_with_json(capsys):
    assert Report(as_json=True).run(failing(BuildError("it broke"))) == 5
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": {"type": "BuildError", "message": "it broke", "hint": None, "exit_code": 5}}
    assert err == ""


def test_wrong_use_is_one_document_with_json(capsys):
    context = click.Context(click.Command("plan"), info_name="plan")
    assert Report(as_json=True).run(failing(click.UsageError("Missing argument.", ctx=context))) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert told == {"type": "UsageError", "message": "Missing argument.", "hint": "see plan --help", "exit_code": 2}


def test_interrupt_ends_as_in_a_shell(capsys):
    assert Report().run(failing(click.Abort())) == INTERRUPTED == 130
    assert capsys.readouterr().out == ""


def test_unexpected_error_is_one_line_and_says_how_to_see_more(capsys):
    assert Report().run(failing(KeyError("digest\nmore"))) == UNEXPECTED
    assert capsys.readouterr().err == (
        "error: KeyError: 'digest\\nmore'\n  -> sagemaker-custom --debug COMMAND … shows where it comes from\n"
    )


def test_unexpected_error_shows_its_traceback_when_asked_for(capsys):
    assert Report(show_traceback=True).run(failing(RuntimeError("first\nsecond"))) == UNEXPECTED
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("error: RuntimeError: first\n")


@pytest.mark.parametrize(("ended", "code"), [(None, 0), (0, 0), (3, 3)])
def test_exit_code_is_what_the_command_ended_with(ended, code):
    assert Report().run(lambda: ended) == code
