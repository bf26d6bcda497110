"""A folder → everything that is wrong with it; models, schemas and readers agree."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.catalog import CatalogFolder, json_schemas, shipped, validate
from sagemaker_custom.catalog.images import BaseImage, read_framework
from sagemaker_custom.catalog.problems import Problem, problems_of
from sagemaker_custom.catalog.schemas import FrameworkDocument, ImageDocument
from sagemaker_custom.errors import CatalogError
from sagemaker_custom.resolve import resolve

DATA = resources.files("sagemaker_custom.image_catalog")
SCHEMAS = json_schemas()
RECIPE = {
    "schema_version": 1,
    "name": "a",
    "summary": "s",
    "homepage": "https://a.example",
    "verify": ["true"],
    "variants": [{"pip": {"packages": ["a"]}}],
}
IMAGE = {"schema_version": 1, "name": "mine", "summary": "s", "framework": "pytorch", "versions": ["2.3"]}
ENTRY = {
    "version": "2.3.0",
    "image_scope": "training",
    "processor": "gpu",
    "py_version": "py311",
    "cuda_version": "cu121",
    "repository": "r",
    "tag": "t",
    "accounts": "dlc",
}
PLACE = {"repository": "r", "accounts": "dlc", "image_scopes": ["training"], "tags": [{"template": "{version}"}]}


def framework(*images, **changes):
    return {"schema_version": 1, "framework": "pytorch", "images": list(images)} | changes


@pytest.fixture
def problems(tmp_path):
    """Write documents, and return what is wrong with them: lines without the folder's name."""

    def find(documents, beneath=()):
        for path, document in documents.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        found = validate(CatalogFolder(origin=str(tmp_path), root=tmp_path), beneath, resolve=resolve)
        return [str(problem).replace(f"{tmp_path}/", "").replace(str(tmp_path), "") for problem in found]

    return find


