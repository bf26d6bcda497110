"""Where team catalogs come from: settings, installed packages, an argument, and S3."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread

import pytest
from fakes.fake_aws import FakeAws, FakeObject

from sagemaker_custom.catalog import load
from sagemaker_custom.catalog_sources import GROUP, catalog_folders, installed_catalogs, open_catalog, validate_catalog
from sagemaker_custom.errors import AccessDeniedError, AwsError, CatalogError, SettingsError
from sagemaker_custom.s3_catalogs import KEPT_S, LARGEST_BYTES, MOST_DOCUMENTS, S3Catalogs
from sagemaker_custom.settings import Settings

RECIPE = """
schema_version: 1
name: {name}
summary: {summary}
homepage: https://acme.example
verify: ["true"]
variants: [{{pip: {{packages: [acme-tools]}}}}]
"""


def no_aws():
    raise AssertionError("S3 is not needed")


def team(root, name="a", summary="s"):
    folder = root / "extras"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(RECIPE.format(name=name, summary=summary))
    return root


@pytest.fixture(autouse=True)
def _nothing_installed():
    installed_catalogs.cache_clear()
    yield
    installed_catalogs.cache_clear()


class TestSettings:
    def test_file_and_environment_add_up(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", "/home/ana")
        file = tmp_path / "config.yaml"
        file.write_text("catalog: [shared, ~/mine, /srv/catalog, s3://bucket/a]")
        env = {"SAGEMAKER_CUSTOM_CATALOG": f"s3://bucket/b{os.pathsep}team{os.pathsep} s3://c {os.pathsep}"}
        assert Settings.load(env=env, file=file).catalog == (
            *(f"{tmp_path}/shared", "/home/ana/mine", "/srv/catalog", "s3://bucket/a"),
            *("s3://bucket/b", "team", "s3://c"),
        )

    def test_one_of_the_two_alone(self, tmp_path):
        file = tmp_path / "config.yaml"
        file.write_text("catalog: shared")
        assert Settings.load(env={}, file=file).catalog == (f"{tmp_path}/shared",)
        assert Settings.load(env={"SAGEMAKER_CUSTOM_CATALOG": "team"}).catalog == ("team",)
        assert Settings.load(env={}).catalog == ()

    def test_overrides_replace_both(self, tmp_path):
        env = {"SAGEMAKER_CUSTOM_CATALOG": "team"}
        assert Settings.load(env=env, overrides={"catalog": ("x",)}).catalog == ("x",)

    def test_something_else_is_refused(self, tmp_path):
        file = tmp_path / "config.yaml"
        file.write_text("catalog: {a: b}")
        with pytest.raises(SettingsError, match=r"config\.yaml: catalog cannot be .*: it has to be a list"):
            Settings.load(env={}, file=file)


class TestFolders:
    def test_nothing_configured_is_the_shipped_catalog(self):
        assert open_catalog(Settings(), store=no_aws) is load()

    def test_the_argument_counts_more_than_the_settings(self, tmp_path):
        one, two = (team(tmp_path / name, summary=name) for name in ("one", "two"))
        settings = Settings(catalog=(str(one), str(two)))
        assert open_catalog(settings, store=no_aws).recipes["a"].summary == "two"
        for given in (team(tmp_path / "three", summary="three"), [str(tmp_path / "three")]):
            catalog = open_catalog(settings, catalog=given, store=no_aws)
            assert catalog.recipes["a"].summary == "three"
            assert catalog.origins["recipe", "a"].overrides == (f"{tmp_path}/two", f"{tmp_path}/one")

    def test_folder_named_twice_counts_where_it_is_named_last(self, tmp_path):
        one, two = team(tmp_path / "one"), team(tmp_path / "two")
        folders = catalog_folders(Settings(catalog=(str(one), str(two))), catalog=one, store=no_aws)
        assert [folder.origin for folder in folders] == [str(two), str(one)]

    def test_relative_folders_and_home(self, tmp_path, monkeypatch):
        team(tmp_path / "here")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("here", "~/here"):
            (folder,) = catalog_folders(Settings(catalog=(name,)), store=no_aws)
            assert folder.origin == f"{tmp_path}/here"

    def test_missing_folder_is_named(self, tmp_path):
        with pytest.raises(SettingsError) as caught:
            open_catalog(Settings(catalog=(f"{tmp_path}/none",)), store=no_aws)
        assert str(caught.value).startswith(f"the catalog '{tmp_path}/none' is not a folder\n  -> look at catalog in")

    def test_validation_takes_the_configured_ones_for_context(self, tmp_path):
        one, two = team(tmp_path / "one"), team(tmp_path / "two", name="b")
        (two / "extras/b.yaml").write_text(RECIPE.format(name="b", summary="s") + "after: [a]")
        assert validate_catalog(two, Settings(catalog=(str(one), str(two))), store=no_aws) == ()
        (problem,) = validate_catalog(two, Settings(), store=no_aws)
        assert problem.path == "after[0]"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package with an entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(distribution, value, name="acme"):
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {value}\n")
        return site

    return install


class TestInstalledPackages:
    def test_package_is_found_and_not_imported(self, install):
        site = install("acme-catalog", "acme_catalog")
        team(site / "acme_catalog", summary="installed")
        (site / "acme_catalog/__init__.py").write_text("raise AssertionError('imported')")
        catalog = open_catalog(Settings(), store=no_aws)
        assert catalog.recipes["a"].summary == "installed"
        assert catalog.origins["recipe", "a"].file == "acme_catalog/extras/a.yaml"

    def test_folder_without_init_and_inside_of_a_package(self, install):
        site = install("acme-catalog", "acme_parts.catalog")
        team(site / "acme_parts/catalog")
        (folder,) = catalog_folders(Settings(), store=no_aws)
        assert Path(str(folder.root)) == site / "acme_parts/catalog"

    def test_settings_count_more_and_names_decide_among_packages(self, install, tmp_path):
        site = install("first", "acme_first", name="b")
        install("second", "acme_second", name="a")
        for name in ("acme_first", "acme_second"):
            team(site / name)
        folders = catalog_folders(Settings(catalog=(str(team(tmp_path / "mine")),)), store=no_aws)
        assert [folder.origin for folder in folders] == ["acme_second", "acme_first", f"{tmp_path}/mine"]

    @pytest.mark.parametrize("value", ["acme_none", "acme_none.catalog", ""])
    def test_package_that_is_not_there_is_named(self, install, value):
        install("acme-catalog", value)
        with pytest.raises(CatalogError) as caught:
            open_catalog(Settings(), store=no_aws)
        assert f"the entry point 'acme' of acme-catalog in {GROUP} names {value!r}" in str(caught.value)


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self):
        return self.now


URI = "s3://bucket/team"


class Bucket:
    """A catalog in S3, and the copies of it."""

    def __init__(self, folder):
        self.aws = FakeAws(buckets={"bucket": "123456789012"})
        self.clock = Clock()
        self.catalogs = S3Catalogs(folder=folder / "copies", store=lambda: self.aws, clock=self.clock)
        self.put("extras/a.yaml", RECIPE.format(name="a", summary="one"))

    def put(self, name, content):
        content = content if isinstance(content, bytes) else content.encode()
        self.aws.objects["bucket", f"team/{name}"] = FakeObject(content=content, kms_key=None, encrypted=False)

    def remove(self, name):
        del self.aws.objects["bucket", f"team/{name}"]

    def fetch(self):
        return self.catalogs.fetch(URI)

    @property
    def reads(self):
        return self.aws.calls["read_object"]


@pytest.fixture
def bucket(tmp_path):
    return Bucket(tmp_path)


def names(folder):
    files = {str(path.relative_to(folder.root)) for path in folder.root.rglob("*") if path.is_file()}
    return files - {".etags.json"}


class TestS3:
    def test_documents_are_where_errors_say(self, bucket):
        catalog = load((bucket.fetch(),))
        assert catalog.recipes["a"].summary == "one"
        assert catalog.origins["recipe", "a"].file == "s3://bucket/team/extras/a.yaml"

    def test_only_what_has_changed_is_downloaded(self, bucket):
        bucket.put("extras/b.yaml", RECIPE.format(name="b", summary="one"))
        first = bucket.fetch()
        assert bucket.reads == 2
        assert bucket.fetch() == first
        assert bucket.reads == 2
        bucket.put("extras/b.yaml", RECIPE.format(name="b", summary="two"))
        second = bucket.fetch()
        assert bucket.reads == 3
        assert load((second,)).recipes["b"].summary == "two"
        assert load((first,)).recipes["b"].summary == "one"

    def test_what_is_removed_goes(self, bucket):
        bucket.put("extras/b.yaml", RECIPE.format(name="b", summary="one"))
        assert names(bucket.fetch()) == {"extras/a.yaml", "extras/b.yaml"}
        bucket.remove("extras/b.yaml")
        assert names(bucket.fetch()) == {"extras/a.yaml"}
        assert bucket.reads == 2

    def test_only_documents_are_downloaded(self, bucket):
        strangers = [
            "model.tar.gz",
            "extras/deep/b.yaml",
            "extras/../../x.yaml",
            "../y.yaml",
            ".etags.json",
            "data/a.json",
        ]
        for name in strangers:
            bucket.put(name, "x")
        bucket.put("images/requirements.txt", "umap-learn")
        folder = bucket.fetch()
        assert bucket.reads == 2
        assert names(folder) == {"extras/a.yaml", "images/requirements.txt"}

    def test_prefix_is_a_folder(self, bucket):
        bucket.aws.objects["bucket", "teams/extras/b.yaml"] = FakeObject(content=b"", kms_key=None, encrypted=False)
        assert names(bucket.fetch()) == {"extras/a.yaml"}
        assert bucket.catalogs.fetch("s3://bucket/team/").root.name == bucket.fetch().root.name

    def test_whole_bucket(self, tmp_path):
        aws = FakeAws(buckets={"bucket": "123456789012"})
        aws.objects["bucket", "partitions.json"] = FakeObject(content=b"{}", kms_key=None, encrypted=False)
        folder = S3Catalogs(folder=tmp_path, store=lambda: aws).fetch("s3://bucket")
        assert (folder.root / "partitions.json").read_bytes() == b"{}"

    @pytest.mark.parametrize("many", [0, MOST_DOCUMENTS + 1])
    def test_prefix_with_no_or_too_many_documents(self, bucket, many):
        bucket.remove("extras/a.yaml")
        for number in range(many):
            bucket.put(f"extras/{number}.yaml", "")
        with pytest.raises(CatalogError) as caught:
            bucket.fetch()
        assert str(caught.value).startswith(f"{URI} holds {many} documents of a catalog\n  -> name the prefix")
        assert bucket.reads == 0

    def test_document_that_is_too_large_is_not_downloaded(self, bucket):
        bucket.put("extras/large.yaml", b"x" * (LARGEST_BYTES + 1))
        with pytest.raises(CatalogError, match=r"team/extras/large\.yaml is larger than 5 MB"):
            bucket.fetch()
        assert bucket.reads == 0

    def test_address_without_a_bucket(self, bucket):
        with pytest.raises(SettingsError, match="names no bucket"):
            bucket.catalogs.fetch("s3://")

    def test_failure_in_between_leaves_the_old_copy_and_nothing_else(self, bucket, tmp_path):
        bucket.fetch()
        bucket.put("extras/a.yaml", "new")
        bucket.aws.fail("read_object", AwsError("no answer"))
        with pytest.raises(AwsError):
            bucket.fetch()
        (copies,) = (tmp_path / "copies").iterdir()
        assert len([*copies.iterdir()]) == 1
        bucket.aws.recover("read_object")
        assert (bucket.fetch().root / "extras/a.yaml").read_text() == "new"

    def test_copies_that_cannot_be_kept(self, bucket, tmp_path):
        (tmp_path / "copies").write_text("a file")
        with pytest.raises(SettingsError) as caught:
            bucket.fetch()
        assert str(caught.value) == (
            f"a copy of the catalog {URI} cannot be kept in {tmp_path}/copies: Not a directory\n"
            "  -> set cache_dir to a folder that you may write to"
        )

    def test_two_at_a_time_end_with_one_copy(self, bucket, tmp_path):
        found = []
        threads = [Thread(target=lambda: found.append(bucket.fetch())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        assert len(set(found)) == 1
        (copies,) = (tmp_path / "copies").iterdir()
        assert [*copies.iterdir()] == [found[0].root]

    def test_superseded_copies_stay_for_a_while(self, bucket):
        first = bucket.fetch()
        bucket.put("extras/a.yaml", "two")
        bucket.clock.now += KEPT_S - 1
        bucket.fetch()
        assert first.root.is_dir()
        bucket.put("extras/a.yaml", "three")
        bucket.clock.now += 2
        bucket.fetch()
        assert not first.root.exists()


class TestWithoutS3:
    def test_without_an_answer_it_is_an_error_that_tells_of_the_copy(self, bucket):
        bucket.fetch()
        bucket.aws.fail("list_objects", AccessDeniedError("access denied", hint="have it allowed"))
        with pytest.raises(AccessDeniedError) as caught:
            bucket.fetch()
        assert str(caught.value) == (
            "the catalog s3://bucket/team cannot be renewed: access denied\n"
            "  -> have it allowed; or go on with the copy of 2023-11-14 22:13 UTC: catalog_offline=true"
        )

    def test_without_a_copy_it_is_the_error_itself(self, bucket):
        error = AwsError("no answer")
        bucket.aws.fail("list_objects", error)
        with pytest.raises(AwsError) as caught:
            bucket.fetch()
        assert caught.value is error

    def test_offline_takes_the_newest_copy_with_a_warning(self, bucket, caplog):
        first = bucket.fetch()
        bucket.put("extras/a.yaml", "two")
        bucket.clock.now += 60
        second = bucket.fetch()
        listed = bucket.aws.calls["list_objects"]
        with caplog.at_level(logging.WARNING):
            assert bucket.catalogs.kept(URI) == second != first
        assert "the copy of 2023-11-14 22:14 UTC is used, without asking S3" in caplog.text
        assert bucket.aws.calls["list_objects"] == listed

    def test_going_back_makes_the_old_copy_the_newest(self, bucket):
        first = bucket.fetch()
        bucket.put("extras/a.yaml", "two")
        bucket.clock.now += 60
        bucket.fetch()
        bucket.put("extras/a.yaml", RECIPE.format(name="a", summary="one"))
        bucket.clock.now += 60
        assert bucket.fetch() == bucket.catalogs.kept(URI) == first

    def test_offline_without_a_copy(self, bucket):
        with pytest.raises(CatalogError) as caught:
            bucket.catalogs.kept(URI)
        assert str(caught.value).startswith(f"there is no copy of the catalog {URI} on this machine\n  -> set catalog_")


class TestOnceAProcess:
    def test_s3_is_listed_once(self, bucket, tmp_path):
        settings = Settings(catalog=(URI,), cache_dir=str(tmp_path))
        first = open_catalog(settings, store=lambda: bucket.aws)
        bucket.put("extras/a.yaml", "changed")
        assert open_catalog(settings, catalog=f"{URI}/", store=no_aws) is first
        assert bucket.aws.calls["list_objects"] == 1

    def test_offline_asks_nobody(self, bucket, tmp_path):
        settings = Settings(cache_dir=str(tmp_path), catalog=(URI,), catalog_offline=True)
        replace(bucket.catalogs, folder=tmp_path / "catalogs").fetch(URI)
        assert open_catalog(settings, store=no_aws).recipes["a"].summary == "one"


def test_copies_carry_their_etags(bucket):
    etags = json.loads((bucket.fetch().root / ".etags.json").read_text())
    assert set(etags) == {"extras/a.yaml"}
