"""How long-running work tells what it does: one protocol, handed in; its two displays here are all that prints."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, TextIO, TypeAlias

from sagemaker_custom.plain_text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task as RichTask
    from rich.text import Text
    from typing_extensions import Self

Unit: TypeAlias = Literal["bytes", "steps"]
"""What a bar counts."""


class Task(Protocol):
    """One bar: bytes moved, or steps done."""

    def advance(self, amount: int) -> None:
        """Add ``amount`` (bytes or steps) to what is done."""

    def set_total(self, total: int) -> None:
        """Say how much there is, once it is known."""

    def finish(self) -> None:
        """Say that it is over: the bar goes."""


class Progress(Protocol):
    """What library code reports to."""

    def step(self, text: str) -> None:
        """Announce a step of the flow, for example ``building …``."""

    def log(self, line: str) -> None:
        """Pass on one line of a tool's output, without its line end."""

    def task(self, text: str, *, total: int | None = None, unit: Unit = "bytes") -> Task:
        """Start a bar.

        Args:
            text: What is being done.
            total: How much there is, where known.
            unit: What is counted.
        """


class _NoTask:
    def advance(self, amount: int) -> None:
        del amount

    def set_total(self, total: int) -> None:
        del total

    def finish(self) -> None:
        """Do nothing."""


class NoProgress:
    """Says nothing."""

    def step(self, text: str) -> None:
        """Ignore the step."""
        del text

    def log(self, line: str) -> None:
        """Ignore the line."""
        del line

    def task(self, text: str, *, total: int | None = None, unit: Unit = "bytes") -> Task:
        """Return a bar that is never drawn."""
        del text, total, unit
        return _NoTask()


class LineProgress:
    """Steps and log lines as plain text, without bars: for notebooks, CI and files.

    Args:
        stream: Default: standard error, whatever it is at the time.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def step(self, text: str) -> None:
        """Write the step."""
        self._write(text)

    def log(self, line: str) -> None:
        """Write the line, indented."""
        self._write(f"    {line}")

    def task(self, text: str, *, total: int | None = None, unit: Unit = "bytes") -> Task:
        """Write what begins; its bar is never drawn."""
        del total, unit
        self._write(f"  {text}")
        return _NoTask()

    def _write(self, line: str) -> None:
        stream = self._stream or sys.stderr
        stream.write(f"{plain(line)}\n")
        stream.flush()


class _RichTask:
    def __init__(self, bars: _Bars, text: str, total: int | None, unit: Unit) -> None:
        self._bars = bars
        self._id = bars.add(text, total, unit)

    def advance(self, amount: int) -> None:
        self._bars.advance(self._id, amount)

    def set_total(self, total: int) -> None:
        self._bars.set_total(self._id, total)

    def finish(self) -> None:
        self._bars.remove(self._id)


class _Bars:
    """The rich display that all bars of one :class:`ConsoleProgress` share."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        class Amount(ProgressColumn):
            """What is done, of how much, and how fast."""

            def render(self, task: RichTask) -> Text:
                return _amount(task)

        self._display = RichProgress(
            TextColumn("  {task.description}", markup=False),
            BarColumn(bar_width=24),
            Amount(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> None:
        self._display.start()

    def __exit__(self, *exc_info: object) -> None:
        self._display.stop()

    def add(self, text: str, total: int | None, unit: Unit) -> int:
        return int(self._display.add_task(plain(text), total=total, unit=unit))

    def advance(self, task: int, amount: int) -> None:
        from rich.progress import TaskID

        self._display.advance(TaskID(task), amount)

    def set_total(self, task: int, total: int) -> None:
        from rich.progress import TaskID

        self._display.update(TaskID(task), total=total)

    def remove(self, task: int) -> None:
        from rich.progress import TaskID

        self._display.remove_task(TaskID(task))


class ConsoleProgress:
    """Steps, log lines and live bars on a terminal; use as a context manager, so that the bars are cleared."""

    def __init__(self, console: Console, *, show_log: bool = True) -> None:
        self._console = console
        self._bars = _Bars(console)
        self._show_log = show_log

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bars.__exit__(*exc_info)

    def step(self, text: str) -> None:
        """Print the step."""
        self._console.print(f"[bold]›[/bold] {_escaped(text)}", highlight=False)

    def log(self, line: str) -> None:
        """Print the line, dimmed, unless log lines are off."""
        if self._show_log:
            self._console.print(f"    {_escaped(line)}", style="dim", highlight=False, soft_wrap=True)

    def task(self, text: str, *, total: int | None = None, unit: Unit = "bytes") -> Task:
        """Start a live bar."""
        return _RichTask(self._bars, text, total, unit)


def _amount(task: RichTask) -> Text:
    from rich.filesize import decimal
    from rich.text import Text

    done, total = int(task.completed), int(task.total) if task.total is not None else None
    if task.fields["unit"] == "steps":
        return Text(f"{done} of {'?' if total is None else total} steps")
    speed = f", {decimal(int(task.speed))}/s" if task.speed else ""
    return Text(f"{decimal(done)} of {'?' if total is None else decimal(total)}{speed}")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(plain(text))


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Yield live bars when standard error is a terminal, plain lines otherwise."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield LineProgress()
        return
    with ConsoleProgress(console) as progress:
        yield progress


class SharedTask:
    """A bar that several threads move, until it is gone.

    Args:
        task: The bar.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._lock = threading.Lock()
        self._is_over = False

    def advance(self, amount: int) -> None:
        """Move it."""
        with self._lock:
            if not self._is_over:
                self._task.advance(amount)

    def set_total(self, total: int) -> None:
        """Say how much there is."""
        with self._lock:
            self._task.set_total(total)

    def finish(self) -> None:
        """Take it away."""
        with self._lock:
            self._is_over = True
            self._task.finish()


def confirm(question: str, *, answers: TextIO | None = None) -> bool | None:
    """Ask for yes or no on the terminal.

    Args:
        question: Without a question of how to answer, which is added.
        answers: Default: standard input, whatever it is at the time.

    Returns:
        ``None`` where nobody can be asked; an answer that is not yes is no.
    """
    stream = answers or sys.stdin
    if not (stream and stream.isatty() and sys.stderr.isatty()):
        return None
    sys.stderr.write(f"{plain(question)} [y/N] ")
    sys.stderr.flush()
    return stream.readline().strip().lower() in {"y", "yes"}
