"""A seed → one append build and one pull over a network with the faults that follow from it, and what became of both.

The base is mirrored, the layers are appended, uploaded and put under their tag, and the image is read again, as ever;
what a person sees is compared with what the registry has on its disk.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fakes.append_parts import FakeCheck, FakeInventories, FakeLayers, FakeResolver, FakeWheels, locked
from fakes.example_plan import BASE, example_plan
from faulty_proxy import DAMAGE, REFUSALS, SILENCE, TRANSIENT_FAULTS, faulty

from sagemaker_custom import oci
from sagemaker_custom.builders.append import AppendBuilder, AppendParts
from sagemaker_custom.builders.append_bases import BaseLibrary
from sagemaker_custom.builders.blob_places import BlobPlaces
from sagemaker_custom.errors import ImageMissingError, SageMakerCustomError
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport

HOST = "registry.example.com"
BASE_REFERENCE = ImageReference(registry=HOST, repository=BASE.repository, tag=BASE.tag)
ATTEMPTS = 12


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What a seed brings."""

    name: str
    kinds: tuple[str, ...]
    share: float
    most: int | None = 3
    """How often one request fails; ``None``: until the end."""
    begins_at: int = 0
    timeout_s: float = 20.0

    @property
    def must_succeed(self):
        """Whether a client gets there by trying again."""
        return self.name in {"transient", "silent"}


