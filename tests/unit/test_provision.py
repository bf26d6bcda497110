"""The image flow: what is asked, what is built, and what is only said."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
from fakes.builders import FakeStore, RecordingBuilder, RecordingProgress

from sagemaker_custom import catalog
from sagemaker_custom.errors import (
    BuildError,
    ImageMissingError,
    RegistryUnavailableError,
    TagConflictError,
    UsageError,
    VerificationError,
)
from sagemaker_custom.leases import Holder, LockKey, NothingToDo, OwnTurn
from sagemaker_custom.plan import EngineTarget, MirrorPolicy, RegistryTarget, make_plan
from sagemaker_custom.provision import build_command, check_policy, ensure_image
from sagemaker_custom.requirements import read_extras
from sagemaker_custom.resolve import resolve
from sagemaker_custom.spec import ImageSpec

NO_MIRROR = MirrorPolicy()


def plan_for(extras, target=None, mirror=NO_MIRROR):
    known = catalog.load()
    spec = ImageSpec(framework="pytorch", version="2.3", py_version="py311", extras=read_extras(extras))
    return make_plan(
        spec,
        resolve(spec, known),
        partitions=known.partitions,
        region="eu-west-1",
        target=target or RegistryTarget(account="123456789012"),
        repository_prefix="sagemaker-custom",
        mirror=mirror,
    )


class Flow:
    """The flow with fakes around it."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.builder = RecordingBuilder(self.store)
        self.progress = RecordingProgress()
        self.mirrored = []

    def run(self, plan, policy="if-missing", locks=()):
        return ensure_image(
            plan,
            policy=policy,
            store=self.store,
            builder=lambda: self.builder,
            mirror=self.mirrored.append,
            revision=lambda: "20261121T101500Z",
            progress=self.progress,
            turns=locks,
        )


def test_stock_image_asks_nobody_and_builds_nothing():
    flow, plan = Flow(), plan_for([])
    assert flow.run(plan) == plan.base_reference
    assert flow.store.asked == []
    assert flow.builder.built == []


def test_missing_image_is_built_once_and_then_found():
    flow, plan = Flow(), plan_for(["faiss"])
    assert flow.run(plan) == plan.reference
    assert flow.run(plan) == plan.reference
    assert flow.builder.built == [(plan, False)]
    assert flow.progress.steps == [f"image {plan.reference} is there, nothing to build"]


def test_never_raises_with_the_image_and_the_command_that_builds_it():
    flow, plan = Flow(), plan_for(["faiss"])
    with pytest.raises(ImageMissingError) as caught:
        flow.run(plan, "never")
    assert str(caught.value) == (
        f'the image {plan.reference} does not exist, and build="never" forbids building it\n'
        "  -> build it with: sagemaker-custom build pytorch --version 2.3.0 --py-version py311 --image-scope training "
        "--processor cpu --extra faiss --region eu-west-1 --account 123456789012"
    )
    assert flow.builder.built == []


def test_never_uses_an_image_that_is_there():
    flow, plan = Flow(), plan_for(["faiss"])
    flow.store.put(plan)
    assert flow.run(plan, "never") == plan.reference


def test_always_never_gives_the_old_image_but_a_fresh_one_under_a_tag_of_its_own():
    flow, plan = Flow(), plan_for(["faiss"])
    flow.store.put(plan)
    reference = flow.run(plan, "always")
    assert reference.tag == f"{plan.reference.tag}-r20261121T101500Z"
    [(built, fresh)] = flow.builder.built
    assert fresh
    assert built.fingerprint == plan.fingerprint
    assert flow.store.find(plan.reference) is not None


def test_always_replaces_the_bare_tag_of_local_mode():
    flow, plan = Flow(), plan_for(["faiss"], EngineTarget())
    assert flow.run(plan, "always") == plan.reference
    assert flow.builder.built == [(plan, True)]


def test_tag_with_another_fingerprint_is_neither_used_nor_replaced():
    flow, plan = Flow(), plan_for(["faiss"])
    flow.store.put(plan, fingerprint="0" * 64)
    with pytest.raises(TagConflictError) as caught:
        flow.run(plan)
    assert f"its fingerprint label is {'0' * 64}, expected {plan.fingerprint}" in str(caught.value)
    assert "delete the tag, or choose another repository_prefix" in str(caught.value)
    assert flow.builder.built == []


