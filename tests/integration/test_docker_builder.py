"""Builds by the real Docker Engine, on a tiny base made on the spot, with BuildKit and without."""

from __future__ import annotations

import base64
import io
import ipaddress
import json
import os
import secrets
import ssl
import subprocess
import threading
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
from fakes.example_plan import BASE, BASE_HOST, example_plan
from registry_process import running_registry
from tls_authority import make_authority

from sagemaker_custom.builders.buildkit import BuildKitRoute, choose_route, docker_commands
from sagemaker_custom.builders.classic import ClassicRoute
from sagemaker_custom.builders.commands import SubprocessRunner
from sagemaker_custom.builders.docker import DockerBuilder
from sagemaker_custom.builders.docker_engine import DockerEngine, engine_address, open_client
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.store import EngineStore, RegistryStore
from sagemaker_custom.errors import (
    BaseImageError,
    BuildError,
    EngineUnavailableError,
    RegistryUnavailableError,
    VerificationError,
)
from sagemaker_custom.oci import DOCKER_MANIFEST
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, RegistryCredentials
from sagemaker_custom.registry import RegistryClient, RequestsTransport
from sagemaker_custom.resolve import PipStep

pytestmark = pytest.mark.docker

_BASE_TAG = "sagemaker-custom-tests:bookworm-venv-2"
_PASSWORD = "s3cr%t-word"
_USER = "index-user"


@pytest.fixture(scope="module")
def client():
    environment = dict(os.environ)
    try:
        client = open_client(engine_address(environment), environment)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker Engine answers: {error}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def base_id(client, tmp_path_factory):
    """A Debian root with an empty virtual environment in place of conda; kept in the engine for the next run."""
    try:
        return client.images.get(_BASE_TAG).id
    except docker.errors.ImageNotFound:
        root = tmp_path_factory.mktemp("root") / "root.tar"
    subprocess.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            "--include=python3,python3-venv,ca-certificates",
            *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")),
            '--customize-hook=chroot "$1" python3 -m venv /opt/conda',
            '--customize-hook=rm -rf "$1/var/lib/apt/lists" "$1/var/cache/apt"',
            "bookworm",
            str(root),
        ],
        check=True,
        capture_output=True,
    )
    name, tag = _BASE_TAG.split(":")
    client.api.import_image_from_file(str(root), repository=name, tag=tag)
    root.unlink()
    return client.images.get(_BASE_TAG).id


@pytest.fixture
def engine(client):
    return DockerEngine(lambda: client, address=engine_address(dict(os.environ)))


@pytest.fixture
def base(client, base_id):
    """The base under a name of this test's own, as AWS would publish it."""
    base = replace(BASE, tag=f"test-{secrets.token_hex(4)}")
    name = f"{BASE_HOST}/{base.repository}"
    # An image of its own: what another build leaves on the same files is not on this one.
    recipe = f"FROM {base_id}\nLABEL test={base.tag}\n".encode()
    for said in client.api.build(fileobj=io.BytesIO(recipe), tag=f"{name}:{base.tag}", rm=True, decode=True):
        assert "error" not in said
    yield base
    client.api.remove_image(f"{name}:{base.tag}", noprune=True)


@pytest.fixture
def registry(tmp_path):
    folder = tmp_path / "registry"
    folder.mkdir()
    with running_registry(folder) as running:
        yield running


@pytest.fixture(params=["buildkit", "classic"])
def route(request, engine):
    if request.param == "classic":
        return ClassicRoute(engine)
    route = _choose(engine)
    if not isinstance(route, BuildKitRoute):
        pytest.skip("no docker command here has BuildKit")
    return route


def _choose(engine):
    environment = dict(os.environ)
    return choose_route(
        engine, programs=docker_commands(environment["PATH"]), runner=SubprocessRunner(), environment=environment
    )


@dataclass
class Lines(NoProgress):
    """Remembers what would be shown."""

    logged: list[str] = field(default_factory=list)

    def log(self, line):
        self.logged.append(line)


@dataclass
class Bench:
    """A builder, and what it works with."""

    builder: DockerBuilder
    registry: RegistryClient
    engine: DockerEngine
    progress: Lines
    log_dir: Path