def weather_of(seed):
    """Of twenty seeds 12 bring what passes, 1 silence, 3 damaged content, 3 what stays, 1 a refusal."""
    chance, number = random.Random(f"weather {seed}"), seed % 20
    if number < 12:
        return Weather(name="transient", kinds=TRANSIENT_FAULTS, share=chance.uniform(0.05, 0.4))
    if number == 12:
        return Weather(name="silent", kinds=(SILENCE,), share=0.04, most=1, timeout_s=0.4)
    if number < 16:
        kinds = (*DAMAGE, *DAMAGE, *TRANSIENT_FAULTS)
        return Weather(name="damaged", kinds=kinds, share=chance.uniform(0.05, 0.25), most=2)
    begins_at = chance.randrange(50)
    if number < 19:
        kind = chance.choice((*(kind for kind in TRANSIENT_FAULTS if kind != "trickle"), "wrong", "short"))
        return Weather(name="lasting", kinds=(kind,), share=1.0, most=None, begins_at=begins_at)
    return Weather(name="refused", kinds=(chance.choice(REFUSALS),), share=1.0, most=None, begins_at=begins_at)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a run."""

    weather: Weather
    error: SageMakerCustomError | None
    """What the build, or the pull, was ended by."""
    happened: dict[str, int]
    """How many faults there were, by kind."""


def client_for(url, transport):
    return RegistryClient(
        transport=transport,
        credentials=lambda host: None,
        endpoint_for=lambda host: url,
        attempts=ATTEMPTS,
        sleep=lambda seconds: None,
    )


@contextmanager
def client_at(url, timeout_s=20.0):
    with RequestsTransport(timeout_s=timeout_s) as transport:
        yield client_for(url, transport)


def push_base(client):
    """Put a base whose layers are what they are said to be."""
    layers = [random.Random(number).randbytes(size) for number, size in enumerate((300_000, 5_000))]
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/opt/conda/bin:/bin"], "Labels": {"of": "aws"}},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        "history": [{"created_by": "ADD rootfs"}, {"created_by": "RUN something"}],
    }

    def put(content, media_type):
        client.upload_blob(BASE_REFERENCE, digest_of(content), len(content), lambda: io.BytesIO(content))
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    document = {
        "schemaVersion": 2,
        "mediaType": oci.DOCKER_MANIFEST,
        "config": put(json.dumps(config).encode(), oci.DOCKER_CONFIG),
        "layers": [put(gzip.compress(layer, mtime=0), oci.DOCKER_LAYER) for layer in layers],
    }
    content = json.dumps(document).encode()
    client.put_manifest(BASE_REFERENCE, Manifest(media_type=oci.DOCKER_MANIFEST, content=content))
    return document


def plan_of(seed):
    fingerprint = hashlib.sha256(f"plan {seed}".encode()).hexdigest()
    plan = example_plan(host=HOST, base_host=HOST, fingerprint=fingerprint)
    return replace(plan, reference=replace(plan.reference, repository=f"run-{seed}"))


def build(client, plan, folder):
    """Build as the append builder does; only what makes the layers is a stand-in."""

    def mirror(source, target, platform):
        return mirror_image(
            source,
            target,
            source_registry=client,
            target_registry=client,
            progress=NoProgress(),
            platform=platform,
        ).reference

    parts = AppendParts(
        registry=client,
        bases=BaseLibrary(client, ensure_repository=lambda reference: None, mirror=mirror),
        inventories=FakeInventories(),
        resolver=FakeResolver(locked("tiny"), locked(f"helper-{plan.reference.repository}")),
        wheels=FakeWheels(folder),
        layers=FakeLayers(folder),
        places=BlobPlaces(folder / "places"),
        check=FakeCheck(),
        check_statically=lambda *arguments: None,
    )
    return AppendBuilder(parts, version="1.2.3").build(plan)


def pull(client, reference):
    """Read an image as whoever runs it does: all of its bytes, by digest."""
    manifest = client.manifest(reference.with_digest(client.find(reference)))
    if manifest is None:
        # Only a wrong Docker-Content-Digest leads here, and whoever pulls by digest is told so.
        raise ImageMissingError(f"{reference} has no manifest of its digest")
    document = json.loads(manifest.content)
    return {
        blob["digest"]: b"".join(client.read_blob(reference, blob["digest"], size=blob["size"]))
        for blob in (document["config"], *document["layers"])
    }


def run(seed, registry, base, folder):
    """Build and pull once in the seed's weather; where that fails, once more in good weather.

    Raises:
        AssertionError: Something is there that is not right, or failed that had to succeed.
    """
    weather, plan = weather_of(seed), plan_of(seed)
    folder.mkdir()
    error = content = None
    with faulty(
        registry.host,
        seed=seed,
        share=weather.share,
        kinds=weather.kinds,
        most=weather.most,
        begins_at=weather.begins_at,
        tokens=True,
    ) as proxy:
        with client_at(proxy.url, weather.timeout_s) as client:
            try:
                build(client, plan, folder)
                assert_right(registry, plan, base)
                content = pull(client, plan.reference)
            except SageMakerCustomError as failure:
                error = failure
        happened = dict(proxy.happened)
    assert_all_whole(registry, plan.reference.repository)
    assert not (error and weather.must_succeed), f"{weather}: {error}"
    if error:
        assert error.message
        with client_at(registry.url) as client:
            build(client, plan, folder)
            content = pull(client, plan.reference)
        assert_all_whole(registry, plan.reference.repository)
    assert_right(registry, plan, base)
    assert content == {digest: blob_of(registry, digest) for digest in content}
    return Outcome(weather=weather, error=error, happened=happened)


def storage_of(registry):
    return registry.root / "data/docker/registry/v2"


def blob_of(registry, digest):
    """Read what the registry has on its disk."""
    hexadecimal = digest.removeprefix("sha256:")
    content = (storage_of(registry) / "blobs/sha256" / hexadecimal[:2] / hexadecimal / "data").read_bytes()
    assert digest_of(content) == digest
    return content


def tags_of(registry, repository):
    """Return the digest under each tag."""
    tags = storage_of(registry) / "repositories" / repository / "_manifests/tags"
    return {link.parts[-3]: link.read_text() for link in tags.glob("*/current/link")}


def assert_all_whole(registry, repository):
    """Assert that each tag leads to blobs of the repository with the digests and sizes that its manifest names."""
    for tag, digest in tags_of(registry, repository).items():
        document = json.loads(blob_of(registry, digest))
        for blob in (document["config"], *document["layers"]):
            link = storage_of(registry) / "repositories" / repository / "_layers" / blob["digest"].replace(":", "/")
            assert (link / "link").read_text() == blob["digest"], f"{tag} lacks {blob}"
            assert len(blob_of(registry, blob["digest"])) == blob["size"], f"{tag} is wrong about {blob}"


def assert_right(registry, plan, base):
    """Assert that the tag leads to the base with its own layers on it, byte for byte."""
    document = json.loads(blob_of(registry, tags_of(registry, plan.reference.repository)[plan.reference.tag]))
    assert document["mediaType"] == oci.DOCKER_MANIFEST
    assert document["layers"][:2] == base["layers"]
    added = [gzip.decompress(blob_of(registry, layer["digest"])) for layer in document["layers"][2:]]
    assert added == [f"wheel {name}-1.0-py3-none-any.whl".encode() for name in names_of(plan)]
    config = json.loads(blob_of(registry, document["config"]["digest"]))
    assert config["config"]["Labels"][FINGERPRINT_LABEL] == plan.fingerprint
    assert config["rootfs"]["diff_ids"][2:] == [digest_of(content) for content in added]


def names_of(plan):
    return sorted(("tiny", f"helper-{plan.reference.repository}"))