def test_tag_without_a_fingerprint_is_told_as_such():
    flow, plan = Flow(), plan_for(["faiss"])
    flow.store.put(plan, fingerprint=None)
    with pytest.raises(TagConflictError, match="its fingerprint label is missing"):
        flow.run(plan)


def test_unknown_is_not_taken_for_missing():
    flow, plan = Flow(), plan_for(["faiss"])
    flow.store.failure = RegistryUnavailableError("the registry does not answer")
    with pytest.raises(RegistryUnavailableError):
        flow.run(plan)
    assert flow.builder.built == []


class TestMirror:
    """The base has to be brought to the account's registry first."""

    ALWAYS = MirrorPolicy(source_region="us-east-1", when="always")

    def test_base_is_brought_before_the_build(self):
        flow, plan = Flow(), plan_for(["faiss"], mirror=self.ALWAYS)
        assert flow.run(plan) == plan.reference
        assert flow.mirrored == [plan]
        assert flow.builder.built == [(plan, False)]

    def test_base_that_is_there_is_not_brought_again(self):
        flow, plan = Flow(), plan_for(["faiss"], mirror=self.ALWAYS)
        flow.store.put(replace(plan, reference=plan.base_reference))
        flow.run(plan)
        assert flow.mirrored == []

    def test_extended_image_that_is_there_needs_no_base(self):
        flow, plan = Flow(), plan_for(["faiss"], mirror=self.ALWAYS)
        flow.store.put(plan)
        flow.run(plan)
        assert flow.store.asked == [plan.reference]
        assert flow.mirrored == []

    def test_stock_image_is_brought_when_it_is_missing(self):
        flow, plan = Flow(), plan_for([], mirror=self.ALWAYS)
        assert flow.run(plan) == plan.base_reference
        assert flow.mirrored == [plan]

    @pytest.mark.parametrize("extras", [[], ["faiss"]])
    def test_never_brings_nothing_and_says_how_to(self, extras):
        flow, plan = Flow(), plan_for(extras, mirror=self.ALWAYS)
        with pytest.raises(ImageMissingError) as caught:
            flow.run(plan, "never")
        assert flow.mirrored == []
        if not extras:
            assert str(caught.value) == (
                f'{plan.mirror_of} is not mirrored as {plan.base_reference} yet, and build="never" forbids it\n'
                "  -> mirror it with: sagemaker-custom mirror pytorch --version 2.3.0 --py-version py311 "
                "--image-scope training --processor cpu --region eu-west-1 --account 123456789012"
            )

    def test_mirror_that_cannot_be_asked_is_not_taken_for_missing(self):
        flow, plan = Flow(), plan_for([], mirror=self.ALWAYS)
        flow.store.failure = RegistryUnavailableError("the registry does not answer")
        with pytest.raises(RegistryUnavailableError):
            flow.run(plan)
        assert flow.mirrored == []


class TestStartOfScripts:
    """An image that is there says what the SDK v3 misses in it."""

    def there(self, label):
        flow, plan = Flow(), plan_for(["faiss"])
        flow.store.put(plan)
        found = flow.store.images[plan.reference]
        labels = {**found.labels, **({"sagemaker-custom.starts-scripts": label} if label else {})}
        flow.store.images[plan.reference] = replace(found, labels=labels)
        return flow, plan

    def test_one_that_cannot_start_the_script_is_refused(self):
        flow, plan = self.there("lacks tar gzip")
        with pytest.raises(VerificationError, match=f"the image {plan.reference} lacks tar and gzip") as caught:
            flow.run(replace(plan, starts_script=True))
        assert '"apt:tar", "apt:gzip"' in caught.value.hint
        assert flow.builder.built == []

    @pytest.mark.parametrize(("label", "wanted"), [("lacks tar", False), ("yes", True), (None, True)])
    def test_any_other_is_used(self, label, wanted):
        flow, plan = self.there(label)
        assert flow.run(replace(plan, starts_script=wanted)) == plan.reference
        assert flow.builder.built == []


