"""The question that is put to a training image, answered by a real shell among programs that a test chooses."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from sagemaker_custom.builders.script_start import QUESTION, read_answer

PROGRAMS = ("chmod", "cat", "python3", "pip3", "tar", "gzip")


@pytest.fixture
def answer(tmp_path):
    """Give what the shell says where PATH has only these programs."""

    def ask(*names, **scripts):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in names:
            real = shutil.which(name)
            (folder / name).symlink_to(real) if real else scripts.setdefault(name, "exit 0")
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        said = subprocess.run(QUESTION, env={"PATH": str(folder)}, capture_output=True, text=True, check=True)
        assert said.stderr == ""
        return read_answer(said.stdout.splitlines())

    return ask


def test_image_with_all_of_it_lacks_nothing(answer):
    assert answer(*PROGRAMS) == ()


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_one_that_is_missing_is_named(answer, name):
    assert answer(*(each for each in PROGRAMS if each != name)) == (name,)


def test_python_and_pip_may_have_their_short_names(answer):
    assert answer("chmod", "cat", "tar", "gzip", python="exit 0", pip="exit 0") == ()


def test_tar_that_unpacks_by_itself_needs_no_gzip(answer):
    assert answer("chmod", "cat", "python3", "pip3", tar="exit 0") == ()


def test_folder_without_programs_lacks_all_but_the_shell(answer):
    assert answer() == ("chmod", "cat", "python3", "pip3", "tar")


@pytest.mark.parametrize("lines", [[], ["sagemaker-custom lacks: tar"], ["sh: not found"]])
def test_shell_that_does_not_come_to_the_end_is_none(lines):
    assert read_answer(lines) == ("/bin/sh",)
