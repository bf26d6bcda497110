"""How long an image takes from one registry to another: ``skopeo copy`` and ours, between the same two registries.

Needs ``skopeo`` and ``docker-registry``: ``python benchmarks/bench_mirror.py --megabytes 800``. Both registries are on
loopback, and the one that is copied to starts empty for each run, so that what is measured is the copying and no
network.
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
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from results import Row, save

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


def is_open(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
        while not is_open(int(host.rpartition(":")[2])):
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


def by_skopeo(source: str, target: str) -> list[str]:
    """Return the command that copies with skopeo."""
    insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
    return [program("skopeo"), "copy", "--quiet", *insecure, f"docker://{source}/{NAME}", f"docker://{target}/{NAME}"]


def by_us(source: str, target: str) -> list[str]:
    """Return the command that copies with ours, in a process of its own, as skopeo does."""
    return [sys.executable, __file__, "--from", source, "--to", target]


def mirror(source: str, target: str) -> None:
    """Copy in this process."""
    mirror_image(
        ImageReference.parse(f"{source}/{NAME}"),
        ImageReference.parse(f"{target}/{NAME}"),
        source_registry=client(source),
        target_registry=client(target),
        progress=NoProgress(),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one copy took."""

    seconds: float
    peak_megabytes: float
    """Of resident memory, as far as it was seen; 0 where the system does not tell."""


def measured(command: Callable[[str, str], list[str]], source: str, folder: Path) -> Run:
    """Copy to an empty registry."""
    with registry(folder) as target:
        begin, peak = time.perf_counter(), 0.0
        with subprocess.Popen(command(source, target)) as process:
            while process.poll() is None:
                peak = max(peak, peak_of(process.pid))
                time.sleep(0.02)
        if process.returncode:
            sys.exit(f"{process.args} failed")
        return Run(seconds=time.perf_counter() - begin, peak_megabytes=peak)


def peak_of(pid: int) -> float:
    """Return the megabytes that a process had at most so far."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def main() -> None:
    """Measure both in turns, and save the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=800)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--from", dest="source", help=argparse.SUPPRESS)
    parser.add_argument("--to", dest="target", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.source:
        mirror(arguments.source, arguments.target)
        return
    runs: dict[str, list[Run]] = {"skopeo copy": [], "ours": []}
    with tempfile.TemporaryDirectory() as name, registry(Path(name, "source")) as source:
        push(source, arguments.megabytes)
        for number in range(arguments.repeats):
            for (what, done), command in zip(runs.items(), (by_skopeo, by_us), strict=True):
                done.append(measured(command, source, Path(name, f"{what}{number}")))
    seconds = {what: median(run.seconds for run in done) for what, done in runs.items()}
    peaks = {what: max(run.peak_megabytes for run in done) for what, done in runs.items()}
    save(
        "mirror",
        [
            Row(
                what=f"an image of {arguments.megabytes} MB to another registry",
                against="skopeo copy",
                ours=seconds["ours"],
                theirs=seconds["skopeo copy"],
                note=f"{arguments.megabytes / seconds['ours']:.0f} MB/s",
                chart=True,
            ),
            Row(
                what="the most memory that takes",
                against="skopeo copy",
                ours=peaks["ours"],
                theirs=peaks["skopeo copy"],
                unit="MB",
            ),
        ],
    )


if __name__ == "__main__":
    main()
