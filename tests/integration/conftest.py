"""One engine and one sandbox for all integration tests; a machine without Docker fails them, it does not skip."""

from __future__ import annotations

import pytest

from sagemaker_custom.progress import LineProgress
from sagemaker_custom.sandbox import Sandbox
from sagemaker_custom.sandbox.engine import ensure_engine


@pytest.fixture(scope="session")
def docker_engine():
    """A client of the Docker Engine, which is installed and started where that is possible."""
    engine = ensure_engine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def sandbox(docker_engine):
    """A running sandbox with the stand-in bases; its registry's images stay from one test run to the next."""
    with Sandbox() as running:
        running.ensure_bases(LineProgress())
        yield running
