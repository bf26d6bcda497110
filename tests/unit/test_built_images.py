"""What a registry's images say of themselves, and what is said of those that say nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from fakes.fake_registry import FakeRegistry

from sagemaker_custom import oci
from sagemaker_custom.built_images import as_document, list_images
from sagemaker_custom.errors import ImageNotInCatalogError, RegistryAccessDeniedError
from sagemaker_custom.reference import ImageReference

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
REPOSITORY = ImageReference(registry=HOST, repository="sagemaker-custom-pytorch")
BASE = ImageReference.parse("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311")
BASES = {"pytorch-training:2.3.0-cpu-py311": BASE}
TAG = "2.3.0-training-cpu-py311-faiss-" + "ab" * 10


def labels(base_digest="sha256:" + "1" * 64):
    return {
        "sagemaker-custom.fingerprint": "ab" * 32,
        "sagemaker-custom.base": "pytorch-training:2.3.0-cpu-py311",
        "sagemaker-custom.base-digest": base_digest,
        "sagemaker-custom.builder": "buildkit",
    }


@pytest.fixture
def registry():
    return FakeRegistry()


def images(registry, **changes):
    return list_images([REPOSITORY], registry=registry.client(), **{"prefix": "sagemaker-custom"} | changes)


def test_extended_image_is_told_by_its_labels_and_its_tag(registry):
    registry.put_image(REPOSITORY.repository, TAG, labels=labels(), layers=(b"x" * 1000, b"y" * 500))
    [image] = images(registry)
    assert (image.kind, image.framework, image.version, image.extras) == ("extended", "pytorch", "2.3.0", "faiss")
    assert (image.image_scope, image.processor, image.py_version) == ("training", "cpu", "py311")
    assert (image.base, image.builder, image.size) == ("pytorch-training:2.3.0-cpu-py311", "buildkit", 1500)
    assert image.base_state is None
    assert as_document(image)["reference"] == f"{HOST}/sagemaker-custom-pytorch:{TAG}"


def test_mirrored_bases_and_others_are_told_as_such(registry):
    registry.put_image(REPOSITORY.repository, "base-training-2.3.0-cpu-py311")
    registry.put_image(REPOSITORY.repository, "mine")
    assert {image.reference.tag: image.kind for image in images(registry)} == {
        "base-training-2.3.0-cpu-py311": "mirrored base",
        "mine": "other",
    }


def test_one_that_cannot_be_read_hides_no_other(registry):
    registry.put_image(REPOSITORY.repository, TAG, labels=labels())
    registry.put_manifest(REPOSITORY.repository, "broken", b"{}", oci.DOCKER_MANIFEST)
    by_tag = {image.reference.tag: image for image in images(registry)}
    assert by_tag[TAG].kind == "extended"
    assert by_tag["broken"].kind == "unreadable"
    assert "malformed" in by_tag["broken"].problem


@pytest.mark.parametrize("count", [0, 1, 7])
def test_tags_of_all_pages_are_listed(registry, count):
    registry.tags_a_page = 3
    for number in range(count):
        registry.put_image(REPOSITORY.repository, f"t{number}")
    assert len(images(registry)) == count


def test_repository_that_may_not_be_listed_is_an_error(registry):
    registry.fail(403, times=9, path="/tags/", code="DENIED", message="no")
    with pytest.raises(RegistryAccessDeniedError, match=r"cannot list the tags of .*\n.*ecr:ListImages"):
        images(registry)


class TestBase:
    def compared(self, registry, built_on, base_of=BASES.__getitem__):
        registry.put_image(REPOSITORY.repository, TAG, labels=labels(built_on))
        [image] = images(registry, base_of=base_of)
        return image

    def state(self, registry, built_on):
        image = self.compared(registry, built_on)
        assert image.base_problem is None
        return image.base_state

    def test_base_that_is_the_same(self, registry):
        assert self.state(registry, registry.put_image(BASE.repository, BASE.tag)) == "same"

    def test_base_that_was_published_anew(self, registry):
        registry.put_image(BASE.repository, BASE.tag, layers=(b"patched",))
        assert self.state(registry, "sha256:" + "1" * 64) == "moved"

    def test_base_that_is_no_longer_there(self, registry):
        registry.put_image(BASE.repository, "another")
        assert self.state(registry, "sha256:" + "1" * 64) == "gone"

    def test_base_that_may_not_be_asked_for_is_unknown_and_not_unchanged(self, registry):
        registry.fail(403, times=9, path=f"/{BASE.repository}/", code="DENIED", message="no")
        image = self.compared(registry, "sha256:" + "1" * 64)
        assert image.base_state == "unknown"
        assert str(BASE) in image.base_problem

    def test_base_that_the_catalog_cannot_place_is_unknown_for_its_reason(self, registry):
        def base_of(name):
            raise ImageNotInCatalogError(f"AWS does not publish {name} in cn-north-1")

        image = self.compared(registry, "sha256:" + "1" * 64, base_of)
        assert image.base_state == "unknown"
        assert image.base_problem == "AWS does not publish pytorch-training:2.3.0-cpu-py311 in cn-north-1"
        assert as_document(image)["base_problem"] == image.base_problem

    def test_image_that_does_not_say_its_bases_digest_is_unknown(self, registry):
        said = labels()
        del said["sagemaker-custom.base-digest"]
        registry.put_image(REPOSITORY.repository, TAG, labels=said)
        [image] = images(registry, base_of=BASES.__getitem__)
        assert (image.base_state, image.base_problem) == (
            "unknown",
            "its labels do not say which base it was built on",
        )

    def test_nothing_is_said_of_the_bases_of_images_that_are_not_ours(self, registry):
        registry.put_image(REPOSITORY.repository, "base-training-2.3.0-cpu-py311")
        registry.put_image(REPOSITORY.repository, "mine")
        found = images(registry, base_of=BASES.__getitem__)
        assert [(image.base_state, image.base_problem) for image in found] == [(None, None)] * 2

    def test_base_of_many_images_is_asked_for_once(self, registry):
        digest = registry.put_image(BASE.repository, BASE.tag)
        for number in range(5):
            registry.put_image(REPOSITORY.repository, f"{TAG[:-1]}{number}", labels=labels(digest))
        asked = []

        def base_of(name):
            asked.append(name)
            return BASES[name]

        assert [image.base_state for image in images(registry, base_of=base_of)] == ["same"] * 5
        assert asked == ["pytorch-training:2.3.0-cpu-py311"]


@pytest.mark.parametrize(
    ("text", "created"),
    [
        ("2026-11-21T05:06:07.123456789Z", datetime(2026, 11, 21, 5, 6, 7, tzinfo=timezone.utc)),
        ("2026-11-21T05:06:07Z", datetime(2026, 11, 21, 5, 6, 7, tzinfo=timezone.utc)),
        ("2026-11-21T05:06:07.5+02:00", datetime(2026, 11, 21, 5, 6, 7, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-11-21T05:06:07", datetime(2026, 11, 21, 5, 6, 7, tzinfo=timezone.utc)),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_every_way_of_writing_the_time_is_read(registry, text, created):
    registry.put_image(REPOSITORY.repository, TAG, labels=labels(), created=text)
    [image] = images(registry)
    assert image.created == created
