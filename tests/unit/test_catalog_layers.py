"""Folders of documents, put upon each other: what is read when, what counts, and where it came from."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from threading import Thread

import pytest

from sagemaker_custom.bases import find_base
from sagemaker_custom.catalog import Catalog, CatalogFolder, load
from sagemaker_custom.catalog.sources import Documents, Layer
from sagemaker_custom.errors import CatalogError
from sagemaker_custom.spec import ImageSpec

SHIPPED = load()
PINNED = next(
    image for image in SHIPPED.frameworks["pytorch"].images if image.version == "2.3.0" and image.processor == "gpu"
)
DIGEST = "sha256:" + "a" * 64
HARDENED = {
    "version": "2.3.0",
    "image_scope": "training",
    "processor": "gpu",
    "py_version": "py311",
    "cuda_version": "cu121",
    "repository": "hardened/pytorch",
    "tag": "2.3.0-gpu-2026.11",
    "accounts": "acme",
}
ACCOUNTS = {"schema_version": 1, "account_sets": {"acme": {"eu-west-1": "111122223333"}}}
RECIPE = """
schema_version: 1
name: {name}
summary: {summary}
homepage: https://acme.example
verify: ["true"]
variants: [{{pip: {{packages: [acme-tools]}}}}]
"""
IMAGE = """
schema_version: 1
name: {name}
summary: s
framework: pytorch
versions: ["2.3"]
"""


def framework(*images, **changes):
    return {"schema_version": 1, "framework": "pytorch", "images": list(images)} | changes


@pytest.fixture
def folder(tmp_path):
    """Write documents, and return the folder with them."""

    def write(documents, name="team"):
        root = tmp_path / name
        for path, document in documents.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return CatalogFolder(origin=str(root), root=root)

    return write


def asked(**changes):
    return ImageSpec(**{"framework": "pytorch", "version": "2.3", "processor": "gpu"} | changes)


class TestLaziness:
    def test_a_base_image_is_found_without_yaml_pydantic_or_boto3(self):
        code = """
        import sys
        from sagemaker_custom.bases import find_base
        from sagemaker_custom.catalog import load
        from sagemaker_custom.spec import ImageSpec
        catalog = load()
        assert find_base(ImageSpec(framework="pytorch", version="2.3"), catalog).tag
        assert "recsys" in catalog.images and "faiss" in catalog.recipes
        print(sorted({"yaml", "pydantic", "boto3"} & set(sys.modules)))
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "[]\n"

    def test_a_document_is_read_when_its_name_is_asked_for(self, folder):
        recipe = RECIPE.format(name="good", summary="s")
        catalog = load((folder({"extras/bad.yaml": "name: [", "extras/good.yaml": recipe}),))
        assert {"bad", "good", "faiss"} <= set(catalog.recipes)
        assert catalog.recipes["good"].summary == "s"
        assert catalog.recipes["good"] is catalog.recipes["good"]
        with pytest.raises(CatalogError, match=r"team/extras/bad\.yaml: "):
            catalog.recipes["bad"]
        with pytest.raises(CatalogError, match=r"team/extras/bad\.yaml: "):
            list(catalog.recipes.values())

    def test_names_are_known_without_reading(self):
        reads = []
        documents = Documents({"a": (), "b": ()}, lambda name, _: reads.append(name) or name.upper())
        assert "a" in documents
        assert "c" not in documents
        assert (list(documents), len(documents), reads) == (["a", "b"], 2, [])
        assert documents.get("c", "none") == "none"
        assert (documents["a"], documents["a"], reads) == ("A", "A", ["a"])
        assert list(documents.values()) == ["A", "B"]

    def test_threads_that_ask_for_one_name_get_one_value(self):
        documents = Documents({"a": ()}, lambda *_: object())
        found = []
        threads = [Thread(target=lambda: found.append(documents["a"])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(map(id, found)) == {id(documents["a"])}

    def test_a_catalog_is_made_once_for_the_same_folders(self, folder):
        team = folder({"extras/a.yaml": RECIPE.format(name="a", summary="s")})
        assert load((team,)) is load((team,))
        assert load((team,)) is not load()


class TestRecipesAndImages:
    def test_later_folders_override_by_name(self, folder):
        one = folder({"extras/faiss.yaml": RECIPE.format(name="faiss", summary="one")}, "one")
        two = folder({"extras/faiss.yaml": RECIPE.format(name="faiss", summary="two")}, "two")
        assert load((one, two)).recipes["faiss"].summary == "two"
        assert load((two, one)).recipes["faiss"].summary == "one"
        assert load((one,)).recipes["pyg"] == SHIPPED.recipes["pyg"]

    def test_origins_tell_what_is_overridden(self, folder):
        one = folder({"extras/faiss.yaml": "", "images/mine.yaml": "", "frameworks/acme.json": ""}, "one")
        two = folder({"extras/faiss.yaml": ""}, "two")
        origins = load((one, two)).origins
        faiss = origins["recipe", "faiss"]
        assert (faiss.layer, faiss.file) == (two.origin, f"{two.origin}/extras/faiss.yaml")
        assert faiss.overrides == (one.origin, "sagemaker_custom")
        assert origins["image", "mine"].layer == one.origin
        assert origins["framework", "acme"].overrides == ()
        assert (origins["recipe", "pyg"].layer, origins["recipe", "pyg"].file) == (
            "sagemaker_custom",
            "extras/pyg.yaml",
        )

    def test_a_named_image_of_a_team(self, folder):
        catalog = load((folder({"images/mine.yaml": IMAGE.format(name="mine")}),))
        assert catalog.images["mine"].versions == ("2.3",)
        assert set(catalog.images) == {*SHIPPED.images, "mine"}

    @pytest.mark.parametrize("name", ["pytorch", "djl"])
    def test_a_named_image_may_not_be_called_like_a_framework(self, folder, name):
        catalog = load((folder({f"images/{name}.yaml": IMAGE.format(name=name)}),))
        with pytest.raises(CatalogError) as caught:
            catalog.images[name]
        assert f"images/{name}.yaml: name: {name!r} is the name of a framework already" in str(caught.value)

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("extras/a.yaml", RECIPE.format(name="b", summary="s")),
            ("images/a.yaml", IMAGE.format(name="b")),
            ("frameworks/a.json", json.dumps(framework(framework="b"))),
        ],
    )
    def test_a_file_is_called_like_what_it_holds(self, folder, path, text):
        catalog = load((folder({path: text}),))
        with pytest.raises(CatalogError, match=r"is 'b', but the file is called 'a'\n  -> give both the same name"):
            catalog.read()


