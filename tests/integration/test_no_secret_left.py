"""Builds with each way to give the credentials of an index; afterwards they are looked for in all that is left."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from fakes.canary import Canary, files_below
from fakes.example_plan import example_plan
from fakes.tiny_wheels import make_wheel
from package_index import running_index
from registry_process import running_registry
from test_codebuild_builder import base as codebuild_base
from test_codebuild_builder import bench as codebuild_bench
from test_codebuild_builder import registry as codebuild_registry
from test_docker_builder import base, base_id, client  # noqa: F401 - fixtures
from tls_authority import make_authority

from sagemaker_custom.plan import CodeArtifactRepository, PipIndexes

pytestmark = pytest.mark.docker

TESTS = Path(__file__).parents[1]
USER = "index-user"
WAYS = ("url", "netrc", "keyring", "codeartifact")
KEYRING = '#!/bin/sh\ncase "$*" in "--mode creds get https://"*) printf "%s\\n%s\\n" ;; *) exit 1 ;; esac\n'

base_of_codebuild, bench_of_codebuild, registry = codebuild_base, codebuild_bench, codebuild_registry


@dataclass
class Bench:
    """An index with a password, and the places of one build."""

    folder: Path
    canary: Canary
    index: object
    ca_bundle: str

    @property
    def traces(self) -> Path:
        """What a build may leave on this machine."""
        return self.folder / "traces"

    def build(self, way, *, builder, tag, registry=""):
        home = self.folder / "home"
        for path in (home, self.traces / "tmp", self.traces / "cache"):
            path.mkdir(parents=True)
        told = {
            "builder": builder,
            "tag": tag,
            "registry": registry,
            "fingerprint": secrets.token_hex(32),
            "codeartifact": None,
            "settings": {"ca_bundle": self.ca_bundle, "cache_dir": str(self.traces / "cache"), "verify": "static"},
        }
        settings = told["settings"]
        settings["pip_index_url"] = self.index.url
        if way == "url":
            settings["pip_index_url"] = self.index.url_with_login
        elif way == "netrc":
            (home / ".netrc").write_text(f"machine {self.index.address} login {USER} password {self.canary.text}\n")
        elif way == "keyring":
            settings["pip_keyring_provider"] = "subprocess"
            (home / "keyring").write_text(KEYRING % (USER, self.canary.text.replace("%", "%%")))
            (home / "keyring").chmod(0o755)
        else:
            del settings["pip_index_url"]
            settings["codeartifact"] = "company/packages"
            told["codeartifact"] = {"endpoint": self.index.url.removesuffix("simple"), "token": self.canary.text}
        done = subprocess.run(
            [sys.executable, str(TESTS / "integration" / "secret_build.py")],
            input=json.dumps(told),
            env=self._environment(home),
            cwd=self.traces,
            capture_output=True,
            text=True,
            check=False,
        )
        (self.traces / "stdout").write_text(done.stdout)
        (self.traces / "stderr").write_text(done.stderr)
        assert done.returncode == 0, self.canary.text.join(done.stderr[-3000:].split(self.canary.text))
        return example_plan(local=builder == "docker", fingerprint=told["fingerprint"]).reference

    def _environment(self, home):
        kept = {name: os.environ[name] for name in ("DOCKER_HOST", "LD_LIBRARY_PATH") if name in os.environ}
        folders = [str(TESTS), str(TESTS / "functional")]
        return {
            **kept,
            "PATH": f"{home}:{os.environ['PATH']}",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(self.traces / "cache"),
            "TMPDIR": str(self.traces / "tmp"),
            "PYTHONPATH": os.pathsep.join(folders),
        }

    def assert_nowhere(self, places=None):
        left = list((self.traces / "tmp").rglob("sagemaker-custom-*")) if (self.traces / "tmp").is_dir() else []
        assert not left
        assert not self.canary.found_in({**files_below(self.traces), **(places or {})})


@pytest.fixture
def host(client):  # noqa: F811 - a fixture
    """The address by which containers reach this machine."""
    subnet = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    return str(next(ipaddress.ip_network(subnet).hosts()))


@pytest.fixture
def bench(tmp_path, host):
    def make(way="url"):
        canary = Canary()
        wheels = tmp_path / "wheels"
        wheels.mkdir()
        make_wheel(wheels, "tiny")
        user = "aws" if way == "codeartifact" else USER
        options = {"path": "/pypi/packages"} if way == "codeartifact" else {}
        authority = make_authority(tmp_path, host)
        index = stack.enter_context(
            running_index(
                wheels,
                address=host,
                certificate=authority.server,
                has_login=True,
                login=(user, canary.text),
                **options,
            )
        )
        return Bench(tmp_path, canary, index, str(authority.ca_bundle))

    with ExitStack() as stack:
        yield make


def of_image(client, name):  # noqa: F811 - a fixture
    """Everything that whoever has an image can read of it."""
    image = client.images.get(name)
    return {
        "layers and configuration": b"".join(image.save(chunk_size=None)),
        "history": repr(client.api.history(name)).encode(),
        "inspection": repr(image.attrs).encode(),
    }


@pytest.mark.parametrize("way", WAYS)
def test_docker_leaves_none(bench, client, base, way):  # noqa: F811 - fixtures
    bench = bench(way)
    reference = bench.build(way, builder="docker", tag=base.tag)
    try:
        assert "/files/tiny-1.0-py3-none-any.whl" in " ".join(bench.index.asked)
        bench.assert_nowhere(of_image(client, str(reference)))
    finally:
        with suppress(docker.errors.ImageNotFound):
            client.api.remove_image(str(reference))


@pytest.mark.parametrize("way", WAYS)
def test_append_leaves_none(bench, tmp_path, way):
    bench = bench(way)
    folder = tmp_path / "registry"
    folder.mkdir()
    with running_registry(folder) as running:
        bench.build(way, builder="append", tag="base", registry=running.url)
    assert "/files/tiny-1.0-py3-none-any.whl" in " ".join(bench.index.asked)
    kept = files_below(folder)
    assert any(b"sagemaker-custom.wheels" in content for content in kept.values())
    bench.assert_nowhere(kept)


@pytest.mark.parametrize("way", ["secret", "codeartifact"])
def test_codebuild_leaves_none(bench, bench_of_codebuild, base_of_codebuild, client, tmp_path, registry, way):  # noqa: F811
    bench = bench(way)
    bench.traces.mkdir()
    indexes = PipIndexes(index_url=bench.index.url)
    settings = {"codebuild_ca_bundle": bench.ca_bundle}
    if way == "secret":
        settings["codebuild_index_secret"] = "team/index"
    else:
        repository = CodeArtifactRepository(domain="company", repository="packages", region="eu-west-1")
        indexes = PipIndexes(codeartifact=repository)
    remote = bench_of_codebuild(**settings)
    netrc = f"machine {bench.index.address} login {USER} password {bench.canary.text}"
    remote.machine.secrets["team/index"] = netrc
    remote.machine.index = (bench.index.url.removesuffix("simple"), bench.canary.text)
    plan = example_plan(base=base_of_codebuild, fingerprint=secrets.token_hex(32), pip_indexes=indexes)

    remote.builder.build(plan)

    assert "/files/tiny-1.0-py3-none-any.whl" in " ".join(bench.index.asked)
    s3 = remote.s3()
    objects = {
        item["Key"]: s3.get_object(Bucket="contexts", Key=item["Key"])["Body"].read()
        for item in s3.list_objects_v2(Bucket="contexts")["Contents"]
    }
    bench.assert_nowhere({
        **objects,
        **files_below(registry.root / "data"),
        **files_below(tmp_path / "logs"),
        "requests": repr([build.request for build in remote.api.builds.values()]).encode(),
        "log": remote.logged().encode(),
    })  # fmt: skip


def test_a_secret_that_is_left_would_be_found(bench):
    bench = bench()
    bench.traces.mkdir()
    (bench.traces / "log").write_text(f"https://{USER}:{bench.canary.text}@packages.example.com")
    with pytest.raises(AssertionError, match="as it is"):
        bench.assert_nowhere()
