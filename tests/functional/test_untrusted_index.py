"""An index that has changed a file since it was locked, or whose certificate nobody trusts."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import replace

import pytest
from fakes.example_plan import example_plan
from fakes.tiny_wheels import make_wheel
from package_index import running_index
from test_append import base, client  # noqa: F401 - fixtures
from tls_authority import make_authority

from sagemaker_custom.errors import BuildError, DigestMismatchError
from sagemaker_custom.plan import WHEELS_LABEL, indexes_of
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wheels.lock import read_lock
from sagemaker_custom.wiring import Parts


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "tiny")
    return folder


def parts_of(cloud, index, **changes):
    settings = replace(cloud.settings, pip_index_url=index.url, verify="static", **changes)
    return Parts(session=cloud.boto_session, settings=settings, progress=lambda: nullcontext(NoProgress()))


def plan_of(parts):
    return example_plan(pip_indexes=indexes_of(parts.settings, "us-east-1"))


@pytest.mark.parametrize("says_so", [True, False])
def test_a_file_that_changed_since_it_was_locked_is_refused(cloud, base, wheels, says_so):  # noqa: F811
    with running_index(wheels) as index:
        parts = parts_of(cloud, index)
        plan = plan_of(parts)
        parts.ensure(plan, builder="append")
        lock = read_lock(parts.registry.image_config(plan.reference)["config"]["Labels"][WHEELS_LABEL])
        shutil.rmtree(cloud.settings.cache_dir)
        cloud.remove(plan)
        make_wheel(wheels, "tiny", files={"tiny/__init__.py": b"import os; os.system('evil')\n"})
        # Whether its page has the new hash or none, the lock's counts.
        index.has_hashes = says_so

        with pytest.raises(DigestMismatchError, match=f"instead of {lock.wheels[0].sha256}") as caught:
            parts_of(cloud, index).ensure(plan, builder="append", lock=lock)

    assert "do not install it" in caught.value.hint
    assert parts.registry.find(plan.reference) is None


class TestCertificates:
    @pytest.fixture
    def authority(self, tmp_path):
        return make_authority(tmp_path, "127.0.0.1")

    def test_an_index_of_an_unknown_authority_is_refused(self, cloud, base, wheels, authority):  # noqa: F811
        with running_index(wheels, certificate=authority.server) as index:
            parts = parts_of(cloud, index)
            with pytest.raises(BuildError, match="certificate"):
                parts.ensure(plan_of(parts), builder="append")
        assert not index.asked

    def test_ca_bundle_makes_it_a_known_one(self, cloud, base, wheels, authority):  # noqa: F811
        with running_index(wheels, certificate=authority.server) as index:
            # The registry of the test has no TLS, so this is for the index alone.
            parts = parts_of(cloud, index, ca_bundle=str(authority.ca_bundle))
            plan = plan_of(parts)
            assert parts.ensure(plan, builder="append") == plan.reference
        assert any(path.startswith("/files/tiny") for path in index.asked)
