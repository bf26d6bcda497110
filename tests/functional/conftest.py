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


@pytest.fixture
def roles_are_not_asked_about(monkeypatch):
    """Keep the SDK v3 from asking IAM what a role may do, which moto cannot tell."""
    monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", "false")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
