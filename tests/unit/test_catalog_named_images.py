"""Named images: documents → the images that a team builds and uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.catalog.named_images import NamedImageDocument, read_named_image
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError
from sagemaker_custom.spec import CondaExtra, ImageSpec, PipExtra, RecipeExtra, RequirementsExtra

WHERE = "images/recsys.yaml"


def document(**changes):
    return {
        "schema_version": 1,
        "name": "recsys",
        "summary": "Recommendations",
        "framework": "pytorch",
        "versions": ["2.6", "2.5.1"],
    } | changes


def read(folder=None, **changes):
    return read_named_image(document(**changes), WHERE, folder)


class TestReading:
    def test_defaults(self):
        image = read()
        assert (image.processors, image.image_scopes) == (("cpu", "gpu"), ("training", "inference"))
        assert (image.architecture, image.extras, image.regions) == ("x86_64", (), ())

    def test_everything_is_read_in_canonical_form(self):
        image = read(
            framework="huggingface",
            py_version="3.12",
            cuda_version="12.4",
            base_framework_version="pytorch2.6.0",
            processors=["gpu", "gpu"],
            image_scopes=["inference"],
            architecture="arm64",
            extras=["pip:Umap_Learn", "faiss==1.8.0", "conda:conda-forge::HDBSCAN=0.8"],
            regions=["cn-north-1", "us-gov-west-1"],
        )
        assert (image.py_version, image.cuda_version) == ("py312", "cu124")
        assert (image.base_framework, image.base_framework_version) == ("pytorch", "2.6.0")
        assert image.processors == ("gpu",)
        assert image.extras == (
            CondaExtra(channel="conda-forge", spec="hdbscan=0.8"),
            PipExtra(requirement="umap-learn"),
            RecipeExtra(name="faiss", specifier="==1.8.0"),
        )
        assert image.regions == ("cn-north-1", "us-gov-west-1")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"versions": [2.10]},
                "versions[0]: it has to be a text, and YAML reads 2.1 here: write it between quotes",
            ),
            ({"versions": []}, "versions: List should have at least 1 item"),
            ({"versions": ["two"]}, "versions[0]: String should match"),
            ({"verisons": []}, "verisons: there is no such key; did you mean 'versions'?"),
            ({"processors": ["gpus"]}, "or 'eia'; did you mean 'gpu'?"),
            ({"image_scopes": "training"}, "image_scopes: Input should be a valid list"),
            ({"py_version": "three"}, "py_version: py_version 'three' cannot be read"),
            ({"cuda_version": "new"}, "cuda_version: cuda_version 'new' cannot be read"),
            ({"base_framework_version": "!"}, "base_framework_version: base_framework_version '!' cannot be read"),
            ({"extras": ["fa iss"]}, "extras[0]: extra 'fa iss' cannot be read"),
            ({"extras": [None]}, "extras[0]: it has to be a text"),
            ({"extras": ["faiss", "faiss==1.8"]}, "extras: the recipe 'faiss' is asked for twice"),
            ({"extras": ["requirements.txt"]}, "extras[0]: 'requirements.txt' is a file, and this catalog is not"),
            ({"regions": ["Frankfurt"]}, "regions[0]: String should match"),
            ({"summary": "a\nb"}, "summary: String should match"),
            ({"schema_version": 2}, "schema_version: Input should be 1"),
        ],
    )
    def test_every_mistake_has_its_place(self, changes, message):
        with pytest.raises(CatalogError) as caught:
            read(**changes)
        assert f"{WHERE}: " in str(caught.value)
        assert message in caught.value.message
        assert caught.value.hint == "docs/reference/named-images.md lists every key"

    def test_all_mistakes_are_told_at_once(self):
        with pytest.raises(CatalogError) as caught:
            read_named_image({"name": "A", "version": "2.6"}, WHERE)
        told = [line.split(": ")[1] for line in caught.value.message.splitlines()]
        assert told == ["schema_version", "name", "summary", "framework", "versions", "version"]

    @given(st.dictionaries(st.sampled_from([*NamedImageDocument.model_fields]), st.none() | st.text() | st.integers()))
    def test_any_document_is_read_or_a_clear_error(self, anything):
        with pytest.raises(CatalogError, match=WHERE):
            read_named_image(anything, WHERE)


def test_page_has_every_key_and_its_example_is_one():
    page = (Path(__file__).parents[2] / "docs/reference/named-images.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \|", page, re.MULTILINE)
    fields = NamedImageDocument.model_fields
    assert dict(rows) == {name: "yes" if field.is_required() else "no" for name, field in fields.items()}
    example = read_named_image(yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1]), "example")
    assert len(example.specs()) == 8


class TestRequirementsFiles:
    def test_path_is_relative_to_the_document(self, tmp_path):
        (tmp_path / "recsys.txt").write_text("umap-learn==0.5.6\n-r more.txt\n")
        (tmp_path / "more.txt").write_text("hdbscan\n")
        (extra,) = read(tmp_path, extras=["recsys.txt"]).extras
        assert isinstance(extra, RequirementsExtra)
        assert set(extra.requirements) == {"umap-learn==0.5.6", "hdbscan"}

    @pytest.mark.parametrize("path", ["../secret.txt", "link.txt", "/etc/secret.txt"])
    def test_path_that_leads_out_of_the_folder(self, tmp_path, path):
        inner = tmp_path / "images"
        inner.mkdir()
        (tmp_path / "secret.txt").write_text("umap-learn\n")
        (inner / "link.txt").symlink_to(tmp_path / "secret.txt")
        with pytest.raises(CatalogError, match=r"extras\[0\]: .* leads out of the folder of the document"):
            read(inner, extras=[path])

    def test_mistakes_in_files_are_told_at_once(self, tmp_path):
        (tmp_path / "bad.txt").write_text("!!\n")
        with pytest.raises(CatalogError) as caught:
            read(tmp_path, extras=["none.txt", "faiss", "bad.txt"])
        first, second = caught.value.message.splitlines()
        assert first.startswith(f"{WHERE}: extras[0]: the requirements file ")
        assert second.startswith(f"{WHERE}: extras[2]: ")


class TestSpecs:
    def test_one_for_each_version_scope_and_processor(self):
        specs = read(extras=["faiss"], cuda_version="cu124").specs()
        assert len(set(specs)) == 8
        assert specs[0] == ImageSpec(
            framework="pytorch", version="2.6", processor="cpu", extras=(RecipeExtra(name="faiss"),)
        )
        assert {(spec.processor, spec.cuda_version) for spec in specs} == {("cpu", None), ("gpu", "cu124")}
        assert {spec.image_scope for spec in specs} == {"training", "inference"}
        assert {spec.version for spec in specs} == {"2.6", "2.5.1"}

    @pytest.mark.parametrize(
        ("asked", "version"),
        [(None, "2.6"), ("2.6", "2.6"), ("2.6.0", "2.6.0"), ("2.5", "2.5.1"), ("2.5.1", "2.5.1"), ("2", "2.6")],
    )
    def test_version_may_be_short_or_long(self, asked, version):
        assert read().spec_for(version=asked).version == version

    def test_what_is_asked_counts_more_than_the_document(self):
        image = read(py_version="py312", cuda_version="cu124", extras=["faiss"])
        more = (PipExtra(requirement="umap-learn"),)
        spec = image.spec_for(py_version="py311", cuda_version="cu126", processor="gpu", extras=more)
        assert (spec.py_version, spec.cuda_version) == ("py311", "cu126")
        assert spec.extras == (*more, RecipeExtra(name="faiss"))

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"version": "2.60"}, "version '2.60'\n  -> it is made for 2.6, 2.5.1; its team can add to it"),
            ({"processor": "neuronx"}, "processor 'neuronx'\n  -> it is made for cpu, gpu;"),
            ({"image_scope": "processing"}, "image_scope 'processing'\n  -> it is made for training, inference;"),
            ({"architecture": "arm64"}, "architecture 'arm64'\n  -> it is made for x86_64;"),
        ],
    )
    def test_what_it_is_not_made_for(self, asked, message):
        with pytest.raises(ImageNotInCatalogError) as caught:
            read().spec_for(**asked)
        assert f"the named image 'recsys' is not made for {message}" in str(caught.value)
