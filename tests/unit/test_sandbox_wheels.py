"""Where the stand-ins' torch comes from: what is there, then pip's own folders, then PyTorch's index."""

from __future__ import annotations

import platform

import pytest

from sagemaker_custom.errors import BuildError
from sagemaker_custom.sandbox.wheels import TORCH_VERSION, torch_wheel

NAME = f"torch-{TORCH_VERSION}+cpu-cp311-cp311-manylinux_2_28_{platform.machine()}.whl"


class Downloads:
    """Has the wheel at one of the sources, or at none."""

    def __init__(self, holder=None):
        self.holder = holder
        self.asked = []

    def __call__(self, folder, *source):
        self.asked.append(source[0])
        if source[0] == self.holder:
            (folder / NAME).write_bytes(b"wheel")
        return f"ERROR: no torch by {source[0]}"


def test_wheel_that_is_there_is_not_downloaded(tmp_path):
    (tmp_path / NAME).write_bytes(b"wheel")
    downloads = Downloads()
    assert torch_wheel(tmp_path, download=downloads) == tmp_path / NAME
    assert downloads.asked == []


def test_folder_of_wheels_comes_before_the_index(tmp_path):
    downloads = Downloads("--no-index")
    assert torch_wheel(tmp_path / "new", download=downloads) == tmp_path / "new" / NAME
    assert downloads.asked == ["--no-index"]


def test_index_without_cuda_is_asked_next(tmp_path):
    downloads = Downloads("--index-url")
    assert torch_wheel(tmp_path, download=downloads) == tmp_path / NAME
    assert downloads.asked == ["--no-index", "--index-url"]


def test_wheel_of_another_python_does_not_count(tmp_path):
    (tmp_path / NAME.replace("cp311", "cp312")).write_bytes(b"wheel")
    downloads = Downloads("--no-index")
    assert torch_wheel(tmp_path, download=downloads) == tmp_path / NAME


def test_wheel_that_nobody_has_is_an_error_that_says_what_pip_said(tmp_path):
    with pytest.raises(BuildError) as caught:
        torch_wheel(tmp_path, download=Downloads())
    assert "pip said:\nERROR: no torch by --index-url" in str(caught.value)
    assert f"put the wheel torch-{TORCH_VERSION}*" in str(caught.value)
