"""``images`` on a real registry: what was built there, and whether AWS has published its base anew since."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from fakes.command_line import run_cli

from sagemaker_custom.catalog import load
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.oci import DOCKER_CONFIG, DOCKER_MANIFEST
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.wiring import Parts

STOCK = ImageReference.parse(
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
)
BASE = f"{STOCK.repository}:{STOCK.tag}"
FIELDS = ("version", "image_scope", "processor", "py_version", "cuda_version", "repository", "tag", "accounts")
PUBLISHED = next(
    {name: getattr(image, name) for name in FIELDS if getattr(image, name)}
    for image in load().frameworks["pytorch"].images
    if (image.repository, image.tag) == (STOCK.repository, STOCK.tag)
)
SOME_DIGEST = "sha256:" + "1" * 64


@pytest.fixture(autouse=True)
def environment(cloud, monkeypatch):
    """Lead the command to the cloud."""
    [endpoint] = cloud.settings.registry_endpoints
    # A second door to the same moto, whose state is that of this process.
    with SandboxAws() as aws:
        variables = aws.environment() | {
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"{endpoint.pattern}={endpoint.url}",
            "SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS": "1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture
def parts(cloud):
    return Parts(session=cloud.boto_session, settings=cloud.settings)


@pytest.fixture
def push(cloud, parts):
    """Push an image that has these labels; return its digest."""

    def pushed(reference, labels=None):
        cloud.push(SimpleNamespace(reference=reference, labels=labels or {}))
        return parts.registry.find(reference)

    return pushed


@pytest.fixture
def extended(parts, push):
    """Push what a build with faiss would have made of a base with this digest."""

    def pushed(base_digest):
        spec = image_spec("pytorch", version="2.3", image_scope="training", processor="cpu", extras=["faiss"])
        plan = parts.plan(spec)
        parts.aws.ensure_repository(plan.reference.repository, region="us-east-1", kms_key=None, scan_on_push=True)
        push(plan.reference, plan.labels | ({"sagemaker-custom.base-digest": base_digest} if base_digest else {}))
        return plan.reference

    return pushed


def push_broken(parts, reference):
    """Push an image whose config is none."""
    config = b"not JSON"
    parts.registry.upload_blob(reference, digest_of(config), len(config), lambda: io.BytesIO(config))
    described = {"mediaType": DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)}
    content = json.dumps({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": described, "layers": []}).encode()
    parts.registry.put_manifest(reference, Manifest(media_type=DOCKER_MANIFEST, content=content))


def listed(*arguments):
    ended = run_cli("images", *arguments, "--json")
    assert ended.code == 0, ended.err
    return {ImageReference.parse(image["reference"]).tag: image for image in ended.document}


class TestBaseMoved:
    def test_base_that_is_still_the_same(self, push, extended):
        reference = extended(push(STOCK))
        image = listed("--check-base")[reference.tag]
        assert (image["base"], image["base_state"], image["base_problem"]) == (BASE, "same", None)

    def test_base_that_was_published_anew(self, push, extended):
        reference = extended(push(STOCK))
        push(STOCK, {"patched": "yes"})
        assert listed("--check-base")[reference.tag]["base_state"] == "moved"
        head, row = run_cli("images", "--check-base").out.splitlines()
        assert head.split()[-3:] == ["base", "moved", "tag"]
        assert row.split()[-2:] == ["yes", reference.tag]

    def test_pin_in_a_catalog_does_not_hide_that_the_tag_moved(self, push, extended, tmp_path, monkeypatch):
        pinned = push(STOCK)
        reference = extended(pinned)
        push(STOCK, {"patched": "yes"})
        image = PUBLISHED | {"digest": pinned}
        document = tmp_path / "team/frameworks/pytorch.json"
        document.parent.mkdir(parents=True)
        document.write_text(json.dumps({"schema_version": 1, "framework": "pytorch", "images": [image]}))
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CATALOG", str(tmp_path / "team"))
        assert listed("--check-base")[reference.tag]["base_state"] == "moved"

    def test_base_that_is_gone(self, extended):
        reference = extended(SOME_DIGEST)
        assert listed("--check-base")[reference.tag]["base_state"] == "gone"

    def test_why_it_is_unknown_is_told(self, push, extended):
        push(STOCK)
        extended(None)
        ended = run_cli("images", "--check-base")
        assert ended.code == 0
        assert ended.err == (
            f"warning: whether {BASE} has moved is unknown: its labels do not say which base it was built on\n"
        )

    def test_nothing_is_asked_of_aws_without_the_option(self, extended):
        reference = extended(SOME_DIGEST)
        assert listed()[reference.tag]["base_state"] is None


def test_mirrors_and_foreign_and_broken_images_are_listed_beside(parts, push, extended):
    ours = extended(push(STOCK))
    push(ours.with_tag("base-training-2.3.0-cpu-py311"))
    push(ours.with_tag("mine"))
    push_broken(parts, ours.with_tag("broken"))
    assert {tag: image["kind"] for tag, image in listed("pytorch").items()} == {
        ours.tag: "extended",
        "base-training-2.3.0-cpu-py311": "mirrored base",
        "mine": "other",
        "broken": "unreadable",
    }
    ended = run_cli("images")
    assert ended.code == 0
    assert ended.err.startswith(f"warning: {ours.with_tag('broken')} could not be read: the config of ")


def test_framework_without_images_is_named(extended):
    extended(SOME_DIGEST)
    ended = run_cli("images", "tensorflow")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "there are no images in repositories sagemaker-custom-tensorflow of us-east-1\n"
