"""Which adapter speaks: the metadata of the installed distribution decide, and nothing is imported."""

from __future__ import annotations

from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from sagemaker_custom.errors import UsageError
from sagemaker_custom.installed_sdk import OLDEST, adapter, installed_parts


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


class TestParts:
    def install(self, folder, name, version, *modules):
        information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (information / "RECORD").write_text("".join(f"{module},,\n" for module in (*modules, "README.md")))
        for module in modules:
            (folder / module).parent.mkdir(parents=True, exist_ok=True)
            (folder / module).write_text("")

    def test_each_is_told_with_its_version(self, tmp_path):
        self.install(tmp_path, "sagemaker", "3.27.0")
        self.install(tmp_path, "sagemaker-serve", "1.27.0", "sagemaker/serve/__init__.py")
        found = installed_parts([str(tmp_path)])
        assert [(part.name, part.version, part.missing) for part in found] == [
            ("sagemaker", "3.27.0", 0),
            ("sagemaker-serve", "1.27.0", 0),
        ]

    def test_modules_that_another_distribution_took_along_are_counted(self, tmp_path):
        modules = [f"sagemaker/serve/{name}.py" for name in ("__init__", "builder", "mode")]
        self.install(tmp_path, "sagemaker-serve", "1.27.0", *modules)
        for module in modules[:2]:
            (tmp_path / module).unlink()
        [part] = installed_parts([str(tmp_path)])
        assert part.missing == 2

    def test_nothing(self, tmp_path):
        assert installed_parts([str(tmp_path)]) == ()

    def test_what_is_installed_here_is_whole(self):
        assert {part.missing for part in installed_parts()} == {0}


@pytest.mark.parametrize("line", ["2", "3"])
def test_oldest_version_is_the_one_that_the_extra_asks_for(line):
    configuration = ConfigParser()
    configuration.read(Path(__file__).parents[2] / "setup.cfg")
    assert f"sagemaker>={OLDEST[line]}," in configuration["options.extras_require"][f"v{line}"]
