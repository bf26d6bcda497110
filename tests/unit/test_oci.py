"""Manifests, indexes and configs: what is read from them, and what is refused."""

from __future__ import annotations

import contextlib
import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom import oci
from sagemaker_custom.errors import RegistryError
from sagemaker_custom.reference import Digest

CONFIG = Digest("sha256:" + "c" * 64)
LAYER = Digest("sha256:" + "1" * 64)
AMD = Digest("sha256:" + "a" * 64)
ARM = Digest("sha256:" + "b" * 64)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
descriptor_like = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.sampled_from([oci.OCI_LAYER, oci.OCI_CONFIG]) | json_values,
        "digest": st.just(LAYER) | json_values,
        "size": st.integers() | json_values,
        "platform": st.fixed_dictionaries({}, optional={"os": json_values, "architecture": json_values}) | json_values,
    },
)
document_like = st.fixed_dictionaries(
    {},
    optional={
        "config": descriptor_like | json_values,
        "layers": st.lists(descriptor_like, max_size=2) | json_values,
        "manifests": st.lists(descriptor_like, max_size=2) | json_values,
    },
)
contents = st.binary() | (document_like | json_values).map(lambda value: json.dumps(value).encode())


def described(digest=LAYER, media_type=oci.OCI_LAYER, size=7, **more):
    return {"mediaType": media_type, "digest": digest, "size": size, **more}


def encoded(**document):
    return json.dumps({"schemaVersion": 2, **document}).encode()


def oci_image(**changes):
    config = described(CONFIG, oci.OCI_CONFIG, annotations={"a": "b"})
    return encoded(**{"config": config, "layers": [described()], "annotations": {"x": "y"}} | changes)


def index_of(*platforms):
    manifests = [
        described(digest, oci.OCI_MANIFEST, platform={"os": os, "architecture": architecture})
        for digest, os, architecture in platforms
    ]
    return oci.parse_index(oci.OCI_INDEX, encoded(manifests=manifests))


class TestParseManifest:
    def test_config_and_layers_are_kept_in_order(self):
        manifest = oci.parse_manifest(oci.OCI_MANIFEST, oci_image(layers=[described(AMD), described(ARM)]))
        assert manifest.config == oci.Descriptor(media_type=oci.OCI_CONFIG, digest=CONFIG, size=7)
        assert [layer.digest for layer in manifest.layers] == [AMD, ARM]

    def test_schema_1_is_refused_by_its_media_type(self):
        with pytest.raises(RegistryError, match=r"manifest of h/x:1 has the media type '.*v1\+prettyjws'"):
            oci.parse_manifest("application/vnd.docker.distribution.manifest.v1+prettyjws", oci_image(), name="h/x:1")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "manifest of h/x:1 is malformed: Invalid JSON"),
            (b"\xff\xfe", "manifest of h/x:1 is malformed: Invalid JSON"),
            (b"[" * 100_000, "manifest of h/x:1 is malformed: Invalid JSON"),
            (b"[]", "manifest of h/x:1 is malformed"),
            (encoded(layers=[]), "malformed: config: Field required"),
            (oci_image(layers=None), "malformed: layers: Input should be a valid"),
            (oci_image(layers=[described(size="7")]), r"malformed: layers\.0\.size"),
            (oci_image(layers=[described(size=-1)]), r"malformed: layers\.0\.size"),
            (oci_image(layers=[described("sha256:../x")]), r"malformed: layers\.0\.digest"),
        ],
    )
    def test_a_malformed_manifest_is_refused_with_the_place(self, content, message):
        with pytest.raises(RegistryError, match=message):
            oci.parse_manifest(oci.OCI_MANIFEST, content, name="h/x:1")

    @given(content=contents, media_type=st.sampled_from([*oci.MANIFEST_TYPES, *oci.INDEX_TYPES]) | st.text())
    def test_any_bytes_give_a_value_or_a_registry_error(self, content, media_type):
        for parse in (oci.parse_manifest, oci.parse_index):
            with contextlib.suppress(RegistryError):
                assert isinstance(parse(media_type, content), oci.ImageManifest | oci.ImageIndex)


