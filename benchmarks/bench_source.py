"""How long packing a source folder takes: the SageMaker SDK's way and ours, on the same generated tree.

Run it with the SDK installed: ``python benchmarks/bench_source.py --files 2000 --megabytes 20``.
"""

from __future__ import annotations

import argparse
import os
import random
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sagemaker_custom.archive import collect, content_digest, write_tar_gz

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")


def plant(root: Path, *, files: int, megabytes: int) -> None:
    """Write files that are pieces of Python's own library, a hundred to a folder."""
    chance = random.Random(7)  # noqa: S311
    library = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    size = megabytes * 1_000_000 // files
    for number in range(files):
        path = root / f"package{number // 100}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = chance.randrange(len(library) - size)
        path.write_bytes(library[begin : begin + size])
    (root / "train.py").write_text("print()")


def sdk_packs(root: Path, target: Path) -> int:
    """Pack as the SDK does before each upload."""
    from sagemaker.fw_utils import _list_files_to_compress
    from sagemaker.utils import create_tar_file

    create_tar_file(_list_files_to_compress("train.py", str(root)), str(target))
    return target.stat().st_size


def we_pack(root: Path, target: Path) -> int:
    """Collect, hash and pack: what the first upload of a tree costs."""
    entries = collect("train.py", root)
    digest = content_digest(entries)
    with target.open("wb") as file:
        return write_tar_gz(entries, file, digest=digest)


def we_recognise(root: Path, target: Path) -> int:
    """Collect and hash: what an upload costs when the code is there already."""
    del target
    content_digest(collect("train.py", root))
    return 0


def best_of(repeats: int, work: Callable[[], int]) -> tuple[float, int]:
    """Return the shortest time in seconds, and what the work returned."""
    times = []
    size = 0
    for _ in range(repeats):
        begin = time.perf_counter()
        size = work()
        times.append(time.perf_counter() - begin)
    return min(times), size


def main() -> None:
    """Print one line per way, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, target = Path(folder, "src"), Path(folder, "sourcedir.tar.gz")
        plant(root, files=asked.files, megabytes=asked.megabytes)
        sdk_packs(root, target)
        sdk, sdk_size = best_of(asked.repeats, lambda: sdk_packs(root, target))
        ours, our_size = best_of(asked.repeats, lambda: we_pack(root, target))
        known, _ = best_of(asked.repeats, lambda: we_recognise(root, target))
    print(f"{asked.files + 1} files, {asked.megabytes} MB, best of {asked.repeats}")
    print(f"SageMaker SDK            {sdk:7.2f} s  {sdk_size / 1e6:6.2f} MB")
    print(f"changed code: pack       {ours:7.2f} s  {our_size / 1e6:6.2f} MB  {sdk / ours:5.1f} x faster")
    print(f"unchanged code: hash     {known:7.2f} s                {sdk / known:5.1f} x faster")


if __name__ == "__main__":
    main()
