"""A new extended image: wheels appended to a base in the registry, and ``docker build`` with ``docker push``.

``python benchmarks/bench_append.py`` needs a Docker Engine, ``docker-registry`` and a package index. All registries are
on loopback, so that what is measured is work and no line. The base is the sandbox's stand-in of AWS's PyTorch image,
with real torch, and layers of data that make it larger than two gigabytes. Both ways install the same package and
download it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from places import Account, account, build_and_push, client, forget, plan_for, publish_stand_in, rewrite
from results import Row, save

from sagemaker_custom import oci
from sagemaker_custom.compression import gzip_chunks
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.sandbox.engine import ensure_engine
from sagemaker_custom.sandbox.registry import LocalRegistry
from sagemaker_custom.wiring import Parts

FIRST = "pip:einops==0.8.0"
NEW = "pip:faiss-cpu==1.12.0"
SAME_WHEELS = "faiss"
"""Another image, of the very wheel of ``NEW``."""
LARGE = ("pip:pyarrow==21.0.0", "pip:polars==1.31.0")
PADDING = 900 << 20
STOCK = ImageReference(registry="h.example", repository="pytorch-training", tag="2.3.0-cpu-py311-ubuntu20.04-sagemaker")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One repetition: seconds, but for what is sent and for wheels, which are bytes."""

    first: float
    new: float
    second: float
    second_sent: int
    docker_first: float
    docker_cold: float
    docker_warm: float
    large: float
    large_once: float
    large_sent: int
    large_wheels: int


class Bench:
    """A base that nobody has seen, and an account with an empty registry."""

    def __init__(self, folder: Path, bases: LocalRegistry, context: ExitStack) -> None:
        self.folder = folder
        self.bases = bases
        self.place = context.enter_context(account(folder, bases))
        rewrite(client(bases), STOCK.with_tag("padded"), STOCK)

    def parts(self, cache: str = "plans") -> Parts:
        """Return the parts of somebody whose cache is in the folder of that name."""
        return self.place.parts(self.folder / cache)

    def append(self, cache: str, *extras: str) -> float:
        """Return the seconds of an appended image."""
        parts = self.parts(cache)
        plan = plan_for(parts, *extras)
        return seconds(lambda: parts.ensure(plan, builder="append"))

    def by_docker(self, base: str, extra: str) -> float:
        """Return the seconds of an image by Docker's command line."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        repository = plan_for(self.parts(), extra).reference.repository
        image, requirement = f"{self.place.registry.address}/{repository}:by-hand", extra.removeprefix("pip:")
        ca_bundle = self.place.settings.ca_bundle
        taken = seconds(lambda: build_and_push(base, image, requirement, ca_bundle=ca_bundle, folder=folder))
        forget(image)
        return taken

    def published(self) -> str:
        """Return the name by which an engine reaches the base at AWS."""
        return f"{self.bases.address}/{STOCK.repository}:{STOCK.tag}"

    def brought(self) -> str:
        """Return the name by which an engine reaches the base in the account's own registry."""
        repository = plan_for(self.parts(), FIRST).reference
        tag = next(tag for tag in client(self.place.registry).tags(repository) if tag.startswith("base-"))
        return f"{self.place.registry.address}/{repository.repository}:{tag}"

    def blobs(self, *extras: str) -> dict[str, int]:
        """Return digest and size of config and layers of an image of the account."""
        parts = self.parts()
        manifest = parts.registry.manifest(plan_for(parts, *extras).reference)
        parsed = oci.parse_manifest(manifest.media_type, manifest.content)
        return {blob.digest: blob.size for blob in (parsed.config, *parsed.layers)}


