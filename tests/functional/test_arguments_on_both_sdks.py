"""The classes take the arguments of the SDK v2, whichever SDK is installed: by name, and in the same places."""

from __future__ import annotations

import importlib.util
import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest

import sagemaker_custom
from sagemaker_custom.errors import UsageError
from sagemaker_custom.installed_sdk import adapter

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "tests/data/sdk_v2_arguments.json").read_text("utf-8"))
on_v2 = pytest.mark.skipif(adapter().endswith("v3"), reason="reads the SDK v2's classes")
on_v3 = pytest.mark.skipif(adapter().endswith("v2"), reason="is about the classes over the SDK v3")


@on_v2
def test_table_is_that_of_the_installed_sdk():
    specification = importlib.util.spec_from_file_location("tool", ROOT / "tools/write_sdk_arguments.py")
    tool = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(tool)
    assert tool.table() == TABLE, "run tools/write_sdk_arguments.py"


def placed(function):
    """The names of a function's arguments that may be given by place."""
    parameters = inspect.signature(function).parameters.values()
    return [item.name for item in parameters if item.kind is item.POSITIONAL_OR_KEYWORD and item.name != "self"]


@on_v3
@pytest.mark.parametrize("name", sorted(TABLE))
def test_arguments_have_the_places_that_they_have_on_v2(name):
    cls = getattr(sagemaker_custom, name)
    order = list(getattr(cls, "_order", ())) or placed(cls.__init__)
    assert order[: len(TABLE[name]["order"])] == TABLE[name]["order"]


@on_v3
@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_argument_is_read_or_told_to_have_no_place(name):
    from sagemaker_custom.sdk_v3 import job, model

    cls = getattr(sagemaker_custom, name)
    if hasattr(cls, "fit"):
        known = {field.name for field in fields(job.JobArguments)} | job.INSTEAD.keys()
    elif hasattr(cls, "deploy"):
        known = {field.name for field in fields(model.ModelArguments)} | model.INSTEAD.keys()
    else:
        known = set()
    own = {item for base in cls.__mro__ if base is not object for item in inspect.signature(base.__init__).parameters}
    known |= own | {"image_uri", *getattr(cls, "_named", ()), *getattr(cls, "_order", ())}
    # The SDK's processors give this one themselves.
    given_by_the_class = set() if name == "CustomFrameworkProcessor" else {"estimator_cls"}
    assert set(TABLE[name]["names"]) - given_by_the_class <= known


@pytest.mark.parametrize("name", ["CustomPyTorch", "CustomHuggingFaceModel", "CustomFramework"])
def test_signature_shows_what_can_be_given(name):
    shown = inspect.signature(getattr(sagemaker_custom, name)).parameters
    assert list(shown)[:3] == TABLE[name]["order"][:3]
    assert {"extras", "build", "settings"} <= shown.keys()


@on_v3
@pytest.mark.parametrize("name", sorted(TABLE))
def test_methods_take_the_same_places(name):
    cls = getattr(sagemaker_custom, name)
    for method, order in TABLE[name]["methods"].items():
        if hasattr(cls, method):
            ours = placed(getattr(cls, method))
            assert ours == order[: len(ours)], method


@on_v3
def test_argument_by_place_and_by_name_at_once_is_told():
    with pytest.raises(TypeError, match="multiple values for argument 'entry_point'"):
        sagemaker_custom.CustomPyTorch("train.py", entry_point="train.py")


@on_v3
def test_argument_that_no_sdk_has_is_told():
    with pytest.raises(UsageError, match="no argument 'colour'"):
        sagemaker_custom.CustomPyTorch("train.py", colour="red", instance_type="local")
