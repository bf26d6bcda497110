"""Ctrl-C at every step, and commands that are killed: nothing is left half done, and they can be run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from one_machine import APPEND, BUCKET, MIRROR, running_machine

from sagemaker_custom.partial_files import PREFIX, replacing

POINTS = 8
"""Among all steps of a command, evenly spread."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with running_machine(tmp_path_factory.mktemp("machine")) as machine:
        yield machine


def points_of(steps):
    return sorted({round(number * (steps - 1) / (POINTS - 1)) for number in range(POINTS)})


class TestEveryStep:
    @pytest.mark.parametrize("command", [APPEND, MIRROR], ids=["append", "mirror"])
    def test_ctrl_c_ends_a_command_cleanly_and_it_can_be_run_again(self, machine, command):
        machine.renew()
        assert machine.run(*command) == 0, machine.output
        for point in points_of(machine.steps):
            machine.renew()
            code = machine.run(*command, at=point)
            if machine.steps <= point:
                continue  # Threads take another number of steps each time.
            assert "Traceback" not in machine.output, (point, machine.output)
            assert code == 130, (point, machine.output)
            assert machine.left == [], point
            machine.assert_whole()
            assert machine.run(*command) == 0, (point, machine.output)
            machine.assert_whole()

    def test_ctrl_c_while_packing_and_uploading(self, machine):
        command = ("send-source", str(machine.folder / "code"), BUCKET, str(machine.temporary))

        def keys():
            return [found["Key"] for found in machine.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

        machine.renew()
        assert machine.run(*command) == 0, machine.output
        [key] = keys()
        whole = machine.s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        for point in points_of(machine.steps):
            machine.renew()
            machine.s3.delete_object(Bucket=BUCKET, Key=key)
            assert machine.run(*command, at=point) == 130, (point, machine.output)
            assert "Traceback" not in machine.output, (point, machine.output)
            assert machine.left == [], point
            assert "Uploads" not in machine.s3.list_multipart_uploads(Bucket=BUCKET), point
            assert all(machine.s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == whole for key in keys())
            assert machine.run(*command) == 0, (point, machine.output)
            assert keys() == [key]


class TestKilled:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_polite_signal_ends_a_command_as_ctrl_c_does(self, machine, number):
        machine.renew()
        assert machine.run(*APPEND) == 0, machine.output
        for point in points_of(machine.steps)[1:-1:2]:
            machine.renew()
            assert machine.run(*APPEND, at=point, number=number) == 128 + number, (point, machine.output)
            assert "Traceback" not in machine.output, (point, machine.output)
            assert machine.left == [], point
            machine.assert_whole()

    def test_what_sigkill_leaves_is_swept_by_the_next_one_and_goes_under_no_tag(self, machine):
        machine.renew()
        assert machine.run(*APPEND) == 0, machine.output
        for point in points_of(machine.steps)[1:-1]:
            machine.renew()
            assert machine.run(*APPEND, at=point, number=signal.SIGKILL) == -signal.SIGKILL
            machine.assert_whole()
            for path in machine.cache.rglob(f"{PREFIX}*"):
                os.utime(path, (time.time() - 60,) * 2)
            assert machine.run(*APPEND) == 0, (point, machine.output)
            machine.assert_whole()
            assert list(machine.cache.rglob(f"{PREFIX}*")) == [], point


class TestSweeping:
    """What is not whole and has no owner any more is removed by who writes beside it next."""

    def write(self, folder):
        with replacing(folder / "other") as file:
            file.write(b"other")

    def left_by(self, folder, code, age_s):
        """Have a process die, or live on, in the middle of a file."""
        program = f"from pathlib import Path; from sagemaker_custom.partial_files import *; {code}"
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        process.stdout.readline()
        for path in folder.glob(f"{PREFIX}*"):
            os.utime(path, (time.time() - age_s,) * 2)
        return process

    FILE = (
        "import os, sys\nwith replacing(Path(sys.argv[1], 'one')) as file:"
        "\n file.write(b'half'); file.flush(); print('there', flush=True); sys.stdin.read()"
    )
    FOLDER = (
        "import os, sys\nwith unfinished_folder(Path(sys.argv[1])) as made:"
        "\n (made / 'x').touch(); print('there', flush=True); sys.stdin.read()"
    )

    @pytest.mark.parametrize("code", [FILE, FOLDER], ids=["file", "folder"])
    def test_it_goes_when_its_process_is_gone_and_stays_while_it_lives(self, tmp_path, code):
        process = self.left_by(tmp_path, code, 3600)
        with process:
            self.write(tmp_path)
            assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
            process.kill()
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
        self.write(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["other"]

    def test_what_is_a_moment_old_stays(self, tmp_path):
        with self.left_by(tmp_path, self.FILE, 0) as process:
            process.kill()
        self.write(tmp_path)
        assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
