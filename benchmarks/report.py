"""``benchmarks/results/*.json`` → the page ``docs/reference/benchmarks.md`` and ``docs/images/benchmarks.svg``."""

from __future__ import annotations

from pathlib import Path

from results import FOLDER, Row, load

DOCS = Path(__file__).parents[1] / "docs"
TITLES = {
    "append": "Images",
    "size": "Cost over size",
    "source": "Source packing",
    "source_v3": "Source packing on the SDK v3",
    "fit": "A warm fit()",
    "resolve": "Resolving, and the command line",
    "mirror": "Mirroring",
}
"""The order of the sections; the file of each is ``results/NAME.json``."""

_INTRODUCTION = """\
# Benchmarks

Each row compares two things in one run on one machine; the ratio is what carries over to others. `make bench` measures
all of it again and writes this page and the chart. Registries and AWS (moto) are on loopback: over a line, what is not
sent saves more.
"""
_WIDTH, _BAR_HEIGHT, _ROW_HEIGHT, _TOP, _TEXT_WIDTH = 760, 10, 46, 40, 330


def number(value: float) -> str:
    """Return three digits of it."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def table(rows: tuple[Row, ...]) -> str:
    """Return the rows as a table."""
    lines = ["| what | ours | against | | ratio | to reach |", "|---|---:|---|---:|---:|---|"]
    for row in rows:
        reached = row.aim if row.holds else f"{row.aim}: **not reached**"
        note = f" ({row.note})" if row.note else ""
        lines.append(
            f"| {row.what}{note} | {number(row.ours)} {row.unit} | {row.against} | {number(row.theirs)} {row.unit} "
            f"| {number(row.ratio)} | {reached} |"
        )
    return "\n".join(lines)


def page(names: list[str]) -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION]
    for name in names:
        where, rows = load(name)
        parts.append(
            f"## {TITLES[name]}\n\n{table(rows)}\n\n`{where['command']}`, {where['date']}, on {where['machine']}.\n"
        )
    return "\n".join(parts)


def chart(rows: list[Row]) -> str:
    """Return two bars for each row: what it takes here, and what it takes otherwise, to the scale of the longer one."""
    height = _TOP + _ROW_HEIGHT * len(rows)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
            'aria-label="Time of sagemaker-custom beside that of what it is compared with">'
        ),
        (
            "<style>text{font:12px system-ui,sans-serif;fill:#24292f}.small{fill:#57606a}.ours{fill:#1a7f37}"
            ".theirs{fill:#8c959f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}"
            ".ours{fill:#3fb950}.theirs{fill:#6e7681}}</style>"
        ),
        '<text x="0" y="16">Seconds, each pair measured in one run:</text>',
        (
            f'<rect class="ours" x="{_TEXT_WIDTH}" y="7" width="10" height="10"/>'
            f'<text x="{_TEXT_WIDTH + 16}" y="16">sagemaker-custom</text>'
        ),
        (
            f'<rect class="theirs" x="{_TEXT_WIDTH + 140}" y="7" width="10" height="10"/>'
            f'<text x="{_TEXT_WIDTH + 156}" y="16">what it is compared with</text>'
        ),
    ]
    for place, row in enumerate(rows):
        lines += _bars(_TOP + place * _ROW_HEIGHT, row)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bars(top: int, row: Row) -> list[str]:
    longest, room = max(row.ours, row.theirs), _WIDTH - _TEXT_WIDTH - 60
    ours, theirs = (max(2, round(room * value / longest)) for value in (row.ours, row.theirs))
    return [
        f'<text x="0" y="{top + 12}">{_escaped(row.what)}</text>',
        f'<text class="small" x="0" y="{top + 28}">against {_escaped(row.against)}</text>',
        f'<rect class="ours" x="{_TEXT_WIDTH}" y="{top + 2}" width="{ours}" height="{_BAR_HEIGHT}"/>',
        f'<text x="{_TEXT_WIDTH + ours + 6}" y="{top + 11}">{number(row.ours)}</text>',
        f'<rect class="theirs" x="{_TEXT_WIDTH}" y="{top + 18}" width="{theirs}" height="{_BAR_HEIGHT}"/>',
        f'<text class="small" x="{_TEXT_WIDTH + theirs + 6}" y="{top + 27}">{number(row.theirs)}</text>',
    ]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def main() -> None:
    """Write both files."""
    names = [name for name in TITLES if (FOLDER / f"{name}.json").is_file()]
    (DOCS / "reference" / "benchmarks.md").write_text(page(names), encoding="utf-8")
    drawn = [row for name in names for row in load(name)[1] if row.chart]
    (DOCS / "images").mkdir(exist_ok=True)
    (DOCS / "images" / "benchmarks.svg").write_text(chart(drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
