"""The text of ``.sagemakerignore`` files → what stays out of an archive, decided path by path as git does."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from sagemaker_custom.errors import SourceError

if TYPE_CHECKING:
    from pathspec.pattern import Pattern

IGNORE_FILE = ".sagemakerignore"
"""Name of the file with the patterns; it may stand in every folder of a tree and is never packed itself."""

DEFAULT_IGNORES = frozenset(
    {
        ".DS_Store",
        ".git",
        ".hg",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".nox",
        ".pytest_cache",
        ".ruff_cache",
        ".svn",
        ".tox",
        ".venv",
        "__pycache__",
    }
)
"""Names that are left out in every folder unless a pattern such as ``!.venv/`` brings them back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    pattern: Pattern
    ignores: bool
    directories_only: bool
    names_target: bool
    """The last part of the pattern has no wildcard."""
    offset: int
    """Where, in a path from the root, the part begins that is relative to the folder of the ignore file."""

    def matches(self, path: str, *, directory: bool) -> bool:
        if self.directories_only and not directory:
            return False
        found = self.pattern.match_file(path[self.offset :])
        # The one group that pathspec captures is the slash behind a parent folder that matches. git asks about
        # each folder on the way down, so only a match of the path itself counts here.
        return found is not None and found.match.lastindex is None


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoreRules:
    """What holds in one folder: the patterns of its own ignore file and of those above it."""

    _rules: tuple[_Rule, ...] = ()
    """The first that matches decides: deeper files before upper ones, later lines before earlier ones."""

    def extend(self, text: str, *, folder: str, origin: str) -> IgnoreRules:
        """Return the rules for a folder that has an ignore file of its own.

        Args:
            text: What the ignore file says.
            folder: Of the ignore file, relative to the root; empty for the root itself.
            origin: How to name the ignore file in an error.

        Raises:
            SourceError: A line is no pattern.
        """
        offset = len(folder) + 1 if folder else 0
        lines = enumerate(text.split("\n"), start=1)
        own = [rule for number, line in lines if (rule := _rule(line, offset, f"{origin}:{number}")) is not None]
        return replace(self, _rules=(*reversed(own), *self._rules))

    def ignore(self, path: str, *, directory: bool) -> bool:
        """Tell whether a file or folder stays out, given that no folder above it does.

        Args:
            path: Relative to the root, with ``/`` between names and none at the end.
            directory: Whether it is a folder.
        """
        by_default = path.rpartition("/")[2] in DEFAULT_IGNORES
        for rule in self._rules:
            # A list of what to keep ("*", "!*/", "!*.py") means the user's own folders, not .git and .venv.
            if by_default and not rule.ignores and not rule.names_target:
                continue
            if rule.matches(path, directory=directory):
                return rule.ignores
        return by_default


def _rule(line: str, offset: int, origin: str) -> _Rule | None:
    text = line.rstrip()
    directories_only = text.endswith("/")
    # Without its last slash the pattern is tried on the path itself; ``directories_only`` remembers the slash.
    # A line that ends in an escaped space has none, and pathspec needs that space.
    wanted = text[:-1] if directories_only else line
    if wanted in ("", "!"):
        return None
    try:
        (pattern,) = GitIgnoreSpec.from_lines([wanted]).patterns
    except (ValueError, re.error) as error:
        raise SourceError(
            f"{origin}: {text!r} is not a pattern",
            hint="patterns are written as in a .gitignore file, and a backslash needs something to escape",
        ) from error
    if pattern.include is None:
        return None
    return _Rule(
        pattern=pattern,
        ignores=pattern.include,
        directories_only=directories_only,
        names_target=not set("*?[").intersection(wanted.rpartition("/")[2]),
        offset=offset,
    )
