"""A machine with a cache, and an AWS, a registry, wheels and code around it, where commands run in forks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

from fakes import base_images
from fakes.base_images import CONDA, conda, config_of, layer, push_image
from fakes.tiny_wheels import make_wheel
from registry_process import running_registry
from registry_runs import assert_all_whole, client_at, storage_of

from sagemaker_custom.reference import ImageReference
from sagemaker_custom.sandbox.aws import SandboxAws

STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
IMAGE = ("pytorch", "--version", "2.3", "--region", "us-east-1")
APPEND = ("build", *IMAGE, "--extra", "pip:tiny", "--builder", "append")
MIRROR = ("mirror", "pytorch", "--version", "2.3", "--region", "eu-west-1", "--from-region", "us-east-1")
PROGRAM = Path(__file__).with_name("interrupted_process.py")
BUCKET = "team"
LIMIT_S = 120


class Machine:
    """A place where commands run: a cache, a folder for temporary files, AWS, a registry and code."""

    def __init__(self, folder, aws, registry, wheels, own):
        self.folder = folder
        self.registry = registry
        self.cache = own / "cache"
        self.temporary = own / "temporary"
        self.s3 = aws.boto_session().client("s3")
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


@contextmanager
def running_machine(folder, *, own=None):
    """Run all that a machine needs.

    Args:
        folder: Holds everything.
        own: Where the machine has its cache and its temporary files; default: in ``folder``.
    """
    for name in ("registry", "wheels", "code"):
        (folder / name).mkdir()
    make_wheel(folder / "wheels", "tiny", "1.0", requires=("numpy<2", "helper"))
    make_wheel(folder / "wheels", "helper", "2.1", {"helper/data": os.urandom(300_000)})
    (folder / "code/train.py").write_text("print('train')\n")
    (folder / "code/data").write_bytes(os.urandom(20_000_000))
    with SandboxAws() as aws, running_registry(folder / "registry") as registry:
        with client_at(registry.url) as client:
            push_base(client)
        aws.boto_session().client("s3").create_bucket(Bucket=BUCKET)
        machine = Machine(folder, aws, registry, folder / "wheels", own or folder)
        try:
            yield machine
        finally:
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
