"""The names that a tree keeps are those that git itself keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sagemaker_custom.archive import collect

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git decides what is right here")

NAMES = ["a", "b", "ab", "a.py", "b.txt", ".x"]
FOLDERS = ["", "a", "b", "a/b", "a/a", "b/ab"]
PARTS = [*NAMES, "*", "**", "a*", "?", "*.py", "[ab]", "[!a]*", "\\a"]

lines = st.builds(
    lambda negated, anchor, parts, end: negated + anchor + "/".join(parts) + end,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "", "/"]),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3),
    st.sampled_from(["", "", "/", " ", "/ "]),
)
ignore_files = st.dictionaries(st.sampled_from(FOLDERS), st.lists(lines, max_size=5), max_size=3)
files = st.sets(
    st.builds(lambda folder, name: f"{folder}/f-{name}".lstrip("/"), st.sampled_from(FOLDERS), st.sampled_from(NAMES))
    | st.sampled_from(["ab", "a.py", "b.txt", ".x", "a/a.py", "a/b/b.txt", "a/b/a.py", "b/ab/a.py", "a/a/a"]),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(files=files, ignored=ignore_files)
@example(files={"a/a.py", "b/a.py"}, ignored={"": ["*.py", "!a"]})
@example(files={"a/a.py", "a/b.txt", "b.txt"}, ignored={"": ["*", "!*/", "!*.py"]})
@example(files={"a/b/a.py", "b/ab/a.py"}, ignored={"": ["*.py", "b"], "a": ["!b"]})
def test_every_list_of_patterns_keeps_what_git_keeps(files, ignored):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "tree")
        for name in files:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        for name, patterns in ignored.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            for file in (".gitignore", ".sagemakerignore"):
                (root / name / file).write_text("\n".join(patterns))
        (Path(folder) / "kept").touch()

        ours = {entry.name for entry in collect(None, root, [Path(folder) / "kept"]) if entry.kind == "file"}

        assert {name for name in ours if not name.endswith(".gitignore")} == {*_git_keeps(root), "kept"}


def _git_keeps(root):
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "init", "--quiet", root], check=True, env=environment)
    names = subprocess.run(
        ["git", "-C", root, "ls-files", "-z", "--others", "--exclude-standard"],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split("\0")
    return {name for name in names if name and not name.endswith((".gitignore", ".sagemakerignore"))}