def seconds(work: Callable[[], object]) -> float:
    """Return how long ``work`` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def sent_once(wheels: list[Path], place: Account) -> float:
    """Return the seconds in which the content of wheels is hashed, compressed and sent, and nothing else is done."""
    reference = ImageReference(registry="h.example", repository="bench/once", tag="1")
    registry = client(place.registry)

    def send(path: Path) -> None:
        packed = b"".join(gzip_chunks(_hashed(path)))
        registry.upload_blob(reference, digest_of(packed), len(packed), lambda: io.BytesIO(packed))

    return seconds(lambda: [send(path) for path in wheels])


def _hashed(path: Path) -> Iterator[bytes]:
    whole = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            whole.update(content)
            yield content


def large_wheels(bench: Bench, folder: Path, bases: LocalRegistry, context: ExitStack) -> tuple[float, float, int, int]:
    """Append wheels that are downloaded already; and do with them only what cannot be spared."""
    elsewhere = Bench(folder, bases, context)
    elsewhere.append("large", *LARGE)
    shutil.rmtree(folder / "large" / "layers")
    # It has the other base: what is brought and scanned here is not to count.
    bench.append("large", FIRST + ",<1")
    taken = bench.append("large", *LARGE)
    wheels = [path for path in sorted((folder / "large" / "wheels").rglob("*.whl")) if "einops" not in path.name]
    new = bench.blobs(*LARGE).items() - bench.blobs(FIRST + ",<1").items()
    size = sum(path.stat().st_size for path in wheels)
    return taken, sent_once(wheels, bench.place), sum(size for _, size in new), size


def repetition(folder: Path, bases: LocalRegistry) -> Run:
    """Measure everything once."""
    with ExitStack() as context:
        bench = Bench(folder, bases, context)
        first = bench.append("mine", FIRST)
        new = bench.append("of a colleague", NEW)
        second = bench.append("of a colleague", SAME_WHEELS)
        second_sent = bench.blobs(SAME_WHEELS).items() - bench.blobs(NEW).items()
        docker_cold = bench.by_docker(bench.brought(), NEW)
        docker_warm = bench.by_docker(bench.brought(), NEW)
        large, once, sent, wheels = large_wheels(bench, folder, bases, context)
        elsewhere = Bench(folder, bases, context)
        docker_first = elsewhere.by_docker(elsewhere.published(), FIRST)
    return Run(
        first=first,
        new=new,
        second=second,
        second_sent=sum(size for _, size in second_sent),
        docker_first=docker_first,
        docker_cold=docker_cold,
        docker_warm=docker_warm,
        large=large,
        large_once=once,
        large_sent=sent,
        large_wheels=wheels,
    )


def rows(runs: list[Run], gigabytes: float) -> list[Row]:
    """Return the comparisons, of the medians."""

    def of(name: str) -> float:
        return median(getattr(run, name) for run in runs)

    base = f"a base of {gigabytes:.1f} GB (compressed)"
    by_hand = "docker build + push"
    return [
        Row(
            what=f"new extended image, {base} in the registry",
            against=f"{by_hand}, base not pulled",
            ours=of("new"),
            theirs=of("docker_cold"),
            at_least=10,
            chart=True,
        ),
        Row(
            what="the same",
            against=f"{by_hand}, base in the engine",
            ours=of("new"),
            theirs=of("docker_warm"),
            at_least=3,
            chart=True,
        ),
        Row(
            what="second image that shares its wheels",
            against="the first",
            ours=of("second"),
            theirs=of("new"),
            below=1,
            chart=True,
            note=f"{of('second_sent'):,.0f} bytes are uploaded besides the manifest: the config",
        ),
        Row(
            what="first image ever, the base has to be brought",
            against="docker pull + build + push",
            ours=of("first"),
            theirs=of("docker_first"),
            at_least=5,
            chart=True,
        ),
        Row(
            what="bytes sent",
            against="the new wheels' bytes",
            ours=of("large_sent") / 1e6,
            theirs=of("large_wheels") / 1e6,
            unit="MB",
            at_most=1.05,
        ),
        Row(
            what="append downloaded wheels",
            against="hash, compress and send their content once",
            ours=of("large"),
            theirs=of("large_once"),
            at_most=1.5,
        ),
    ]


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    ensure_engine().close()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as context:
        bases = context.enter_context(LocalRegistry(Path(name, "aws")))
        size = publish_stand_in(bases, STOCK, padding=PADDING)
        runs = [repetition(Path(tempfile.mkdtemp(dir=name)), bases) for _ in range(asked.repeats)]
    save("append", rows(runs, size / 1e9))


if __name__ == "__main__":
    main()
