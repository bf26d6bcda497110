"""Code on its way to S3: the SageMaker SDK's ``tar_and_upload_dir`` and ours, on the same tree and the same moto.

``python benchmarks/bench_source.py`` needs the SDK. The tree holds pieces of Python's own library, a hundred files to a
folder. Ours is measured with an empty cache, with nothing changed, and with one file changed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import boto3
from moto_process import aws_process
from results import Row, save

from sagemaker_custom.aws import Aws
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.source import SourceDestination, UploadedSource, bundle, upload

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
BUCKET = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One repetition: seconds, and bytes that were sent."""

    sdk: float
    sdk_bytes: int
    first: float
    first_bytes: int
    unchanged: float
    one_changed: float


def plant(root: Path, *, files: int, megabytes: int) -> None:
    """Write the tree."""
    chance = random.Random(7)  # noqa: S311
    library = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    size = megabytes * 1_000_000 // files
    for number in range(files):
        path = root / f"package{number // 100}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = chance.randrange(len(library) - size)
        path.write_bytes(library[begin : begin + size])
    (root / "train.py").write_text("print()")


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def ours(root: Path, cache: Path, prefix: str, aws: Aws) -> UploadedSource:
    """Do what ``fit()`` does with the code."""
    code = bundle("train.py", root, cache_dir=cache)
    destination = SourceDestination(bucket=BUCKET, prefix=prefix)
    return upload(code, destination, store=aws, progress=NoProgress())


def measured(root: Path, folder: Path, session: boto3.Session, number: int) -> Run:
    """Measure each way once."""
    from sagemaker.fw_utils import tar_and_upload_dir

    cache, prefix = folder / f"cache{number}", f"ours/{number}"
    # As in fit(), where the SDK's session has its client already.
    aws = Aws(session, s3_client=session.client("s3"))
    sdk = seconds(lambda: tar_and_upload_dir(session, BUCKET, "sdk", "train.py", str(root)))
    sent: list[int] = []

    def once() -> None:
        sent.append(ours(root, cache, prefix, aws).uploaded_bytes)

    first, unchanged = seconds(once), seconds(once)
    (root / "train.py").write_text(f"print({number})")
    one_changed = seconds(once)
    shutil.rmtree(cache)
    if sent[1] or not sent[2]:
        raise SystemExit(f"wrong code was sent: {sent}")
    sdk_bytes = session.client("s3").head_object(Bucket=BUCKET, Key="sdk/sourcedir.tar.gz")["ContentLength"]
    return Run(
        sdk=sdk, sdk_bytes=sdk_bytes, first=first, first_bytes=sent[0], unchanged=unchanged, one_changed=one_changed
    )


def main() -> None:
    """Measure, and save what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=205)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, aws_process() as session:
        folder, root = Path(name), Path(name, "src")
        plant(root, files=asked.files, megabytes=asked.megabytes)
        session.client("s3").create_bucket(Bucket=BUCKET)
        runs = [measured(root, folder, session, number) for number in range(asked.repeats)]
    sdk = median(run.sdk for run in runs)
    against = "SDK: tar_and_upload_dir"
    size = f"{asked.files:,} files, {asked.megabytes} MB"
    save(
        "source",
        [
            Row(
                what=f"code to S3: {size}",
                against=against,
                ours=median(run.first for run in runs),
                theirs=sdk,
                at_least=5,
                chart=True,
            ),
            Row(
                what="the same, nothing changed",
                against=against,
                ours=median(run.unchanged for run in runs),
                theirs=sdk,
                below=0.5,
                note="no byte is sent",
                chart=True,
            ),
            Row(
                what="the same, one file changed",
                against=against,
                ours=median(run.one_changed for run in runs),
                theirs=sdk,
                at_least=5,
            ),
            Row(
                what="size of the archive",
                against=against,
                ours=runs[0].first_bytes / 1e6,
                theirs=runs[0].sdk_bytes / 1e6,
                unit="MB",
                at_most=1.05,
            ),
        ],
    )


if __name__ == "__main__":
    main()
