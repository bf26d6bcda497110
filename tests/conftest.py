"""What every test shares: the fakes on the path, no settings of the person who runs it, no sockets in unit tests."""

from __future__ import annotations

import os
import signal
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any-machine", deadline=None, print_blob=True)
settings.load_profile("any-machine")
# Before anything imports the SDK, which warns at import.
os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"

for folder in ("", "functional", "faults", "integration"):
    sys.path.insert(0, str(Path(__file__).parent / folder))


def pytest_configure(config):
    """Make Ctrl-C heard, and be silent about what is not ours."""
    # A shell that starts tests in the background has it ignored, and tests send it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if adapter_is_v3():
        config.addinivalue_line("filterwarnings", "ignore:Implicitly cleaning up:ResourceWarning")


def adapter_is_v3():
    """Whether it is the SDK v3, which forgets temporary folders of its own, that is installed."""
    try:
        return metadata.version("sagemaker").startswith("3.")
    except metadata.PackageNotFoundError:
        return False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep the tests that share the engine, and the port of local endpoints, in one worker; the others go anywhere."""
    from xdist.scheduler import LoadScopeScheduling

    class OneEngine(LoadScopeScheduling):
        # By the folder and not by "--dist loadgroup", whose marks pytest 9.2 hides from pytest-xdist 3.8.
        def _split_scope(self, nodeid):
            return "tests/integration" if nodeid.startswith("tests/integration/") else nodeid

    return OneEngine(config, log)


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch, tmp_path_factory):
    """Hide the configuration of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("SAGEMAKER_CUSTOM_", "AWS_")) and name != "AWS_CA_BUNDLE":
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