@pytest.fixture
def bench(engine, registry, tmp_path):
    def make(route, *, ca_bundle=None):
        transport = stack.enter_context(RequestsTransport())
        registry_client = RegistryClient(
            transport=transport, credentials=lambda host: None, endpoint_for=lambda host: f"{registry.url}/proxied"
        )
        progress = Lines()
        builder = DockerBuilder(
            engine,
            registry=registry_client,
            endpoints=Endpoints(endpoint_for=lambda host: f"{registry.url}/proxied", credentials=lambda host: None),
            choose_route=lambda: route,
            ensure_repository=lambda reference: None,
            remove_tag=registry_client.remove_tag,
            log_dir=tmp_path / "logs",
            version="1.2.3",
            token=lambda: secrets.token_hex(4),
            clock=lambda: datetime.now(tz=timezone.utc),
            ca_bundle=ca_bundle,
            progress=progress,
        )
        return Bench(builder, registry_client, engine, progress, tmp_path / "logs")

    with ExitStack() as stack:
        yield make


def _wheel(name, version="1.0"):
    content = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"{name}.py", "value = 42\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


class _Index(BaseHTTPRequestHandler):
    def do_GET(self):
        expected = "Basic " + base64.b64encode(f"{_USER}:{_PASSWORD}".encode()).decode()
        if self.server.login and self.headers.get("Authorization") != expected:
            return self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
        name = self.path.strip("/").split("/")[-1]
        if name.endswith(".whl"):
            return self._answer(200, _wheel(name.split("-")[0]))
        link = f'<a href="/files/{name}-1.0-py3-none-any.whl">{name}-1.0-py3-none-any.whl</a>'
        return self._answer(200, link.encode(), {"Content-Type": "text/html"})

    def _answer(self, status, body, headers=None):
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@dataclass
class RunningIndex:
    """A package index that containers reach, with a certificate by an authority of its own."""

    address: str
    ca_bundle: str
    marker: bytes

    def url(self, login=""):
        return f"https://{login}{self.address}/simple/"


@contextmanager
def _index(client, folder, *, login):
    subnet = client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    host = str(next(ipaddress.ip_network(subnet).hosts()))
    authority = make_authority(folder, host)
    server = ThreadingHTTPServer((host, 0), _Index)
    server.daemon_threads = True
    server.login = login
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield RunningIndex(f"{host}:{server.server_port}", str(authority.ca_bundle), authority.marker)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def index(client, tmp_path):
    with _index(client, tmp_path, login=True) as running:
        yield running


@pytest.fixture
def open_index(client, tmp_path):
    with _index(client, tmp_path, login=False) as running:
        yield running


@pytest.fixture
def local_plan(base, client):
    """A plan for the engine; its image is removed at the end."""
    plan = example_plan(local=True, base=base, fingerprint=secrets.token_hex(32))
    yield plan
    with suppress(docker.errors.ImageNotFound):
        client.images.remove(str(plan.reference))


def _everything_in(client, name):
    """Return all bytes of an image: history, configuration and layers."""
    history = repr(client.api.history(name)).encode()
    return history + b"".join(client.images.get(name).save(chunk_size=None))


def _traces(client, plan):
    """Return what an interrupted build would leave; other processes use the engine as well."""
    # By the low-level API: the other one asks for each image again, which somebody may have removed by then.
    tags = {tag for image in client.api.images() for tag in image["RepoTags"] or ()}
    staging = {tag for tag in tags if f"staging-{plan.fingerprint[:12]}" in tag}
    on_base = {"ancestor": f"{BASE_HOST}/{plan.base.repository}:{plan.base.tag}"}
    return staging | {container["Id"] for container in client.api.containers(all=True, filters=on_base)}


def _nothing_left(client, plan):
    assert not _traces(client, plan)
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(str(plan.reference))


