"""Layers of real wheels on a real base, looked at from within a container."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
import tarfile

import pytest
from docker.errors import ContainerError

from sagemaker_custom.inventory import InstalledPackage, Inventory
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import digest_of
from sagemaker_custom.wheels.layers import LayerStore
from sagemaker_custom.wheels.lock import Lock, LockedWheel
from sagemaker_custom.wheels.static_check import check_statically
from sagemaker_custom.wheels.store import FetchedWheel

pytestmark = pytest.mark.docker

SITE = "/usr/local/lib/python3.11/dist-packages"
BASE = Inventory(
    base=digest_of(b"root"),
    platform="linux/amd64",
    python="/usr/bin/python3",
    python_version="3.11",
    site_packages=SITE,
    scripts="/usr/local/bin",
    glibc="2.36",
    packages=(),
)
LISTING = """
import base64, hashlib, importlib.metadata as m, json
wrong, versions = [], {}
for d in m.distributions(path=["/usr/local/lib/python3.11/dist-packages"]):
    versions[d.metadata["Name"]] = d.version
    for f in d.files:
        if f.hash:
            digest = hashlib.new(f.hash.mode, f.locate().read_bytes()).digest()
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != f.hash.value:
                wrong.append(str(f))
        elif not f.name == "RECORD":
            wrong.append(str(f))
print(json.dumps({"versions": versions, "wrong": wrong}))
"""


def download(folder, *requirements):
    folder.mkdir()
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", f"--dest={folder}"),
            *("--only-binary=:all:", "--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3"),
            *("--abi=none", "--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64"),
            *requirements,
        ],
        check=True,
    )
    return [fetched(path) for path in sorted(folder.glob("*.whl"))]


def fetched(path):
    name, version = path.name.split("-")[:2]
    return FetchedWheel(
        wheel=LockedWheel(
            name=name,
            version=version,
            filename=path.name,
            url=f"https://files.example.com/{path.name}",
            sha256=digest_of(path.read_bytes()).removeprefix("sha256:"),
            size=path.stat().st_size,
            index=None,
        ),
        path=path,
    )


def lock_of(wheels, *replaced):
    return Lock(
        python_version="3.11",
        platform="linux/amd64",
        wheels=tuple(one.wheel for one in wheels),
        replaced=replaced,
        base=BASE.base,
    )


@pytest.fixture
def appended(docker_engine, root):
    """Return a function that puts layers on the root and tells the image's name; the images go at the end."""
    made = []

    def append(layers):
        below = docker_engine.images.get(root).attrs["RootFS"]["Layers"]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [*below, *(layer.diff_id for layer in layers)]},
        }
        name = f"sagemaker-custom-tests:layers-{secrets.token_hex(4)}"
        # The engine has the lower ones, and does not read them again.
        paths = [*(f"lower-{number}.tar" for number in range(len(below))), *(f"{layer.path.name}" for layer in layers)]
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for layer in layers:
                tar.add(layer.path, layer.path.name)
            add(tar, "config.json", config)
            add(tar, "manifest.json", [{"Config": "config.json", "RepoTags": [name], "Layers": paths}])
        docker_engine.images.load(archive.getvalue())
        made.append(name)
        return name

    yield append
    for name in made:
        docker_engine.api.remove_image(name, noprune=True)


def add(tar, name, document):
    content = json.dumps(document).encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def run(engine, image, *command):
    return engine.containers.run(image, list(command), remove=True, network_disabled=True, stderr=True).decode()


def test_real_wheels_work_and_are_known_to_python_and_pip(docker_engine, appended, tmp_path):
    wheels = download(tmp_path / "wheels", "pip", "pandas==2.2.2", "numpy==1.26.4", "greenlet", "jsonlines", "rich")
    layers = LayerStore(tmp_path / "layers").layers(
        wheels, BASE, removed={}, progress=NoProgress(), requested=["pandas", "rich"]
    )
    check_statically(BASE, lock_of(wheels), wheels, layers)
    assert [layer.created_by.split()[2] for layer in layers[:2]] == ["numpy==1.26.4", "pandas==2.2.2"]
    image = appended(layers)
    found = json.loads(run(docker_engine, image, "python3", "-c", LISTING))
    assert found["wrong"] == []
    names = {one.wheel.name.lower().replace("_", "-"): one.wheel.version for one in wheels}
    assert {name.lower().replace("_", "-"): version for name, version in found["versions"].items()} == names
    assert "No broken requirements found" in run(docker_engine, image, "pip", "check")
    assert (
        run(docker_engine, image, "python3", "-c", "import pandas; print(pandas.DataFrame([[1]]).sum().sum())") == "1\n"
    )
    assert "1.26.4" in run(docker_engine, image, "f2py", "-v")
    assert "greenlet.h" in run(docker_engine, image, "ls", "/usr/local/include/python3.11/greenlet")
    report = json.loads(run(docker_engine, image, "pip", "--disable-pip-version-check", "inspect"))
    asked = {one["metadata"]["name"] for one in report["installed"] if one.get("requested")}
    assert asked == {"pandas", "rich"}
    assert {one["installer"] for one in report["installed"]} == {"sagemaker-custom"}
    said = run(
        docker_engine,
        image,
        "sh",
        "-c",
        f"pip uninstall --break-system-packages -y numpy 2>&1; ls -d {SITE}/numpy* /usr/local/bin/f2py || true",
    )
    assert "Successfully uninstalled numpy-1.26.4" in said
    assert said.count("cannot access") == 2


def test_replaced_package_leaves_no_trace(docker_engine, appended, tmp_path):
    store = LayerStore(tmp_path / "layers")
    old = download(tmp_path / "old", "click==8.0.4", "jsonlines==3.1.0", "attrs==23.2.0")
    below = store.layers(old, BASE, removed={}, progress=NoProgress())
    listed = run(docker_engine, appended(below), "sh", "-c", f"cd {SITE}; find -type f | sort").split()
    records = {
        name: tuple(f"{SITE}/{path[2:]}" for path in listed if path[2:].startswith(name))
        for name in ("click", "jsonlines", "attr")
    }
    base = Inventory(
        **{field: getattr(BASE, field) for field in BASE.__slots__ if field != "packages"},
        packages=tuple(
            InstalledPackage(name=one.wheel.name, version=one.wheel.version, location=f"{SITE}/x") for one in old
        ),
    )
    new = download(tmp_path / "new", "click==8.1.7")
    removed = {"click": records["click"]}
    above = store.layers(new, base, removed=removed, records=records, progress=NoProgress())
    check_statically(base, lock_of(new, "click"), new, above)
    image = appended([*below, *above])
    found = json.loads(run(docker_engine, image, "python3", "-c", LISTING))
    assert found == {"versions": {"click": "8.1.7", "jsonlines": "3.1.0", "attrs": "23.2.0"}, "wrong": []}
    now = run(docker_engine, image, "sh", "-c", f"cd {SITE}; ls").split()
    assert [name for name in now if name.startswith("click")] == ["click", "click-8.1.7.dist-info"]
    with pytest.raises(ContainerError, match="ModuleNotFoundError"):
        run(docker_engine, appended([*below, above[0]]), "python3", "-c", "import click")
    run(docker_engine, image, "python3", "-c", "import click, jsonlines, attr")
