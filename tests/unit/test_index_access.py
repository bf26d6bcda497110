"""Where the credentials of package indexes come from, and what never has them."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import pytest
from fakes.codeartifact_api import CodeArtifactApi
from fakes.example_plan import example_plan

from sagemaker_custom.aws import CodeArtifact, Connection
from sagemaker_custom.builders.index_access import (
    IndexAccess,
    IndexCredentials,
    KeyringCommand,
    NoKeyring,
    WithIndexAccess,
)
from sagemaker_custom.errors import AccessDeniedError, AwsError, BuildError, SettingsError
from sagemaker_custom.plan import CodeArtifactRepository, PipIndexes, indexes_of
from sagemaker_custom.resolve import PackagesStep
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import fingerprint

URL = "https://packages.example.com/simple"
CANARY = "c4nary"
REPOSITORY = CodeArtifactRepository(domain="company", repository="packages", region="eu-west-1")


class Keyring:
    """Keeps passwords in memory."""

    def __init__(self, **kept):
        self.kept = kept
        self.asked = []

    def find(self, service, username):
        self.asked.append((service, username))
        return self.kept.get(service)


def access(*, netrc=None, keyring=None, codeartifact=None):
    return IndexAccess(codeartifact=codeartifact, keyring=keyring or NoKeyring(), netrc=(netrc or {}).get)


class TestOrder:
    def test_the_url_counts_most(self):
        indexes = PipIndexes(index_url="https://me:mine@packages.example.com/simple")
        assert access(netrc={URL: ("you", "yours")}).opened(indexes) == indexes

    def test_a_netrc_file_opens_what_has_no_credentials(self):
        opened = access(netrc={URL: ("me", "p@ss/w")}).opened(PipIndexes(extra_index_urls=(URL,)))
        assert opened.extra_index_urls == ("https://me:p%40ss%2Fw@packages.example.com/simple",)

    def test_a_netrc_file_for_another_user_does_not(self):
        indexes = PipIndexes(index_url="https://t0ken@packages.example.com/simple")
        assert access(netrc={URL: ("me", "x")}).opened(indexes) == indexes

    def test_the_keyring_is_asked_last_by_url_and_then_by_host(self):
        found = IndexCredentials(username="me", password="from keyring")
        keyring = Keyring(**{"packages.example.com": found})
        opened = access(keyring=keyring).opened(PipIndexes(index_url="https://me@packages.example.com/simple"))
        assert opened.index_url == "https://me:from%20keyring@packages.example.com/simple"
        assert keyring.asked == [(URL, "me"), ("packages.example.com", "me")]

    def test_each_index_is_asked_for_once(self):
        keyring = Keyring()
        asking = access(keyring=keyring)
        for _ in range(2):
            asking.opened(PipIndexes(index_url=URL))
        assert len(keyring.asked) == 2

    def test_the_netrc_file_of_the_user_is_read_by_default(self, tmp_path, monkeypatch):
        file = tmp_path / "netrc"
        file.write_text(f"machine packages.example.com login me password {CANARY}\n")
        monkeypatch.setenv("NETRC", str(file))
        opened = IndexAccess(codeartifact=None, keyring=NoKeyring()).opened(PipIndexes(index_url=URL))
        assert opened.index_url == f"https://me:{CANARY}@packages.example.com/simple"


class TestKeyringCommand:
    @pytest.fixture
    def command(self, tmp_path):
        def make(script):
            program = tmp_path / "keyring"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            return KeyringCommand(os.environ, str(program))

        return make

    def test_a_name_is_asked_for_its_password(self, command):
        said = command('test "$*" = "get https://a.example/simple me" && echo "secret word" && echo noise >&2')
        found = said.find("https://a.example/simple", "me")
        assert (found.username, found.password) == ("me", "secret word")
        assert "secret" not in repr(found)

    def test_without_a_name_both_are_asked_for(self, command):
        found = command('test "$*" = "--mode creds get a.example" && printf "me\\nsecret\\n"').find("a.example", None)
        assert (found.username, found.password) == ("me", "secret")

    def test_a_keyring_without_it_has_nothing(self, command):
        assert command("echo no; exit 1").find("a.example", "me") is None

    def test_a_missing_command_is_told(self):
        with pytest.raises(BuildError, match="keyring-that-is-not-there cannot be run") as caught:
            KeyringCommand({}, "keyring-that-is-not-there").find("a.example", None)
        assert "pip_keyring_provider" in caught.value.hint


class TestCodeArtifact:
    @pytest.fixture
    def api(self):
        return CodeArtifactApi("https://company-1.d.codeartifact.eu-west-1.amazonaws.com/pypi/packages/", CANARY)

    def opened(self, api, repository=REPOSITORY):
        service = CodeArtifact(Connection(api.session("us-east-1")))
        return access(codeartifact=service.open).opened(PipIndexes(codeartifact=repository))

    def test_url_and_token_are_asked_for_in_the_regions_of_the_domain(self, api):
        opened = self.opened(api, replace(REPOSITORY, domain_owner="111122223333"))
        host = "company-1.d.codeartifact.eu-west-1.amazonaws.com"
        assert opened.index_url == f"https://aws:{CANARY}@{host}/pypi/packages/simple/"
        assert {region for region, _ in api.asked} == {"eu-west-1"}
        assert all(asked["domain-owner"] == "111122223333" for _, asked in api.asked)
        assert api.asked[1][1]["duration"] == "7200"

    def test_neither_is_in_what_the_image_is_called_by(self, api):
        closed = PipIndexes(codeartifact=REPOSITORY)
        opened = self.opened(api)
        assert opened.public == closed.public == {
            "codeartifact": {
                "domain": "company",
                "repository": "packages",
                "region": "eu-west-1",
                "domain_owner": None,
            },
            "extra_index_urls": [],
        }  # fmt: skip
        assert CANARY not in repr(opened)
        plan = example_plan(pip_indexes=closed)
        assert plan.labels == replace(plan, pip_indexes=opened).labels
        assert fingerprint(plan.document) == fingerprint(replace(plan, pip_indexes=opened).document)

    def test_another_repository_is_another_image(self):
        plans = [
            example_plan(pip_indexes=PipIndexes(codeartifact=repository))
            for repository in (REPOSITORY, replace(REPOSITORY, repository="other"), replace(REPOSITORY, region="x"))
        ]
        assert len({fingerprint(plan.document) for plan in plans}) == 3

    def test_a_missing_repository_is_named(self, api):
        with pytest.raises(AwsError, match="CodeArtifact in eu-west-1 has no repository company/other") as caught:
            self.opened(api, replace(REPOSITORY, repository="other"))
        assert "codeartifact_domain_owner" in caught.value.hint

    def test_a_refusal_names_the_actions(self, api):
        api.failure = (403, "AccessDeniedException")
        with pytest.raises(AccessDeniedError, match="GetRepositoryEndpoint") as caught:
            self.opened(api)
        assert "sts:GetServiceBearerToken" in caught.value.hint


class TestSettings:
    def test_the_region_is_that_of_the_image_unless_one_is_named(self):
        settings = Settings(codeartifact="company/packages")
        assert indexes_of(settings, "eu-west-1").codeartifact == REPOSITORY
        named = replace(settings, codeartifact_region="eu-central-1", codeartifact_domain_owner="1" * 12)
        found = indexes_of(named, "eu-west-1").codeartifact
        assert (found.region, found.domain_owner) == ("eu-central-1", "1" * 12)

    @pytest.mark.parametrize("text", ["company", "company/", "/packages", "a b/c", "company/packages/x", "Company/x"])
    def test_what_is_no_repository_is_refused(self, text):
        with pytest.raises(SettingsError, match=r"codeartifact .* cannot be used"):
            Settings(codeartifact=text)

    def test_two_first_indexes_are_refused(self):
        with pytest.raises(SettingsError, match="both say which index is asked first"):
            Settings(codeartifact="company/packages", pip_index_url=URL)

    def test_an_unknown_keyring_provider_is_refused(self):
        with pytest.raises(SettingsError, match="pip_keyring_provider 'import' cannot be used"):
            Settings(pip_keyring_provider="import")


class Builder:
    def build(self, plan, *, fresh=False):
        self.plan, self.fresh = plan, fresh
        return plan.reference


class TestBuilding:
    def test_the_builder_gets_the_credentials_and_its_caller_does_not(self):
        builder, plan = Builder(), example_plan(pip_indexes=PipIndexes(index_url=URL))
        WithIndexAccess(builder, access(netrc={URL: ("me", CANARY)})).build(plan, fresh=True)
        assert CANARY in builder.plan.pip_indexes.index_url
        assert CANARY not in plan.pip_indexes.index_url
        assert builder.fresh

    def test_who_needs_no_index_asks_nobody(self):
        keyring = Keyring()
        plan = replace(example_plan(pip_indexes=PipIndexes(index_url=URL)), steps=(PackagesStep(packages=("git",)),))
        WithIndexAccess(Builder(), access(keyring=keyring)).build(plan)
        assert not keyring.asked
