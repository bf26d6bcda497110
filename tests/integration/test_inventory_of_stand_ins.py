"""What the layers of an image say is installed, against what Python says in a container of it."""

from __future__ import annotations

import io
import json
import secrets
from contextlib import contextmanager

import pytest
from registry_process import running_registry

from sagemaker_custom.inventories import Inventories
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient, RequestsTransport
from sagemaker_custom.sandbox.frameworks import PYTHON, PYTORCH_TRAINING
from sagemaker_custom.sandbox.stand_ins import StandIns
from sagemaker_custom.settings import Settings

pytestmark = pytest.mark.docker

PROGRAM = """
import importlib.metadata as m, json, os, platform, re, subprocess, sysconfig
found = {}
for d in m.distributions():
    found.setdefault(
        re.sub("[-_.]+", "-", d.metadata["Name"]).lower(),
        [d.version, d.requires or [], sorted({os.path.abspath(d.locate_file(file)) for file in d.files or ()})],
    )
ldd = subprocess.run(["ldd", "--version"], capture_output=True, text=True).stdout.splitlines()[0].split()[-1]
places = [os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "scripts")]
print(json.dumps([found, platform.python_version(), ldd, places]))
"""
# Of all that pip does to an image, and without a package index.
CHANGES = """
FROM {parent}
RUN /opt/conda/bin/pip uninstall -y psutil
RUN mkdir /src && cd /src && touch demo.py \\
    && echo 'import setuptools as s; s.setup(name="Demo.Pkg", version="1.0", py_modules=["demo"])' > setup.py \\
    && /opt/conda/bin/pip install --no-index --no-build-isolation /src
RUN sed -i s/1.0/2.0/ /src/setup.py && /opt/conda/bin/pip install --no-index --no-build-isolation /src
RUN mkdir /own && cd /own && touch own.py \\
    && echo 'import setuptools as s; s.setup(name="own", version="3", py_modules=["own"], install_requires=["six"])' \\
       > setup.py && /opt/conda/bin/pip install --no-index --no-build-isolation --no-deps --use-pep517 -e /own
RUN mkdir -p /usr/local/lib/python3.11/dist-packages/old-1.egg-info \\
    && printf 'Name: old\\nVersion: 1\\n' > /usr/local/lib/python3.11/dist-packages/old-1.egg-info/PKG-INFO
RUN /opt/conda/bin/python3 -m venv --without-pip --system-site-packages /opt/venvs/one && ln -s venvs/one /opt/venv
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def stand_ins(docker_engine, tmp_path_factory, ca_bundle):
    settings = Settings(ca_bundle=ca_bundle)
    return StandIns(docker_engine, tmp_path_factory.mktemp("wheels"), settings, NoProgress())


@contextmanager
def pushed(engine, image, registry):
    """Push an image, which has a name in the engine as long as it is needed."""
    name = f"{registry.host}/{secrets.token_hex(4)}"
    engine.images.get(image).tag(name, "1")
    try:
        said = list(engine.api.push(name, "1", stream=True, decode=True))
        assert not [line for line in said if "error" in line]
        yield ImageReference.parse(f"{name}:1")
    finally:
        engine.images.remove(f"{name}:1")


def client_for(registry) -> RegistryClient:
    return RegistryClient(
        transport=RequestsTransport(), credentials=lambda host: None, endpoint_for=lambda host: registry.url
    )


def said_by(engine, image, python):
    return json.loads(engine.containers.run(image, ["-c", PROGRAM], entrypoint=python, remove=True))


def assert_same(engine, image, python, inventories, base):
    found, version, glibc, places = said_by(engine, image, python)
    inventory = inventories.of(base, python=python)
    records = inventories.records(base, python=python)
    assert {package.normalised_name: package.version for package in inventory.packages} == {
        name: version for name, (version, _, _) in found.items()
    }
    assert {package.normalised_name: list(package.requires) for package in inventory.packages} == {
        name: requires for name, (_, requires, _) in found.items()
    }
    assert (inventory.python_version, inventory.glibc) == (version, glibc)
    assert [inventory.site_packages, inventory.scripts] == places
    for name, (_, _, files) in found.items():
        assert sorted(set(records.get(name, ()))) == files or name == "old"
    return inventory


def test_of_torch_while_it_is_mirrored(docker_engine, stand_ins, registry, tmp_path):
    image = stand_ins.ensure(PYTORCH_TRAINING)
    target = ImageReference.parse(f"{registry.host}/sagemaker-custom-pytorch:base")
    client = client_for(registry)
    inventories = Inventories(client, tmp_path, NoProgress())
    with pushed(docker_engine, image, registry) as source:
        base = mirror_image(
            source,
            target,
            source_registry=client,
            target_registry=client,
            progress=NoProgress(),
            watch=inventories.watch,
        ).reference
    inventory = assert_same(docker_engine, image, "/opt/conda/bin/python", inventories, base)
    assert {"torch", "numpy", "sagemaker-training"} <= {package.normalised_name for package in inventory.packages}


@pytest.fixture(scope="module")
def changed(docker_engine, stand_ins, registry):
    """Yield the image's id and where it is in the registry."""
    dockerfile = CHANGES.format(parent=stand_ins.ensure(PYTHON))
    image, _ = docker_engine.images.build(fileobj=io.BytesIO(dockerfile.encode()), rm=True)
    with pushed(docker_engine, image.id, registry) as base:
        yield image.id, base


@pytest.mark.parametrize("python", ["/opt/conda/bin/python", "/usr/bin/python3", "/opt/venv/bin/python"])
def test_of_an_image_whose_packages_were_changed(docker_engine, changed, registry, tmp_path, python):
    image, base = changed
    inventories = Inventories(client_for(registry), tmp_path, NoProgress())
    inventory = assert_same(docker_engine, image, python, inventories, base)
    versions = {package.normalised_name: package.version for package in inventory.packages}
    if python == "/opt/conda/bin/python":
        assert (versions["demo-pkg"], versions["own"]) == ("2.0", "3")
        assert "psutil" not in versions
    else:
        assert versions["old"] == "1"