class TestFrameworks:
    def test_an_image_of_a_team_comes_before_an_equal_one(self, folder):
        catalog = load((folder({"frameworks/pytorch.json": framework(HARDENED), "partitions.json": ACCOUNTS}),))
        base = find_base(asked(), catalog)
        assert str(catalog.partitions.reference(base, "eu-west-1")) == (
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/hardened/pytorch:2.3.0-gpu-2026.11"
        )
        assert find_base(asked(version="2.2"), catalog) == find_base(asked(version="2.2"), SHIPPED)
        assert len(catalog.frameworks["pytorch"].images) == len(SHIPPED.frameworks["pytorch"].images) + 1

    def test_a_newer_one_of_aws_still_counts_more(self, folder):
        old = HARDENED | {"version": "2.0.0", "py_version": "py310"}
        catalog = load((folder({"frameworks/pytorch.json": framework(old), "partitions.json": ACCOUNTS}),))
        assert find_base(asked(version="2.0"), catalog).version == "2.0.1"
        assert find_base(asked(version="2.0.0"), catalog).repository == "hardened/pytorch"

    def test_the_same_image_is_replaced_so_that_it_can_be_pinned(self, folder):
        known = {name: getattr(PINNED, name) for name in (*HARDENED, "layout", "os")}
        pinned = known | {"digest": DIGEST}
        catalog = load((folder({"frameworks/pytorch.json": framework(pinned)}),))
        assert find_base(asked(image_scope=PINNED.image_scope), catalog).digest == DIGEST
        assert len(catalog.frameworks["pytorch"].images) == len(SHIPPED.frameworks["pytorch"].images)

    def test_aliases_repositories_and_provenance_add_up(self, folder):
        ours = SHIPPED.frameworks["pytorch"]
        place = {"repository": "hardened/pytorch", "accounts": "dlc", "image_scopes": ["training"], "tags": []}
        changes = {"version_aliases": {"1.9": "1.9.1", "lts": "2.3.0"}, "repositories": [place], "provenance": "Acme"}
        merged = load((folder({"frameworks/pytorch.json": framework(**changes)}),)).frameworks["pytorch"]
        assert merged.version_aliases == {**ours.version_aliases, "1.9": "1.9.1", "lts": "2.3.0"}
        assert merged.repositories[0].repository == "hardened/pytorch"
        assert len(merged.repositories) == len(ours.repositories) + 1
        assert merged.provenance == f"Acme; {ours.provenance}"

    def test_a_framework_of_a_team_in_yaml(self, folder):
        text = """
        schema_version: 1
        framework: acme-nlp
        images:
          - {version: "4.10", image_scope: training, processor: cpu, repository: nlp, tag: "4.10", accounts: acme}
        """
        aliases = {"schema_version": 1, "aliases": {"nlp": "acme-nlp"}}
        team = folder(
            {
                "frameworks/acme-nlp.yaml": textwrap.dedent(text),
                "partitions.yml": json.dumps(ACCOUNTS),
                "framework_aliases.json": aliases,
            }
        )
        catalog = load((team,))
        base = find_base(ImageSpec(framework="nlp"), catalog)
        assert str(catalog.partitions.reference(base, "eu-west-1")).endswith("/nlp:4.10")
        assert catalog.framework_aliases["djl"] == "djl-lmi"

    def test_unknown_accounts_name_those_that_there_are(self, folder):
        catalog = load((folder({"frameworks/pytorch.json": framework(HARDENED)}),))
        with pytest.raises(CatalogError) as caught:
            find_base(asked(), catalog)
        assert "frameworks/pytorch.json: images[0].accounts: there are no accounts 'acme'\n  -> there are algo" in str(
            caught.value
        )

    def test_what_yaml_takes_for_a_number_or_a_date_is_told(self, folder):
        text = """
        schema_version: 1
        framework: pytorch
        images:
          - {version: 2.10, image_scope: training, processor: cpu, repository: r, tag: t, accounts: dlc}
          - {version: "2.9", image_scope: training, processor: cpu, repository: r, tag: t, accounts: dlc,
             end_of_patch: 2026-01-29}
        """
        catalog = load((folder({"frameworks/pytorch.yaml": textwrap.dedent(text)}),))
        with pytest.raises(CatalogError) as caught:
            catalog.frameworks["pytorch"]
        first, second = caught.value.message.splitlines()
        assert first.endswith(
            "images[0].version: it has to be a text, and YAML reads 2.1 here: write it between quotes"
        )
        assert second.endswith(
            "images[1].end_of_patch: it has to be a text, and YAML reads 2026-01-29 here: write it between quotes"
        )