class FakeLock:
    """A BuildLock whose turn was decided before; ``meanwhile`` happens while the caller waits."""

    def __init__(self, predecessor=None, meanwhile=lambda: None):
        self.keys = []
        self.held = 0
        self._predecessor = predecessor
        self._meanwhile = meanwhile

    @contextmanager
    def hold(self, key, *, is_there, progress):
        self.keys.append(key)
        self._meanwhile()
        if is_there():
            yield NothingToDo()
            return
        self.held += 1
        try:
            yield OwnTurn(predecessor=self._predecessor)
        finally:
            self.held -= 1


class TestLocks:
    """Another caller wants the same image."""

    ADA = Holder(token="a", owner="ada@laptop", pid=11, since="2026-11-21 10:15:00 UTC")

    def test_image_that_is_there_takes_no_lock(self):
        flow, plan, lock = Flow(), plan_for(["faiss"]), FakeLock()
        flow.store.put(plan)
        flow.run(plan, locks=(lock,))
        flow.run(plan_for([]), locks=(lock,))
        assert lock.keys == []

    def test_every_lock_is_held_while_it_is_built(self):
        flow, plan = Flow(), plan_for(["faiss"])
        locks = FakeLock(), FakeLock()
        build = flow.builder.build

        def build_and_look(built, *, fresh=False):
            assert [lock.held for lock in locks] == [1, 1]
            return build(built, fresh=fresh)

        flow.builder.build = build_and_look
        assert flow.run(plan, locks=locks) == plan.reference
        assert [lock.held for lock in locks] == [0, 0]
        assert locks[0].keys == [LockKey(reference=plan.reference, fingerprint=plan.fingerprint)]

    def test_what_another_caller_built_meanwhile_is_used(self):
        flow, plan = Flow(), plan_for(["faiss"])
        first, second = FakeLock(meanwhile=lambda: flow.store.put(plan)), FakeLock()
        assert flow.run(plan, locks=(first, second)) == plan.reference
        assert flow.builder.built == []
        assert second.keys == []
        assert flow.progress.steps == [f"image {plan.reference} is there, nothing to build"]

    def test_what_another_caller_put_there_meanwhile_has_to_be_the_plan_s(self):
        flow, plan = Flow(), plan_for(["faiss"])
        lock = FakeLock(meanwhile=lambda: flow.store.put(plan, fingerprint="0" * 64))
        with pytest.raises(TagConflictError):
            flow.run(plan, locks=(lock,))
        assert flow.builder.built == []

    @pytest.mark.parametrize(
        ("predecessor", "told"),
        [
            (ADA.ended(BuildError("no space left")), "could not make {} (no space left): trying it here"),
            (ADA.ended(None), "is done, but {} is not there: making it here"),
            (ADA, "is gone and left no {}: taking over"),
        ],
    )
    def test_who_waited_in_vain_is_told_why_and_builds(self, predecessor, told):
        flow, plan = Flow(), plan_for(["faiss"])
        flow.run(plan, locks=(FakeLock(predecessor),))
        assert flow.builder.built == [(plan, False)]
        assert flow.progress.steps == [f"ada@laptop (process 11) {told.format(plan.reference)}"]

    def test_base_is_brought_by_one_caller_at_a_time(self):
        flow, plan = Flow(), plan_for(["faiss"], mirror=TestMirror.ALWAYS)
        lock = FakeLock()
        flow.run(plan, locks=(lock,))
        assert lock.keys[1] == LockKey(reference=plan.base_reference)
        assert flow.mirrored == [plan]

    def test_base_that_another_caller_brought_meanwhile_is_not_brought_again(self):
        flow, plan = Flow(), plan_for([], mirror=TestMirror.ALWAYS)
        base = replace(plan_for(["faiss"]), reference=plan.base_reference)
        flow.run(plan, locks=(FakeLock(meanwhile=lambda: flow.store.put(base)),))
        assert flow.mirrored == []


def test_command_of_a_local_image_says_so():
    assert build_command(plan_for(["pip:umap-learn>=0.5"], EngineTarget())).endswith(
        "--extra 'pip:umap-learn>=0.5' --local"
    )


def test_policy_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(UsageError) as caught:
        check_policy("sometimes")
    assert str(caught.value) == ("build='sometimes' is not a policy\n  -> write one of 'if-missing', 'always', 'never'")
