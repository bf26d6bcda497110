"""Locks as inputs: read from files and images, held against images, and packages that may be replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.append_parts import a_lock, locked
from fakes.builders import FakeStore, RecordingBuilder, RecordingProgress
from fakes.example_plan import example_plan

from sagemaker_custom import catalog
from sagemaker_custom.builders import FoundImage
from sagemaker_custom.errors import ImageMissingError, InvalidExtraError, TagConflictError, UsageError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.locks import lock_text_of, read_lock_file
from sagemaker_custom.plan import REPLACE_LABEL, WHEELS_LABEL, EngineTarget, make_plan
from sagemaker_custom.provision import build_command, ensure_image
from sagemaker_custom.reference import digest_of
from sagemaker_custom.resolve import resolve
from sagemaker_custom.spec import normalise_replace

_LOCK = a_lock(digest_of(b"base"), locked("tiny"))


class TestFiles:
    def test_what_was_written_is_read_back(self, tmp_path):
        file = tmp_path / "image.lock"
        file.write_text(_LOCK.to_json() + "\n")
        assert read_lock_file(file) == _LOCK

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(UsageError, match=r"the lock '.*none.lock' cannot be read"):
            read_lock_file(tmp_path / "none.lock")


class TestImages:
    def store(self, **labels):
        store = FakeStore()
        found = FoundImage(digest=digest_of(b"x"), labels=labels)
        store.images[example_plan().reference] = found
        return store

    def test_an_appended_one_has_its_lock(self):
        store = self.store(**{WHEELS_LABEL: _LOCK.to_json()})
        assert lock_text_of(example_plan().reference, store) == _LOCK.to_json()

    def test_one_of_another_builder_says_who_built_it(self):
        store = self.store(**{"sagemaker-custom.builder": "docker-buildkit"})
        with pytest.raises(UsageError, match="has no lock of its wheels: docker-buildkit built it"):
            lock_text_of(example_plan().reference, store)

    def test_one_that_is_not_there_is_named(self):
        with pytest.raises(ImageMissingError, match="there is no image"):
            lock_text_of(example_plan().reference, FakeStore())


class TestEnsure:
    def ensure(self, plan, store, lock=_LOCK, policy="if-missing"):
        return ensure_image(
            plan,
            policy=policy,
            store=store,
            builder=lambda: RecordingBuilder(store),
            mirror=lambda plan: None,
            revision=lambda: "20261121T101500Z",
            progress=RecordingProgress(),
            lock=lock,
        )

    def put(self, store, plan, text):
        store.put(plan)
        found = store.images[plan.reference]
        store.images[plan.reference] = replace(found, labels={**found.labels, WHEELS_LABEL: text})

    def test_an_image_of_that_lock_is_used(self):
        plan, store = example_plan(), FakeStore()
        self.put(store, plan, _LOCK.to_json())
        assert self.ensure(plan, store) == plan.reference

    @pytest.mark.parametrize("policy", ["if-missing", "never"])
    def test_an_image_of_another_lock_is_not(self, policy):
        plan, store = example_plan(), FakeStore()
        self.put(store, plan, a_lock(digest_of(b"base"), locked("tiny", "2.0")).to_json())
        with pytest.raises(TagConflictError, match="was not made from the lock that was given"):
            self.ensure(plan, store, policy=policy)

    def test_an_image_that_cannot_be_appended_takes_none(self):
        with pytest.raises(UsageError, match=r"a lock cannot make .*: images for local mode"):
            self.ensure(example_plan(local=True), FakeStore())

    def test_an_image_that_nothing_is_installed_in_takes_none(self):
        plan = replace(example_plan(), fingerprint="", steps=())
        with pytest.raises(UsageError, match="nothing is installed in it"):
            self.ensure(plan, FakeStore())


class TestReplace:
    def plan(self, extras=("pip:numpy==2.0.0",), replace=()):
        known = catalog.load()
        spec = image_spec("pytorch", version="2.3", py_version="py311", extras=extras, replace=replace)
        return make_plan(
            spec,
            resolve(spec, known),
            partitions=known.partitions,
            region="eu-west-1",
            target=EngineTarget(),
            repository_prefix="sagemaker-custom",
        )

    def test_names_are_spelled_in_one_way(self):
        assert normalise_replace(["Scikit_Learn", "numpy", "NumPy"]) == ("numpy", "scikit-learn")
        assert normalise_replace("NumPy") == ("numpy",)

    @pytest.mark.parametrize("name", ["numpy==2", "", "-e", "a b"])
    def test_anything_but_a_name_is_refused(self, name):
        with pytest.raises(UsageError, match="is not the name of a package"):
            normalise_replace([name])

    def test_it_makes_another_image_and_nothing_else_does(self):
        plain, given = self.plan(), self.plan(replace=["numpy"])
        assert plain.fingerprint != given.fingerprint
        assert given.steps[0].replaces == ("numpy",)
        assert REPLACE_LABEL not in plain.labels
        assert given.labels[REPLACE_LABEL] == "numpy"

    def test_fingerprints_of_before_stay(self):
        assert self.plan(["faiss"]).fingerprint.startswith("b6813854a5f674de58f8")

    def test_without_extras_there_is_nothing_to_replace_by(self):
        with pytest.raises(UsageError, match=r"replace=\['numpy'\] lets extras replace .*, and there are no extras"):
            self.plan([], ["numpy"])

    def test_what_is_held_may_go_when_it_is_named(self):
        with pytest.raises(InvalidExtraError, match="which may not be replaced"):
            self.plan(["pip:torch==2.4.0"])
        assert self.plan(["pip:torch==2.4.0"], ["torch"]).steps[0].replaces == ("torch",)

    def test_command_that_builds_it_says_so(self):
        assert "--replace numpy" in build_command(self.plan(replace=["numpy"]))
