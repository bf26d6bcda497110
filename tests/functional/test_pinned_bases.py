"""A base that the catalog pins by digest: on every route it is that one, or none."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from contextlib import nullcontext
from dataclasses import replace

import pytest
from fakes import base_images
from fakes.base_images import CONDA, conda, config_of, layer, push_image
from fakes.codebuild_api import ACCOUNT, SUCCESS, CodeBuildApi
from fakes.example_plan import BASE, FINGERPRINT, example_plan
from fakes.tiny_wheels import make_wheel

from sagemaker_custom.dockerfile import BuildEnvironment, render
from sagemaker_custom.errors import BaseImageError, ImageMissingError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wiring import Parts

ROUTES = ("append", "docker", "codebuild")
OTHER = "sha256:" + "1" * 64


@pytest.fixture
def parts(cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "wheels").mkdir()
    make_wheel(tmp_path / "wheels", "tiny")
    settings = replace(
        cloud.settings,
        verify="static",
        codebuild_service_role=f"arn:aws:iam::{ACCOUNT}:role/codebuild",
    )
    return Parts(session=cloud.boto_session, settings=settings, progress=lambda: nullcontext(NoProgress()))


@pytest.fixture
def api(cloud):
    def machine(request, build_id):
        tag = f"staging-{FINGERPRINT[:12]}-{build_id.partition(':')[2]}"
        cloud.push(replace(example_plan(), reference=example_plan().reference.with_tag(tag)))
        return SUCCESS[-1:]

    made = CodeBuildApi(machine)
    made.listen(cloud.boto_session)
    return made


@pytest.fixture
def pushed(parts):
    """The base as it is published, under a tag that moves on to another image."""
    references = []
    for name in ("torch", "moved-on"):
        layers = [conda(), base_images.package(CONDA, name, "2.3.0")]
        diff_ids = [base_images.digest_of(base_images.archive(entries)) for entries in layers]
        config = {**config_of(), "created": "2026-01-02T03:04:05Z"}
        config["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
        made = push_image(parts.registry, example_plan().base_reference, tuple(map(layer, layers)), config=config)
        references.append(made)
    return references


def pinned(digest):
    return example_plan(base=replace(BASE, digest=digest))


def base_digest_of(parts, plan):
    return parts.registry.image_config(plan.reference)["config"]["Labels"]["sagemaker-custom.base-digest"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_digest_that_is_not_there_is_refused_though_the_tag_is(parts, pushed, api, route):
    plan = pinned(OTHER)
    with pytest.raises((BaseImageError, ImageMissingError), match=f"@{OTHER}"):
        parts.ensure(plan, builder=route)
    assert parts.registry.find(plan.reference) is None
    assert not api.builds


def test_append_takes_the_pinned_image_though_its_tag_has_moved(parts, pushed):
    first, moved = (reference.digest for reference in pushed)
    # The one that has moved is beside the extended images already, under the tag of both.
    unpinned = example_plan(fingerprint="f" * 64)
    parts.ensure(unpinned, builder="append")
    assert base_digest_of(parts, unpinned) == moved
    plan = pinned(first)
    parts.ensure(plan, builder="append")
    assert base_digest_of(parts, plan) == first != moved


def test_codebuild_is_told_the_pinned_digest_though_the_tag_has_moved(parts, pushed, api, cloud):
    first, _ = (reference.digest for reference in pushed)
    parts.ensure(pinned(first), builder="codebuild")
    (key,) = (key for key in cloud.objects() if key.startswith("sagemaker-custom/contexts/"))
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(cloud.download(key).read()))) as archive:
        document = json.load(archive.extractfile("build.json"))
    assert document["base"].endswith(f"/pytorch-training@{first}")
    assert document["base_digest"] == first


def test_a_plan_shows_the_pinned_digest():
    plan = pinned(OTHER)
    text = render(plan, str(plan.base_reference), BuildEnvironment(secret_mounts=True))
    assert f"@{OTHER}\n" in text.partition("RUN")[0]
