"""Raw output of tools → clean lines, to the person who waits and to a file; with nothing secret in either."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from sagemaker_custom.errors import BuildError
from sagemaker_custom.plain_text import plain, without_escapes

# One run may build a hundred images, and the logs of those that failed are read afterwards.
KEPT_LOGS = 200
_TAIL = 30
_LONGEST = 200
_USER_INFO = re.compile(r"(?<=://)[^/\s@'\"]+@")
_MASK = "***"


class LineSplitter:
    """Assembles lines from pieces that end anywhere, also inside a character.

    Args:
        on_line: Called with each line.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        *lines, self._rest = (self._rest + self._decoder.decode(piece)).split("\n")
        for line in lines:
            self._on_line(line.rstrip("\r"))

    def close(self) -> None:
        """Pass on what came after the last line end."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        self._rest = ""
        if rest:
            self._on_line(rest)


class BuildLog:
    """The log of one build: a file, the lines shown, and the last lines for an error.

    Args:
        path: The file; its folder is made, and old logs in it are removed.
        show: Called with each clean line.
        secrets: Texts that are masked wherever they stand.
    """

    def __init__(self, path: Path, *, show: Callable[[str], None], secrets: Iterable[str] = ()) -> None:
        self.path = path
        self._show = show
        self._secrets = sorted(filter(None, secrets), key=len, reverse=True)
        self._last: deque[str] = deque(maxlen=_TAIL)
        self._file: TextIO | None = None

    def __enter__(self) -> BuildLog:
        """Open the file.

        Raises:
            BuildError: It cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            prune(self.path.parent, keep=KEPT_LOGS - 1)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise BuildError(
                f"the build log {self.path} cannot be written: {error.strerror}",
                hint="choose a folder that you may write to with the setting cache_dir",
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self._end()

    @property
    def tail(self) -> str:
        """The last lines, long ones cut."""
        return "\n".join(self._last)

    def line(self, text: str) -> None:
        """Take one line as a tool wrote it."""
        clean = self.clean(text)
        self._last.append(shortened(clean))
        self._write(clean)
        self._show(clean)

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(f"{line}\n")
            self._file.flush()
        except OSError as error:
            # The engine may well have the space that is missing here.
            self._end()
            self._show(f"the log {self.path} ends here: {error.strerror}")

    def _end(self) -> None:
        if self._file:
            # What is still in its buffer is tried once more.
            with suppress(OSError):
                self._file.close()
            self._file = None

    def clean(self, text: str) -> str:
        """Return ``text`` without terminal control and without secrets."""
        # What stands before a carriage return was overwritten on the terminal that it was meant for.
        masked = plain(without_escapes(text).rstrip("\r").rpartition("\r")[2])
        for secret in self._secrets:
            masked = masked.replace(secret, _MASK)
        return _USER_INFO.sub(f"{_MASK}@", masked)


def shortened(line: str) -> str:
    """Return a line fit for a message: BuildKit repeats the whole command of a step that failed, more than once."""
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def prune(folder: Path, *, keep: int) -> None:
    """Remove all logs in ``folder`` but the newest ``keep``; another process may do the same at the same time."""
    ages: list[tuple[float, Path]] = []
    for path in folder.glob("*.log"):
        try:
            ages.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue
    for _, path in sorted(ages, reverse=True)[keep:]:
        path.unlink(missing_ok=True)
