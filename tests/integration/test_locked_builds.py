"""A lock that pip follows in a Docker Engine and in CodeBuild: the very files, or none."""

from __future__ import annotations

import ipaddress
import secrets
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fakes.example_plan import example_plan
from fakes.tiny_wheels import lock_of, make_wheel
from package_index import running_index
from test_codebuild_builder import base as codebuild_base
from test_codebuild_builder import bench as codebuild_bench
from test_codebuild_builder import registry as codebuild_registry
from test_docker_builder import (  # noqa: F401 - fixtures
    _choose,
    _nothing_left,
    base,
    base_id,
    bench,
    client,
    engine,
    local_plan,
)
from tls_authority import make_authority

from sagemaker_custom.builders.lock_fit import with_lock
from sagemaker_custom.errors import DigestMismatchError
from sagemaker_custom.plan import WHEELS_LABEL, PipIndexes

pytestmark = pytest.mark.docker

registry, base_of_codebuild, bench_of_codebuild = codebuild_registry, codebuild_base, codebuild_bench


@pytest.fixture
def index(tmp_path, client):  # noqa: F811 - a fixture
    """Has newer wheels than those that are locked."""
    subnet = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    host = str(next(ipaddress.ip_network(subnet).hosts()))
    authority = make_authority(tmp_path, host)
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "tiny", "2.0", requires=("helper>=2",))
    make_wheel(folder, "helper", "2.0")
    with running_index(folder, address=host, certificate=authority.server) as running:
        yield running


@pytest.fixture
def lock(index):
    wheels = [make_wheel(index.folder, name, "1.0", requires=needs) for name, needs in NEEDS.items()]
    return lock_of(*wheels)


NEEDS = {"helper": (), "tiny": ("helper",)}


@contextmanager
def tampered(index):
    """Another file under the name of one that is locked; its page has no hash, or the new one."""
    make_wheel(index.folder, "helper", "1.0", files={"helper/__init__.py": b"import os; os.system('evil')\n"})
    with pytest.raises(DigestMismatchError, match="another hash") as caught:
        yield
    assert "do not install it" in caught.value.hint
    assert "helper" in caught.value.message


def of_docker(bench, engine, tmp_path):  # noqa: F811 - fixtures
    return bench(_choose(engine), ca_bundle=str(tmp_path / "ca.pem")).builder


def test_docker_installs_the_locked_files_and_no_newer_ones(bench, engine, local_plan, index, lock, client, tmp_path):  # noqa: F811
    plan = with_lock(replace(local_plan, pip_indexes=PipIndexes(index_url=index.url)), lock)
    of_docker(bench, engine, tmp_path).build(plan)
    labels = client.images.get(str(plan.reference)).labels
    assert labels["sagemaker-custom.lock"] == '{"installed":{"helper":"1.0","tiny":"1.0"},"removed":[]}'
    assert labels[WHEELS_LABEL] == lock.to_json()


def test_docker_refuses_a_file_with_another_hash(bench, engine, local_plan, index, lock, client, tmp_path):  # noqa: F811
    plan = with_lock(replace(local_plan, pip_indexes=PipIndexes(index_url=index.url)), lock)
    with tampered(index):
        of_docker(bench, engine, tmp_path).build(plan)
    _nothing_left(client, plan)


def remote_plan(base, index, lock):  # noqa: F811 - a fixture
    indexes = PipIndexes(index_url=index.url)
    return with_lock(example_plan(base=base, fingerprint=secrets.token_hex(32), pip_indexes=indexes), lock)


def test_codebuild_installs_the_locked_files(bench_of_codebuild, base_of_codebuild, index, lock, tmp_path):
    remote = bench_of_codebuild(codebuild_ca_bundle=str(tmp_path / "ca.pem"))
    plan = remote_plan(base_of_codebuild, index, lock)
    remote.builder.build(plan)
    labels = remote.registry.image_config(plan.reference)["config"]["Labels"]
    assert labels["sagemaker-custom.lock"] == '{"installed":{"helper":"1.0","tiny":"1.0"},"removed":[]}'
    assert labels[WHEELS_LABEL] == lock.to_json()


def test_codebuild_refuses_a_file_with_another_hash(bench_of_codebuild, base_of_codebuild, index, lock, tmp_path):
    remote = bench_of_codebuild(codebuild_ca_bundle=str(tmp_path / "ca.pem"))
    plan = remote_plan(base_of_codebuild, index, lock)
    with tampered(index):
        remote.builder.build(plan)
    assert not remote.tags(plan.reference)
