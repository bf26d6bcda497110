"""In-memory stand-ins for what the append builder is made of, and bases with layers that fit their config."""

from __future__ import annotations

import gzip
import hashlib
import json

from fakes.example_plan import BASE

from sagemaker_custom import oci
from sagemaker_custom.inventory import InstalledPackage, Inventory
from sagemaker_custom.reference import Digest, digest_of
from sagemaker_custom.wheels.layers import LayerBlob
from sagemaker_custom.wheels.lock import Lock, LockedWheel
from sagemaker_custom.wheels.store import FetchedWheel

PLATFORM = "linux/amd64"
CREATED = "2026-01-02T03:04:05Z"


def put_base(registry, repository=BASE.repository, tag=BASE.tag, *, media_type=oci.DOCKER_MANIFEST, content=b"base"):
    """Store an image of two layers, whose config says so; return the digest under the tag."""
    is_oci = media_type in {oci.OCI_MANIFEST, oci.OCI_INDEX}
    kinds = (oci.OCI_CONFIG, oci.OCI_LAYER) if is_oci else (oci.DOCKER_CONFIG, oci.DOCKER_LAYER)
    layers = [content + b" one", content + b" two"]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {"Entrypoint": ["bash", "-m"], "Env": ["PATH=/opt/conda/bin:/bin"], "Labels": {"of": "aws"}},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        "history": [
            {"created": CREATED, "created_by": "ADD rootfs"},
            {"created": CREATED, "created_by": "ENV A=1", "empty_layer": True},
            {"created": CREATED, "created_by": "RUN something"},
        ],
    }

    def described(blob, kind):
        return {"mediaType": kind, "digest": registry.put_blob(repository, blob), "size": len(blob)}

    manifest_type = oci.OCI_MANIFEST if is_oci else oci.DOCKER_MANIFEST
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": described(json.dumps(config).encode(), kinds[0]),
            "layers": [described(gzip.compress(layer, mtime=0), kinds[1]) for layer in layers],
        }
    ).encode()
    if not oci.is_index(media_type):
        return registry.put_manifest(repository, tag, manifest, manifest_type)
    registry.manifests[repository][digest_of(manifest)] = (manifest_type, manifest)
    entry = {"mediaType": manifest_type, "digest": digest_of(manifest), "size": len(manifest)}
    entry["platform"] = {"os": "linux", "architecture": "amd64"}
    index = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}).encode()
    return registry.put_manifest(repository, tag, index, media_type)


def locked(name, version="1.0"):
    """Return a wheel of a lock."""
    filename = f"{name}-{version}-py3-none-any.whl"
    return LockedWheel(
        name=name,
        version=version,
        filename=filename,
        url=f"https://index.example.com/{filename}",
        sha256=hashlib.sha256(filename.encode()).hexdigest(),
        size=100,
        index="https://index.example.com/simple",
    )


def a_lock(base, *wheels, replaced=(), python_version="3.11", platform=PLATFORM):
    """Return a lock of these wheels."""
    return Lock(
        python_version=python_version,
        platform=platform,
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.name)),
        replaced=tuple(replaced),
        base=base,
    )


def an_inventory(base, **packages):
    """Return what a base with these packages has."""
    site = "/opt/conda/lib/python3.11/site-packages"
    return Inventory(
        base=base,
        platform=PLATFORM,
        python="/opt/conda/bin/python",
        python_version="3.11.9",
        site_packages=site,
        scripts="/opt/conda/bin",
        glibc="2.31",
        packages=tuple(
            InstalledPackage(name=name, version=version, location=f"{site}/{name}-{version}.dist-info")
            for name, version in sorted(packages.items())
        ),
    )


class FakeInventories:
    """Knows bases by their digest."""

    def __init__(self, **packages):
        self.packages = packages
        self.asked_records = 0

    def of(self, reference, *, python, platform):
        assert platform == PLATFORM
        return an_inventory(reference.digest, **self.packages)

    def records(self, reference, *, python, platform):
        self.asked_records += 1
        return {name: (f"/site/{name}/__init__.py",) for name in self.packages}


class FakeResolver:
    """Gives what it was told to; ``failure`` is raised instead."""

    def __init__(self, *wheels, replaced=()):
        self.wheels = wheels
        self.replaced = replaced
        self.failure = None
        self.asked = []

    def resolve(self, inventory, steps, *, held, indexes, replace):
        self.asked.append((tuple(steps), tuple(held), tuple(replace)))
        if self.failure:
            raise self.failure
        return a_lock(inventory.base, *self.wheels, replaced=self.replaced)


class FakeWheels:
    """Has every wheel."""

    def __init__(self, folder):
        self._folder = folder

    def fetch(self, lock, progress):
        return tuple(FetchedWheel(wheel=wheel, path=self._folder / wheel.filename) for wheel in lock.wheels)


class FakeLayers:
    """Makes one layer of each wheel, and one that removes things."""

    def __init__(self, folder):
        self._folder = folder
        self.removed = []

    def layers(self, wheels, inventory, *, removed, progress, **more):
        self.removed.append(dict(removed))
        texts = [f"wheel {fetched.wheel.filename}" for fetched in wheels]
        if removed:
            texts.insert(0, f"without {' '.join(removed)}")
        return tuple(self._layer(text) for text in texts)

    def _layer(self, text):
        content = gzip.compress(text.encode(), mtime=0)
        path = self._folder / Digest(digest_of(content)).partition(":")[2]
        path.write_bytes(content)
        return LayerBlob(
            digest=digest_of(content),
            diff_id=digest_of(text.encode()),
            size=len(content),
            path=path,
            created_by=text,
        )


class FakeCheck:
    """Runs nothing; ``failure`` is what a verify command gives."""

    def __init__(self, kind="static"):
        self.kind_of_check = kind
        self.failure = None
        self.lacks = ()
        self.ran = []

    def kind(self, base):
        return self.kind_of_check

    def run(self, image, plan, lock):
        self.ran.append(image)
        if self.failure:
            raise self.failure
        return self.lacks
