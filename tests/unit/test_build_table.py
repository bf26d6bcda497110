"""What is shown while images are made: a table on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr

import pytest
from rich.console import Console

from sagemaker_custom.cli.build_table import LineBoard, LiveBoard, terminal_board
from sagemaker_custom.prebuild import Attendant, Row
from sagemaker_custom.prebuild.rows import Interruption


def console(**changes):
    return Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, **changes)


def rows(*states):
    return [
        Row(number=number, of=len(states), name=f"shop 2.{number}", state=state)
        for number, state in enumerate(states, 1)
    ]


def drawn(board, rows, **changes):
    """What a terminal would have been shown, drawn once."""
    screen = console(**changes)
    board = LiveBoard(screen, monotonic=lambda: 100.0) if board is None else board
    with board.open(rows):
        pass
    return screen.file.getvalue()


class TestTable:
    def test_a_row_has_state_time_and_what_is_being_done(self):
        waiting, building, failed = rows("waiting", "building", "failed")
        building.began, building.step, building.done, building.total = 5.0, "building in CodeBuild", 3, 12
        failed.began, failed.ended, failed.step = 10.0, 3715.0, "it broke [red]not markup[/red]\nmore"
        shown = drawn(None, [waiting, building, failed])
        assert "shop 2.2" in shown
        assert re.search(r"1:35 +building in CodeBuild, 3 of 12", shown)
        assert re.search(r"1:01:45 +it broke \[red\]not markup\[/red\] more", shown)
        assert "1 waiting, 1 building, 1 failed" in shown

    def test_bytes_are_shown_as_such(self):
        (row,) = rows("mirroring")
        row.step, row.unit, row.done, row.total = "bringing x", "bytes", 2_500_000, 10_000_000
        assert "bringing x, 2.5 MB of 10.0 MB" in drawn(None, [row])

    def test_what_goes_on_is_shown_where_there_is_no_room_for_all(self):
        shown = drawn(None, rows(*["present"] * 30, "failed", "building", *["waiting"] * 30), height=10)
        assert "shop 2.31" in shown
        assert "shop 2.32" in shown
        assert "shop 2.62" not in shown
        assert "30 waiting, 1 building, 30 present, 1 failed" in shown

    def test_lines_of_logs_are_not_in_it(self):
        screen = console()
        board = LiveBoard(screen)
        (row,) = rows("building")
        with board.open([row]):
            board.log(row, "#5 RUN pip install")
            board.say("warning: [x] said once")
        assert "#5 RUN" not in screen.file.getvalue()
        assert "warning: [x] said once\n" in screen.file.getvalue()

    def test_a_question_has_the_screen_for_itself(self):
        screen = console()
        board = LiveBoard(screen)
        with board.open(rows("building")):
            with board.paused():
                before = screen.file.tell()
                screen.file.write("Stop? [y/N] ")
                assert screen.file.tell() == before + len("Stop? [y/N] ")
            assert board._live.is_started
        with board.paused():
            pass


class TestLines:
    def test_each_line_names_its_image_and_a_wait_is_none(self):
        stream = io.StringIO()
        board = LineBoard(stream)
        row = rows("waiting", "waiting")[1]
        attendant = Attendant(row, board, Interruption(), monotonic=lambda: 1.0)
        with board.open([row]):
            attendant.enter("waiting", "looking for it")
            attendant.enter("building")
            attendant.step("building x")
            attendant.log("Step 1/3 : FROM y")
            bar = attendant.task("pushing", total=3)
            bar.advance(1)
            bar.finish()
            board.say("warning: old")
            attendant.enter("built")
        assert stream.getvalue().splitlines() == [
            "[2/2] shop 2.2: building",
            "[2/2] building x",
            "[2/2]     Step 1/3 : FROM y",
            "[2/2] pushing",
            "warning: old",
            "[2/2] shop 2.2: built",
        ]

    @pytest.mark.parametrize("terminal", [False, True])
    def test_a_table_is_for_terminals_alone(self, terminal, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")
        monkeypatch.delenv("NO_COLOR", raising=False)
        with redirect_stderr(io.StringIO()):
            assert isinstance(terminal_board(), LiveBoard if terminal else LineBoard)


def test_a_bar_counts_in_its_row_until_something_else_is_done():
    (row,) = rows("building")
    attendant = Attendant(row, LineBoard(io.StringIO()), Interruption())
    bar = attendant.task("pushing", unit="bytes")
    bar.set_total(10)
    bar.advance(4)
    assert (row.step, row.done, row.total, row.unit) == ("pushing", 4, 10, "bytes")
    attendant.step("verifying")
    bar.finish()
    assert (row.step, row.done, row.total) == ("verifying", 0, None)
