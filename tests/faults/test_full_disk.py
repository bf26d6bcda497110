"""Disks that get full at different moments: a clear error, no rest of what was begun, and all is well with room."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from one_machine import APPEND, BUCKET, running_machine

from sagemaker_custom.builders.log import BuildLog
from sagemaker_custom.cli.failures import UNEXPECTED
from sagemaker_custom.errors import SourceError
from sagemaker_custom.source import bundle, stage

DISK_BYTES = 64_000_000
FREE_KB = (0, 16, 64, 320, 400, 640)
"""What is left when a build begins, which needs some 700 kB."""


class SmallDisk:
    """A file system in memory."""

    def __init__(self, path):
        self.path = path
        self._filler = path / "filler"

    def leave(self, free_bytes):
        """Fill it but for so many bytes."""
        self._filler.unlink(missing_ok=True)
        size = shutil.disk_usage(self.path).free - free_bytes
        with self._filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))

    def make_room(self):
        self._filler.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    path = tmp_path_factory.mktemp("disk")
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "small-disk", str(path)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.fixture(scope="module")
def machine(disk, tmp_path_factory):
    with running_machine(tmp_path_factory.mktemp("machine"), own=disk.path) as machine:
        yield machine


def test_a_build_on_a_disk_that_gets_full_at_any_moment(machine, disk):
    """Wheels, layers, inventories, the requirements for the resolver: all of it is on that disk."""
    failed = 0
    for free in FREE_KB:
        disk.make_room()
        machine.renew()
        disk.leave(free * 1024)

        code = machine.run(*APPEND)

        assert "Traceback" not in machine.output, (free, machine.output)
        assert code != UNEXPECTED, (free, machine.output)
        if code:
            failed += 1
            assert "error: " in machine.output
            assert "  -> " in machine.output
            assert "o space left" in machine.output, (free, machine.output)
        assert machine.left == [], free
        machine.assert_whole()
        disk.make_room()
        assert machine.run(*APPEND) == 0, (free, machine.output)
        machine.assert_whole()
    assert failed >= 3


def test_packing_on_a_disk_that_gets_full(machine, disk):
    command = ("send-source", str(machine.folder / "code"), BUCKET, str(machine.temporary))
    for free in (0, 1_000_000, 10_000_000):
        disk.make_room()
        machine.renew()
        disk.leave(free)
        assert machine.run(*command) == SourceError.exit_code, (free, machine.output)
        assert "cannot write the source archive to" in machine.output
        assert "No space left on device" in machine.output
        assert machine.left == []
        assert machine.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    disk.make_room()
    assert machine.run(*command) == 0, machine.output
    assert machine.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1


def test_laying_the_source_out_on_a_disk_that_gets_full(disk, tmp_path):
    (tmp_path / "train.py").write_text("print()\n")
    (tmp_path / "data").write_bytes(bytes(2_000_000))
    code = bundle("train.py", str(tmp_path))
    workspace = disk.path / "workspace"
    disk.leave(1_000_000)
    with pytest.raises(SourceError, match=r"cannot lay the source out in .*: No space left on device"):
        stage(code, workspace)
    assert list((workspace / "source").iterdir()) == []
    disk.make_room()
    assert sorted(path.name for path in stage(code, workspace).iterdir()) == ["data", "train.py"]


def test_a_log_that_the_disk_has_no_room_for_ends_and_the_build_goes_on(disk):
    shown = []
    disk.leave(8192)
    path = disk.path / "logs/build.log"
    with BuildLog(path, show=shown.append) as log:
        for number in range(300):
            log.line(f"step {number:03} {'x' * 90}")
    disk.make_room()
    assert sum(line.startswith("step ") for line in shown) == 300
    [told] = [line for line in shown if not line.startswith("step ")]
    assert told == f"the log {path} ends here: No space left on device"
    assert path.read_text().startswith("step 000")
    assert "step 299" in log.tail
