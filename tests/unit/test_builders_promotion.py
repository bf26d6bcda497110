"""Races and losses at the moment of promotion."""

from __future__ import annotations

import pytest
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.builders.promotion import promote
from sagemaker_custom.errors import RegistryError, TagConflictError
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.reference import ImageReference

_REPOSITORY = "sagemaker-custom-pytorch"
_STAGING = ImageReference.parse(f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{_REPOSITORY}:staging-1")
_FINAL = _STAGING.with_tag("final")


@pytest.fixture
def registry():
    registry = FakeRegistry()
    registry.immutable = True
    registry.put_image(_REPOSITORY, "staging-1", labels={FINGERPRINT_LABEL: "ours"}, layers=(b"ours",))
    return registry


class _Race:
    """Another process that puts the final tag between our look and our put."""

    def __init__(self, registry, fingerprint):
        self.registry = registry
        self.fingerprint = fingerprint

    def send(self, request):
        if request.method == "PUT" and request.url.endswith("/manifests/final"):
            labels = {FINGERPRINT_LABEL: self.fingerprint}
            self.registry.put_image(_REPOSITORY, "final", labels=labels, layers=(b"theirs",))
        return self.registry.send(request)


def _promote(registry, transport):
    return promote(registry.client(transport=transport), staging=_STAGING, final=_FINAL, fingerprint="ours")


def test_the_loser_of_a_race_uses_the_winners_image(registry):
    digest = _promote(registry, _Race(registry, "ours"))

    assert registry.tags(_REPOSITORY)["final"] == digest != registry.tags(_REPOSITORY)["staging-1"]


def test_the_winner_of_a_race_has_another_fingerprint(registry):
    with pytest.raises(TagConflictError, match="the fingerprint theirs, not ours"):
        _promote(registry, _Race(registry, "theirs"))


def test_a_layer_that_is_missing(registry):
    registry.blobs[_REPOSITORY] = {
        digest: content for digest, content in registry.blobs[_REPOSITORY].items() if content != b"ours"
    }

    with pytest.raises(RegistryError, match="did not reach the registry whole: it lacks sha256:"):
        _promote(registry, registry)

    assert "final" not in registry.tags(_REPOSITORY)
