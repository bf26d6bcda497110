"""A small AWS, and code to train and serve with."""

from __future__ import annotations

import functools

import pytest
import sagemaker.utils
from functional_parts import Cloud

# The SDK reads botocore's list of all endpoints whenever it asks for the caller's account: half the time of its tests.
sagemaker.utils._botocore_resolver = functools.cache(sagemaker.utils._botocore_resolver)


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
