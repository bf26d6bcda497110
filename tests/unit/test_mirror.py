"""What is copied, what is not, and what is said when one of two registries fails."""

from __future__ import annotations

import pytest
from fakes.fake_registry import FakeRegistry

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    DigestMismatchError,
    ImageMissingError,
    RegistryAccessDeniedError,
    RegistryError,
    RegistryUnavailableError,
)
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference

SOURCE = ImageReference.parse("source.example.com/pytorch-training:2.3")
TARGET = ImageReference.parse("target.example.com/sagemaker-custom-pytorch:base-2.3")
LAYERS = (b"a" * 5000, b"b" * 3000, b"c" * 10)


class Bar(NoProgress):
    """Remembers the one bar."""

    def __init__(self):
        self.bars = []
        self.done = 0
        self.finished = 0

    def task(self, text, *, total=None, unit="bytes"):
        self.bars.append((text, total, unit))
        return self

    def advance(self, amount):
        self.done += amount

    def finish(self):
        self.finished += 1


class Two:
    """A registry that has an image, and one that shall get it."""

    def __init__(self, layers=LAYERS, **changes):
        self.source, self.target = FakeRegistry(), FakeRegistry()
        self.digest = self.source.put_image(SOURCE.repository, SOURCE.tag, layers=layers, **changes)
        self.bar = Bar()

    def mirror(self, **changes):
        arguments = {
            "source_registry": self.source.client(),
            "target_registry": self.target.client(),
            "progress": self.bar,
        }
        return mirror_image(SOURCE, TARGET, **arguments | changes)

    @property
    def arrived(self):
        return self.target.blobs[TARGET.repository]

    @property
    def tags(self):
        return self.target.tags(TARGET.repository)


def test_all_blobs_and_then_the_manifest():
    two = Two()
    done = two.mirror()
    assert done.reference == TARGET.with_digest(two.digest)
    assert two.tags == {TARGET.tag: two.digest}
    assert two.arrived == two.source.blobs[SOURCE.repository]
    puts = [call.path for call in two.target.calls if call.method == "PUT"]
    assert puts[-1].endswith(f"/manifests/{TARGET.tag}")


def test_one_bar_for_all_bytes():
    two = Two()
    two.target.put_blob(TARGET.repository, LAYERS[0])
    two.mirror()
    total = sum(map(len, two.arrived.values()))
    assert two.bar.bars == [(f"mirroring {TARGET.repository}", total, "bytes")]
    assert (two.bar.done, two.bar.finished) == (total, 1)


def test_layer_that_occurs_twice_is_sent_once():
    two = Two(layers=(b"same", b"same"))
    assert two.mirror().blobs_copied == 2
    assert two.target.count("PUT", "/blobs/") == 2


@pytest.mark.parametrize("media_type", [oci.DOCKER_INDEX, oci.OCI_INDEX])
def test_of_an_index_the_platform_is_taken_as_one_manifest(media_type):
    two = Two(media_type=media_type)
    done = two.mirror()
    [(stored_type, content)] = two.target.manifests[TARGET.repository].values()
    assert stored_type == oci.DOCKER_MANIFEST
    assert done.reference.digest == two.tags[TARGET.tag]
    assert {blob.digest for blob in oci.parse_manifest(stored_type, content).layers} <= set(two.arrived)


def test_platform_that_the_index_lacks_is_told():
    two = Two(media_type=oci.OCI_INDEX)
    with pytest.raises(RegistryError, match="does not exist for linux/arm64\n  -> it exists for linux/amd64"):
        two.mirror(platform="linux/arm64")


def test_layer_that_hosting_refuses_is_told_before_anything_is_sent():
    two = Two()
    manifest_type, content = two.source.manifests[SOURCE.repository][two.digest]
    foreign = content.replace(oci.DOCKER_LAYER.encode(), b"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
    two.source.put_manifest(SOURCE.repository, SOURCE.tag, foreign, manifest_type)
    with pytest.raises(RegistryError, match="which SageMaker hosting refuses"):
        two.mirror()
    assert two.arrived == {}


def test_missing_image_is_told_with_its_name():
    two = Two()
    with pytest.raises(ImageMissingError) as caught:
        mirror_image(
            SOURCE.with_tag("2.4"),
            TARGET,
            source_registry=two.source.client(),
            target_registry=two.target.client(),
            progress=two.bar,
        )
    assert str(caught.value) == (
        "there is no image source.example.com/pytorch-training:2.4 to mirror\n"
        "  -> AWS may not publish that one there: choose another source_region, or look the tag up"
    )


class TestFailures:
    def test_source_that_is_lost_is_taken_up_again(self):
        two = Two()
        two.source.cut(1000, times=3)
        two.mirror()
        assert two.arrived == two.source.blobs[SOURCE.repository]
        assert two.bar.done == sum(map(len, two.arrived.values()))

    def test_target_that_is_lost_gets_the_blob_again(self):
        two = Two()
        two.target.refuse_connections(times=3, method="PUT", path="/blobs/")
        two.mirror()
        assert two.arrived == two.source.blobs[SOURCE.repository]
        assert two.bar.done == sum(map(len, two.arrived.values()))

    def test_source_that_stays_away_is_named_and_not_tried_as_often_as_both_together(self):
        two = Two(layers=(b"x" * 5000,))
        two.source.cut(1000, times=1000)
        with pytest.raises(RegistryUnavailableError, match="connection"):
            two.mirror(workers=1, source_registry=two.source.client(attempts=3))
        assert two.source.count("GET", "/blobs/") <= 3 * 2
        assert two.tags == {}
        assert two.bar.finished == 1

    def test_wrong_content_of_the_source_never_gets_a_tag(self):
        two = Two()
        [digest] = [name for name, content in two.source.blobs[SOURCE.repository].items() if content == LAYERS[0]]
        two.source.blobs[SOURCE.repository][digest] = b"z" * len(LAYERS[0])
        with pytest.raises(DigestMismatchError, match=f"something else for {digest}"):
            two.mirror()
        assert two.tags == {}
        assert digest not in two.arrived

    def test_refusal_of_the_target_is_told_and_stops_the_rest(self):
        two = Two(layers=tuple(bytes([number]) * 100 for number in range(50)))
        two.target.fail(403, times=1000, method="POST", code="DENIED", message="not yours")
        with pytest.raises(RegistryAccessDeniedError, match=r"target\.example\.com"):
            two.mirror(workers=2)
        assert two.target.count("POST") < 20
        assert two.tags == {}
        assert two.bar.finished == 1

    def test_interrupt_stops_and_a_further_call_goes_on(self):
        two = Two()

        class Interrupting(Bar):
            def advance(self, amount):
                super().advance(amount)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            two.mirror(progress=Interrupting())
        assert two.tags == {}
        two.mirror()
        assert two.arrived == two.source.blobs[SOURCE.repository]
