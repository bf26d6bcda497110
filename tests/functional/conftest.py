"""A small AWS, and code to train and serve with."""

from __future__ import annotations

import pytest
from functional_parts import Cloud


@pytest.fixture
def cloud(tmp_path):
    """Moto behind a boto session, and a real registry for ECR's hosts."""
    with Cloud(tmp_path) as running:
        yield running


@pytest.fixture
def code(tmp_path):
    """A source folder with scripts for training, processing and inference."""
    folder = tmp_path / "code"
    folder.mkdir()
    for name in ("train.py", "clean.py", "inference.py"):
        (folder / name).write_text(f"print({name!r})\n")
    return folder
