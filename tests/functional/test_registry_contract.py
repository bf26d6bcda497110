"""The same promises, kept by the registry in memory and by a real one."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tracemalloc
from dataclasses import dataclass

import pytest
from fakes.fake_registry import FakeRegistry
from registry_process import running_registry

from sagemaker_custom import oci
from sagemaker_custom.errors import DigestMismatchError, RegistryAccessDeniedError, RegistryError
from sagemaker_custom.reference import Digest, ImageReference, RegistryCredentials, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport

LOGIN = RegistryCredentials(username="someone", password="pass:wörd")
MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Site:
    """A registry and what is needed to reach it."""

    host: str
    transport: object
    scheme: str
    login: RegistryCredentials | None = None

    def client(self, **changes):
        arguments = {
            "transport": self.transport,
            "credentials": lambda host: self.login,
            "endpoint_for": lambda host: f"{self.scheme}://{host}",
            "sleep": lambda seconds: None,
        }
        return RegistryClient(**arguments | changes)


def fake_site(login=None):
    registry = FakeRegistry()
    registry.credentials = login
    return Site(host="fake.example.com", transport=registry, scheme="https", login=login)


@pytest.fixture(scope="module")
def process_site(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as registry, RequestsTransport(timeout_s=20) as http:
        yield Site(host=registry.host, transport=http, scheme="http")


@pytest.fixture(scope="module")
def guarded_process_site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with running_registry(folder, login=LOGIN) as registry, RequestsTransport(timeout_s=20) as http:
        yield Site(host=registry.host, transport=http, scheme="http", login=LOGIN)


@pytest.fixture(params=["fake", "process"])
def site(request):
    return fake_site() if request.param == "fake" else request.getfixturevalue("process_site")


@pytest.fixture(params=["fake", "process"])
def guarded_site(request):
    return fake_site(LOGIN) if request.param == "fake" else request.getfixturevalue("guarded_process_site")


@pytest.fixture
def image(site, request):
    """A reference in a repository of this test's own."""
    return ImageReference(registry=site.host, repository=f"team/{own_name(request)}", tag="1.0")


def own_name(request):
    return hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]


@pytest.fixture
def client(site):
    return site.client()


def upload(client, reference, content):
    digest = digest_of(content)
    sent = client.upload_blob(reference, digest, len(content), lambda: io.BytesIO(content))
    return {"digest": digest, "size": len(content)}, sent


def image_manifest(client, reference, *, oci_types=False, labels=None):
    kinds = (
        (oci.OCI_MANIFEST, oci.OCI_CONFIG, oci.OCI_LAYER)
        if oci_types
        else (oci.DOCKER_MANIFEST, oci.DOCKER_CONFIG, oci.DOCKER_LAYER)
    )
    config = {"architecture": "amd64", "os": "linux", "config": {"Labels": labels or {}}, "rootfs": {"type": "layers"}}
    config_blob, _ = upload(client, reference, json.dumps(config).encode())
    layer_blob, _ = upload(client, reference, gzip.compress(b"layer", mtime=0))
    document = {
        "schemaVersion": 2,
        "mediaType": kinds[0],
        "config": {"mediaType": kinds[1], **config_blob},
        "layers": [{"mediaType": kinds[2], **layer_blob}],
    }
    return Manifest(media_type=kinds[0], content=json.dumps(document).encode())


class TestManifests:
    def test_an_image_that_is_not_there_is_absent(self, client, image):
        assert client.find(image) is None
        assert client.manifest(image) is None
        assert client.image_config(image) is None
        assert client.find(image.with_digest(digest_of(b"none"))) is None

    @pytest.mark.parametrize("oci_types", [False, True])
    def test_what_was_pushed_is_found_by_tag_and_by_digest(self, client, image, oci_types):
        manifest = image_manifest(client, image, oci_types=oci_types, labels={"a": "b"})
        digest = client.put_manifest(image, manifest)
        assert digest == manifest.digest == client.find(image)
        assert client.find(image.with_digest(digest)) == digest
        assert client.manifest(image) == client.manifest(image.with_digest(digest)) == manifest
        assert oci.labels(client.image_config(image)) == {"a": "b"}

    def test_an_absent_tag_in_a_repository_that_exists_is_absent(self, client, image):
        client.put_manifest(image, image_manifest(client, image))
        assert client.find(image.with_tag("2.0")) is None

    def test_the_config_behind_an_index_is_that_of_the_platform(self, client, image):
        manifest = image_manifest(client, image, oci_types=True, labels={"for": "amd64"})
        pinned = ImageReference(registry=image.registry, repository=image.repository, digest=manifest.digest)
        client.put_manifest(pinned, manifest)
        entry = {"mediaType": manifest.media_type, "digest": manifest.digest, "size": len(manifest.content)}
        index = {
            "schemaVersion": 2,
            "mediaType": oci.OCI_INDEX,
            "manifests": [{**entry, "platform": {"os": "linux", "architecture": "amd64"}}],
        }
        client.put_manifest(image, Manifest(media_type=oci.OCI_INDEX, content=json.dumps(index).encode()))
        assert oci.labels(client.image_config(image)) == {"for": "amd64"}
        with pytest.raises(RegistryError, match="does not exist for linux/arm64"):
            client.image_config(image, architecture="arm64")

    def test_an_oci_image_is_rewritten_as_docker_schema_2(self, client, image):
        manifest = image_manifest(client, image, oci_types=True)
        content = oci.to_docker_schema2(oci.parse_manifest(manifest.media_type, manifest.content))
        client.put_manifest(image, Manifest(media_type=oci.DOCKER_MANIFEST, content=content))
        assert client.manifest(image).media_type == oci.DOCKER_MANIFEST

    def test_all_tags_of_a_repository_are_listed_and_none_of_an_absent_one(self, client, image):
        assert client.tags(image) == ()
        manifest = image_manifest(client, image)
        for name in (image.tag, "b", "a", "c.1"):
            client.put_manifest(image.with_tag(name), manifest)
        assert client.tags(image) == tuple(sorted(["a", "b", "c.1", image.tag]))

    def test_a_manifest_without_its_blobs_is_refused(self, client, image):
        config = {"mediaType": oci.DOCKER_CONFIG, "digest": digest_of(b"none"), "size": 4}
        document = {"schemaVersion": 2, "mediaType": oci.DOCKER_MANIFEST, "config": config, "layers": []}
        with pytest.raises(RegistryError, match=r"cannot push .*MANIFEST_BLOB_UNKNOWN.*\n.*not have all layers"):
            client.put_manifest(image, Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(document).encode()))

    def test_removing_a_tag_never_takes_the_image(self, client, image):
        digest = client.put_manifest(image, image_manifest(client, image))
        removed = client.remove_tag(image)
        assert client.find(image.with_digest(digest)) == digest
        assert (client.find(image) is None) is removed


