"""Bytes → the parsers of manifests, indexes and configs, and of layers: gzip, tar, and what is installed in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from sagemaker_custom import oci
from sagemaker_custom.built_images import _created
from sagemaker_custom.inventories import combine, scan_layer
from sagemaker_custom.inventories.tar_entries import TarEntries
from sagemaker_custom.inventories.wanted import is_wanted, kept
from sagemaker_custom.reference import Digest
from sagemaker_custom.wheels.base_metadata import write_base_metadata
from sagemaker_custom.wheels.target import marker_environment

_BASE = Digest("sha256:" + "0" * 64)
_PATHS = (
    "/opt/lib/python3.11/site-packages/a-1.dist-info/METADATA",
    "/opt/lib/python3.11/site-packages/a-1.dist-info/RECORD",
    "/opt/lib/python3.11/site-packages/a.pth",
    "/var/lib/dpkg/status",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/opt/include/python3.11/patchlevel.h",
)


def manifest(data: bytes) -> None:
    """A manifest that can be written as schema 2 says the same afterwards."""
    for media_type in oci.MANIFEST_TYPES:
        parsed = oci.parse_manifest(media_type, data)
        again = oci.parse_manifest(oci.DOCKER_MANIFEST, oci.to_docker_schema2(parsed))
        assert [layer.digest for layer in again.layers] == [layer.digest for layer in parsed.layers]


def index(data: bytes) -> None:
    """An index."""
    oci.select_platform(oci.parse_index(oci.OCI_INDEX, data))


def config(data: bytes) -> None:
    """A config, its labels and its date, and a layer on top of it."""
    document = oci.parse_config(data)
    _created(document)
    labels = oci.labels(document)
    assert all(isinstance(value, str) for value in labels.values())
    layer = oci.Descriptor(media_type=oci.DOCKER_LAYER, digest=_BASE, size=1)
    empty = oci.Descriptor(media_type=oci.DOCKER_CONFIG, digest=_BASE, size=1)
    image = oci.ImageManifest(media_type=oci.DOCKER_MANIFEST, config=empty, layers=(layer,))
    added = oci.AddedLayer(digest=_BASE, diff_id=_BASE, size=1, created_by="fuzz")
    written, _ = oci.append_layers(image, document, [added], {"a": "b"})
    assert oci.labels(oci.parse_config(written))["a"] == "b"
    combine([], document, base=_BASE, platform="linux/amd64", python="python3")


def layer(data: bytes) -> None:
    """A layer as it comes."""
    _combined(data)


def packed_layer(data: bytes) -> None:
    """A tar that is packed as it should be."""
    _combined(gzip.compress(data, 1))


def _combined(data: bytes) -> None:
    facts = scan_layer([data[:700], data[700:]])
    found, _ = combine([facts, facts], {}, base=_BASE, platform="linux/amd64", python="python3")
    marker_environment(found)


def installed(data: bytes) -> None:
    """Files that are looked into, in an image that has a Python."""
    entries: dict[str, bytes] = {"/opt/bin/python3": b"", "/opt/lib/python3.11/os.py": b""}
    entries |= dict(zip(_PATHS, data.split(b"\xff"), strict=False))
    for path, content in entries.items():
        if is_wanted(path):
            kept(path, content)
    facts = scan_layer([gzip.compress(_tar(entries), 1)])
    environment: dict[str, Any] = {"config": {"Env": ["PATH=/opt/bin"]}}
    found, _ = combine([facts], environment, base=_BASE, platform="linux/amd64", python="python3")
    with tempfile.TemporaryDirectory() as folder:
        write_base_metadata(found, Path(folder, "inner"), replaceable=("b",))
        assert [path.name for path in Path(folder).iterdir()] == ["inner"]


def _tar(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in entries.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def tar(data: bytes) -> None:
    """A tar in two pieces gives what it gives in one."""
    whole = _entries([data])
    assert _entries([data[:100], data[100:]]) == whole
    json.dumps([entry[:1] for entry in whole])


def _entries(pieces: list[bytes]) -> list[tuple[str, str, int, bytes]]:
    reader = TarEntries(lambda entry: entry.size < 1 << 20)
    found = [(entry.path, entry.kind, entry.size, body) for piece in pieces for entry, body in reader.feed(piece)]
    reader.finish()
    return found


PARSERS = (manifest, index, config, layer, packed_layer, installed, tar)
"""The first byte of an input chooses."""
