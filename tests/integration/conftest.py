"""One engine and one sandbox for all integration tests; a machine without Docker fails them, it does not skip."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from contextlib import ExitStack

import pytest

from sagemaker_custom.progress import LineProgress, NoProgress
from sagemaker_custom.sandbox import Sandbox
from sagemaker_custom.sandbox.engine import ensure_engine
from sagemaker_custom.sandbox.frameworks import PYTORCH_TRAINING
from sagemaker_custom.sandbox.stand_ins import StandIns
from sagemaker_custom.settings import Settings


@pytest.fixture(scope="session")
def docker_engine():
    """A client of the Docker Engine, which is installed and started where that is possible."""
    engine = ensure_engine()
    yield engine
    engine.close()


_RUNNING = ExitStack()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    """Stop the sandbox after the last test here: other tests of the process need an AWS that has forgotten all."""
    del item
    if nextitem is None or not nextitem.nodeid.startswith("tests/integration/"):
        _RUNNING.close()


@pytest.fixture(scope="session")
def sandbox(docker_engine):
    """A running sandbox with the stand-in bases; its registry's images stay from one test run to the next."""
    running = _RUNNING.enter_context(Sandbox())
    running.ensure_bases(LineProgress())
    yield running
    _RUNNING.close()


@pytest.fixture(scope="session")
def ca_bundle():
    """The host's, which the package indexes are reached with; looked up before the settings are hidden."""
    return os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")


@pytest.fixture(scope="session")
def root(docker_engine, tmp_path_factory):
    """A Debian root under a bare name of this run's own, which has Python but neither pip nor a toolkit."""
    made = StandIns(docker_engine, tmp_path_factory.mktemp("wheels"), Settings(), NoProgress())._root()
    name = f"sagemaker-custom-tests:root-{secrets.token_hex(4)}"
    docker_engine.images.get(made).tag(name)
    yield name
    docker_engine.api.remove_image(name, noprune=True)


@pytest.fixture(scope="session")
def image_with(docker_engine, tmp_path_factory):
    """Make images with Python, and with programs whose texts are given by name."""
    bases = StandIns(docker_engine, tmp_path_factory.mktemp("bases"), Settings.load(), NoProgress())
    tags = []

    def made(programs):
        tag = f"sagemaker-custom-tests:programs-{secrets.token_hex(4)}"
        # The label makes it an image of its own, whatever another run has in the engine.
        setup = f"ENTRYPOINT []\nCOPY {' '.join(programs)} /programs/\nENV PATH=/programs:$PATH\nLABEL test={tag}\n"
        files = {"Dockerfile": f"FROM {bases.ensure(PYTORCH_TRAINING)}\n{setup}", **programs}
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(text), 0o755
                archive.addfile(entry, io.BytesIO(text.encode()))
        context.seek(0)
        docker_engine.images.build(fileobj=context, custom_context=True, tag=tag, rm=True)
        tags.append(tag)
        return tag

    yield made
    for tag in tags:
        docker_engine.images.remove(tag, noprune=True)