class TestPlaces:
    def test_accounts_and_regions_of_a_team_are_added_to_ours(self, folder):
        more = {
            "schema_version": 1,
            "partitions": {"aws-acme": {"dns_suffix": "acme.example", "region_regex": r"^acme\-\w+\-\d+$"}},
            "regions": {"acme-north-1": "aws-acme"},
            "account_sets": {"dlc": {"acme-north-1": "999988887777"}},
        }
        places = load((folder({"partitions.json": more}),)).partitions
        assert places.reference(PINNED, "acme-north-1").registry == "999988887777.dkr.ecr.acme-north-1.acme.example"
        assert places.reference(PINNED, "us-east-1") == SHIPPED.partitions.reference(PINNED, "us-east-1")

    def test_account_that_yaml_takes_for_a_number(self, folder):
        with pytest.raises(
            CatalogError, match=r"account_sets\.a\.eu-west-1: it has to be a text, and YAML reads 11112"
        ):
            load((folder({"partitions.yaml": "schema_version: 1\naccount_sets: {a: {eu-west-1: 111122223333}}"}),))

    def test_aliases_of_another_form(self, folder):
        with pytest.raises(CatalogError, match=r"framework_aliases\.json: aliases: this key is missing"):
            load((folder({"framework_aliases.json": {"schema_version": 1}}),))