class TestSelectPlatform:
    def test_attestations_are_not_images(self):
        index = index_of((ARM, "unknown", "unknown"), (AMD, "linux", "amd64"))
        assert oci.select_platform(index).digest == AMD

    def test_the_architecture_that_was_asked_for_is_chosen(self):
        index = index_of((AMD, "linux", "amd64"), (ARM, "linux", "arm64"))
        assert oci.select_platform(index, architecture="arm64").digest == ARM

    def test_a_missing_platform_is_refused_with_those_on_offer(self):
        index = index_of((ARM, "linux", "arm64"), (AMD, "windows", "amd64"), (LAYER, "unknown", "unknown"))
        with pytest.raises(RegistryError) as caught:
            oci.select_platform(index, name="h/x:1")
        assert str(caught.value) == (
            "h/x:1 does not exist for linux/amd64\n"
            "  -> it exists for linux/arm64, windows/amd64; choose one, or another image"
        )

    def test_an_entry_without_a_platform_is_not_guessed_to_be_one(self):
        index = oci.parse_index(oci.DOCKER_INDEX, encoded(manifests=[described(AMD, oci.DOCKER_MANIFEST)]))
        with pytest.raises(RegistryError, match="does not exist for linux/amd64"):
            oci.select_platform(index)

    @pytest.mark.parametrize(
        ("media_type", "expected"),
        [(oci.OCI_INDEX, True), (oci.DOCKER_INDEX, True), (oci.OCI_MANIFEST, False), (oci.DOCKER_MANIFEST, False)],
    )
    def test_indexes_are_told_by_their_media_type(self, media_type, expected):
        assert oci.is_index(media_type) is expected

    def test_a_manifest_is_not_read_as_an_index(self):
        with pytest.raises(RegistryError, match="of h/x:1 is not that of an image index"):
            oci.parse_index(oci.OCI_MANIFEST, oci_image(), name="h/x:1")


class TestToDockerSchema2:
    def test_oci_media_types_become_dockers(self):
        document = json.loads(oci.to_docker_schema2(oci.parse_manifest(oci.OCI_MANIFEST, oci_image())))
        assert document == {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": described(CONFIG, "application/vnd.docker.container.image.v1+json"),
            "layers": [described(LAYER, "application/vnd.docker.image.rootfs.diff.tar.gzip")],
        }

    def test_an_oci_image_and_its_docker_form_give_the_same_bytes(self):
        once = oci.to_docker_schema2(oci.parse_manifest(oci.OCI_MANIFEST, oci_image()))
        assert oci.to_docker_schema2(oci.parse_manifest(oci.DOCKER_MANIFEST, once)) == once
        assert once.startswith(b'{"config":{"digest":"sha256:cccc')

    @pytest.mark.parametrize(
        "media_type",
        [
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            oci.OCI_CONFIG,
        ],
    )
    def test_a_layer_that_sagemaker_refuses_is_named_with_what_it_accepts(self, media_type):
        manifest = oci.parse_manifest(oci.OCI_MANIFEST, oci_image(layers=[described(LAYER, media_type)]))
        with pytest.raises(RegistryError) as caught:
            oci.to_docker_schema2(manifest)
        assert f"{LAYER} has the media type {media_type!r}, which SageMaker hosting refuses" in str(caught.value)
        assert "gzip layers (application/vnd.docker.image.rootfs.diff.tar.gzip)" in str(caught.value)

    def test_an_artifact_is_not_an_image(self):
        helm = described(CONFIG, "application/vnd.cncf.helm.config.v1+json")
        manifest = oci.parse_manifest(oci.OCI_MANIFEST, oci_image(config=helm))
        with pytest.raises(RegistryError, match=r"helm\.config.*which SageMaker hosting refuses"):
            oci.to_docker_schema2(manifest)


class TestConfig:
    @pytest.mark.parametrize("document", [{}, {"config": None}, {"config": {}}, {"config": {"Labels": None}}])
    def test_an_image_may_have_no_labels(self, document):
        assert oci.labels(document) == {}

    def test_labels_are_returned(self):
        assert oci.labels({"config": {"Labels": {"a": "b"}, "Env": ["X=1"]}}) == {"a": "b"}

    def test_labels_that_are_no_texts_are_refused_without_quoting_them(self):
        document = {"config": {"Labels": {"a": 987654}}}
        with pytest.raises(RegistryError, match=r"config is malformed: config\.Labels\.a") as caught:
            oci.labels(document)
        assert "987654" not in "".join(traceback.format_exception(caught.value))

    def test_a_config_that_is_no_object_is_refused(self):
        with pytest.raises(RegistryError, match="the config of h/x:1 is malformed"):
            oci.parse_config(b"[1]", name="h/x:1")

    @given(contents)
    def test_any_bytes_give_labels_or_a_registry_error(self, content):
        with contextlib.suppress(RegistryError):
            found = oci.labels(oci.parse_config(content))
            assert all(isinstance(text, str) for pair in found.items() for text in pair)
