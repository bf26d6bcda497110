"""A lock that pip follows: which plans take it, and what stands in the Dockerfile."""

from __future__ import annotations

import pytest
from fakes.example_plan import example_plan, with_steps
from fakes.tiny_wheels import lock_of, make_wheel

from sagemaker_custom.builders.failures import wrong_hash
from sagemaker_custom.builders.lock_fit import WithLock, with_lock
from sagemaker_custom.dockerfile import BuildEnvironment, render
from sagemaker_custom.errors import UsageError
from sagemaker_custom.plan import WHEELS_LABEL, PipIndexes
from sagemaker_custom.resolve import PipStep

WITH_MOUNTS = BuildEnvironment(secret_mounts=True)


@pytest.fixture
def tiny(tmp_path):
    return make_wheel(tmp_path, "tiny")


@pytest.fixture
def helper(tmp_path):
    return make_wheel(tmp_path, "helper", "2.0+cpu")


def text_of(plan):
    return render(plan, "base", WITH_MOUNTS)


class TestDockerfile:
    def test_each_wheel_is_named_with_its_hash_and_nothing_else_is_installed(self, tiny, helper):
        text = text_of(with_lock(example_plan(), lock_of(helper, tiny)))
        assert f"'tiny==1.0 --hash=sha256:{tiny.wheel.sha256}'" in text
        assert f"'helper==2.0+cpu --hash=sha256:{helper.wheel.sha256}'" in text
        (install,) = (line for line in text.splitlines() if "locked.txt" in line and " install " in line)
        assert "--require-hashes --no-deps --only-binary :all:" in install

    def test_what_was_asked_for_has_to_be_there_afterwards_without_an_index(self, tiny):
        text = text_of(with_lock(example_plan(packages=("tiny>=1", "numpy --hash=sha256:00")), lock_of(tiny)))
        assert "printf '%s\\n' 'tiny>=1' numpy > /tmp/sagemaker-custom/requirements.txt" in text
        assert "install --no-index --no-deps -r /tmp/sagemaker-custom/requirements.txt" in text

    def test_one_install_stands_for_all_steps_with_the_indexes_of_all(self, tiny):
        steps = (
            PipStep(packages=("tiny",), index_url="https://a.example/simple"),
            PipStep(packages=("helper",), extra_index_urls=("https://b.example/simple",)),
        )
        plan = with_steps(example_plan(pip_indexes=PipIndexes(index_url="https://me:pw@c.example/simple")), *steps)
        text = text_of(with_lock(plan, lock_of(tiny)))
        assert text.count("RUN ") == 1
        assert "--index-url https://c.example/simple" in text
        assert "--extra-index-url https://a.example/simple --extra-index-url https://b.example/simple" in text
        assert "pw" not in text

    def test_a_package_of_a_url_comes_from_there(self, tiny):
        url = tiny.wheel.url
        text = text_of(with_lock(example_plan(packages=(f"tiny @ {url}",)), lock_of(tiny)))
        assert f"'tiny @ {url} --hash=sha256:{tiny.wheel.sha256}'" in text
        assert "requirements.txt" not in text

    def test_what_vanishes_is_uninstalled_and_what_is_not_replaced_is_held(self, tiny):
        plan = with_steps(example_plan(), PipStep(packages=("tiny",), replaces=("tiny", "old")))
        text = text_of(with_lock(plan, lock_of(tiny, replaced=("old", "tiny"))))
        assert "uninstall -y old" in text
        assert " numpy; }" in text
        held = text_of(with_lock(example_plan(), lock_of(tiny)))
        assert " numpy tiny; }" in held


class TestFit:
    def test_the_lock_is_a_label_and_changes_neither_name_nor_spec(self, tiny):
        plan, lock = example_plan(), lock_of(tiny)
        locked = with_lock(plan, lock)
        assert locked.labels == {**plan.labels, WHEELS_LABEL: lock.to_json()}
        assert locked.reference == plan.reference

    def test_replacing_what_may_not_be_replaced_is_refused(self, tiny):
        with pytest.raises(UsageError, match=r"it replaces torch of the base, which takes replace=\['torch'\]"):
            with_lock(example_plan(), lock_of(tiny, replaced=("torch",)))

    def test_files_of_a_machine_are_refused(self, tmp_path):
        wheel = make_wheel(tmp_path, "tiny", url="file:///wheels/")
        with pytest.raises(UsageError, match="from a folder of the machine"):
            with_lock(example_plan(), lock_of(wheel))

    def test_the_builder_gets_the_locked_plan(self, tiny):
        class Builder:
            def build(self, plan, *, fresh=False):
                self.plan, self.fresh = plan, fresh
                return plan.reference

        builder = Builder()
        WithLock(builder, lock_of(tiny)).build(example_plan(), fresh=True)
        assert builder.plan.locked.text == lock_of(tiny).to_json()
        assert builder.fresh


def test_what_pip_says_of_another_hash_is_understood():
    assert "do not install it" in wrong_hash("#7 ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS")
    assert wrong_hash("#7 ERROR: No matching distribution found for tiny") is None