class TestFolders:
    def test_folder_without_a_catalog(self, folder):
        with pytest.raises(CatalogError) as caught:
            load((folder({"notes.md": "", "recipes/faiss.yaml": ""}),))
        message = "team holds no catalog: there are no documents in frameworks, extras, images\n  -> docs/"
        assert message in str(caught.value)

    def test_two_files_with_one_name(self, folder):
        with pytest.raises(CatalogError, match=r"extras/a\.yaml and .*extras/a\.yml have one name"):
            load((folder({"extras/a.yaml": "", "extras/a.yml": ""}),))

    @pytest.mark.parametrize("text", ["{", "a: 2026-13-45", "a: &a [*a", "[" * 4000])
    def test_text_that_is_no_yaml(self, folder, text):
        catalog = load((folder({"extras/a.yaml": text}),))
        with pytest.raises(CatalogError, match=r"team/extras/a\.yaml: "):
            catalog.recipes["a"]

    @pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "b:\n  - {c: 1,\n    a: 1, a: 2}"])
    def test_key_that_is_there_twice(self, folder, text):
        catalog = load((folder({"extras/a.yaml": text}),))
        with pytest.raises(CatalogError, match=r"extras/a\.yaml: line 3, column \d+: the key 'a' is there twice"):
            catalog.recipes["a"]

    def test_merged_keys_may_be_overridden(self, folder):
        text = RECIPE.format(name="a", summary="s").replace("verify: [", "verify: &v [") + "conflicts: []\n"
        merged = text.replace("[{pip:", "[&base {verify: *v, pip:").replace("}}]", "}}, {<<: *base, verify: [b]}]")
        variants = load((folder({"extras/a.yaml": merged}),)).recipes["a"].variants
        assert [variant.verify for variant in variants] == [("true",), ("b",)]

    def test_text_that_is_no_json(self, folder):
        catalog = load((folder({"frameworks/a.json": "{"}),))
        with pytest.raises(CatalogError, match="it has to be JSON"):
            catalog.frameworks["a"]

    def test_file_that_is_no_text_or_gone(self, folder, tmp_path):
        catalog = load((folder({"extras/a.yaml": "", "extras/b.yaml": ""}),))
        (tmp_path / "team/extras/a.yaml").write_bytes(b"\xff\xfe")
        (tmp_path / "team/extras/b.yaml").unlink()
        for name in "ab":
            with pytest.raises(CatalogError, match=rf"extras/{name}\.yaml: it cannot be read: "):
                catalog.recipes[name]

    def test_layers_are_listed_by_name_alone(self, folder):
        layer = Layer.of(folder({"extras/a.yaml": "", "extras/.hidden.yaml": "", "extras/a.md": "", "x.json": ""}))
        assert {kind: set(names) for kind, names in layer.documents.items()} == {
            "framework": set(),
            "recipe": {"a"},
            "image": set(),
        }


def test_mistakes_of_all_documents_are_told_at_once():
    places = {"partitions": {}, "regions": {}, "account_sets": {}}
    with pytest.raises(CatalogError) as caught:
        Catalog.from_documents(
            frameworks={"frameworks/a.json": {"schema_version": 1, "framework": "b"}},
            recipes={"extras/a.yaml": {}},
            images={"images/a.yaml": []},
            partitions=places,
        )
    told = {line.split(": ")[0] for line in caught.value.message.splitlines()}
    assert told == {"frameworks/a.json", "extras/a.yaml", "images/a.yaml"}
