"""Inventories over real registries, while an image is mirrored and after it, over connections that break."""

from __future__ import annotations

import random
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.base_images import CONDA, conda, layer, package, push_image
from faulty_proxy import faulty
from registry_process import running_registry

from sagemaker_custom import oci
from sagemaker_custom.inventories import Inventories
from sagemaker_custom.inventories.artifact import tag_of
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient, RequestsTransport

SOURCE = ImageReference.parse("source.example.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker")
TARGET = ImageReference.parse("target.example.com/sagemaker-custom-pytorch:base-training-2.3.0-cpu-py311")
PYTHON = "/opt/conda/bin/python"
NOISE = random.Random(5).randbytes(3_000_000)
LAYERS = (
    layer({**conda(), "/opt/noise": NOISE}),
    layer({**package(CONDA, "torch", "2.3.0", record=("torch/a.py",)), "/opt/more": NOISE[::-1]}),
    layer({**package(CONDA, "numpy", "1.26.4"), f"{CONDA}/.wh.torch-2.2.dist-info": b""}),
)
PROGRAM = """
import sys
from pathlib import Path
from sagemaker_custom.inventories import Inventories
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient, RequestsTransport
url, reference, folder = sys.argv[1:]
client = RegistryClient(transport=RequestsTransport(), credentials=lambda host: None, endpoint_for=lambda host: url)
found = Inventories(client, Path(folder), NoProgress()).of(ImageReference.parse(reference), python="python3")
print([package.name for package in found.packages])
"""


def client_for(url):
    return RegistryClient(
        transport=RequestsTransport(timeout_s=30),
        credentials=lambda host: None,
        endpoint_for=lambda host: url,
        attempts=10,
        sleep=lambda seconds: None,
    )


@pytest.fixture
def registries(tmp_path):
    with ExitStack() as stack:
        running = []
        for name in ("source", "target"):
            folder = tmp_path / name
            folder.mkdir()
            running.append(stack.enter_context(running_registry(folder)))
        yield running


def names(inventory):
    return [(package.name, package.version) for package in inventory.packages]


EXPECTED = [("numpy", "1.26.4"), ("torch", "2.3.0")]


class TestMirrored:
    @pytest.mark.parametrize("media_type", [oci.DOCKER_MANIFEST, oci.OCI_MANIFEST])
    def test_base_is_known_when_it_is_mirrored(self, registries, tmp_path, media_type):
        source, target = registries
        push_image(client_for(source.url), SOURCE, LAYERS, media_type=media_type, platforms=("linux/amd64",))
        inventories = Inventories(client_for(target.url), tmp_path / "cache", NoProgress())
        done = mirror_image(
            SOURCE,
            TARGET,
            source_registry=client_for(source.url),
            target_registry=client_for(target.url),
            progress=NoProgress(),
            watch=inventories.watch,
        )
        found = inventories.of(done.reference, python=PYTHON)
        assert names(found) == EXPECTED
        assert found.base == done.reference.digest
        assert TARGET.with_tag(tag_of(found.base, PYTHON)).tag in client_for(target.url).tags(TARGET)

    @pytest.mark.parametrize("seed", range(3))
    def test_connections_that_break_change_nothing(self, registries, tmp_path, seed):
        source, target = registries
        push_image(client_for(source.url), SOURCE, LAYERS)
        with (
            faulty(source.host, seed=f"reading {seed}", share=0.4) as reading,
            faulty(target.host, seed=f"writing {seed}", share=0.4) as writing,
        ):
            inventories = Inventories(client_for(writing.url), tmp_path / "cache", NoProgress())
            done = mirror_image(
                SOURCE,
                TARGET,
                source_registry=client_for(reading.url),
                target_registry=client_for(writing.url),
                progress=NoProgress(),
                watch=inventories.watch,
            )
            found = inventories.of(done.reference, python=PYTHON)
            again = Inventories(client_for(writing.url), tmp_path / "other", NoProgress())
            assert again.of(done.reference, python=PYTHON) == found
        assert reading.happened + writing.happened
        assert names(found) == EXPECTED


class TestInPlace:
    def test_two_processes_at_once_come_to_the_same(self, registries, tmp_path):
        _, target = registries
        base = push_image(client_for(target.url), TARGET, LAYERS)
        command = [sys.executable, "-c", PROGRAM, target.url, str(base), str(tmp_path / "cache")]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
        ]
        assert [process.communicate(timeout=120) for process in running] == [("['numpy', 'torch']\n", "")] * 3
        assert not list(Path(tmp_path / "cache").rglob(".partial-*"))
        assert names(Inventories(client_for(target.url), tmp_path / "new", NoProgress()).of(base, python="python3"))

    def test_records_come_from_beside_the_image(self, registries, tmp_path):
        _, target = registries
        base = push_image(client_for(target.url), TARGET, LAYERS)
        Inventories(client_for(target.url), tmp_path / "first", NoProgress()).of(base, python=PYTHON)
        records = Inventories(client_for(target.url), tmp_path / "second", NoProgress()).records(base, python=PYTHON)
        assert records["torch"] == (
            f"{CONDA}/torch/a.py",
            f"{CONDA}/torch-2.3.0.dist-info/METADATA",
            f"{CONDA}/torch-2.3.0.dist-info/RECORD",
        )
