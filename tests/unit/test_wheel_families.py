"""Packages whose compiled parts have to go together."""

from __future__ import annotations

import pytest

from sagemaker_custom.wheels.families import constraints, misfits


@pytest.mark.parametrize(
    ("leader", "version", "expected"),
    [
        ("torch", "2.3.0+cu121", {"torchvision==0.18.*", "torchaudio==2.3.*", "torchtext==0.18.*"}),
        ("torch", "1.13.1", {"torchvision==0.14.*", "torchaudio==0.13.*", "torchtext==0.14.*"}),
        (
            "torch",
            "2.6.0",
            {"torchvision==0.21.*", "torchaudio==2.6.*", "torchcodec==0.2.*"},
        ),
        ("torch", "2.12.0", {"torchvision==0.27.*", "torchaudio>=2.11"}),
        (
            "tensorflow",
            "2.13.1",
            {"keras==2.13.*", "tf-keras==2.13.*", "tensorflow-text==2.13.*", "tensorflow-io>=0.33,<0.35"},
        ),
        ("tensorflow", "2.19.0", {"keras>=3", "tf-keras==2.19.*", "tensorflow-text==2.19.*"}),
        ("torch", "not a version", set()),
        ("numpy", "1.26.4", set()),
    ],
)
def test_what_companions_are_kept_to(leader, version, expected):
    assert set(constraints({leader: version})) == expected


def found(changed, **installed):
    return [str(misfit) for misfit in misfits(installed, frozenset(changed))]


def test_a_companion_of_another_release():
    assert found(["torchaudio"], torch="2.3.0", torchaudio="2.11.0") == [
        "torchaudio 2.11.0 is not compiled for torch 2.3.0, which goes with torchaudio==2.3.*"
    ]


def test_a_companion_that_stays_behind():
    assert found(["torch"], torch="2.4.0", torchvision="0.18.0") == [
        "torchvision 0.18.0 is not compiled for torch 2.4.0, which goes with torchvision==0.19.*"
    ]


def test_what_the_base_came_with_is_not_judged():
    assert not found(["einops"], torch="2.4.0", torchvision="0.18.0")


def test_a_release_that_has_no_companion():
    assert found(["torchtext"], torch="2.6.0", torchtext="0.18.0") == [
        "torchtext 0.18.0 is not compiled for torch 2.6.0, which goes with no release of torchtext"
    ]


@pytest.mark.parametrize(
    ("torch", "torchvision", "fits"),
    [
        ("2.3.0+cu121", "0.18.0", True),
        ("2.3.0+cu121", "0.18.0+cu121", True),
        ("2.3.0+cu121", "0.18.0+cpu", False),
        ("2.3.0+cpu", "0.18.0", False),
        ("2.3.0+cpu", "0.18.0+cpu", True),
        ("2.3.0", "0.18.0", True),
        ("2.3.0a0+git1", "0.18.0", True),
    ],
)
def test_builds_for_other_accelerators_do_not_go_together(torch, torchvision, fits):
    assert (not found(["torchvision"], torch=torch, torchvision=torchvision)) is fits
