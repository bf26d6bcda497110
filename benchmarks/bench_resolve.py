"""How long one answer takes: which image is it? The SageMaker SDK's ``image_uris.retrieve`` and ours, in one run.

Run it with the SDK installed: ``python benchmarks/bench_resolve.py``. It also measures what an import, the
first answer and ``--help`` cost, each in new processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from results import Row, save

os.environ.setdefault("SAGEMAKER_SUPPRESS_V2_WARNING", "1")

ASKED = [
    {"framework": "pytorch", "version": "2.3", "py_version": "py311", "instance_type": "ml.g5.xlarge"},
    {"framework": "pytorch", "version": "1.13.1", "py_version": "py39", "instance_type": "ml.m5.xlarge"},
    {"framework": "tensorflow", "version": "2.14.1", "py_version": "py310", "instance_type": "ml.g5.xlarge"},
    {"framework": "xgboost", "version": "1.7-1", "instance_type": "ml.m5.xlarge"},
]
REGIONS = ("us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1")
SCOPES = ("training", "inference")


def each(retrieve: Callable[..., str], repeats: int, **more: object) -> float:
    """Return the seconds that one answer takes, over a mix of questions, when each was asked before."""
    questions = [
        dict(question, region=region, image_scope=scope) | more
        for question in ASKED
        for region in REGIONS
        for scope in SCOPES
    ]
    for question in questions:
        retrieve(**question)
    begin = time.perf_counter()
    for _ in range(repeats):
        for question in questions:
            retrieve(**question)
    return (time.perf_counter() - begin) / (repeats * len(questions))


def new_process(statement: str, repeats: int = 7) -> float:
    """Return the shortest seconds that ``statement`` takes in a new process, without the interpreter's own start."""
    program = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        for _ in range(repeats)
    ]
    return min(float(run.splitlines()[-1]) for run in runs)


def main() -> None:
    """Measure, and save what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="how often each question is asked of the SDK")
    repeats = parser.parse_args().repeats

    from sagemaker import image_uris as stock

    from sagemaker_custom import image_uris

    theirs = each(stock.retrieve, repeats)
    ours = each(image_uris.retrieve, repeats * 20)
    extended = each(image_uris.retrieve, repeats * 20, extras=["pip:zarr"], account="123456789012")
    bare = command([sys.executable, "-c", ""])
    asked = "image_uris.retrieve('pytorch', 'us-east-1', '2.3', 'py311', 'ml.g5.xlarge', image_scope='training')"
    save(
        "resolve",
        [
            Row(
                what="which image is it?",
                against="SDK: image_uris.retrieve",
                ours=ours * 1e3,
                theirs=theirs * 1e3,
                unit="ms",
                at_least=100,
                chart=True,
            ),
            Row(
                what="the same, extended by a package",
                against="SDK: image_uris.retrieve, of the stock image",
                ours=extended * 1e3,
                theirs=theirs * 1e3,
                unit="ms",
                at_least=100,
            ),
            Row(
                what="import sagemaker_custom",
                against="import sagemaker",
                ours=new_process("import sagemaker_custom") * 1e3,
                theirs=new_process("import sagemaker") * 1e3,
                unit="ms",
                at_least=35,
                chart=True,
            ),
            Row(
                what="first answer of a new process",
                against="SDK: image_uris.retrieve",
                ours=new_process(f"from sagemaker_custom import image_uris; {asked}") * 1e3,
                theirs=new_process(f"from sagemaker import image_uris; {asked}") * 1e3,
                unit="ms",
            ),
            Row(
                what="sagemaker-custom --help",
                against="python -c '', which is part of it",
                ours=command([str(Path(sys.executable).with_name("sagemaker-custom")), "--help"]),
                theirs=bare,
                below=0.2,
            ),
        ],
    )


def command(words: list[str], repeats: int = 7) -> float:
    """Return the shortest seconds that a command takes, the interpreter's start included."""
    runs = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        runs.append(time.perf_counter() - begin)
    return min(runs)


if __name__ == "__main__":
    main()
