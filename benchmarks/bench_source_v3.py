"""Code on its way to S3 with the SDK v3: its own ``ModelTrainer`` and :func:`sagemaker_custom.source_code`.

``.venv-v3/bin/python benchmarks/bench_source_v3.py`` needs the SDK v3 (``make test-v3`` makes the environment). Both
take the same tree to the same moto, in the same run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bench_source import plant, seconds
from moto_process import aws_process
from results import Row, save
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import Compute, SourceCode
from sagemaker.train.model_trainer import ModelTrainer

from sagemaker_custom import source_code
from sagemaker_custom.settings import Settings

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
AGAINST = "SDK v3: ModelTrainer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One repetition, in seconds."""

    sdk: float
    first: float
    unchanged: float


def measured(root: Path, folder: Path, session: Session, number: int) -> Run:
    """Measure each way once."""
    trainer = ModelTrainer(
        training_image="team:1",
        source_code=SourceCode(source_dir=str(root), entry_script="train.py"),
        compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
        role=ROLE,
        sagemaker_session=session,
    )
    # With a role, the SDK first asks IAM what it may do, which moto cannot tell.
    trainer.role = None

    def by_the_sdk() -> None:
        ignored = trainer.source_code.ignore_patterns
        trainer.create_input_data_channel("code", str(root), f"sdk/{number}", ignore_patterns=ignored)

    cache = folder / f"cache{number}"
    settings = replace(Settings(), cache_dir=str(cache))

    def by_ours() -> None:
        place = f"s3://{session.default_bucket()}/ours/{number}"
        source_code("train.py", root, code_location=place, sagemaker_session=session, settings=settings)

    run = Run(sdk=seconds(by_the_sdk), first=seconds(by_ours), unchanged=seconds(by_ours))
    shutil.rmtree(cache)
    return run


def main() -> None:
    """Measure, and save what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--megabytes", type=int, default=205)
    parser.add_argument("--repeats", type=int, default=1)
    asked = parser.parse_args()
    os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"
    with tempfile.TemporaryDirectory() as name, aws_process() as boto_session:
        folder, root = Path(name), Path(name, "src")
        plant(root, files=asked.files, megabytes=asked.megabytes)
        session = Session(boto_session=boto_session)
        session.default_bucket()
        runs = [measured(root, folder, session, number) for number in range(asked.repeats)]
    sdk = median(run.sdk for run in runs)
    size = f"{asked.files:,} files, {asked.megabytes} MB"
    first = median(run.first for run in runs)
    unchanged = median(run.unchanged for run in runs)
    what = f"code to S3: {size}"
    save(
        "source_v3",
        [
            Row(what=what, against=AGAINST, ours=first, theirs=sdk, at_least=10, chart=True),
            Row(what="the same, nothing changed", against=AGAINST, ours=unchanged, theirs=sdk, at_least=10),
        ],
    )


if __name__ == "__main__":
    main()
