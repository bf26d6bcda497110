"""An image from one real registry to another one, over connections that break."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from faulty_proxy import faulty
from registry_process import running_registry

from sagemaker_custom import oci
from sagemaker_custom.errors import ImageMissingError, RegistryError, SageMakerCustomError, TagConflictError
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport

SOURCE = ImageReference.parse("source.example.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker")
TARGET = ImageReference.parse("target.example.com/sagemaker-custom-pytorch:base-training-2.3.0-cpu-py311")
MEBIBYTE = 1024 * 1024


class Content:
    """Bytes that follow from a seed, a mebibyte at a time, so that a large layer needs no memory."""

    def __init__(self, seed, mebibytes):
        self.size = mebibytes * MEBIBYTE
        self._seed = seed
        self._block = hashlib.shake_256(str(seed).encode()).digest(MEBIBYTE)
        self._position = 0

    def read(self, size):
        if self._position >= self.size:
            return b""
        number, offset = divmod(self._position, MEBIBYTE)
        # Every mebibyte is another one, so that a piece in the wrong place is noticed.
        block = number.to_bytes(8, "big") + self._block[8:]
        chunk = block[offset : offset + size]
        self._position += len(chunk)
        return chunk

    def close(self):
        self._position = 0

    def digest(self):
        hasher = hashlib.sha256()
        while chunk := self.read(MEBIBYTE):
            hasher.update(chunk)
        self.close()
        return f"sha256:{hasher.hexdigest()}"


def client_for(url, attempts=20):
    return RegistryClient(
        transport=RequestsTransport(timeout_s=30),
        credentials=lambda host: None,
        endpoint_for=lambda host: url,
        attempts=attempts,
        sleep=lambda seconds: None,
    )


def push(url, layers, reference=SOURCE, *, media_type=oci.DOCKER_MANIFEST, seed=0):
    """Put an image with layers of so many mebibytes into a registry."""
    client = client_for(url)
    descriptors = []
    for number, mebibytes in enumerate(layers):
        content = Content(f"{seed}-{number}", mebibytes)
        digest = content.digest()
        client.upload_blob(reference, digest, content.size, lambda content=content: content)
        descriptors.append({"mediaType": oci.DOCKER_LAYER, "size": content.size, "digest": digest})
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"seed": str(seed)}}}).encode()
    client.upload_blob(reference, digest_of(config), len(config), lambda: io.BytesIO(config))
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": oci.DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)},
        "layers": descriptors,
    }
    manifest = Manifest(media_type=media_type, content=json.dumps(document, indent=3).encode())
    client.put_manifest(reference, manifest)
    return manifest


def blobs_of(manifest):
    document = json.loads(manifest.content)
    return [document["config"], *document["layers"]]


def assert_same_image(url, manifest, reference=TARGET):
    client = client_for(url)
    assert client.manifest(reference) == manifest
    for blob in blobs_of(manifest):
        hasher = hashlib.sha256()
        for chunk in client.read_blob(reference, blob["digest"], size=blob["size"]):
            hasher.update(chunk)
        assert f"sha256:{hasher.hexdigest()}" == blob["digest"]


@pytest.fixture
def registries(tmp_path):
    with ExitStack() as stack:
        running = []
        for name in ("source", "target"):
            folder = tmp_path / name
            folder.mkdir()
            running.append(stack.enter_context(running_registry(folder)))
        yield running


def mirror(source_url, target_url, **changes):
    return mirror_image(
        SOURCE,
        TARGET,
        source_registry=client_for(source_url),
        target_registry=client_for(target_url),
        **{"progress": NoProgress(), **changes},
    )


class TestQuietNetwork:
    def test_image_arrives_byte_for_byte_and_is_not_sent_twice(self, registries):
        source, target = registries
        manifest = push(source.url, [3, 1, 1])
        done = mirror(source.url, target.url)
        assert done.reference == TARGET.with_digest(manifest.digest)
        assert (done.blobs_copied, done.blobs_present) == (4, 0)
        assert done.bytes_copied == sum(blob["size"] for blob in blobs_of(manifest))
        assert_same_image(target.url, manifest)
        again = mirror(source.url, target.url)
        assert (again.blobs_copied, again.bytes_copied) == (0, 0)

    def test_what_an_earlier_try_brought_is_not_sent_again(self, registries):
        source, target = registries
        manifest = push(source.url, [2, 1])
        layer = blobs_of(manifest)[1]
        client_for(target.url).upload_blob(TARGET, layer["digest"], layer["size"], lambda: Content("0-0", 2))
        done = mirror(source.url, target.url)
        assert (done.blobs_copied, done.blobs_present) == (2, 1)
        assert_same_image(target.url, manifest)

    def test_another_image_under_the_tag_is_neither_replaced_nor_taken(self, registries):
        source, target = registries
        manifest = push(source.url, [1])
        other = push(target.url, [1], TARGET, seed=7)
        with pytest.raises(TagConflictError) as caught:
            mirror(source.url, target.url)
        assert f"{TARGET} holds another image, {other.digest}; {SOURCE} is {manifest.digest}" in str(caught.value)
        assert client_for(target.url).find(TARGET) == other.digest

    def test_oci_manifest_becomes_the_one_form_that_hosting_takes(self, registries):
        source, target = registries
        push(source.url, [1], media_type=oci.OCI_MANIFEST)
        done = mirror(source.url, target.url)
        stored = client_for(target.url).manifest(TARGET)
        assert (stored.media_type, stored.digest) == (oci.DOCKER_MANIFEST, done.reference.digest)

    def test_image_that_is_not_there_is_told_with_its_name(self, registries):
        source, target = registries
        with pytest.raises(ImageMissingError, match=r"there is no image source\.example\.com/pytorch-training:2\.3"):
            mirror(source.url, target.url)


class TestBadNetwork:
    @pytest.mark.parametrize("seed", range(8))
    def test_image_arrives_whole_over_connections_that_break_on_both_sides(self, registries, seed):
        source, target = registries
        manifest = push(source.url, [4, 2, 1, 1])
        with (
            faulty(source.host, seed=seed, share=0.35) as reading,
            faulty(target.host, seed=seed + 100, share=0.35) as writing,
        ):
            done = mirror(reading.url, writing.url)
        assert reading.happened + writing.happened
        assert done.reference.digest == manifest.digest
        assert_same_image(target.url, manifest)

    @pytest.mark.parametrize("seed", range(4))
    def test_wrong_bytes_never_become_an_image(self, registries, seed):
        source, target = registries
        manifest = push(source.url, [2, 1])
        with faulty(source.host, seed=seed, share=0.9, kinds=("wrong",)) as reading:
            with pytest.raises(SageMakerCustomError, match="sha256:"):
                mirror(reading.url, target.url)
            assert reading.happened["wrong"]
        assert client_for(target.url).find(TARGET) is None
        mirror(source.url, target.url)
        assert_same_image(target.url, manifest)

    def test_registry_that_never_answers_well_is_given_up_and_named(self, registries):
        source, target = registries
        push(source.url, [1])
        with (
            faulty(target.host, seed=1, share=1.0, kinds=("500",), in_a_row=10_000) as writing,
            pytest.raises(RegistryError, match="500"),
        ):
            mirror(source.url, writing.url)
        assert client_for(target.url).find(TARGET) is None


class TestLargeImage:
    LAYERS = (300, 200, 200, 50, 50)

    def test_800_mib_arrive_whole_in_little_memory_over_connections_that_break(self, registries):
        source, target = registries
        manifest = push(source.url, self.LAYERS)
        with (
            faulty(source.host, seed=11, share=0.3) as reading,
            faulty(target.host, seed=12, share=0.3) as writing,
        ):
            program = Path(__file__).with_name("mirror_process.py")
            run = subprocess.run(
                [sys.executable, str(program), reading.url, writing.url, str(SOURCE), str(TARGET)],
                check=True,
                capture_output=True,
                text=True,
            )
        said = json.loads(run.stdout)
        assert reading.happened["cut"] or writing.happened["cut"]
        assert said["digest"] == manifest.digest
        assert said["bytes"] > sum(self.LAYERS) * MEBIBYTE
        assert said["peak_rss"] <= 80 * 1000 * 1000
        assert_same_image(target.url, manifest)
