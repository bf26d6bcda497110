"""What is copied, what is not, and what is said when one of two registries fails."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from dataclasses import replace
from itertools import repeat

import pytest
from fakes.fake_registry import FakeRegistry

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    DigestMismatchError,
    ImageMissingError,
    InvalidReferenceError,
    RegistryAccessDeniedError,
    RegistryError,
    RegistryUnavailableError,
    TagConflictError,
)
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import HttpResponse

SOURCE = ImageReference.parse("source.example.com/pytorch-training:2.3")
TARGET = ImageReference.parse("target.example.com/sagemaker-custom-pytorch:base-2.3")
LAYERS = (b"a" * 5000, b"b" * 3000, b"c" * 10)
NAMES = f"cannot mirror {SOURCE} to {TARGET}: "


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


class SharedRegistry(FakeRegistry):
    """Takes requests of several threads at a time, which may not open uploads of the same name."""

    def __init__(self):
        super().__init__()
        self._opening = threading.Lock()

    def send(self, request):
        with self._opening if request.method == "POST" else nullcontext():
            return super().send(request)


class StandingStill(SharedRegistry):
    """Gets no further with one blob until it is let go, and begins no other before that one."""

    def __init__(self, digest, method="GET"):
        super().__init__()
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()
        self.gave_up = False
        self._digest = digest
        self._method = method

    def send(self, request):
        if request.method == self._method and "/blobs/" in request.url:
            if self._digest in request.url:
                self.is_reached.set()
                self.gave_up = not self.may_go_on.wait(30)
            assert self.is_reached.wait(30)
        return super().send(request)


class Endless(StandingStill):
    """Sends one blob on and on."""

    def __init__(self, digest):
        super().__init__(digest)
        self.may_go_on.set()

    def send(self, request):
        response = super().send(request)
        if request.method == "GET" and self._digest in request.url:
            return HttpResponse(request=request, status=200, headers={}, chunks=repeat(bytes(1024)))
        return response


def mirroring_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("mirror-")]


class Two:
    """A registry that has an image, and one that shall get it."""

    def __init__(self, layers=LAYERS, source=None, target=None, **changes):
        self.source, self.target = source or SharedRegistry(), target or SharedRegistry()
        self.digest = self.source.put_image(SOURCE.repository, SOURCE.tag, layers=layers, **changes)
        self.bar = Bar()

    def mirror(self, source=SOURCE, target=TARGET, **changes):
        arguments = {
            "source_registry": self.source.client(),
            "target_registry": self.target.client(),
            "progress": self.bar,
        }
        return mirror_image(source, target, **arguments | changes)

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


def test_index_without_the_manifest_it_names_is_told():
    two = Two(media_type=oci.OCI_INDEX)
    for digest in set(two.source.manifests[SOURCE.repository]) - {two.digest}:
        del two.source.manifests[SOURCE.repository][digest]
    with pytest.raises(RegistryError, match=r"pytorch-training:2\.3 is incomplete: its registry has no sha256:"):
        two.mirror()


def test_missing_image_is_told_with_both_names():
    two = Two()
    with pytest.raises(ImageMissingError) as caught:
        two.mirror(SOURCE.with_tag("2.4"))
    assert str(caught.value) == (
        f"cannot mirror {SOURCE.with_tag('2.4')} to {TARGET}: there is no image {SOURCE.with_tag('2.4')}\n"
        "  -> AWS may not publish that one there: choose another source_region, or look the tag up"
    )


class TestTarget:
    def test_image_that_is_there_costs_no_blob(self):
        two = Two()
        two.mirror()
        two.source.calls.clear()
        two.target.calls.clear()
        again = two.mirror()
        assert again.reference == TARGET.with_digest(two.digest)
        assert (again.blobs_copied, again.blobs_present, again.bytes_copied) == (0, 0, 0)
        assert [call.method for call in two.source.calls + two.target.calls if "/blobs/" in call.path] == []

    def test_tag_with_another_image_is_a_conflict_before_anything_is_read(self):
        two = Two()
        other = two.target.put_image(TARGET.repository, TARGET.tag, layers=(b"other",))
        with pytest.raises(TagConflictError) as caught:
            two.mirror()
        assert str(caught.value) == (
            f"{NAMES}the tag holds another image, {other} instead of {two.digest}\n"
            "  -> it was published anew since it was mirrored: keep what is there, or remove that tag and mirror again"
        )
        assert two.source.count("GET", "/blobs/") == 0
        assert two.tags == {TARGET.tag: other}

    def test_target_without_a_tag_is_refused(self):
        with pytest.raises(InvalidReferenceError, match=r"sagemaker-custom-pytorch has no tag .*\n  -> add ':tag'"):
            Two().mirror(target=replace(TARGET, tag=None))

    def test_another_digest_than_asked_for_is_told_before_anything_is_read(self):
        two = Two()
        with pytest.raises(DigestMismatchError, match=f"the image to mirror has the digest {two.digest}"):
            two.mirror(target=TARGET.with_digest(digest_of(b"another")))
        assert two.source.count("GET", "/blobs/") == 0

    def test_manifest_goes_only_after_the_last_blob(self):
        two = Two(source=StandingStill(digest_of(LAYERS[1])))
        done = []
        thread = threading.Thread(target=lambda: done.append(two.mirror()))
        thread.start()
        assert two.source.is_reached.wait(30)
        assert two.target.count("PUT", "/manifests/") == 0
        two.source.may_go_on.set()
        thread.join()
        assert done[0].reference.digest == two.tags[TARGET.tag]


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
        with pytest.raises(DigestMismatchError) as caught:
            two.mirror()
        assert caught.value.message.startswith(f"{NAMES}the registry sent something else for {digest}: it hashes to")
        assert two.tags == {}
        assert digest not in two.arrived

    def test_end_of_a_wrong_blob_is_never_sent(self):
        two = Two(layers=(b"x" * 5000,))
        digest = digest_of(b"x" * 5000)
        two.source.blobs[SOURCE.repository][digest] = b"x" * 4999 + b"y"

        class Recording(SharedRegistry):
            sent = 0

            def send(self, request):
                if request.method == "PUT" and digest.removeprefix("sha256:") in request.url:
                    for chunk in request.body:
                        self.sent += len(chunk)
                return super().send(request)

        two.target = Recording()
        with pytest.raises(DigestMismatchError):
            two.mirror()
        assert 0 < two.target.sent < 5000

    def test_refusal_of_the_target_is_told_and_stops_the_rest(self):
        two = Two(layers=tuple(bytes([number]) * 100 for number in range(50)))
        two.target.fail(403, times=1000, method="POST", code="DENIED", message="not yours")
        with pytest.raises(RegistryAccessDeniedError) as caught:
            two.mirror(workers=2)
        assert caught.value.message.startswith(f"{NAMES}cannot upload sha256:")
        assert caught.value.message.endswith("target.example.com answered 403 (DENIED: not yours)")
        assert two.target.count("POST") <= 2
        assert two.tags == {}
        assert two.bar.finished == 1

    @pytest.mark.parametrize("stands_still", ["source", "target"])
    def test_failure_is_told_while_another_blob_stands_still(self, stands_still):
        missing, still = digest_of(LAYERS[0]), digest_of(LAYERS[1])
        registry = StandingStill(still, "GET" if stands_still == "source" else "HEAD")
        two = Two(**{stands_still: registry})
        if stands_still == "target":
            two.target.put_blob(TARGET.repository, LAYERS[1])
        del two.source.blobs[SOURCE.repository][missing]
        with pytest.raises(RegistryError, match="BLOB_UNKNOWN"):
            two.mirror(workers=2)
        assert not registry.gave_up
        assert two.bar.finished == 1
        done = two.bar.done
        registry.may_go_on.set()
        for thread in mirroring_threads():
            thread.join()
        # The bar is gone, and may no longer be moved.
        assert two.bar.done == done

    def test_blob_on_its_way_ends_with_the_failure_of_another_one(self):
        missing, large = b"a" * 200, b"b" * 100
        two = Two(layers=(missing, large), source=Endless(digest_of(large)))
        del two.source.blobs[SOURCE.repository][digest_of(missing)]
        media_type, content = two.source.manifests[SOURCE.repository][two.digest]
        announced = content.replace(b'"size": 100', b'"size": 1000000000000000')
        two.source.put_manifest(SOURCE.repository, SOURCE.tag, announced, media_type)
        with pytest.raises(RegistryError, match="BLOB_UNKNOWN"):
            two.mirror(workers=2)
        assert announced != content
        assert mirroring_threads() == []

    @pytest.mark.parametrize("busy_side", ["source", "target"])
    def test_wait_for_a_registry_ends_with_the_failure_of_another_blob(self, busy_side):
        failing, busy = digest_of(b"a" * 200), digest_of(b"b" * 100)
        two = Two(layers=(b"a" * 200, b"b" * 100), source=StandingStill(failing))
        del two.source.blobs[SOURCE.repository][failing]
        registry = two.source if busy_side == "source" else two.target
        registry.fail(429, times=10**7, path=busy, headers={"Retry-After": "100"})

        def wait(seconds):
            # Only now the other blob fails; this one would be waited for almost forever.
            two.source.may_go_on.set()
            threading.Event().wait(0.001)

        client = registry.client(sleep=wait, attempts=10**6)
        with pytest.raises(RegistryError, match="BLOB_UNKNOWN"):
            two.mirror(workers=2, **{f"{busy_side}_registry": client})
        assert mirroring_threads() == []

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
