"""A staging tag becomes the final one on a real registry."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass

import pytest
from registry_process import running_registry

from sagemaker_custom import oci
from sagemaker_custom.builders.promotion import promote
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import RegistryError, TagConflictError
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport

_FINGERPRINT = "a" * 64


@dataclass
class Bench:
    client: RegistryClient
    staging: ImageReference
    final: ImageReference

    def push(self, reference, *, fingerprint=_FINGERPRINT, is_oci=False, layer=b"layer", index=False):
        """Push an image of one layer and return its manifest."""
        config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {FINGERPRINT_LABEL: fingerprint}}}
        kinds = (oci.OCI_CONFIG, oci.OCI_LAYER) if is_oci else (oci.DOCKER_CONFIG, oci.DOCKER_LAYER)
        manifest_type = oci.OCI_MANIFEST if is_oci else oci.DOCKER_MANIFEST
        document = {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": self._blob(json.dumps(config).encode(), kinds[0]),
            "layers": [self._blob(gzip.compress(layer, mtime=0), kinds[1])],
        }
        manifest = Manifest(media_type=manifest_type, content=json.dumps(document).encode())
        if not index:
            self.client.put_manifest(reference, manifest)
            return manifest
        self.client.put_manifest(
            ImageReference(registry=reference.registry, repository=reference.repository, digest=manifest.digest),
            manifest,
        )
        entry = {"mediaType": manifest_type, "digest": manifest.digest, "size": len(manifest.content)}
        entries = [entry | {"platform": {"os": "linux", "architecture": "amd64"}}]
        document = {"schemaVersion": 2, "mediaType": oci.OCI_INDEX, "manifests": entries}
        self.client.put_manifest(reference, Manifest(media_type=oci.OCI_INDEX, content=json.dumps(document).encode()))
        return manifest

    def promote(self, fingerprint=_FINGERPRINT):
        return promote(self.client, staging=self.staging, final=self.final, fingerprint=fingerprint)

    def _blob(self, content, media_type):
        digest = digest_of(content)
        self.client.upload_blob(self.staging, digest, len(content), lambda: io.BytesIO(content))
        return {"mediaType": media_type, "digest": digest, "size": len(content)}


@pytest.fixture
def bench(tmp_path):
    with running_registry(tmp_path) as registry, RequestsTransport() as transport:
        client = RegistryClient(
            transport=transport, credentials=lambda host: None, endpoint_for=lambda host: f"http://{host}"
        )
        staging = ImageReference.parse(f"{registry.host}/sagemaker-custom-pytorch:staging-1")
        yield Bench(client, staging, staging.with_tag("2.3.0-final"))


def test_a_docker_manifest_keeps_its_digest(bench):
    pushed = bench.push(bench.staging)

    assert bench.promote() == pushed.digest == bench.client.find(bench.final)
    assert RegistryStore(bench.client).find(bench.final).labels == {FINGERPRINT_LABEL: _FINGERPRINT}


@pytest.mark.parametrize("index", [True, False])
def test_oci_becomes_docker_schema_2(bench, index):
    bench.push(bench.staging, is_oci=True, index=index)

    bench.promote()

    manifest = bench.client.manifest(bench.final)
    assert manifest.media_type == oci.DOCKER_MANIFEST
    parsed = oci.parse_manifest(manifest.media_type, manifest.content)
    assert [layer.media_type for layer in parsed.layers] == [oci.DOCKER_LAYER]
    assert RegistryStore(bench.client).find(bench.final).digest == manifest.digest


def test_another_process_was_first_with_the_same_fingerprint(bench):
    theirs = bench.push(bench.final, layer=b"theirs")
    bench.push(bench.staging, layer=b"ours")

    assert bench.promote() == theirs.digest
    assert bench.client.find(bench.final) == theirs.digest


def test_the_tag_holds_another_fingerprint(bench):
    theirs = bench.push(bench.final, fingerprint="b" * 64)
    bench.push(bench.staging)

    with pytest.raises(TagConflictError, match=f"the fingerprint {'b' * 64}, not {'a' * 64}") as caught:
        bench.promote()

    assert "remove that tag" in caught.value.hint
    assert bench.client.find(bench.final) == theirs.digest


def test_what_was_pushed_has_another_fingerprint(bench):
    bench.push(bench.staging, fingerprint="b" * 64)

    with pytest.raises(RegistryError, match="was pushed with the fingerprint bbb"):
        bench.promote()

    assert bench.client.find(bench.final) is None


def test_nothing_was_pushed(bench):
    with pytest.raises(RegistryError, match="did not reach the registry whole: its tag is not there"):
        bench.promote()
