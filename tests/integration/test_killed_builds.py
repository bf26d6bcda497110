"""The command line builds by the real Docker Engine and is killed: who waits for it is told and takes over."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import pytest

pytestmark = pytest.mark.docker

LIMIT_S = 180
# A shell starts what runs in its background with interrupts ignored, and so would these tests their programs.
BUILD = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from sagemaker_custom.cli import main; main()"
)


@pytest.fixture
def name(docker_engine):
    """A name of this test's own; what was built under it is removed."""
    name = f"killed-{secrets.token_hex(4)}"
    yield name
    for image in docker_engine.images.list(f"sagemaker-custom-{name}"):
        for tag in image.tags:
            docker_engine.api.remove_image(tag, noprune=True)


@pytest.fixture
def folder(tmp_path, root):
    """A Dockerfile whose build takes a while, and is not in the engine's cache."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "Dockerfile").write_text(f"FROM {root}\nRUN sleep 6 && echo {secrets.token_hex(8)} > /made\n")
    return code


class Command:
    """A build by the command line in a process of its own."""

    def __init__(self, folder, name, log):
        self._log = log
        self.temporary = log.with_suffix(".temporary")
        self.temporary.mkdir()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", BUILD, "build", "--folder", str(folder), "--name", name, "--local"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {"SAGEMAKER_CUSTOM_CACHE_DIR": str(log.parent / "cache")}
                | {"COLUMNS": "500", "TMPDIR": str(self.temporary)},
            )
        self.pid = self._process.pid

    @property
    def text(self):
        return self._log.read_text(encoding="utf-8")

    def wait_for(self, text):
        deadline = time.monotonic() + LIMIT_S
        while text not in self.text:
            assert self._process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    @property
    def docker(self):
        """The process of the ``docker build`` that this one has started."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = status.read_text().rpartition(")")[2].split()
                arguments = status.with_name("cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(words[1]) == self.pid and b"build" in arguments:
                return status.parent
        raise AssertionError(self.text)

    def kill(self, number=SIGKILL):
        os.kill(self.pid, number)
        self._process.wait(LIMIT_S)

    def ended(self):
        return self._process.wait(LIMIT_S)


def test_who_waits_for_a_build_that_is_killed_takes_over(docker_engine, folder, name, tmp_path):
    first = Command(folder, name, tmp_path / "first.log")
    first.wait_for("sleep 6")
    second = Command(folder, name, tmp_path / "second.log")
    second.wait_for("waiting for ")
    first.kill()
    assert not docker_engine.images.list(f"sagemaker-custom-{name}")

    assert second.ended() == 0, second.text

    assert f"(process {first.pid}), who makes sagemaker-custom-{name}:" in second.text
    assert "taking over" in second.text
    [image] = docker_engine.images.list(f"sagemaker-custom-{name}")
    assert image.labels["sagemaker-custom.fingerprint"]


def test_who_waits_for_a_build_uses_what_it_made(docker_engine, folder, name, tmp_path):
    first = Command(folder, name, tmp_path / "first.log")
    first.wait_for("sleep 6")
    others = [Command(folder, name, tmp_path / f"{number}.log") for number in range(3)]

    assert [command.ended() for command in (first, *others)] == [0, 0, 0, 0]

    for command in others:
        assert f"(process {first.pid}), who makes" in command.text
        assert "is there, nothing to build" in command.text
        assert "sleep 6" not in command.text
    assert len(docker_engine.images.list(f"sagemaker-custom-{name}")) == 1


@pytest.mark.parametrize(("number", "code"), [(SIGINT, 130), (SIGTERM, 143), (SIGKILL, -9)])
def test_the_docker_build_ends_with_who_started_it(docker_engine, folder, name, tmp_path, number, code):
    command = Command(folder, name, tmp_path / "build.log")
    command.wait_for("sleep 6")
    docker = command.docker

    command.kill(number)

    assert command.ended() == code, command.text
    assert "Traceback" not in command.text
    deadline = time.monotonic() + LIMIT_S
    while docker.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not docker_engine.images.list(f"sagemaker-custom-{name}")
    if number != SIGKILL:
        assert list(command.temporary.iterdir()) == []
        again = Command(folder, name, tmp_path / "again.log")
        assert again.ended() == 0, again.text