def examples(page):
    """Blocks of a page, by language."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {language: [text for other, text in blocks if other == language] for language, _ in blocks}


class TestWholeFolder:
    def test_sound_folder(self, problems):
        assert (
            problems(
                {
                    "extras/a.yaml": RECIPE | {"after": ["faiss"], "conflicts": ["any-package"]},
                    "images/mine.yaml": IMAGE | {"extras": ["a", "mine.txt"], "regions": ["eu-west-1", "ap-middle-7"]},
                    "images/mine.txt": "umap-learn",
                    "frameworks/pytorch.json": framework(ENTRY | {"accounts": "acme"}, repositories=[PLACE]),
                    "partitions.json": {"schema_version": 1, "account_sets": {"acme": {"eu-west-1": "111122223333"}}},
                    "framework_aliases.yaml": "{schema_version: 1, aliases: {torch: pytorch}}",
                    "README.md": "",
                    "__init__.py": "",
                    ".git/config": "",
                    "schemas/recipe.schema.json": "{}",
                }
            )
            == []
        )

    def test_all_problems_of_all_files_are_told(self, problems):
        assert problems(
            {
                "extras/a.yaml": RECIPE | {"verfiy": [], "variants": [{"pip": {"pacakges": ["a"]}}]},
                "extras/b.yaml": "name: [",
                "images/mine.yaml": IMAGE | {"framework": 7, "procesors": ["cpu"]},
                "frameworks/pytorch.json": framework(ENTRY | {"processor": "gpus"}, ENTRY | {"colour": "red"}),
                "partitions.json": {"schema_version": 1, "regions": {"eu-west-1": 1}},
                "framework_aliases.json": {"schema_version": 1, "aliases": {"A": "pytorch"}},
            }
        ) == [
            "extras/a.yaml: variants[0].pip.packages: this key is missing",
            "extras/a.yaml: variants[0].pip.pacakges: there is no such key; did you mean 'packages'?",
            "extras/a.yaml: verfiy: there is no such key; did you mean 'verify'?",
            "extras/b.yaml: the document: line 1, column 8: expected the node content, but found '<stream end>'",
            "framework_aliases.json: aliases.A.[key]: String should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$'",
            (
                "frameworks/pytorch.json: images[0].processor: "
                "Input should be 'cpu', 'gpu', 'neuron', 'neuronx', 'hpu' or 'eia'; did you mean 'gpu'?"
            ),
            "frameworks/pytorch.json: images[1].colour: there is no such key",
            "images/mine.yaml: framework: it has to be a text, and YAML reads 7 here: write it between quotes",
            "images/mine.yaml: procesors: there is no such key; did you mean 'processors'?",
            "partitions.json: regions.eu-west-1: it has to be a text, and YAML reads 1 here: write it between quotes",
        ]

    def test_what_nothing_reads_is_told(self, problems):
        assert problems(
            {
                "extra/faiss.yaml": RECIPE,
                "partition.json": {},
                "extras/a.yaml": RECIPE,
                "extras/b.yaml.orig": "",
                "images/deep/mine.yaml": IMAGE,
            }
        ) == [
            "extra: the document: nothing reads this folder; did you mean 'extras'?",
            "extras/b.yaml.orig: the document: nothing reads this file",
            "images/deep: the document: nothing reads this folder",
            "partition.json: the document: nothing reads this file; did you mean 'partitions.json'?",
        ]

    def test_folder_without_a_catalog(self, problems):
        assert problems({"recipes/a.yaml": RECIPE}) == [
            "recipes: the document: nothing reads this folder",
            ": the document:  holds no catalog: there are no documents in frameworks, extras, images",
        ]

    def test_names_that_nobody_has(self, problems):
        assert problems(
            {
                "extras/a.yaml": RECIPE
                | {"after": ["fais"], "variants": [{"when": {"framework": "pytoch"}, "pip": {"packages": ["a"]}}]},
                "extras/b.yaml": RECIPE,
                "images/one.yaml": IMAGE | {"name": "one", "framework": "pytorc"},
                "images/two.yaml": IMAGE | {"name": "two", "extras": ["lightgm"], "regions": ["xx-west-1"]},
                "frameworks/pytorch.json": framework(ENTRY | {"accounts": "acme"}),
                "framework_aliases.json": {"schema_version": 1, "aliases": {"torch": "pytorsh"}},
            }
        ) == [
            "extras/a.yaml: after[0]: there is no recipe 'fais'; did you mean 'faiss'?",
            "extras/a.yaml: variants[0].when.framework: there is no framework 'pytoch'; did you mean 'pytorch'?",
            "extras/b.yaml: name: is 'a', but the file is called 'b'",
            "framework_aliases.json: aliases.torch: there is no framework 'pytorsh'; did you mean 'pytorch'?",
            "frameworks/pytorch.json: images[0].accounts: there are no accounts 'acme'",
            "images/one.yaml: framework: there is no framework 'pytorc'; did you mean 'pytorch'?",
            "images/two.yaml: extras: there is no recipe 'lightgm'; did you mean 'lightgbm'?",
            (
                "images/two.yaml: regions: there is no AWS region 'xx-west-1'; "
                "did you mean us-west-1, sa-west-1, me-west-1?"
            ),
        ]

    def test_version_that_nobody_has_names_the_nearest(self, problems):
        one = {"versions": ["2.3", "9.9"], "processors": ["cpu"], "image_scopes": ["training"]}
        (found,) = problems({"images/mine.yaml": IMAGE | one})
        assert found.startswith(
            "images/mine.yaml: versions: the catalog has no pytorch training image for 9.9 cpu; the"
        )

    def test_extras_that_exclude_each_other_are_told_of_the_image(self, problems):
        (found,) = set(
            problems(
                {
                    "extras/a.yaml": RECIPE | {"conflicts": ["faiss"]},
                    "images/mine.yaml": IMAGE | {"extras": ["a", "faiss"]},
                }
            )
        )
        assert found.startswith("images/mine.yaml: versions: ")
        assert "'a'" in found
        assert "'faiss'" in found

    def test_examples_of_the_pages_are_sound_together(self, problems):
        guide = examples("how-to/run-a-team-catalog.md")
        framework, partitions = guide["json"]
        recipe = next(text for text in guide["yaml"] if "variants" in text)
        image = examples("reference/named-images.md")["yaml"][0]
        documents = {
            "extras/acme-tools.yaml": recipe,
            "images/ranking.yaml": image,
            "frameworks/pytorch.json": framework,
            "partitions.json": partitions,
        }
        assert problems(documents) == []

    def test_what_lies_beneath_counts(self, problems, tmp_path_factory):
        root = tmp_path_factory.mktemp("beneath")
        (root / "extras").mkdir()
        (root / "extras" / "a.yaml").write_text(json.dumps(RECIPE))
        image = {"images/mine.yaml": IMAGE | {"extras": ["a"]}}
        assert problems(image, (CatalogFolder(origin=str(root), root=root),)) == []
        assert problems(image) == ["images/mine.yaml: extras: there is no recipe 'a'"]


def test_problem_is_one_line():
    assert str(Problem(file="a.yaml", message="wrong")) == "a.yaml: the document: wrong"
    assert str(Problem(file="a", path="b[0]", message="c", suggestion="d")) == "a: b[0]: c; did you mean 'd'?"


def accepted(document):
    """By the reader, and by the model."""
    try:
        read_framework(document, "a.json")
    except CatalogError:
        by_reader = False
    else:
        by_reader = True
    return by_reader, not problems_of(FrameworkDocument, document, "a.json")


SOUND = [
    framework(),
    framework(ENTRY),
    framework(ENTRY | {"cuda_version": None, "layout": "venv", "os": "amzn2023"}),
    framework(version_aliases={"2": "2.3.0"}, repositories=[PLACE], provenance="p"),
]
MALFORMED = [
    None,
    [],
    framework(schema_version=2),
    {"schema_version": 1},
    {"schema_version": 1, "framework": 7},
    framework(images={}),
    framework(7),
    framework(ENTRY | {"colour": "red"}),
    framework({key: value for key, value in ENTRY.items() if key != "tag"}),
    framework({key: value for key, value in ENTRY.items() if key != "version"}),
    *[framework(ENTRY | {name: "x"}) for name in ("image_scope", "processor", "py_version", "cuda_version", "layout")],
    framework(ENTRY | {"architecture": "riscv"}),
    framework(repositories=[{}]),
    framework(repositories=[PLACE | {"tags": [{"template": "{colour}"}]}]),
    framework(repositories=[PLACE | {"tags": [{"colour": "x"}]}]),
    framework(repositories=[PLACE | {"colour": "x"}]),
]


class TestModelsAndReaders:
    @pytest.mark.parametrize("document", SOUND)
    def test_what_both_accept(self, document):
        assert accepted(document) == (True, True)

    @pytest.mark.parametrize("document", MALFORMED)
    def test_what_both_refuse(self, document):
        assert accepted(document) == (False, False)

    @given(
        st.fixed_dictionaries(
            {"schema_version": st.just(1), "framework": st.just("a")},
            optional={
                "images": st.lists(
                    st.fixed_dictionaries(
                        {}, optional={key: st.sampled_from([value, "x", "", None, 7]) for key, value in ENTRY.items()}
                    ),
                    max_size=2,
                ),
                "version_aliases": st.just({"1": "1.0"}),
            },
        )
    )
    def test_the_reader_accepts_whatever_the_model_accepts(self, document):
        by_reader, by_model = accepted(document)
        assert by_reader or not by_model

    def test_model_has_the_fields_of_the_value(self):
        assert {*ImageDocument.model_fields} == {field.name for field in fields(BaseImage)} - {"framework"}


class TestSchemas:
    @pytest.mark.parametrize("name", SCHEMAS)
    def test_schema_is_one(self, name):
        jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
        assert SCHEMAS[name]["description"]

    @pytest.mark.parametrize(
        ("folder", "schema"), [("frameworks", "framework"), ("extras", "recipe"), ("images", "named_image")]
    )
    def test_shipped_documents_fit(self, folder, schema):
        check = jsonschema.Draft202012Validator(SCHEMAS[schema])
        for file in (DATA / folder).iterdir():
            assert [*check.iter_errors(yaml.safe_load(file.read_text("utf-8")))] == [], file.name

    @pytest.mark.parametrize("name", ["partitions", "framework_aliases"])
    def test_shipped_single_documents_fit(self, name):
        document = json.loads((DATA / f"{name}.json").read_text("utf-8"))
        assert [*jsonschema.Draft202012Validator(SCHEMAS[name]).iter_errors(document)] == []

    def test_one_name_may_stand_without_its_list(self):
        when = {"framework": "pytorch", "processor": "gpu", "os": "ubuntu"}
        document = RECIPE | {"variants": [{"when": when, "pip": {"packages": ["a"]}}]}
        assert [*jsonschema.Draft202012Validator(SCHEMAS["recipe"]).iter_errors(document)] == []

    def test_editors_are_told_of_unknown_keys(self):
        for name, document in (("recipe", RECIPE), ("named_image", IMAGE), ("framework", framework(ENTRY))):
            jsonschema.validate(document, SCHEMAS[name])
            with pytest.raises(jsonschema.ValidationError, match="colour"):
                jsonschema.validate(document | {"colour": "red"}, SCHEMAS[name])


def test_the_shipped_catalog_is_not_beneath_itself():
    assert validate(shipped()) == ()
