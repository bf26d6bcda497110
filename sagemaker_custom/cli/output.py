"""Values → what people or programs read on standard output; asides go to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from sagemaker_custom.plain_text import plain, plain_json

_Function = TypeVar("_Function", bound=Callable[..., Any])


def json_option(command: _Function) -> _Function:
    """Add ``--json``, which the command takes as ``as_json``: then it prints one document and nothing else."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def print_document(document: object) -> None:
    """Print a value that JSON has as the one document of a command."""
    click.echo(plain_json(json.dumps(document, indent=2, ensure_ascii=False)))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print ``name: value`` lines; values that are ``None`` are left out."""
    for name, value in pairs:
        if value is not None:
            click.echo(plain(f"{name}: {value}"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: drawn on a terminal, else a line a row with aligned columns, which ``grep`` and ``awk`` can read.

    Args:
        columns: What stands above them.
        rows: ``None`` stands for an empty cell; a text of several lines becomes one.
    """
    texts = [["" if cell is None else plain(" ".join(str(cell).splitlines())) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, texts)
    else:
        for line in aligned([list(columns), *texts]):
            click.echo(line)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line a row, with columns as wide as their widest cell, two spaces apart."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _draw(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        # The end of a URI is what tells one image from another.
        table.add_column(name, overflow="fold")
    for row in rows:
        # Text, because a cell such as "pkg[extra]" would be taken for markup.
        table.add_row(*map(Text, row))
    Console().print(table)


def say(text: str) -> None:
    """Tell something besides, on standard error."""
    click.echo(plain(text), err=True)


def warn(texts: Iterable[str]) -> None:
    """Tell what the user should know, a line each, on standard error."""
    for text in texts:
        say(f"warning: {text}")
