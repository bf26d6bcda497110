"""Rows of images that are being made → a live table on a terminal, or else a line for each thing that happens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, TextIO

from sagemaker_custom.prebuild import Board, Row

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

_STYLES = {
    "waiting": "dim",
    "mirroring": "cyan",
    "building": "cyan",
    "built": "green",
    "present": "green",
    "failed": "red",
}
# In which order they are shown where there is no room for all: what goes on, then what went wrong.
_URGENCY = ("building", "mirroring", "failed", "built", "present", "waiting")
# Head, line below it, line of counts, and the one that the cursor is in.
_AROUND = 5
_REFRESHES_PER_S = 4


def terminal_board() -> Board:
    """Return a live table when standard error is a terminal, plain lines otherwise."""
    from rich.console import Console

    console = Console(stderr=True)
    return LiveBoard(console) if console.is_terminal else LineBoard()


class LineBoard:
    """A line for each thing, with the number of the image; for CI and files.

    Args:
        stream: Default: standard error, whatever it is at the time.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lock = RLock()

    @contextmanager
    def open(self, rows: Sequence[Row]) -> Iterator[None]:
        """Do nothing: a line comes when something happens."""
        del rows
        yield

    def changed(self, row: Row) -> None:
        """Write the state; why an image failed is in the summary."""
        # Who is only waiting has nothing to tell.
        if row.state != "waiting":
            self._write(f"{_place(row)} {row.name}: {row.state}")

    def step(self, row: Row, text: str) -> None:
        """Write the step."""
        self._write(f"{_place(row)} {text}")

    def log(self, row: Row, line: str) -> None:
        """Write the line, indented."""
        self._write(f"{_place(row)}     {line}")

    def say(self, text: str) -> None:
        """Write a line of its own."""
        self._write(text)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Write nothing until the context ends."""
        with self._lock:
            yield

    def _write(self, line: str) -> None:
        with self._lock:
            stream = self._stream or sys.stderr
            stream.write(f"{line}\n")
            stream.flush()


class LiveBoard:
    """A table that is drawn anew in its place. Lines of logs are in the log files alone.

    Args:
        console: Where it is drawn.
        monotonic: Seconds that never go back; the clock of the rows.
    """

    def __init__(self, console: Console, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._monotonic = monotonic
        self._rows: Sequence[Row] = ()
        self._live: Live | None = None

    @contextmanager
    def open(self, rows: Sequence[Row]) -> Iterator[None]:
        """Draw the table until the context ends; then it goes, for the summary."""
        from rich.live import Live

        self._rows = rows
        live = Live(
            get_renderable=self._drawn, console=self._console, refresh_per_second=_REFRESHES_PER_S, transient=True
        )
        self._live = live
        try:
            with live:
                yield
        finally:
            self._live = None

    def changed(self, row: Row) -> None:
        """Do nothing: the table is drawn anew all the time."""

    def step(self, row: Row, text: str) -> None:
        """Do nothing."""

    def log(self, row: Row, line: str) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Print above the table."""
        from rich.text import Text

        self._console.print(Text(text))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the table away until the context ends."""
        live = self._live
        if live is None:
            yield
            return
        live.stop()
        try:
            yield
        finally:
            live.start()

    def _drawn(self) -> RenderableType:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
        table.add_column("image", overflow="ellipsis", no_wrap=True, ratio=2)
        table.add_column("state", width=9)
        table.add_column("time", justify="right", width=7)
        table.add_column("step", overflow="ellipsis", no_wrap=True, ratio=3)
        for row in self._shown():
            state = Text(row.state, _STYLES[row.state])
            table.add_row(Text(row.name), state, Text(_clock(row, self._monotonic())), _step(row))
        return Group(table, Text(self._counts(), "dim"))

    def _shown(self) -> Sequence[Row]:
        room = max(self._console.height - _AROUND, 1)
        if len(self._rows) <= room:
            return self._rows
        urgent = sorted(self._rows, key=lambda row: (_URGENCY.index(row.state), row.number))[:room]
        return sorted(urgent, key=lambda row: row.number)

    def _counts(self) -> str:
        states = [row.state for row in self._rows]
        return ", ".join(f"{states.count(state)} {state}" for state in _STYLES if state in states)


def _place(row: Row) -> str:
    return f"[{row.number}/{row.of}]"


def _clock(row: Row, now: float) -> str:
    if row.began is None:
        return ""
    seconds = int((row.ended if row.ended is not None else now) - row.began)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def _step(row: Row) -> Text:
    from rich.filesize import decimal
    from rich.text import Text

    line = " ".join(row.step.split())
    if row.total is None and not row.done:
        return Text(line)
    if row.unit == "steps":
        amount = f"{row.done} of {'?' if row.total is None else row.total}"
    else:
        amount = f"{decimal(row.done)} of {'?' if row.total is None else decimal(row.total)}"
    return Text(f"{line}, {amount}")
