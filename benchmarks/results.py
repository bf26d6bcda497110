"""What a benchmark measured → ``benchmarks/results/NAME.json``, of which ``report.py`` makes a table and a chart."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One comparison, both sides measured in the same run."""

    what: str
    """What is done."""
    against: str
    """What it is compared with."""
    ours: float
    theirs: float
    unit: str = "s"
    at_least: float | None = None
    """``theirs / ours`` has to reach it."""
    at_most: float | None = None
    """``ours / theirs`` may not exceed it."""
    below: float | None = None
    """``ours`` itself may not exceed it."""
    note: str = ""
    chart: bool = False
    """Whether it is drawn as well."""

    @property
    def ratio(self) -> float:
        """How many times ours is the better of the two."""
        return self.theirs / self.ours

    @property
    def holds(self) -> bool:
        """Whether what was to be reached was."""
        if self.at_least is not None and self.ratio < self.at_least:
            return False
        if self.below is not None and self.ours > self.below:
            return False
        return self.at_most is None or self.ours <= self.at_most * self.theirs

    @property
    def aim(self) -> str:
        """What is to be reached, for people."""
        aims = [f"≥ {self.at_least:g} ×"] if self.at_least is not None else []
        aims += [f"≤ {self.at_most:g} ×"] if self.at_most is not None else []
        aims += [f"≤ {self.below:g} {self.unit}"] if self.below is not None else []
        return ", ".join(aims)


def save(name: str, rows: Sequence[Row]) -> None:
    """Print the rows and write them, with the command, the machine and the date, for the report."""
    for row in rows:
        print(
            f"{row.what}: {row.ours:.3g} {row.unit}; {row.against}: {row.theirs:.3g} {row.unit}; "
            f"ratio {row.ratio:.3g}{'' if row.holds else ', NOT as it should be'}"
        )
    document = {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "machine": machine(),
        "rows": [asdict(row) for row in rows],
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def load(name: str) -> tuple[dict[str, str], tuple[Row, ...]]:
    """Return command, date and machine, and the rows, of what was saved."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return document, tuple(Row(**row) for row in document.pop("rows"))


def machine() -> str:
    """Describe this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
