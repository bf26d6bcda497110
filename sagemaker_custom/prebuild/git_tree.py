"""A folder in a git checkout and a revision → the folder as it was then, written beside nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagemaker_custom.errors import UsageError

RunGit = Callable[[Sequence[str], bytes], "Answer"]
"""Arguments and standard input → what git says."""

_REGULAR = ("100644", "100755")
_NO_REVISION = frozenset("0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What git said."""

    exit_code: int
    out: bytes
    error: str = ""


def run_git(arguments: Sequence[str], text: bytes = b"") -> Answer:
    """Run git on this machine.

    Raises:
        UsageError: There is no git.
    """
    command = ["git", *arguments]
    # What it says is read, so that it has to say it in English.
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, input=text, capture_output=True, env=environment, check=False)
    except OSError as error:
        raise UsageError(
            f"git cannot be run: {error.strerror}", hint="install git, or build without --changed-since"
        ) from error
    return Answer(exit_code=done.returncode, out=done.stdout, error=done.stderr.decode(errors="replace").strip())


def is_no_revision(revision: str) -> bool:
    """Tell whether a CI names, in the place of a revision, that there was none: nothing but zeros."""
    return bool(revision) and set(revision) <= _NO_REVISION


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    """A folder in a git checkout."""

    folder: Path
    git: RunGit = run_git

    @classmethod
    def of(cls, folder: Path, git: RunGit = run_git) -> Checkout | None:
        """Return the checkout that a folder is in; ``None`` when it is in none.

        Raises:
            UsageError: There is no git, or it may not look at the folder.
        """
        answer = git(["-C", str(folder), "rev-parse", "--is-inside-work-tree"], b"")
        if answer.exit_code == 0:
            return cls(folder=folder, git=git) if answer.out.strip() == b"true" else None
        if "not a git repository" in answer.error:
            return None
        raise UsageError(
            f"git cannot look at {folder}: {answer.error.partition(chr(10))[0]}",
            hint="git names the reason; of a folder that belongs to another user: "
            f"git config --global --add safe.directory {folder}",
        )

    def commit(self, revision: str) -> str:
        """Return the commit that a revision names.

        Raises:
            UsageError: It names none, or none that is here.
        """
        if revision.startswith("-") or not revision.strip():
            raise UsageError(f"{revision!r} is not a git revision", hint="name a commit, a branch or a tag")
        answer = self._ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if answer.exit_code == 0:
            return answer.out.decode().strip()
        shallow = self._ask("rev-parse", "--is-shallow-repository").out.strip() == b"true"
        raise UsageError(
            f"git knows no revision {revision!r} in {self.folder}",
            hint="this is a shallow clone: fetch the whole history ('fetch-depth: 0' of actions/checkout, "
            "'git fetch --unshallow')"
            if shallow
            else "name a commit, a branch (origin/main) or a tag that has been fetched",
        )

    def write(self, commit: str, target: Path) -> bool:
        """Write the files that the folder had at a commit.

        What is no regular file is left out, and so counts as changed. Filters of the checkout are not applied.

        Args:
            commit: As :meth:`commit` returns it.
            target: Folder that is made.

        Returns:
            Whether there was such a folder.

        Raises:
            UsageError: Git cannot read the commit.
        """
        listed = self._read("ls-tree", "-r", "-z", commit)
        files = dict(_entry(line) for line in listed.split(b"\0") if line.split(b" ")[0].decode() in _REGULAR)
        blobs = "".join(f"{blob}\n" for blob in files.values()).encode()
        contents = self._read("cat-file", "--batch", text=blobs)
        place = 0
        for name in files:
            end = contents.index(b"\n", place)
            size = int(contents[place:end].rpartition(b" ")[2])
            _write(target, name, contents[end + 1 : end + 1 + size])
            place = end + 1 + size + 1
        return bool(files)

    def _ask(self, *arguments: str, text: bytes = b"") -> Answer:
        return self.git(["-C", str(self.folder), *arguments], text)

    def _read(self, *arguments: str, text: bytes = b"") -> bytes:
        answer = self._ask(*arguments, text=text)
        if answer.exit_code:
            raise UsageError(f"git {arguments[0]} failed in {self.folder}: {answer.error}")
        return answer.out


def _entry(line: bytes) -> tuple[str, str]:
    described, _, name = line.partition(b"\t")
    return name.decode(errors="surrogateescape"), described.split(b" ")[2].decode()


def _write(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    # A tree that git did not make itself may hold such names.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"the commit holds a file {name!r}, which leads out of its folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