class TestBlobs:
    @pytest.mark.parametrize("content", [b"", b"x", bytes(1000), bytes(range(256)) * 4096])
    def test_what_was_uploaded_is_read_back(self, client, image, content):
        blob, sent = upload(client, image, content)
        assert sent is True
        assert client.has_blob(image, blob["digest"]) is True
        assert b"".join(client.read_blob(image, blob["digest"], size=len(content))) == content

    def test_a_blob_that_is_there_is_not_sent_again(self, client, image):
        upload(client, image, b"once")
        assert upload(client, image, b"once")[1] is False

    def test_a_blob_that_is_not_there_is_absent(self, client, image):
        assert client.has_blob(image, digest_of(b"none")) is False
        with pytest.raises(RegistryError, match="BLOB_UNKNOWN"):
            list(client.read_blob(image, digest_of(b"none")))

    def test_content_that_is_not_its_digest_is_refused(self, client, image):
        with pytest.raises(DigestMismatchError, match="DIGEST_INVALID"):
            client.upload_blob(image, digest_of(b"said"), 4, lambda: io.BytesIO(b"sent"))
        assert client.has_blob(image, digest_of(b"said")) is False

    def test_a_blob_is_mounted_from_another_repository(self, client, image):
        source = ImageReference(registry=image.registry, repository=f"{image.repository}-source")
        blob, _ = upload(client, source, image.repository.encode())
        assert client.has_blob(image, blob["digest"]) is False
        assert client.mount_blob(image, blob["digest"], source_repository=source.repository) is True
        assert b"".join(client.read_blob(image, blob["digest"])) == image.repository.encode()

    def test_a_blob_that_the_source_does_not_have_is_not_mounted(self, client, image):
        assert client.mount_blob(image, digest_of(b"none"), source_repository="team/other") is False
        assert client.has_blob(image, digest_of(b"none")) is False


class TestPathPrefix:
    def test_a_prefix_of_the_endpoint_comes_before_the_repository(self, site, request):
        name = own_name(request)
        prefixed = site.client(endpoint_for=lambda host: f"{site.scheme}://{site.host}/mirror/{name}")
        image = ImageReference(registry="ecr.example.com", repository="x", tag="1")
        digest = prefixed.put_manifest(image, image_manifest(prefixed, image))
        same = ImageReference(registry=site.host, repository=f"mirror/{name}/x", tag="1")
        assert site.client().find(same) == digest


class TestPasswords:
    def test_a_whole_push_and_pull_with_a_password(self, guarded_site, request):
        client = guarded_site.client()
        image = ImageReference(registry=guarded_site.host, repository=own_name(request), tag="1")
        digest = client.put_manifest(image, image_manifest(client, image, labels={"x": "y"}))
        assert client.find(image) == digest
        assert oci.labels(client.image_config(image)) == {"x": "y"}

    @pytest.mark.parametrize("login", [None, RegistryCredentials(username="someone", password="wrong-one")])
    def test_a_wrong_password_is_not_an_absent_image(self, guarded_site, login):
        client = guarded_site.client(credentials=lambda host: login)
        image = ImageReference(registry=guarded_site.host, repository="x", tag="1")
        for refused in (client.find, client.manifest, client.image_config, client.remove_tag):
            with pytest.raises(RegistryAccessDeniedError, match=r"answered 401") as caught:
                refused(image)
            assert "wrong-one" not in str(caught.value)
        with pytest.raises(RegistryAccessDeniedError, match="ecr:InitiateLayerUpload, ecr:UploadLayerPart"):
            upload(client, image, b"content")


class TestMemory:
    def test_64_mib_are_uploaded_and_read_back_in_bounded_memory(self, process_site, tmp_path):
        size, block = 64 * MIB, bytes(range(256)) * 4096
        path, hasher = tmp_path / "layer", hashlib.sha256()
        with path.open("wb") as file:
            for number in range(size // MIB):
                piece = number.to_bytes(4, "big") + block[4:]
                hasher.update(piece)
                file.write(piece)
        digest = Digest(f"sha256:{hasher.hexdigest()}")
        image = ImageReference(registry=process_site.host, repository="big", tag="1")
        client = process_site.client()
        tracemalloc.start()
        try:
            assert client.upload_blob(image, digest, size, lambda: path.open("rb")) is True
            received = sum(len(chunk) for chunk in client.read_blob(image, digest, size=size))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert received == size
        assert peak < 16 * MIB
