"""The registry says no, nothing, or something else than expected: it is told, and nothing is built for nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.example_plan import BASE, FINGERPRINT, example_plan
from registry_process import free_port
from whole_flow import REPOSITORY, WholeFlow

from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import (
    ImageMissingError,
    RegistryAccessDeniedError,
    RegistryError,
    RegistryUnavailableError,
    TagConflictError,
)
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient, RequestsTransport


@pytest.fixture
def flow(tmp_path):
    return WholeFlow(tmp_path)


def same_image(flow, plan):
    """Tell whether what the plan's tag leads to was made by it."""
    return RegistryStore(flow.client).find(plan.reference).labels[FINGERPRINT_LABEL] == plan.fingerprint


class TestUnknown:
    """Whether the image exists could not be learned."""

    @pytest.mark.parametrize("policy", ["if-missing", "never"])
    @pytest.mark.parametrize(
        ("status", "code", "body"),
        [
            (401, "UNAUTHORIZED", b""),
            (403, "DENIED", b""),
            (403, None, b"<html>blocked by the proxy</html>"),
            (404, None, b"<html>no such page</html>"),
            (429, "TOOMANYREQUESTS", b""),
            (500, None, b""),
            (502, None, b"<html>bad gateway</html>"),
            (503, "UNAVAILABLE", b""),
            (504, None, b""),
            (200, None, b"<html>log in here</html>"),
        ],
    )
    def test_an_answer_that_is_none_is_raised_and_nothing_is_built(self, flow, policy, status, code, body):
        flow.registry.fail(status, times=1000, path=f"/{REPOSITORY}/", code=code, body=body)

        with pytest.raises(RegistryError) as caught:
            flow.ensure(example_plan(), policy)

        assert not isinstance(caught.value, ImageMissingError)
        assert REPOSITORY in caught.value.message
        assert flow.engine.effects == []

    @pytest.mark.parametrize("policy", ["if-missing", "never"])
    def test_connections_that_break_are_raised(self, flow, policy):
        flow.registry.refuse_connections(times=1000)
        with pytest.raises(RegistryUnavailableError):
            flow.ensure(example_plan(), policy)
        assert flow.engine.effects == []

    def test_a_registry_where_nobody_listens(self, flow):
        with RequestsTransport(timeout_s=2) as transport:
            flow.client = RegistryClient(
                transport=transport,
                credentials=lambda host: None,
                endpoint_for=lambda host: f"http://127.0.0.1:{free_port()}",
                attempts=2,
                sleep=lambda seconds: None,
            )
            with pytest.raises(RegistryUnavailableError):
                flow.ensure(example_plan())
        assert flow.engine.effects == []

    def test_a_registry_that_fails_only_when_it_is_asked_again(self, flow):
        """The lock is taken, and the registry goes away before it has the last word."""
        plan = example_plan()
        asked = flow.client.find

        class Failing:
            calls = 0

            def find(self, reference):
                self.calls += 1
                if self.calls > 1:
                    raise RegistryUnavailableError("it went away")
                return asked(reference)

        flow.client = Failing()
        with pytest.raises(RegistryUnavailableError, match="it went away"):
            flow.ensure(plan)
        assert flow.engine.effects == []

    def test_it_is_built_once_the_registry_answers(self, flow):
        plan = example_plan()
        flow.registry.refuse_connections(times=1000)
        with pytest.raises(RegistryUnavailableError):
            flow.ensure(plan)
        flow.registry._faults.clear()
        assert flow.ensure(plan) == plan.reference
        assert flow.builds == 1

    def test_a_denied_registry_says_so(self, flow):
        flow.registry.fail(403, times=1000, code="DENIED", message="not authorized to perform: ecr:BatchGetImage")
        with pytest.raises(RegistryAccessDeniedError) as caught:
            flow.ensure(example_plan())
        assert "ecr:BatchGetImage" in str(caught.value)


