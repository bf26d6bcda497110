"""Several images, one after the other: what each of them ended as."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from fakes.example_plan import example_plan

from sagemaker_custom.cli.build import BuildRun, Wanted
from sagemaker_custom.errors import BuildError, ImageMissingError

PLAN = example_plan()
PRESENT = "present"


@dataclass
class FakeParts:
    """Makes images unless told to fail; those of version ``present`` are there from the start."""

    failing: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def plan(self, spec, *, local, region, account):
        assert (local, region, account) == (False, "eu-west-1", None)
        return replace(PLAN, spec=spec)

    def ensure(self, plan, *, policy="if-missing", builder="auto", lock=None):
        self.asked.append((plan.spec.version, policy))
        assert policy == "never" or builder == "docker"
        if plan.spec.version == PRESENT and policy != "always":
            return plan.reference
        if policy == "never":
            raise ImageMissingError("it is not there")
        if plan.spec.version == self.failing:
            raise BuildError("it broke", hint="look")
        return plan.reference


def wanted(version):
    return Wanted(
        name="shop", spec=replace(PLAN.spec, version=version), region="eu-west-1", account=None, is_local=False
    )


def outcomes(parts, *versions, always=False):
    run = BuildRun(parts=parts, always=always, builder="docker")
    return {outcome.wanted.spec.version: outcome for outcome in run.outcomes([wanted(version) for version in versions])}


def test_what_is_missing_is_built_and_what_is_there_is_not(capsys):
    parts = FakeParts()
    ended = outcomes(parts, "2.3", PRESENT)
    assert {version: outcome.status for version, outcome in ended.items()} == {"2.3": "built", PRESENT: "present"}
    assert parts.asked == [("2.3", "never"), ("2.3", "if-missing"), (PRESENT, "never")]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == [
        "[1/2] shop 2.3 training cpu eu-west-1",
        "[1/2] shop 2.3 training cpu eu-west-1: built",
    ]


def test_always_builds_what_is_there(capsys):
    parts = FakeParts()
    assert outcomes(parts, PRESENT, always=True)[PRESENT].status == "built"
    assert parts.asked == [(PRESENT, "always")]
    assert "built" in capsys.readouterr().err


def test_a_failure_does_not_keep_the_next_from_being_built(capsys):
    ended = outcomes(FakeParts(failing="2.2"), "2.2", "2.3")
    assert [outcome.status for outcome in ended.values()] == ["failed", "built"]
    assert ended["2.2"].document["error"] == {
        "type": "BuildError",
        "message": "it broke",
        "hint": "look",
        "exit_code": 5,
    }
    assert ended["2.2"].document["image"] is None
    assert ended["2.3"].document["error"] is None
    assert "[1/2] shop 2.2 training cpu eu-west-1: failed\n" in capsys.readouterr().err


def test_one_alone_fails_with_its_error():
    run = BuildRun(parts=FakeParts(failing="2.3"), always=False, builder="docker")
    with pytest.raises(BuildError, match="it broke"):
        run.outcome(wanted("2.3"))


def test_stock_image_is_present_and_never_built():
    class Stock(FakeParts):
        def plan(self, spec, *, local, region, account):
            return replace(super().plan(spec, local=local, region=region, account=account), steps=())

    assert outcomes(Stock(), PRESENT)[PRESENT].status == "present"
