"""No value of the package shows a secret when it is printed, and no source of it turns certificates off."""

from __future__ import annotations

import importlib
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import sagemaker_custom
from sagemaker_custom.errors import SettingsError
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.settings import RegistryEndpoint, Settings

ROOT = Path(sagemaker_custom.__file__).parent
CANARY = "c4nary-of-a-password"
URL = f"https://me:{CANARY}@packages.example.com/simple"
HINT = re.compile(
    "password|passwd|token|secret|credential|authori[sz]ation|auth|login|netrc|index_urls?|headers|variables|find_links"
)
# Fields that are called like secrets, and why they are none.
NONE_OF_THEM = {
    ("BatchStart", "token"): "made of those of its builds, so that one batch is started for all callers",
    ("BuildStart", "token"): "made of the fingerprint, so that one build is started for all callers",
    ("LogPiece", "token"): "a page of a log",
    ("Place", "secret"): "the name of one in Secrets Manager",
    ("Settings", "codebuild_index_secret"): "the name of one in Secrets Manager",
    ("RemoteBuild", "variables"): "CodeBuild shows them to whoever may look at a build; a secret is one by name",
    ("Watch", "_token"): "a page of a log",
    ("Holder", "token"): "tells one who builds from another",
    ("Layout", "headers"): "a folder of C headers",
    ("Access", "credentials_host"): "the name of a host",
    ("Repository", "credentials_host"): "the name of a host",
    ("OpenRepository", "index_url"): "as CodeArtifact gives it",
    ("PipStep", "index_url"): "recipes and requirements files with credentials are refused",
    ("PipStep", "extra_index_urls"): "likewise",
    ("PipStep", "find_links"): "likewise",
    ("PipPart", "index_url"): "likewise",
    ("PipPart", "extra_index_urls"): "likewise",
    ("PipPart", "find_links"): "likewise",
    ("RequirementsExtra", "index_url"): "likewise",
    ("RequirementsExtra", "extra_index_urls"): "likewise",
    ("RequirementsExtra", "find_links"): "likewise",
}


def _dataclasses():
    found = set()
    for path in ROOT.rglob("*.py"):
        # Neither the SDK, which takes seconds to import, nor what runs in images alone.
        if path.relative_to(ROOT).parts[0] in {"sdk_v2", "sdk_v3", "sandbox", "toolkits"}:
            continue
        name = ".".join(["sagemaker_custom", *path.relative_to(ROOT).with_suffix("").parts])
        found |= {
            item
            for item in vars(importlib.import_module(name.removesuffix(".__init__"))).values()
            if isinstance(item, type) and is_dataclass(item) and item.__module__ == name
        }
    return sorted(found, key=lambda item: (item.__module__, item.__name__))


def _suspects():
    for item in _dataclasses():
        for field in fields(item):
            holds_text = re.search(r"\b(str|bytes|Any)\b", str(field.type)) and "Callable" not in str(field.type)
            if HINT.search(field.name) and holds_text:
                yield item, field.name


SUSPECTS = sorted(_suspects(), key=lambda pair: (pair[0].__name__, pair[1]))


def shown(item, name):
    """Return how a value of a class is printed, with a secret in a field."""
    value = object.__new__(item)
    for field in fields(item):
        object.__setattr__(value, field.name, () if field.name.endswith("s") else None)
    text = URL if "url" in name or name == "find_links" else CANARY
    plural = name.endswith(("urls", "variables")) or name in ("find_links", "raw")
    object.__setattr__(value, name, (text,) if plural else text)
    return repr(value)


@pytest.mark.parametrize(
    ("item", "name"),
    [pair for pair in SUSPECTS if (pair[0].__name__, pair[1]) not in NONE_OF_THEM],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_no_value_shows_what_it_hides(item, name):
    assert CANARY not in shown(item, name)


def test_those_that_hold_secrets_are_looked_at():
    looked_at = {(item.__name__, name) for item, name in SUSPECTS}
    assert {
        ("RegistryCredentials", "password"),
        ("IndexLogin", "password"),
        ("IndexCredentials", "password"),
        ("Login", "password"),
        ("OpenRepository", "token"),
        ("BuildRequest", "netrc"),
        ("PipIndexes", "index_url"),
        ("Settings", "pip_index_url"),
        ("Sources", "index_url"),
        ("PipConfiguration", "index_url"),
    } <= looked_at
    assert set(NONE_OF_THEM) <= looked_at


def test_the_search_sees_what_is_shown():
    assert CANARY in shown(RegistryEndpoint, "url")
    assert "packages.example.com" in repr(PipIndexes(index_url=URL))


def test_an_address_of_a_registry_may_not_hold_credentials():
    with pytest.raises(SettingsError, match=r"registry\.example\.com holds credentials") as caught:
        RegistryEndpoint(pattern="*", url=f"https://me:{CANARY}@registry.example.com")
    assert CANARY not in f"{caught.value.message} {caught.value.hint}"
    with pytest.raises(SettingsError) as caught:
        Settings.load({"SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"*=https://me:{CANARY}@registry.example.com"})
    assert CANARY not in f"{caught.value.message} {caught.value.hint}"


UNVERIFIED = re.compile(
    r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False|_create_unverified_context|--trusted-host|--insecure"
    r"|no-check-certificate|assert_hostname|disable_warnings|UV_INSECURE_HOST|GIT_SSL_NO_VERIFY|PIP_TRUSTED_HOST"
)
# Hosts that people name in pip's own configuration, for the machine that resolves.
_OF_PIP = {
    ("wheels/download.py", "verify=False"),
    ("wheels/sources.py", "UV_INSECURE_HOST"),
}


def test_certificates_are_checked_everywhere():
    found = {
        (str(path.relative_to(ROOT)), match)
        for path in ROOT.rglob("*")
        if path.suffix in {".py", ".sh", ""} and path.is_file()
        for match in UNVERIFIED.findall(path.read_text(encoding="utf-8"))
    }
    assert found == _OF_PIP