class TestAnotherFingerprint:
    @pytest.mark.parametrize("policy", ["if-missing", "never"])
    @pytest.mark.parametrize("labels", [{}, {FINGERPRINT_LABEL: "f" * 64}])
    def test_it_is_neither_used_nor_replaced(self, flow, policy, labels):
        plan = example_plan()
        theirs = flow.registry.put_image(REPOSITORY, plan.reference.tag, labels=labels)

        with pytest.raises(TagConflictError) as caught:
            flow.ensure(plan, policy)

        assert f"its fingerprint label is {labels.get(FINGERPRINT_LABEL, 'missing')}, expected {FINGERPRINT}" in str(
            caught.value
        )
        assert flow.engine.effects == []
        assert flow.registry.tags(REPOSITORY)[plan.reference.tag] == theirs

    def test_one_that_came_during_the_build_is_not_replaced(self, flow):
        plan = example_plan()
        flow.route.lines = ["#1 [1/1] RUN true"]
        run = flow.engine.run

        def run_and_be_late(*arguments, **more):
            flow.registry.put_image(REPOSITORY, plan.reference.tag, labels={FINGERPRINT_LABEL: "f" * 64})
            return run(*arguments, **more)

        flow.engine.run = run_and_be_late
        with pytest.raises(TagConflictError, match=f"fingerprint {'f' * 64}, not {FINGERPRINT}"):
            flow.ensure(plan)
        assert flow.tags == [plan.reference.tag]


class TestDeleted:
    def test_it_is_built_again_since_no_memory_counts_for_more_than_the_registry(self, flow):
        plan = example_plan()
        flow.ensure(plan)
        flow.client.remove_tag(plan.reference)

        assert flow.ensure(plan) == plan.reference

        assert flow.builds == 2
        assert same_image(flow, plan)

    def test_never_says_that_it_is_gone(self, flow):
        plan = example_plan()
        flow.ensure(plan)
        flow.client.remove_tag(plan.reference)
        with pytest.raises(ImageMissingError):
            flow.ensure(plan, "never")


class TestBaseMoved:
    """AWS puts another image under the tag of a base."""

    def moved(self, flow):
        return flow.registry.put_image(BASE.repository, BASE.tag, layers=(b"patched",))

    def base_of(self, flow, reference):
        return RegistryStore(flow.client).find(reference).labels["sagemaker-custom.base-digest"]

    def test_what_was_built_stays_and_says_what_it_was_built_on(self, flow):
        plan = example_plan()
        old = flow.registry.tags(BASE.repository)[BASE.tag]
        flow.ensure(plan)
        self.moved(flow)

        assert flow.ensure(plan) == plan.reference

        assert flow.builds == 1
        assert self.base_of(flow, plan.reference) == old

    def test_always_builds_on_what_the_tag_means_now_under_another_tag(self, flow):
        plan = example_plan()
        flow.ensure(plan)
        new = self.moved(flow)

        fresh = flow.ensure(plan, "always")

        assert fresh != plan.reference
        assert self.base_of(flow, fresh) == new
        assert self.base_of(flow, plan.reference) != new

    def test_a_pinned_base_is_built_on_and_no_other(self, flow):
        old = flow.registry.tags(BASE.repository)[BASE.tag]
        self.moved(flow)
        plan = example_plan(base=replace(BASE, digest=old))

        flow.ensure(plan)

        assert self.base_of(flow, plan.reference) == old

    def test_a_pinned_base_that_is_gone_is_told(self, flow):
        gone = "sha256:" + "9" * 64
        plan = example_plan(base=replace(BASE, digest=gone))
        with pytest.raises(Exception, match=gone):
            flow.ensure(plan)
        assert flow.builds == 0
        assert flow.tags == []


def test_a_broken_image_under_the_tag_is_not_used(flow):
    """Its config is not there: whoever pulled it would fail, so nobody is told that it exists."""
    plan = example_plan()
    flow.ensure(plan)
    flow.registry.blobs[REPOSITORY].clear()
    with pytest.raises(RegistryError) as caught:
        flow.ensure(plan)
    assert ImageReference.parse(str(plan.reference)).repository in caught.value.message
