"""Escape codes in logs, names, errors and documents: what reaches a terminal is shown, not obeyed."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest
from rich.console import Console

from sagemaker_custom.builders.log import BuildLog
from sagemaker_custom.cli.failures import Report
from sagemaker_custom.cli.output import print_document, print_pairs, print_table, say, warn
from sagemaker_custom.errors import BuildError, SageMakerCustomError
from sagemaker_custom.plain_text import plain, plain_json
from sagemaker_custom.progress import ConsoleProgress, LineProgress

CODES = {
    "clears the screen": "\x1b[2J",
    "sets the title": "\x1b]0;owned\x07",
    "writes to the clipboard": "\x1b]52;c;cmVib290\x1b\\",
    "asks the terminal to type": "\x1b[6n",
    "hides a link": "\x1b]8;;https://evil.example\x1b\\x\x1b]8;;\x1b\\",
    "is eight bits long": "\x9b2J",
    "is cut off": "\x1b[",
    "is cut off in its text": "\x1b]0;owned",
    "resets": "\x1bc",
    "nests": "\x1b\x1b[2J[2J",
    "rings": "\x07",
    "goes back": "\b\b\b",
    "turns letters round": "\u202eexe.gnp\u2066",
    "is no character": "\ud800\udcff",
}


@pytest.fixture(params=CODES.values(), ids=CODES.keys())
def nasty(request):
    return f"before {request.param} after"


def is_harmless(text):
    text.encode()
    return all(letter.isprintable() or letter == "\n" for letter in text) and "before" in text


def printed(work):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        work()
    return out.getvalue() + err.getvalue()


def test_a_text_keeps_its_words(nasty):
    assert is_harmless(plain(nasty))
    assert plain(plain(nasty)) == plain(nasty)


def test_what_people_write_stays_as_it_is():
    text = "añb 漢字 → › × \t tab\nline 👩‍💻"

    assert plain(text) == text


def test_an_error(nasty):
    error = BuildError(f"the index says {nasty}", hint=f"ask {nasty}")

    assert is_harmless(str(error))
    assert is_harmless(error.hint)
    assert is_harmless("".join(error.args))


def test_an_error_on_the_command_line(nasty):
    def fails():
        raise SageMakerCustomError(nasty)

    def breaks():
        raise ZeroDivisionError(nasty)

    assert is_harmless(printed(lambda: Report().run(fails)))
    assert is_harmless(printed(lambda: Report().run(breaks)))
    assert is_harmless(printed(lambda: Report(show_traceback=True).run(fails)))


def test_what_the_command_line_prints(nasty):
    assert is_harmless(printed(lambda: print_pairs([("summary", nasty)])))
    assert is_harmless(printed(lambda: print_table(["name"], [[nasty], [5]])))
    assert is_harmless(printed(lambda: say(nasty)))
    assert is_harmless(printed(lambda: warn([nasty])))


def test_json_stands_for_the_same(nasty):
    text = printed(lambda: print_document({"a": nasty}))

    assert is_harmless(text)
    # JSON has no way to tell two halves of a character from the character.
    assert json.loads(text)["a"].encode("utf-16", "surrogatepass") == nasty.encode("utf-16", "surrogatepass")
    assert is_harmless(plain_json(nasty))


def test_progress_in_lines(nasty):
    stream = io.StringIO()
    progress = LineProgress(stream)
    progress.step(nasty)
    progress.log(nasty)
    progress.task(nasty).finish()

    assert is_harmless(stream.getvalue())


def test_progress_on_a_terminal(nasty):
    stream = io.StringIO()
    progress = ConsoleProgress(Console(file=stream, width=200))
    progress.step(nasty)
    progress.log(nasty)

    assert is_harmless(stream.getvalue())


def test_a_build_log_and_its_file(tmp_path, nasty):
    shown = []
    with BuildLog(tmp_path / "a.log", show=shown.append, secrets=["hunter2"]) as log:
        log.line(nasty)
        log.line(f"hun\x00ter2 {nasty}")
        log.line("hun\x1b[31mter2 before")

    assert all(is_harmless(line) for line in (*shown, log.tail, (tmp_path / "a.log").read_text()))
    assert "hunter2" not in log.tail
