"""The tree in the module's docstring is the tree of the classes."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest

from sagemaker_custom import errors
from sagemaker_custom.errors import BuildError, RegistryError, SageMakerCustomError, UsageError

CLASSES = [item for _, item in inspect.getmembers(errors, inspect.isclass) if issubclass(item, SageMakerCustomError)]


def drawn_tree():
    """Return class name → parent's name, as the docstring draws it."""
    parents, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawn_tree_is_the_real_one():
    real = {item.__name__: item.__bases__[0].__name__ for item in CLASSES}
    assert drawn_tree() == real | {"SageMakerCustomError": None}


def test_every_kind_of_failure_has_its_own_exit_code():
    codes = {item.__name__: item.exit_code for item in CLASSES if item.__base__ is SageMakerCustomError}
    codes["UsageError"] = UsageError.exit_code
    assert codes == {
        "UsageError": 2,
        "CatalogError": 3,
        "ImageMissingError": 4,
        "BuildError": 5,
        "RegistryError": 6,
        "AwsError": 7,
        "LocalContainerError": 8,
        "ScanError": 9,
        "InterruptedRunError": 130,
    }
    assert SageMakerCustomError.exit_code == 1


@pytest.mark.parametrize("item", CLASSES, ids=lambda item: item.__name__)
def test_exit_code_is_that_of_the_branch(item):
    branch = [parent for parent in item.__mro__ if SageMakerCustomError in parent.__bases__ or parent is UsageError]
    assert item.exit_code == (branch[-1].exit_code if branch else 1)


def test_usage_errors_are_value_errors_as_the_sdk_raises():
    assert all(issubclass(item, ValueError) for item in CLASSES if issubclass(item, UsageError))
    assert not issubclass(RegistryError, ValueError)


def test_hint_stands_on_a_line_of_its_own():
    assert str(UsageError("cuda_version '7' cannot be read", hint="write 'cu121'")) == (
        "cuda_version '7' cannot be read\n  -> write 'cu121'"
    )
    assert str(UsageError("no more to say")) == "no more to say"


@pytest.mark.parametrize("item", CLASSES, ids=lambda item: item.__name__)
def test_errors_survive_a_process_pool(item):
    copy = pickle.loads(pickle.dumps(item("what failed", hint="what to do")))
    assert (type(copy), str(copy)) == (item, "what failed\n  -> what to do")


def test_build_error_says_where_the_log_is():
    assert BuildError("it failed", log_path="/var/log/build.log").log_path == "/var/log/build.log"
