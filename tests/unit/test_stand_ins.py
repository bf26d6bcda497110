"""The stand-ins bear names that the catalog resolves to, and change theirs in the engine when their making changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sagemaker_custom import catalog
from sagemaker_custom.bases import find_base
from sagemaker_custom.cli.sandbox import _FRAMEWORKS
from sagemaker_custom.plan import STAND_IN_LABEL
from sagemaker_custom.sandbox.frameworks import FRAMEWORKS, PYTHON, PYTHON_TORCH, SKLEARN, XGBOOST
from sagemaker_custom.spec import ImageSpec

# What a user asks for; AWS has no Hugging Face image that trains on CPUs.
ASKED = {
    "pytorch": [ImageSpec(framework="pytorch", version="2.3", py_version="py311", image_scope="training")],
    "huggingface": [
        ImageSpec(
            framework="huggingface", version="4.46", image_scope="training", processor="gpu", base_framework="pytorch"
        ),
        ImageSpec(framework="huggingface", version="4.46", image_scope="inference", base_framework="pytorch"),
    ],
    "sklearn": [
        ImageSpec(framework="sklearn", version="1.2-1", image_scope="training"),
        ImageSpec(framework="sklearn", version="1.2-1", image_scope="inference"),
    ],
    "xgboost": [
        ImageSpec(framework="xgboost", version="3.0-5", image_scope="training"),
        ImageSpec(framework="xgboost", version="3.0-5", image_scope="inference"),
    ],
    "tensorflow": [ImageSpec(framework="tensorflow", version="2.19", image_scope="training")],
}
ASKED["pytorch"].append(replace(ASKED["pytorch"][0], image_scope="inference"))


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_stand_ins_bear_the_names_that_the_catalog_resolves_to(name):
    images = catalog.load()
    bases = [find_base(spec, images) for spec in ASKED[name]]
    resolved = dict.fromkeys(str(images.partitions.reference(base, "us-east-1")) for base in bases)
    assert list(resolved) == [item.reference for item in FRAMEWORKS[name]]


def test_every_stand_in_says_that_it_is_none_of_awss():
    for item in [item for items in FRAMEWORKS.values() for item in items]:
        assert item.recipe.labels[STAND_IN_LABEL] == "true"
        assert item.recipe.labels[f"{STAND_IN_LABEL}.about"].startswith("Not an image by AWS: a Debian root")


def test_change_of_a_parent_changes_the_child():
    other = replace(SKLEARN, instructions=(*SKLEARN.instructions, "LABEL other=yes"))
    assert replace(XGBOOST, parent=other).digest != XGBOOST.digest


def test_torch_is_in_the_digest_of_what_holds_it_only():
    assert replace(PYTHON_TORCH, has_torch=False).digest != PYTHON_TORCH.digest
    assert replace(PYTHON, has_torch=True).digest != PYTHON.digest


def test_command_line_offers_every_framework():
    assert tuple(FRAMEWORKS) == _FRAMEWORKS
