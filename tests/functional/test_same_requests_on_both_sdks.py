"""The same lines of a user on both lines of the SDK: SageMaker is asked for the same, but for what is named here."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from functional_parts import Cloud
from request_cases import CASES, IS_V2, requests_of, write_code

DATA = Path(__file__).parent.parent / "data" / "requests_v2.json"
GUIDE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "use-either-sdk.md"
ABSENT = "absent"
RECORDED: dict[str, list[Any]] = json.loads(DATA.read_text(encoding="utf-8"))


def _always(v2: Any, v3: Any) -> bool:
    del v2, v3
    return True


def _only_v2(v2: Any, v3: Any) -> bool:
    return v2 != ABSENT and v3 == ABSENT


def _only_v3(v2: Any, v3: Any) -> bool:
    return v2 == ABSENT and v3 != ABSENT


def _says_the_default(default: Any) -> Callable[[Any, Any], bool]:
    return lambda v2, v3: v2 == ABSENT and v3 == default


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that the SDK v3 asks for otherwise, and why that has to be so."""

    where: str
    """Of which parts of requests; a regular expression."""
    why: str
    guide: str
    """What the guide says of it: words that are in it."""
    seen_in: str
    """A case that has it, so that none stays that is no more."""
    holds: Callable[[Any, Any], bool] = _always

    def covers(self, part: str, v2: Any, v3: Any) -> bool:
        return re.fullmatch(self.where, part) is not None and self.holds(v2, v3)


_JOB, _MODEL = "CreateTrainingJob/", "CreateModel/"
_CONTAINER = _MODEL + "PrimaryContainer/"
_SCRIPT = _CONTAINER + "Environment/SAGEMAKER_"
_WORDS_OF_THE_TOOLKIT = "(PROGRAM|SUBMIT_DIRECTORY|CONTAINER_LOG_LEVEL|REGION)"

DIFFERENCES = {
    "what starts the script": Difference(
        where=_JOB + "AlgorithmSpecification/Container(Entrypoint|Arguments)",
        why="the SDK sends a script along that starts the user's, in place of the toolkit in the image",
        guide="a script that the SDK sends along",
        seen_in="CustomPyTorch trains",
        holds=_only_v3,
    ),
    "words to the toolkit": Difference(
        where=_JOB + "HyperParameters/sagemaker_.*",
        why="the toolkit does not run; code, script, log level and distribution are told otherwise",
        guide="with `sagemaker_program`, `sagemaker_submit_directory` and others",
        seen_in="job: MPI",
        holds=_only_v2,
    ),
    "channels of the script": Difference(
        where=_JOB + "InputDataConfig/(code|sm_drivers)/.*",
        why="the code, and what starts it, travel as channels",
        guide="`code` and `sm_drivers`",
        seen_in="job: groups of machines",
        holds=_only_v3,
    ),
    "log level of the script": Difference(
        where=_JOB + "Environment/SM_LOG_LEVEL",
        why="the starting script reads it there",
        guide="`SM_LOG_LEVEL`",
        seen_in="job: log level",
        holds=_only_v3,
    ),
    "Debugger": Difference(
        where=_JOB + "DebugHookConfig/.*",
        why="ModelTrainer has no place for it",
        guide="Debugger, profiler",
        seen_in="CustomPyTorch trains",
        holds=_only_v2,
    ),
    "profiler": Difference(
        where=_JOB + "ProfilerConfig/.*",
        why="ModelTrainer has no place for it",
        guide="Debugger, profiler",
        seen_in="CustomPyTorch trains",
        holds=_only_v2,
    ),
    "compression said": Difference(
        where=_JOB + "OutputDataConfig/CompressionType",
        why="the SDK says what is AWS's default",
        guide="AWS's own defaults",
        seen_in="CustomPyTorch trains",
        holds=_says_the_default("GZIP"),
    ),
    "place of checkpoints said": Difference(
        where=_JOB + "CheckpointConfig/LocalPath",
        why="the SDK says what is AWS's default",
        guide="AWS's own defaults",
        seen_in="job: checkpoints alone",
        holds=_says_the_default("/opt/ml/checkpoints"),
    ),
    "source of the model as a tag": Difference(
        where=r"Create(Model|EndpointConfig|Endpoint)/Tags/sagemaker\.amazonaws\.com/model-source/Value",
        why="ModelBuilder puts it there",
        guide="`sagemaker.amazonaws.com/model-source`",
        seen_in="CustomPyTorch deploys",
        holds=_only_v3,
    ),
    "script of TensorFlow's server": Difference(
        where=_SCRIPT + _WORDS_OF_THE_TOOLKIT,
        why="ModelBuilder says it for every code; TensorFlow's server looks into the model alone",
        guide="TensorFlow's server",
        seen_in="CustomTensorFlow deploys",
        holds=_only_v3,
    ),
    "no script to speak of": Difference(
        where=_SCRIPT + _WORDS_OF_THE_TOOLKIT,
        why="ModelBuilder says nothing about code where there is none, the SDK v2 that it is called ''",
        guide="A model without code",
        seen_in="model: Hugging Face from the hub",
        holds=lambda v2, v3: v2 in ("", "20", "us-east-1") and v3 == ABSENT,
    ),
    "code in the model": Difference(
        where=_SCRIPT + "SUBMIT_DIRECTORY",
        why="ModelBuilder packs every code into the model, where the SDK v2 leaves that of some frameworks beside it",
        guide="for scikit-learn, XGBoost and Chainer beside it",
        seen_in="CustomSKLearn deploys",
        holds=lambda v2, v3: v2.endswith("/sourcedir.tar.gz") and v3 == "/opt/ml/model/code",
    ),
    "model with the code": Difference(
        where=_CONTAINER + "ModelDataUrl",
        why="ModelBuilder packs every code into the model, where the SDK v2 leaves that of some frameworks beside it",
        guide="for scikit-learn, XGBoost and Chainer beside it",
        seen_in="CustomChainer deploys",
        holds=lambda v2, v3: v2.replace("/output/", "/") == v3,
    ),
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """One for all: each case has names of its own."""
    with Cloud(tmp_path_factory.mktemp("cloud")) as running:
        running.create_bucket("data")
        yield running


@pytest.fixture(scope="module")
def asked(cloud, tmp_path_factory):
    """Return what SageMaker is asked for in a case, which runs once: nothing can be made twice by one name."""
    code = write_code(tmp_path_factory.mktemp("written") / "code")
    return functools.cache(lambda name: requests_of(name, cloud, code))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """Keep the SDK v3 from asking IAM what a role may do, which moto cannot tell, and both from telling AWS of us."""
    monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", "false")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", "off")


