"""Processes that want the same image at once: forked for each line on standard input; each writes what became of it.

The builder is a small one that uploads a layer and promotes it as the real ones do, counts builds in a folder, and can
stop for good at a named point, so that it is killed there.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import boto3  # noqa: E402
from fakes.builders import RecordingProgress  # noqa: E402
from fakes.example_plan import example_plan  # noqa: E402

from sagemaker_custom import oci  # noqa: E402
from sagemaker_custom.aws.conditional import ConditionalObjects  # noqa: E402
from sagemaker_custom.builders.promotion import promote  # noqa: E402
from sagemaker_custom.builders.store import RegistryStore  # noqa: E402
from sagemaker_custom.errors import BuildError  # noqa: E402
from sagemaker_custom.leases import MachineLock, SharedLease  # noqa: E402
from sagemaker_custom.leases.interface import this_process  # noqa: E402
from sagemaker_custom.provision import ensure_image  # noqa: E402
from sagemaker_custom.reference import digest_of  # noqa: E402
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport  # noqa: E402

POINTS = ("building", "mid-blob", "before the manifest", "before the final tag")
"""Where a builder can stop."""


@dataclass(frozen=True, kw_only=True)
class Callers:
    """What to start."""

    number: int
    """Of these callers."""
    registry: str
    """``host:port``."""
    repository: str
    folder: str
    """Where results, builds and signs are left."""
    count: int = 1
    machines: int = 1
    """Among which the callers are spread; each has a cache folder of its own."""
    first_machine: int = 0
    locks: str = "machine"
    """``none``, ``machine`` or ``shared``."""
    lease_s: float = 2.0
    build_s: float = 0.5
    layer_bytes: int = 200_000
    until: str = ""
    """A file that each build waits for besides."""
    stops_at: str = ""
    """One of :data:`POINTS`."""
    fails: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    skew_s: float = 0.0
    """How wrong the clock of these machines is."""


class StoppingContent(io.BytesIO):
    """Stops for good when half of it is read."""

    def __init__(self, content, stop):
        super().__init__(content)
        self._half = len(content) // 2
        self._stop = stop

    def read(self, size=-1):
        if self.tell() >= self._half:
            self._stop()
        return super().read(min(size, self._half) if size > 0 else size)


class SmallBuilder:
    """An ImageBuilder without an engine, whose images differ from build to build."""

    def __init__(self, asked, client):
        self._asked = asked
        self._client = client

    def build(self, plan, *, fresh=False):
        folder = Path(self._asked.folder)
        (folder / f"build-{os.getpid()}-{secrets.token_hex(4)}").touch()
        time.sleep(self._asked.build_s)
        while self._asked.until and not Path(self._asked.until).exists():
            time.sleep(0.02)
        self._reach("building")
        if self._asked.fails:
            raise BuildError("the build broke")
        staging = plan.reference.with_tag(f"staging-{secrets.token_hex(4)}")
        layer = gzip.compress(os.urandom(self._asked.layer_bytes), mtime=0)
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {"Labels": plan.labels}, "created": secrets.token_hex(8)}
        ).encode()
        document = {
            "schemaVersion": 2,
            "mediaType": oci.DOCKER_MANIFEST,
            "config": self._upload(staging, config, oci.DOCKER_CONFIG),
            "layers": [self._upload(staging, layer, oci.DOCKER_LAYER)],
        }
        self._reach("before the manifest")
        manifest = Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(document).encode())
        self._client.put_manifest(staging, manifest)
        self._reach("before the final tag")
        promote(self._client, staging=staging, final=plan.reference, fingerprint=plan.fingerprint)
        return plan.reference

    def _upload(self, reference, content, media_type):
        def open_content():
            if self._asked.stops_at == "mid-blob" and media_type == oci.DOCKER_LAYER:
                return StoppingContent(content, lambda: self._reach("mid-blob"))
            return io.BytesIO(content)

        digest = digest_of(content)
        self._client.upload_blob(reference, digest, len(content), open_content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _reach(self, point):
        if self._asked.stops_at == point:
            (Path(self._asked.folder) / f"stopped-{os.getpid()}").touch()
            # Nobody is left behind by a test run that was killed itself.
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(0.2)
            os._exit(1)


class Told(RecordingProgress):
    """Keeps what it is told in a file, too, for those who wait for it."""

    def __init__(self, path):
        super().__init__()
        self._path = path

    def step(self, text):
        super().step(text)
        with self._path.open("a") as file:
            file.write(f"{text}\n")


def plan_for(registry, repository):
    plan = example_plan(host=registry)
    return replace(plan, reference=replace(plan.reference, repository=repository))


def client_for(transport):
    return RegistryClient(
        transport=transport, credentials=lambda host: None, endpoint_for=lambda host: f"http://{host}"
    )


def locks_of(asked, machine):
    def new_holder():
        now = datetime.now(timezone.utc) + timedelta(seconds=asked.skew_s)
        return replace(this_process(), owner=f"ada@machine-{machine}", since=f"{now:%Y-%m-%d %H:%M:%S} UTC")

    own = MachineLock(Path(asked.folder, f"cache-{machine}", "locks"), new_holder=new_holder)
    shared = SharedLease(
        ConditionalObjects(boto3.Session), bucket="team", prefix="x/", lease_s=asked.lease_s, new_holder=new_holder
    )
    return {"none": (), "machine": (own,), "shared": (own, shared)}[asked.locks]


def call(asked, machine):
    """Want the image, once, and return what became of it."""
    plan, began = plan_for(asked.registry, asked.repository), time.monotonic()
    progress = Told(Path(asked.folder) / f"told-{os.getpid()}")
    with RequestsTransport() as transport:
        client = client_for(transport)
        reference = ensure_image(
            plan,
            policy="if-missing",
            store=RegistryStore(client),
            builder=lambda: SmallBuilder(asked, client),
            mirror=lambda plan: None,
            revision=lambda: "r1",
            progress=progress,
            turns=locks_of(asked, machine),
        )
        digest = client.find(reference)
    return {"digest": digest, "told": progress.steps, "took_s": time.monotonic() - began}


def fork_all(asked):
    """Fork all and let them start together."""
    waiting, start = os.pipe()
    children = []
    for number in range(asked.count):
        child = os.fork()
        if not child:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(start)
            os.environ.update(asked.environment)
            os.read(waiting, 1)
            write_result(asked, asked.first_machine + number % asked.machines)
            os._exit(0)
        children.append(child)
    os.close(waiting)
    os.close(start)
    started = Path(asked.folder) / f"started-{asked.number}"
    started.with_suffix(".part").write_text(json.dumps(children))
    started.with_suffix(".part").rename(started)


def write_result(asked, machine):
    try:
        result = call(asked, machine)
    except BaseException as error:  # noqa: BLE001
        result = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    path = Path(asked.folder) / f"result-{os.getpid()}"
    path.with_suffix(".part").write_text(json.dumps(result))
    path.with_suffix(".part").rename(path)


def line_of(asked):
    return json.dumps(asdict(asked)) + "\n"


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        fork_all(Callers(**json.loads(line)))
