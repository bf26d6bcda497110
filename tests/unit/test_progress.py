"""What is told while work goes on."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr

import pytest
from rich.console import Console

from sagemaker_custom.progress import ConsoleProgress, LineProgress, NoProgress, confirm, terminal_progress

NASTY = r"[red]not a style[/red] %s 100% \[x] c:\temp" + "\\"


def console():
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, force_interactive=False)


def use(progress):
    """Do everything that library code does."""
    progress.step(f"building {NASTY}")
    progress.log(f"Step 1/3 {NASTY}")
    bar = progress.task("pushing [layer]")
    bar.set_total(10)
    bar.advance(4)
    bar.advance(6)
    bar.finish()
    progress.task("pulling", total=3).advance(3)


def test_no_progress_says_nothing(capsys, caplog):
    with caplog.at_level(logging.DEBUG):
        use(NoProgress())
    assert capsys.readouterr() == ("", "")
    assert not caplog.records


def test_lines_go_to_standard_error_as_they_are(capsys):
    use(LineProgress())
    assert capsys.readouterr() == (
        "",
        f"building {NASTY}\n    Step 1/3 {NASTY}\n  pushing [layer]\n  pulling\n",
    )


def test_console_shows_texts_as_they_are():
    screen = console()
    with ConsoleProgress(screen) as progress:
        use(progress)
    shown = screen.file.getvalue()
    assert f"› building {NASTY}" in shown
    assert f"    Step 1/3 {NASTY}" in shown


def test_console_without_log_lines():
    screen = console()
    with ConsoleProgress(screen, show_log=False) as progress:
        use(progress)
    assert "building" in screen.file.getvalue()
    assert "Step 1/3" not in screen.file.getvalue()


def test_bars_show_their_text_as_it_is():
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with ConsoleProgress(screen) as progress:
        progress.task("pushing [layer]", total=10).advance(10)
    assert "pushing [layer]" in screen.file.getvalue()


def test_finished_bar_is_not_drawn_any_more():
    screen = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    with ConsoleProgress(screen) as progress:
        progress.task("pulling the base").finish()
        progress.task("building", total=3, unit="steps").advance(1)
    shown = screen.file.getvalue()
    assert "1 of 3 steps" in shown
    assert shown.rindex("pulling the base") < shown.index("building")


def test_display_ends_when_the_work_fails():
    screen = console()

    def fail():
        with ConsoleProgress(screen) as progress:
            progress.task("pushing")
            raise RuntimeError("no network")

    with pytest.raises(RuntimeError, match="no network"):
        fail()
    with ConsoleProgress(screen) as progress:
        progress.step("again")
    assert "› again" in screen.file.getvalue()


def test_without_a_terminal_there_are_plain_lines(capsys):
    with terminal_progress() as progress:
        progress.step("building")
    assert capsys.readouterr().err == "building\n"
    assert isinstance(progress, LineProgress)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("answer", "meant"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_a_question_is_asked_on_a_terminal(answer, meant):
    screen = Terminal()
    with redirect_stderr(screen):
        assert confirm("Stop?", answers=Terminal(answer)) is meant
    assert screen.getvalue() == "Stop? [y/N] "


def test_nobody_is_asked_without_a_terminal(capsys):
    assert confirm("Stop?", answers=io.StringIO("y\n")) is None
    assert capsys.readouterr().err == ""
