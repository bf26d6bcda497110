"""The text of a ``.dockerignore`` file → which paths of a build context stay out, by BuildKit's rules. Pure.

The rules are those of https://docs.docker.com/build/concepts/context/#dockerignore-files: patterns of Go's
``filepath.Match`` and ``**``, each tried on a path and on the folders above it; the last one that matters decides.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sagemaker_custom.errors import SourceError


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pattern:
    keeps: bool
    """Written with ``!``: takes back what an earlier pattern excluded."""
    regex: re.Pattern[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class DockerIgnore:
    """Patterns of one file, in its order."""

    patterns: tuple[_Pattern, ...] = ()

    @property
    def keeps_any(self) -> bool:
        """Whether something below an excluded folder may be wanted all the same."""
        return any(pattern.keeps for pattern in self.patterns)

    def excludes(self, path: str) -> bool:
        """Tell whether a path, relative to the context and with ``/`` between its parts, stays out."""
        parts = path.split("/")
        prefixes = ["/".join(parts[:length]) for length in range(len(parts), 0, -1)]
        excluded = False
        for pattern in self.patterns:
            if pattern.keeps == excluded and any(pattern.regex.fullmatch(prefix) for prefix in prefixes):
                excluded = not pattern.keeps
        return excluded


def read_dockerignore(text: str, *, origin: str) -> DockerIgnore:
    """Read what a file says.

    Args:
        text: Of the file.
        origin: How to name it in an error.

    Raises:
        SourceError: A line is no pattern.
    """
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    return DockerIgnore(
        patterns=tuple(
            _pattern(line.strip(), f"{origin}:{number}")
            for number, line in lines
            if line.strip() and not line.startswith("#") and _cleaned(line.strip().removeprefix("!")) != "."
        )
    )


def _cleaned(text: str) -> str:
    # A slash in front means the context's top level, as no slash does.
    return posixpath.normpath(text.strip() or "!").lstrip("/") or "."


def _pattern(line: str, origin: str) -> _Pattern:
    keeps = line.startswith("!")
    body = line.removeprefix("!").strip()
    try:
        expression = _expression(_cleaned(body)) if body else _no_pattern(line)
        return _Pattern(keeps=keeps, regex=re.compile(expression, re.DOTALL))
    except (ValueError, re.error) as error:
        raise SourceError(
            f"{origin}: {line!r} is not a pattern",
            hint="patterns are paths relative to the folder, with '*', '?', '[a-z]' and '**'",
        ) from error


def _expression(pattern: str) -> str:
    pieces: list[str] = []
    rest = pattern
    while rest:
        piece, rest = _next_piece(rest)
        pieces.append(piece)
    return "".join(pieces)


def _next_piece(rest: str) -> tuple[str, str]:
    if rest.startswith("**"):
        after = rest[2:].removeprefix("/")
        return ("(?:.*/)?", after) if after else (".*", "")
    if rest[0] == "\\":
        # What is escaped stands for itself; nothing to escape is an error.
        return re.escape(rest[1]) if len(rest) > 1 else _no_pattern(rest), rest[2:]
    if rest[0] == "[":
        end = rest.index("]", 2)
        negated = rest[1] == "^"
        # Python reserves these for sets of its own; Go has none.
        inner = re.sub(r"(?<!\\)([\[&~|])", r"\\\1", rest[2 if negated else 1 : end])
        return f"[{'^' if negated else ''}{inner}]", rest[end + 1 :]
    return {"*": "[^/]*", "?": "[^/]"}.get(rest[0]) or re.escape(rest[0]), rest[1:]


def _no_pattern(text: str) -> str:
    raise ValueError(text)


def dockerignore_names(dockerfile: str) -> Sequence[str]:
    """Return the files of a context that may say what to leave out; the first that is there does."""
    return (f"{dockerfile}.dockerignore", ".dockerignore")
