"""Fuzz one group of parsers with atheris: ``python fuzz/run.py GROUP [options of libFuzzer]``.

An input is a byte that chooses a parser, and what that one reads. A parser may refuse it by an error of this package;
every other exception, a failed assertion, 2 GB of memory or 20 seconds is a finding.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

_FOLDER = Path(__file__).parent
_LIMITS = ("-rss_limit_mb=2048", "-timeout=20", "-max_len=8192")


def main(group: str, *options: str) -> None:
    """Run until a finding, or until the options end it."""
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["sagemaker_custom", "packaging", "yaml", "installer"]):
        from sagemaker_custom.errors import SageMakerCustomError

        parsers = importlib.import_module(group).PARSERS

    def try_one(data: bytes) -> None:
        if not data:
            return
        try:
            parsers[data[0] % len(parsers)](data[1:])
        except SageMakerCustomError as error:
            str(error).encode()

    corpus = [str(_FOLDER / "corpus" / group), str(_FOLDER / "seeds" / group)]
    Path(corpus[0]).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tempfile.tempdir = scratch
        atheris.Setup([sys.argv[0], *_LIMITS, f"-artifact_prefix={_FOLDER}/findings/", *options, *corpus], try_one)
        atheris.Fuzz()


if __name__ == "__main__":
    (_FOLDER / "findings").mkdir(exist_ok=True)
    main(sys.argv[1], *sys.argv[2:])
