"""Catalogs of others: YAML and JSON that exhaust or mislead who reads them, and what may lie in S3."""

from __future__ import annotations

import pytest
from fakes.fake_aws import FakeAws, FakeObject

from sagemaker_custom.catalog import CatalogFolder, load
from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.catalog.images import read_framework, read_partitions
from sagemaker_custom.catalog.sources import LARGEST_BYTES, parse
from sagemaker_custom.catalog.yaml_text import LARGEST_CHARACTERS
from sagemaker_custom.errors import AwsError, CatalogError
from sagemaker_custom.s3_catalogs import S3Catalogs

RECIPE = """
schema_version: {version}
name: a
summary: s
homepage: https://a.example
verify: ["true"]
variants: [{{pip: {{packages: [a]}}}}]
"""


class TestYaml:
    @pytest.mark.parametrize(
        "text",
        [
            "!!python/object/apply:os.system [reboot]",
            "!!python/name:os.system",
            "!!python/module:os",
            "!!python/object/new:os.system [x]",
            "!foreign {a: b}",
            "a: !!binary é",
            "!!int ''",
            "!!float ''",
            "!!bool x",
            "!!timestamp x",
            "!!map [1]",
            "!!set [1]",
            "!!omap x",
            ":".join(["1"] * 400) + ":1.0",
            "9" * 5000,
            "2001-02-30",
            "2001-01-01 00:00:00 +99:99",
            "&a [*a]",
            "a: &a {<<: *a}",
            "? [a]\n: b",
            "[" * 100_000,
            "- " * 50_000,
            "{" * 50_000,
            "a: 1\na: 2",
            "{a: 1, a: 2}",
            "%YAML 9.9\n---\na",
            "a\n---\nb",
            "\ud800",
            "a: \x00",
            "*unknown",
            "@",
        ],
    )
    def test_what_is_no_plain_document_is_refused(self, text):
        with pytest.raises(CatalogError, match=r"team/x\.yaml: ") as caught:
            parse(text, "team/x.yaml")

        assert caught.value.hint == "it has to be YAML"
        assert len(caught.value.message) < 1000

    @pytest.mark.parametrize("template", ["a{0}: &a{0} [{1}]\n", "a{0}: &a{0} {{<<: [{1}], k{0}: v}}\n"])
    def test_aliases_of_aliases_are_refused(self, template):
        """A few hundred bytes that stand for a billion values."""
        first = template.format(0, "{z: 1}")
        rest = (template.format(number, ",".join([f"*a{number - 1}"] * 9)) for number in range(1, 10))
        text = first + "".join(rest)

        with pytest.raises(CatalogError, match="stand for more than 100000 values"):
            parse(text, "x.yaml")

    def test_an_alias_or_two_are_read(self):
        assert parse("a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}", "x.yaml") == {
            "a": [1, 2],
            "b": [1, 2],
            "c": {"d": [1, 2]},
        }

    def test_ten_megabytes_are_refused_unread(self, tmp_path):
        (tmp_path / "extras").mkdir()
        (tmp_path / "extras" / "a.yaml").write_text("# " + "x" * 10_000_000)
        catalog = load((CatalogFolder(origin="team", root=tmp_path),))

        with pytest.raises(CatalogError, match=r"team/extras/a\.yaml is larger than 5 MB"):
            catalog.recipes["a"]

    def test_more_than_yaml_reads_in_seconds_is_refused(self):
        with pytest.raises(CatalogError, match=f"more than {LARGEST_CHARACTERS} characters"):
            parse("a: b\n" * (LARGEST_CHARACTERS // 5 + 1), "x.yaml")
        assert LARGEST_CHARACTERS < LARGEST_BYTES

    @pytest.mark.parametrize(
        "value",
        ["0x" + "f" * 6000, "[a, b]", "{a: b}", "!!set {a}", "2001-01-01", "1.5", "null", "'" + "x" * 90_000 + "'"],
    )
    def test_a_value_of_another_type_is_told_in_a_line(self, value):
        document = parse(f"schema_version: {value}\nname: {value}\nvariants: {value}\nverify: {value}", "x.yaml")

        with pytest.raises(CatalogError, match="schema_version: ") as caught:
            read_recipe(document, "x.yaml")
        assert all(len(line) < 300 for line in caught.value.message.splitlines())


class TestJson:
    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"a": 1, "a": 2}', "", "{", "\0"])
    def test_what_is_no_plain_document_is_refused(self, text):
        with pytest.raises(CatalogError, match=r"x\.json: ") as caught:
            parse(text, "x.json")
        assert caught.value.hint == "it has to be JSON"


IMAGE = {
    "version": "1.0",
    "image_scope": "training",
    "processor": "cpu",
    "repository": "r",
    "tag": "t",
    "accounts": "dlc",
}  # fmt: skip


class TestFrameworks:
    @pytest.mark.parametrize(
        "change",
        [
            {"repository": "r\nRUN evil"},
            {"repository": "../r"},
            {"tag": "t\nRUN evil"},
            {"tag": "t;reboot"},
            {"tag": 5},
            {"version": "1.0\n"},
            {"version": 1.0},
            {"digest": "sha256:x"},
            {"digest": ["x"]},
            {"end_of_patch": "someday"},
            {"py_version": "3; reboot"},
            {"layout": "/bin/sh"},
            {"os": {"a": "b"}},
            {"unknown": "x"},
        ],
    )
    def test_an_entry_that_would_be_more_than_a_name_is_refused(self, change):
        document = {"schema_version": 1, "framework": "acme", "images": [IMAGE | change]}

        with pytest.raises(CatalogError, match=r"images\[0\]"):
            read_framework(document, "acme.json")

    @pytest.mark.parametrize(
        "change",
        [
            {"schema_version": 99},
            {"schema_version": None},
            {"framework": "../x"},
            {"framework": "x\nRUN y"},
            {"framework": 5},
            {"images": {}},
            {"images": [5]},
            {"version_aliases": 5},
            {"version_aliases": {"1": 2}},
            {"repositories": 5},
            {"repositories": [{"tags": [{"template": "(((((a+)+)+)+)+[["}]}]},
        ],
    )
    def test_a_document_of_another_shape_is_refused(self, change):
        with pytest.raises(CatalogError, match=r"acme\.json"):
            read_framework({"schema_version": 1, "framework": "acme", "images": []} | change, "acme.json")

    @pytest.mark.parametrize(
        "document",
        [
            {"partitions": {"aws": {"dns_suffix": "evil.example\nRUN x", "region_regex": "x"}}},
            {"partitions": {"aws": {"dns_suffix": "a.com", "region_regex": "("}}},
            {"partitions": {}, "account_sets": {"dlc": {"us-east-1": "1\nRUN x"}}},
            {"partitions": {}, "account_sets": {"dlc": {"us-east-1\n": "123456789012"}}},
            {"partitions": []},
            {"partitions": {"aws": 5}},
        ],
    )
    def test_hosts_are_made_of_names(self, document):
        with pytest.raises(CatalogError, match=r"partitions\.json"):
            read_partitions({"regions": {}, "account_sets": {}} | document)


def stored(content):
    return FakeObject(content=content, kms_key=None, encrypted=False)


class TestS3:
    def test_keys_that_lead_elsewhere_are_left_where_they_are(self, tmp_path):
        aws = FakeAws(buckets={"b": "123456789012"})
        sound = RECIPE.format(version=1).encode()
        for key in (
            "c/../../evil.yaml", "c//etc/evil.yaml", "c/extras/../../evil.yaml", "c/extras/..yaml", "c/.etags.json",
            "c/extras/a\\..\\b.yaml", "c/extras/a\nb.yaml", "c/other/x.yaml", "c/extras/deep/x.yaml", "c/extras/a.yaml",
        ):  # fmt: skip
            aws.objects["b", key] = stored(sound)

        folder = S3Catalogs(folder=tmp_path / "cache", store=lambda: aws).fetch("s3://b/c")

        written = {path.relative_to(folder.root).as_posix() for path in (tmp_path).rglob("*") if path.is_file()}
        assert written == {"extras/a.yaml", ".etags.json"}

    @pytest.mark.parametrize("version", ["2", "'1'", "null", "[1]"])
    def test_a_document_of_another_release_is_refused(self, tmp_path, version):
        aws = FakeAws(buckets={"b": "123456789012"})
        aws.objects["b", "c/extras/a.yaml"] = stored(RECIPE.format(version=version).encode())
        folder = S3Catalogs(folder=tmp_path / "cache", store=lambda: aws).fetch("s3://b/c")

        with pytest.raises(CatalogError, match=r"s3://b/c/extras/a\.yaml: schema_version"):
            load((folder,)).recipes["a"]

    def test_a_document_that_is_not_the_listed_one_is_refused(self, tmp_path):
        """The copy is named after what was listed: content of another state must not stand under that name."""
        aws = OtherContent(buckets={"b": "123456789012"})
        aws.objects["b", "c/extras/a.yaml"] = stored(RECIPE.format(version=1).encode())
        catalogs = S3Catalogs(folder=tmp_path / "cache", store=lambda: aws)

        with pytest.raises(AwsError, match="had 118 when it was listed"):
            catalogs.fetch("s3://b/c")

        assert not [path for path in tmp_path.rglob("*") if path.is_file()]


class OtherContent(FakeAws):
    """S3, in which an object is written over between listing and reading."""

    def read_object(self, bucket, key):
        return super().read_object(bucket, key) + b"# foreign"
