"""How long an image takes from one registry to another: ``skopeo copy`` and ours, between the same two registries.

Needs ``skopeo`` and ``docker-registry``: ``python benchmarks/bench_mirror.py --megabytes 800``. Both registries are on
loopback and start empty for each run, so that what is measured is the copying and no network.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sagemaker_custom import oci
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport

SHARES = (0.375, 0.25, 0.25, 0.0625, 0.0625)
"""Of the whole image, one a layer."""
NAME = "source/image:1"


def program(name: str) -> str:
    """Return the path of a program, or end."""
    return shutil.which(name) or sys.exit(f"{name} is not installed")


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run a registry that stores in ``folder``; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    folder.mkdir()
    configuration = folder / "config.yml"
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    log = {"level": "error", "accesslog": {"disabled": True}}
    configuration.write_text(json.dumps({"version": "0.1", "log": log, "storage": storage, "http": {"addr": host}}))
    command = [program("docker-registry"), "serve", str(configuration)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))):
            time.sleep(0.05)
        yield host
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def client(host: str) -> RegistryClient:
    """Return a client for a registry without TLS."""
    return RegistryClient(
        transport=RequestsTransport(), credentials=lambda _name: None, endpoint_for=lambda _name: f"http://{host}"
    )


def push(host: str, megabytes: int) -> None:
    """Put an image of random layers into a registry."""
    target, reference, layers = client(host), ImageReference.parse(f"{host}/{NAME}"), []
    for share in SHARES:
        # As gzip, though nothing shrinks: what is not gzip skopeo would compress.
        content = gzip.compress(os.urandom(int(megabytes * share * 1_000_000)), compresslevel=0)
        digest = digest_of(content)
        target.upload_blob(reference, digest, len(content), lambda content=content: io.BytesIO(content))
        layers.append({"mediaType": oci.DOCKER_LAYER, "size": len(content), "digest": digest})
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    target.upload_blob(reference, digest_of(config), len(config), lambda: io.BytesIO(config))
    document = {
        "schemaVersion": 2,
        "mediaType": oci.DOCKER_MANIFEST,
        "config": {"mediaType": oci.DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)},
        "layers": layers,
    }
    target.put_manifest(reference, Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(document).encode()))


def by_skopeo(source: str, target: str) -> None:
    """Copy with skopeo."""
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    command = [
        program("skopeo"),
        "copy",
        "--quiet",
        *insecure,
        f"docker://{source}/{NAME}",
        f"docker://{target}/{NAME}",
    ]
    subprocess.run(command, check=True)


def by_us(source: str, target: str) -> None:
    """Copy with ours, in a process of its own, as skopeo does."""
    subprocess.run([sys.executable, __file__, "--from", source, "--to", target], check=True)


def mirror(source: str, target: str) -> None:
    """Copy in this process, and say how much memory it took at most."""
    mirror_image(
        ImageReference.parse(f"{source}/{NAME}"),
        ImageReference.parse(f"{target}/{NAME}"),
        source_registry=client(source),
        target_registry=client(target),
        progress=NoProgress(),
    )
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(f"{'':12}our peak memory, with Python and all imports: {int(peak[1]) / 1000:.0f} MB" if peak else "")


def timed(copy: Callable[[str, str], None], source: str, folder: Path) -> float:
    """Return the seconds that ``copy`` takes to an empty registry."""
    with registry(folder) as target:
        begin = time.perf_counter()
        copy(source, target)
        return time.perf_counter() - begin


def main() -> None:
    """Measure both in turns, and print the shortest of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--from", dest="source", help=argparse.SUPPRESS)
    parser.add_argument("--to", dest="target", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source:
        mirror(arguments.source, arguments.target)
        return
    with tempfile.TemporaryDirectory() as name, registry(Path(name, "source")) as source:
        push(source, arguments.megabytes)
        took: dict[str, list[float]] = {"skopeo copy": [], "ours": []}
        for number in range(arguments.repeats):
            took["skopeo copy"].append(timed(by_skopeo, source, Path(name, f"skopeo{number}")))
            took["ours"].append(timed(by_us, source, Path(name, f"ours{number}")))
    for what, seconds in took.items():
        best = min(seconds)
        print(f"{what:12}{best:8.2f} s {arguments.megabytes / best:8.0f} MB/s")
    print(f"{'ratio':12}{min(took['skopeo copy']) / min(took['ours']):8.2f}")


if __name__ == "__main__":
    main()
