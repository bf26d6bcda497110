"""What an appended image costs over the size of its base and over the number of its extras.

``python benchmarks/bench_size.py`` needs ``docker-registry``, no engine and no index: the bases are layers with a
Python and as many bytes of data as they shall have, and the wheels are made here. Each base is in the account's
registry before time is taken; wheels and layers are new to the cache each time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from itertools import chain, product
from pathlib import Path
from statistics import median

from places import account, base_images, client, padding_files, plan_for, put_image, put_layer, tiny_wheels
from results import Row, save

from sagemaker_custom.reference import ImageReference
from sagemaker_custom.sandbox.registry import LocalRegistry
from sagemaker_custom.wiring import Parts

STOCK = ImageReference(registry="h.example", repository="pytorch-training", tag="2.3.0-cpu-py311-ubuntu20.04-sagemaker")
GIGABYTES = (0.2, 1.0, 4.0)
EXTRAS = (1, 10, 100)
WHEEL_BYTES = 100_000


def publish(bases: LocalRegistry, gigabytes: float) -> None:
    """Put a base of that size where AWS has its own."""
    registry, conda = client(bases), base_images.CONDA
    packages = base_images.package(conda, "torch", "2.3.0+cpu") | base_images.package(conda, "numpy", "1.26.4")
    contents = chain([base_images.conda(), packages], padding_files(int(gigabytes * 1e9)))
    layers = [put_layer(registry, STOCK, files) for files in contents]
    config = base_images.config_of() | {"rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]}}
    put_image(registry, STOCK, config, [described for described, _ in layers])


def wheels(folder: Path, count: int, mark: str) -> list[str]:
    """Make wheels that no cache has; return how they are asked for."""
    names = [f"bench_{mark}_{number}" for number in range(count)]
    for name in names:
        tiny_wheels.make_wheel(folder, name, "1.0", {f"{name}/data.bin": os.urandom(WHEEL_BYTES)})
    return [f"pip:{name}" for name in names]


def ready(folder: Path, gigabytes: float, context: ExitStack) -> Parts:
    """Return what builds on one base; the base is in the account's registry, and what it has is known."""
    place = folder / f"{gigabytes}"
    place.mkdir()
    bases = context.enter_context(LocalRegistry(place / "aws"))
    publish(bases, gigabytes)
    parts = context.enter_context(account(place, bases)).parts(place / "cache")
    parts.ensure(plan_for(parts, *wheels(folder / "wheels", 1, f"first_{int(gigabytes * 10)}")), builder="append")
    return parts


def measure(folder: Path, repeats: int) -> dict[float, dict[int, float]]:
    """Return the seconds for each base and number of extras; the bases take turns, so that all see the same machine."""
    taken: dict[float, dict[int, list[float]]] = {size: {count: [] for count in EXTRAS} for size in GIGABYTES}
    with ExitStack() as context:
        builds = {size: ready(folder, size, context) for size in GIGABYTES}
        for repeat, count, size in product(range(repeats), EXTRAS, GIGABYTES):
            extras = wheels(folder / "wheels", count, f"{int(size * 10)}_{repeat}_{count}")
            plan = plan_for(builds[size], *extras)
            begin = time.perf_counter()
            builds[size].ensure(plan, builder="append")
            taken[size][count].append(time.perf_counter() - begin)
    return {size: {count: median(each) for count, each in by_count.items()} for size, by_count in taken.items()}


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.joinpath("wheels").mkdir()
        os.environ |= {"PIP_FIND_LINKS": str(folder / "wheels"), "PIP_NO_INDEX": "1"}
        seconds = measure(folder, asked.repeats)
    smallest, largest = GIGABYTES[0], GIGABYTES[-1]
    rows = [
        Row(
            what=f"{count} extra{'s' * (count > 1)} of 100 kB on a base of {largest:g} GB",
            against=f"on one of {smallest:g} GB",
            ours=seconds[largest][count],
            theirs=seconds[smallest][count],
            at_most=1.25,
            note=f"{seconds[1.0][count]:.3g} s on 1 GB",
        )
        for count in EXTRAS
    ]
    save("size", rows)


if __name__ == "__main__":
    main()
