"""An image from one real registry to another one, over connections that break."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from faulty_proxy import NETWORK_FAULTS, WRONG_BYTES, faulty
from registry_process import running_registry

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    DigestMismatchError,
    ImageMissingError,
    RegistryUnavailableError,
    TagConflictError,
)
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport

SOURCE = ImageReference.parse("source.example.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker")
TARGET = ImageReference.parse("target.example.com/sagemaker-custom-pytorch:base-training-2.3.0-cpu-py311")
MEBIBYTE = 1024 * 1024
PROGRAM = Path(__file__).with_name("mirror_process.py")


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


def client_for(url, attempts=10):
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
            # pytest keeps the folders of three runs, which are gigabytes here.
            stack.callback(shutil.rmtree, folder)
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
        assert str(caught.value) == (
            f"cannot mirror {SOURCE} to {TARGET}: "
            f"the tag holds another image, {other.digest} instead of {manifest.digest}\n"
            "  -> it was published anew since it was mirrored: keep what is there, or remove that tag and mirror again"
        )
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
            faulty(source.host, seed=f"reading {seed}", share=0.4) as reading,
            faulty(target.host, seed=f"writing {seed}", share=0.4) as writing,
        ):
            done = mirror(reading.url, writing.url)
        assert reading.happened + writing.happened
        assert done.reference.digest == manifest.digest
        assert_same_image(target.url, manifest)

    @pytest.mark.parametrize("kind", NETWORK_FAULTS)
    def test_each_kind_of_fault_is_got_over_wherever_it_happens(self, registries, kind):
        source, target = registries
        manifest = push(source.url, [2, 1])
        with (
            faulty(source.host, seed=1, share=1, kinds=(kind,), most=2) as reading,
            faulty(target.host, seed=2, share=1, kinds=(kind,), most=2) as writing,
        ):
            mirror(reading.url, writing.url)
        # Both look at one manifest and three blobs at least, and each of these requests fails twice.
        assert reading.happened[kind] >= 8
        assert writing.happened[kind] >= 8
        assert_same_image(target.url, manifest)

    @pytest.mark.parametrize("seed", range(4))
    def test_wrong_bytes_of_the_source_never_become_a_blob(self, registries, seed):
        source, target = registries
        manifest = push(source.url, [2, 1])
        with faulty(source.host, seed=seed, share=0.7, kinds=(WRONG_BYTES,)) as reading:
            with pytest.raises(DigestMismatchError) as caught:
                mirror(reading.url, target.url)
            assert reading.happened[WRONG_BYTES]
        assert str(caught.value).startswith(f"cannot mirror {SOURCE} to {TARGET}: the registry sent something else for")
        assert client_for(target.url).find(TARGET) is None
        mirror(source.url, target.url)
        assert_same_image(target.url, manifest)

    @pytest.mark.parametrize("seed", range(4))
    def test_wrong_bytes_on_the_way_to_the_target_never_become_a_blob(self, registries, seed):
        source, target = registries
        manifest = push(source.url, [2, 1])
        with faulty(target.host, seed=seed, share=0.7, kinds=(WRONG_BYTES,)) as writing:
            with pytest.raises(DigestMismatchError, match=r"400 \(DIGEST_INVALID"):
                mirror(source.url, writing.url)
            assert writing.happened[WRONG_BYTES]
        assert client_for(target.url).find(TARGET) is None
        mirror(source.url, target.url)
        assert_same_image(target.url, manifest)

    def test_registry_that_never_answers_well_is_given_up_and_both_are_named(self, registries):
        source, target = registries
        push(source.url, [1])
        with (
            faulty(target.host, seed=1, share=1, kinds=("500",), most=None) as writing,
            pytest.raises(RegistryUnavailableError) as caught,
        ):
            mirror(source.url, writing.url)
        assert str(caught.value) == (
            f"cannot mirror {SOURCE} to {TARGET}: cannot look up {TARGET}: "
            f"{writing.url.removeprefix('http://')} answered 500 (tried 10 times)\n  -> try again later"
        )
        assert client_for(target.url).find(TARGET) is None


class TestOneTransportInManyThreads:
    def test_every_thread_reads_and_writes_its_own_blobs(self, registries):
        source, target = registries
        manifest = push(source.url, [1] * 12)
        done = mirror(source.url, target.url, workers=12)
        assert done.blobs_copied == 13
        client = client_for(target.url)

        def read(blob):
            return sum(map(len, client.read_blob(TARGET, blob["digest"], size=blob["size"])))

        with ThreadPoolExecutor(8) as pool:
            sizes = list(pool.map(read, blobs_of(manifest) * 4))
        assert sizes == [blob["size"] for blob in blobs_of(manifest)] * 4


class TestInterrupt:
    @pytest.mark.parametrize("stalled", ["source", "target"])
    def test_ctrl_c_ends_it_while_a_registry_stands_still_and_the_next_run_brings_the_rest(self, registries, stalled):
        source, target = registries
        manifest = push(source.url, [2, 1])
        shares = {"source": 0, "target": 0, stalled: 1}
        with (
            faulty(source.host, seed=1, share=shares["source"], kinds=("stall",), most=None) as reading,
            faulty(target.host, seed=1, share=shares["target"], kinds=("stall",), most=None) as writing,
        ):
            command = [sys.executable, str(PROGRAM), reading.url, writing.url, str(SOURCE), str(TARGET)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                broken = reading if stalled == "source" else writing
                assert broken.stalled.wait(30)
                process.send_signal(signal.SIGINT)
                try:
                    # It would otherwise stay until the connection times out, which is set to more than this.
                    _, said = process.communicate(timeout=30)
                finally:
                    process.kill()
        assert process.returncode == -signal.SIGINT
        assert said.rstrip().endswith("KeyboardInterrupt")
        assert client_for(target.url).find(TARGET) is None
        mirror(source.url, target.url)
        assert_same_image(target.url, manifest)


class TestLargeImage:
    LAYERS = (300, 200, 200, 50, 50)

    def test_800_mib_arrive_whole_in_little_memory_over_connections_that_break(self, registries):
        source, target = registries
        manifest = push(source.url, self.LAYERS)
        with (
            faulty(source.host, seed="reading", share=0.8, kinds=(*NETWORK_FAULTS, "cut", "truncated")) as reading,
            faulty(target.host, seed="writing", share=0.5, most=2) as writing,
        ):
            command = [sys.executable, str(PROGRAM), reading.url, writing.url, str(SOURCE), str(TARGET)]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
        said = json.loads(run.stdout)
        assert min(reading.happened[kind] for kind in ("cut", "truncated", "500")) >= 1
        assert min(writing.happened[kind] for kind in ("cut", "truncated", "500", "429")) >= 1
        assert said["digest"] == manifest.digest
        assert said["bytes"] > sum(self.LAYERS) * MEBIBYTE
        assert said["peak_rss"] <= 80 * 1000 * 1000
        assert_same_image(target.url, manifest)
