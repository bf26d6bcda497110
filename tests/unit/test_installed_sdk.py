"""Which adapter speaks: the metadata of the installed distribution decide, and nothing is imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from sagemaker_custom.errors import UsageError
from sagemaker_custom.installed_sdk import adapter


@pytest.mark.parametrize(
    ("version", "module"),
    [("2.257.7", "sdk_v2"), ("2.300", "sdk_v2"), ("3.27.0", "sdk_v3"), ("3.0.0rc1", "sdk_v3")],
)
def test_installed_version_chooses_the_adapter(version, module):
    assert adapter({"sagemaker": version}.__getitem__) == f"sagemaker_custom.{module}"


def test_missing_sdk_is_told_with_what_installs_it():
    def nothing(name):
        raise PackageNotFoundError(name)

    with pytest.raises(UsageError) as caught:
        adapter(nothing)
    assert "is not installed" in str(caught.value)
    assert "pip install 'sagemaker-custom[sdk]'" in str(caught.value)


def test_unknown_line_of_the_sdk_is_told():
    with pytest.raises(UsageError, match=r"sagemaker 4\.0\.0 is installed"):
        adapter({"sagemaker": "4.0.0"}.__getitem__)
