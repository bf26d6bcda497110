"""Labels remembered by digest, against a real registry: how many requests a look at an image takes."""

from __future__ import annotations

import io
import json

import pytest
from registry_process import running_registry

from sagemaker_custom import oci
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport


class RecordingTransport:
    """Passes requests on, and remembers their methods."""

    def __init__(self, transport):
        self.methods = []
        self._transport = transport

    def send(self, request):
        self.methods.append(request.method)
        return self._transport.send(request)


class Bench:
    def __init__(self, registry, transport, cache):
        self.transport = RecordingTransport(transport)
        self.client = RegistryClient(
            transport=self.transport, credentials=lambda host: None, endpoint_for=lambda host: f"http://{host}"
        )
        self.image = ImageReference.parse(f"{registry.host}/sagemaker-custom-pytorch:2.3.0")
        self.cache = cache

    def push(self, label):
        config = json.dumps({"config": {"Labels": {"label": label}}, "rootfs": {"type": "layers"}}).encode()
        self.client.upload_blob(self.image, digest_of(config), len(config), lambda: io.BytesIO(config))
        manifest = {
            "schemaVersion": 2,
            "mediaType": oci.DOCKER_MANIFEST,
            "config": {"mediaType": oci.DOCKER_CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [],
        }
        self.client.put_manifest(
            self.image, Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(manifest).encode())
        )
        self.transport.methods.clear()

    def look(self):
        """Return the label and what was asked, as a new process would."""
        found = RegistryStore(self.client, cache_dir=self.cache).find(self.image)
        asked, self.transport.methods[:] = list(self.transport.methods), []
        return found.labels["label"], asked


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as registry, RequestsTransport() as transport:
        yield Bench(registry, transport, tmp_path / "cache")


def test_an_image_that_was_seen_takes_one_request(bench):
    bench.push("first")

    assert bench.look() == ("first", ["HEAD", "GET", "GET"])
    assert bench.look() == ("first", ["HEAD"])


def test_a_tag_that_moved_is_asked_about_anew(bench):
    bench.push("first")
    bench.look()
    bench.push("second")

    assert bench.look() == ("second", ["HEAD", "GET", "GET"])
    bench.push("first")
    assert bench.look() == ("first", ["HEAD"])


def test_damaged_labels_are_asked_for_anew(bench):
    bench.push("first")
    bench.look()
    (kept,) = (bench.cache / "labels").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"first", b"wrong"))

    assert bench.look() == ("first", ["HEAD", "GET", "GET"])
    assert bench.look() == ("first", ["HEAD"])