class TestLocalBuild:
    def test_extras_are_installed_verified_and_recorded(self, bench, route, local_plan, open_index, client):
        plan = replace(local_plan, pip_indexes=PipIndexes(index_url=open_index.url()))
        bench = bench(route, ca_bundle=open_index.ca_bundle)

        assert bench.builder.build(plan) == plan.reference

        found = EngineStore(bench.engine).find(plan.reference)
        assert found.labels["sagemaker-custom.fingerprint"] == plan.fingerprint
        assert found.labels["sagemaker-custom.lock"] == '{"installed":{"tiny":"1.0"},"removed":[]}'
        assert found.labels["sagemaker-custom.builder"] == route.name
        assert found.labels["sagemaker-custom.verified"] == "run"
        assert found.labels["sagemaker-custom.version"] == "1.2.3"
        assert found.labels["sagemaker-custom.base-digest"].startswith("sha256:")
        assert found.labels["sagemaker-custom.spec"] == plan.labels["sagemaker-custom.spec"]
        said = client.containers.run(
            str(plan.reference),
            ["-c", "import tiny; print(tiny.value)"],
            entrypoint="/opt/conda/bin/python",
            remove=True,
        )
        assert said == b"42\n"

    def test_the_ca_bundle_is_in_no_layer_with_buildkit(self, bench, engine, local_plan, open_index, client):
        plan = replace(local_plan, pip_indexes=PipIndexes(index_url=open_index.url()))
        route = _choose(engine)
        if not isinstance(route, BuildKitRoute):
            pytest.skip("no docker command here has BuildKit")

        bench(route, ca_bundle=open_index.ca_bundle).builder.build(plan)

        assert open_index.marker not in _everything_in(client, str(plan.reference))

    def test_credentials_without_buildkit_are_refused(self, bench, engine, local_plan, index, client):
        plan = replace(local_plan, pip_indexes=PipIndexes(index_url=index.url("u:p@")))

        with pytest.raises(BuildError, match="without BuildKit they would stay in the image") as caught:
            bench(ClassicRoute(engine), ca_bundle=index.ca_bundle).builder.build(plan)

        assert "docker-buildx" in caught.value.hint

    def test_a_failing_verify_command_leaves_nothing(self, bench, route, local_plan, open_index, client):
        plan = replace(
            local_plan,
            pip_indexes=PipIndexes(index_url=open_index.url()),
            verify=("""python -c "import tiny; assert tiny.value == 43, 'value is %d' % tiny.value" """.strip(),),
        )
        bench = bench(route, ca_bundle=open_index.ca_bundle)

        with pytest.raises(VerificationError, match="AssertionError: value is 42") as caught:
            bench.builder.build(plan)

        assert "exit code 1" in str(caught.value)
        assert "value is 42" in Path(caught.value.log_path).read_text(encoding="utf-8")
        _nothing_left(client, plan)

    def test_a_failing_step_shows_the_last_lines_and_where_the_log_is(
        self, bench, route, local_plan, open_index, client
    ):
        plan = replace(
            local_plan, pip_indexes=PipIndexes(index_url=open_index.url()), steps=(PipStep(packages=("tiny==9",)),)
        )
        bench = bench(route, ca_bundle=open_index.ca_bundle)

        with pytest.raises(BuildError, match="No matching distribution found for tiny==9") as caught:
            bench.builder.build(plan)

        assert caught.value.log_path in str(caught.value)
        assert "No matching distribution" in Path(caught.value.log_path).read_text(encoding="utf-8")
        _nothing_left(client, plan)


class TestRegistryBuild:
    def test_the_image_is_promoted_and_found_again(self, bench, route, registry, base, open_index, client):
        bench = bench(route, ca_bundle=open_index.ca_bundle)
        _publish_base(client, registry, base)
        plan = example_plan(
            base=base,
            fingerprint=secrets.token_hex(32),
            pip_indexes=PipIndexes(index_url=open_index.url()),
        )

        assert bench.builder.build(plan) == plan.reference

        found = RegistryStore(bench.registry).find(plan.reference)
        assert found.labels["sagemaker-custom.fingerprint"] == plan.fingerprint
        manifest = bench.registry.manifest(plan.reference)
        assert manifest.media_type == DOCKER_MANIFEST
        base_digest = bench.registry.find(plan.base_reference)
        assert found.labels["sagemaker-custom.base-digest"] == base_digest
        staging = f"staging-{plan.fingerprint[:12]}"
        assert not [tag for image in client.api.images() for tag in image["RepoTags"] or () if staging in tag]

    def test_two_extended_images_share_the_layers_of_the_base(self, bench, engine, registry, base, open_index, client):
        bench = bench(ClassicRoute(engine), ca_bundle=open_index.ca_bundle)
        _publish_base(client, registry, base)
        indexes = PipIndexes(index_url=open_index.url())
        plans = [
            example_plan(
                base=base, fingerprint=secrets.token_hex(32), pip_indexes=indexes, packages=(package,), verify=()
            )
            for package in ("tiny", "other")
        ]

        for plan in plans:
            bench.builder.build(plan)

        shared = _layer_digests(bench.registry.manifest(plans[0].base_reference).content)
        for plan in plans:
            assert all(layer in bench.registry.manifest(plan.reference).content for layer in shared)

    def test_a_base_that_does_not_exist(self, bench, route, base):
        plan = example_plan(base=replace(base, tag="0.0.0-never"))

        with pytest.raises(BaseImageError, match=r"the base image .*:0\.0\.0-never does not exist") as caught:
            bench(route).builder.build(plan)

        assert "choose another framework_version" in caught.value.hint