def parts_of(requests: list[Any]) -> dict[str, Any]:
    """Take requests apart: where in them → what is there."""
    return {part: value for operation, asked in requests for part, value in _parts(operation, asked)}


def _parts(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield where, value
        return
    for name, item in value.items():
        yield from _parts(f"{where}/{name}", item)


def differences(v2: list[Any], v3: list[Any]) -> list[tuple[str, Any, Any]]:
    """Return where two lists of requests differ, and what either has there."""
    before, now = parts_of(v2), parts_of(v3)
    both = [(part, before.get(part, ABSENT), now.get(part, ABSENT)) for part in sorted({*before, *now})]
    return [(part, old, new) for part, old, new in both if old != new]


def test_every_case_is_recorded():
    assert sorted(RECORDED) == sorted(CASES), "run tools/write_requests.py with the SDK v2"


@pytest.mark.parametrize("name", CASES)
def test_same_requests_but_for_what_is_named(asked, name):
    requests = asked(name)
    if IS_V2:
        assert requests == RECORDED[name], "run tools/write_requests.py with the SDK v2"
        return
    assert [operation for operation, _ in requests] == [operation for operation, _ in RECORDED[name]] != []
    unnamed = [
        found
        for found in differences(RECORDED[name], requests)
        if not any(difference.covers(*found) for difference in DIFFERENCES.values())
    ]
    assert unnamed == []


_WITH_CODE = [name for name, [[operation, _], *_] in RECORDED.items() if operation == "CreateTrainingJob"]
_WITH_CODE = [name for name in _WITH_CODE if "sagemaker_program" in RECORDED[name][0][1]["HyperParameters"]]


@pytest.mark.skipif(IS_V2, reason="needs the SDK v3")
@pytest.mark.parametrize("name", _WITH_CODE)
def test_code_is_the_same_archive_in_the_same_place(asked, name):
    [[_, v2], *_], [[_, v3], *_] = RECORDED[name], asked(name)
    # An isolated job has it as a channel on the SDK v2, too.
    before = v2.get("InputDataConfig", {}).get("code", {}).get("DataSource", {}).get("S3DataSource", {}).get("S3Uri")
    submitted = before or json.loads(v2["HyperParameters"]["sagemaker_submit_directory"])
    assert v3["InputDataConfig"]["code"]["DataSource"]["S3DataSource"]["S3Uri"] == submitted


@pytest.mark.skipif(IS_V2, reason="needs the SDK v3")
@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_is_named_is_still_so(asked, name):
    difference = DIFFERENCES[name]
    found = differences(RECORDED[difference.seen_in], asked(difference.seen_in))
    assert any(difference.covers(*item) for item in found)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_what_is_named_is_in_the_guide(name):
    assert DIFFERENCES[name].guide in " ".join(GUIDE.read_text(encoding="utf-8").split())


def test_another_hyperparameter_would_be_seen():
    asked = [["CreateTrainingJob", {"HyperParameters": {"epochs": "3"}}]]
    other = [["CreateTrainingJob", {"HyperParameters": {"epochs": "4"}}]]
    [found] = differences(asked, other)
    assert found == ("CreateTrainingJob/HyperParameters/epochs", "3", "4")
    assert not any(difference.covers(*found) for difference in DIFFERENCES.values())
