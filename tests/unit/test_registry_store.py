"""What a registry holds: the registry is asked each time whether an image is there, and once what its labels are."""

from __future__ import annotations

import pytest
from fakes.fake_registry import FakeRegistry

from sagemaker_custom import oci
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import RegistryAccessDeniedError, RegistryUnavailableError
from sagemaker_custom.reference import ImageReference

IMAGE = ImageReference.parse("registry.example.com/sagemaker-custom-pytorch:2.3-abc")
NAME, TAG = "sagemaker-custom-pytorch", "2.3-abc"


@pytest.fixture
def registry():
    return FakeRegistry()


def requests(registry) -> list[str]:
    made = [call.method for call in registry.calls]
    registry.calls.clear()
    return made


def test_an_image_that_is_known_takes_one_request(registry, tmp_path):
    digest = registry.put_image(NAME, TAG, labels={"a": "1"})
    first = RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE)
    assert requests(registry) == ["HEAD", "GET", "GET"]

    second = RegistryStore(registry.client(), cache_dir=str(tmp_path)).find(IMAGE)

    assert requests(registry) == ["HEAD"]
    assert second == first
    assert (second.digest, second.labels) == (digest, {"a": "1"})


def test_without_a_cache_the_labels_are_read_each_time(registry):
    registry.put_image(NAME, TAG, labels={"a": "1"})

    for _ in range(2):
        RegistryStore(registry.client()).find(IMAGE)
        assert requests(registry) == ["HEAD", "GET", "GET"]


def test_another_image_under_the_tag_has_labels_of_its_own(registry, tmp_path):
    store = RegistryStore(registry.client(), cache_dir=tmp_path)
    registry.put_image(NAME, TAG, labels={"a": "1"})
    store.find(IMAGE)

    digest = registry.put_image(NAME, TAG, labels={"a": "2"})

    assert store.find(IMAGE).labels == {"a": "2"}
    assert store.find(IMAGE).digest == digest


def test_an_image_that_was_deleted_is_missing_whatever_is_remembered(registry, tmp_path):
    store = RegistryStore(registry.client(), cache_dir=tmp_path)
    registry.put_image(NAME, TAG, labels={"a": "1"})
    store.find(IMAGE)

    registry.client().remove_tag(IMAGE)

    assert store.find(IMAGE) is None


def test_what_is_remembered_never_takes_the_place_of_an_answer(registry, tmp_path):
    store = RegistryStore(registry.client(attempts=1), cache_dir=tmp_path)
    registry.put_image(NAME, TAG, labels={"a": "1"})
    store.find(IMAGE)

    registry.fail(403, times=9, code="DENIED", message="no")
    with pytest.raises(RegistryAccessDeniedError):
        store.find(IMAGE)
    registry.fail(503, times=9)
    with pytest.raises((RegistryAccessDeniedError, RegistryUnavailableError)):
        store.find(IMAGE)


@pytest.mark.parametrize("media_type", [oci.OCI_MANIFEST, oci.OCI_INDEX, oci.DOCKER_MANIFEST])
def test_images_of_all_kinds_are_remembered(registry, tmp_path, media_type):
    registry.put_image(NAME, TAG, labels={"a": "ü"}, media_type=media_type)
    found = [RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE) for _ in range(2)]

    assert found[0] == found[1]
    assert found[1].labels == {"a": "ü"}


def test_an_image_without_labels_is_remembered_as_such(registry, tmp_path):
    registry.put_image(NAME, TAG)
    for wanted in (["HEAD", "GET", "GET"], ["HEAD"]):
        assert RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE).labels == {}
        assert requests(registry) == wanted


def test_damaged_labels_are_read_anew(registry, tmp_path):
    registry.put_image(NAME, TAG, labels={"fingerprint": "aaaa"})
    RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE)
    (kept,) = (tmp_path / "labels").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"aaaa", b"bbbb"))

    assert RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE).labels == {"fingerprint": "aaaa"}


def test_labels_that_others_could_have_written_are_not_believed(registry, tmp_path):
    registry.put_image(NAME, TAG, labels={"a": "1"})
    RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE)
    (kept,) = (tmp_path / "labels").iterdir()
    kept.chmod(0o666)
    requests(registry)

    RegistryStore(registry.client(), cache_dir=tmp_path).find(IMAGE)

    assert requests(registry) == ["HEAD", "GET", "GET"]


def test_a_cache_that_cannot_be_written_costs_requests_alone(registry, tmp_path):
    (tmp_path / "cache").write_text("a file")
    registry.put_image(NAME, TAG, labels={"a": "1"})

    for _ in range(2):
        assert RegistryStore(registry.client(), cache_dir=tmp_path / "cache").find(IMAGE).labels == {"a": "1"}