def _publish_base(client, registry, base):
    name = f"{registry.host}/proxied/{base.repository}"
    client.api.tag(f"{BASE_HOST}/{base.repository}:{base.tag}", name, tag=base.tag)
    for event in client.api.push(name, tag=base.tag, stream=True, decode=True):
        assert "error" not in event
    client.api.remove_image(f"{name}:{base.tag}", noprune=True)


def _layer_digests(manifest):
    return [layer["digest"].encode() for layer in json.loads(manifest)["layers"]]


class TestEngine:
    def test_ctrl_c_removes_the_container(self, engine, client, base):
        image = f"{BASE_HOST}/{base.repository}:{base.tag}"

        def interrupt(line):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            engine.run(image, ("/bin/sh", "-c", "echo here; sleep 60"), on_line=interrupt, timeout_s=60)

        assert client.api.containers(all=True, filters={"ancestor": image}) == []

    def test_a_command_that_hangs_is_killed(self, engine, base_id):
        with pytest.raises(TimeoutError, match=r"still running after 0\.5 s"):
            engine.run(base_id, ("/bin/sh", "-c", "sleep 60"), on_line=lambda line: None, timeout_s=0.5)

    def test_a_program_that_is_not_there(self, engine, base_id):
        with pytest.raises(BuildError, match="/no/such/program"):
            engine.run(base_id, ("/no/such/program",), on_line=lambda line: None, timeout_s=5)

    def test_containers_have_no_network(self, engine, base_id):
        lines = []

        engine.run(base_id, ("/bin/ls", "/sys/class/net"), on_line=lines.append, timeout_s=20)

        assert lines == ["lo"]

    def test_pulling_what_is_not_there(self, engine, registry):
        reference = ImageReference.parse(f"{registry.host}/pytorch-training:1.0")

        with pytest.raises(BaseImageError, match="does not exist"):
            engine.pull(reference, platform="linux/amd64", credentials=None, progress=NoProgress())

    def test_pulling_from_a_registry_that_is_gone(self, engine):
        reference = ImageReference.parse("127.0.0.1:1/pytorch-training:1.0")

        with pytest.raises(RegistryUnavailableError, match="connection refused"):
            engine.pull(reference, platform="linux/amd64", credentials=None, progress=NoProgress())

    def test_pulling_with_a_wrong_password(self, engine, tmp_path):
        login = RegistryCredentials(username="AWS", password="right")
        with running_registry(tmp_path, login=login) as registry:
            reference = ImageReference.parse(f"{registry.host}/pytorch-training:1.0")
            wrong = RegistryCredentials(username="AWS", password="wrong")

            with pytest.raises(BaseImageError, match="no access to the base image") as caught:
                engine.pull(reference, platform="linux/amd64", credentials=wrong, progress=NoProgress())

        assert "docker login" in caught.value.hint

    def test_a_stopped_engine_is_named(self, tmp_path):
        address = f"unix://{tmp_path}/docker.sock"
        engine = DockerEngine(lambda: open_client(address, {}), address=address)

        with pytest.raises(EngineUnavailableError, match=r"docker\.sock is not running") as caught:
            engine.ping()

        assert "systemctl start docker" in caught.value.hint

    def test_an_unreachable_remote_engine_is_named(self):
        address = "tcp://127.0.0.1:1"
        engine = DockerEngine(lambda: open_client(address, {"DOCKER_HOST": address}), address=address)

        with pytest.raises(EngineUnavailableError, match=r"tcp://127\.0\.0\.1:1 cannot be reached") as caught:
            engine.ping()

        assert "DOCKER_HOST" in caught.value.hint
