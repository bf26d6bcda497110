"""Ctrl-C at every step, and commands that are killed: nothing is left half done, and they can be run again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes import base_images
from fakes.base_images import CONDA, conda, config_of, layer, push_image
from fakes.tiny_wheels import make_wheel
from registry_process import running_registry
from registry_runs import assert_all_whole, client_at, storage_of

from sagemaker_custom.partial_files import PREFIX, replacing
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.sandbox.aws import SandboxAws

STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
IMAGE = ("pytorch", "--version", "2.3", "--region", "us-east-1")
APPEND = ("build", *IMAGE, "--extra", "pip:tiny", "--builder", "append")
MIRROR = ("mirror", "pytorch", "--version", "2.3", "--region", "eu-west-1", "--from-region", "us-east-1")
PROGRAM = Path(__file__).with_name("interrupted_process.py")
BUCKET = "team"
POINTS = 8
"""Among all steps of a command, evenly spread."""
LIMIT_S = 120


class Machine:
    """A place where commands run: a cache, a folder for temporary files, AWS, a registry and code."""

    def __init__(self, folder, aws, registry, wheels):
        self.folder = folder
        self.registry = registry
        self.cache = folder / "cache"
        self.temporary = folder / "temporary"
        self._environment = {
            **os.environ,
            **aws.environment(),
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"*.dkr.ecr.*={registry.url}",
            "SAGEMAKER_CUSTOM_CACHE_DIR": str(self.cache),
            "DOCKER_HOST": "tcp://127.0.0.1:1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_NO_INDEX": "1",
            "TMPDIR": str(self.temporary),
        }
        path = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
        )

    def close(self):
        self._process.stdin.close()
        self._process.wait(LIMIT_S)
        self._process.stdout.close()

    def renew(self):
        """Be a machine that has done nothing yet."""
        for folder in (self.cache, self.temporary, storage_of(self.registry) / "repositories/sagemaker-custom-pytorch"):
            shutil.rmtree(folder, ignore_errors=True)
        self.temporary.mkdir()

    def run(self, *arguments, at=-1, number=signal.SIGINT):
        """Run a command and return its exit code; 0 and more ``at``: the step at which it gets the signal."""
        asked = {
            "arguments": arguments,
            "environment": self._environment,
            "at": at,
            "signal": number,
            "folders": [str(self.cache), str(self.temporary)],
            "output": str(self.folder / "output"),
        }
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    @property
    def output(self):
        return (self.folder / "output").read_text()

    @property
    def steps(self):
        return int((self.folder / "output.steps").read_text())

    @property
    def left(self):
        """What should not be there between two commands."""
        partial = [path for path in self.cache.rglob("*") if re.match(r"\.(partial|new|part)|.*\.part$", path.name)]
        return [str(path) for path in [*partial, *self.temporary.iterdir()]]

    def assert_whole(self):
        for repository in (storage_of(self.registry) / "repositories").iterdir():
            assert_all_whole(self.registry, repository.name)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machine")
    for name in ("registry", "wheels", "code"):
        (folder / name).mkdir()
    make_wheel(folder / "wheels", "tiny", "1.0", requires=("numpy<2", "helper"))
    make_wheel(folder / "wheels", "helper", "2.1")
    (folder / "code/train.py").write_text("print('train')\n")
    (folder / "code/data").write_bytes(os.urandom(20_000_000))
    with SandboxAws() as aws, running_registry(folder / "registry") as registry:
        with client_at(registry.url) as client:
            push_base(client)
        aws.boto_session().client("s3").create_bucket(Bucket=BUCKET)
        machine = Machine(folder, aws, registry, folder / "wheels")
        machine.s3 = aws.boto_session().client("s3")
        yield machine
        machine.close()


def push_base(client):
    packages = {
        **base_images.package(CONDA, "numpy", "1.26.4", record=("numpy/__init__.py",)),
        f"{CONDA}/numpy/__init__.py": "",
    }
    layers = [conda(), packages]
    diff_ids = [base_images.digest_of(base_images.archive(entries)) for entries in layers]
    config = {**config_of(), "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    push_image(client, ImageReference.parse(STOCK), tuple(map(layer, layers)), config=config)


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
