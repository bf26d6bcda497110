"""Recipes: those that are shipped, against what their projects publish; and malformed ones."""

from __future__ import annotations

from contextlib import suppress
from importlib import resources

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sagemaker_custom.catalog import Catalog, load
from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.catalog.recipes import cuda_of, minor_of, python_of
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError
from sagemaker_custom.resolve import CondaStep, NeedsBuild, PipStep, resolve
from sagemaker_custom.spec import ImageSpec, RecipeExtra

CATALOG = load()
IMAGES = CATALOG.frameworks["pytorch"]
FOLDER = resources.files("sagemaker_custom.image_catalog") / "extras"

# What the projects publish. Package → Python versions it has wheels for, and the CUDA of images it works on.
FAISS_CPU = {"3.8": "1.8.0.post1", "3.9": "1.13.0", "3.10": "1.15.1"}
FAISS_GPU_WHEELS = {
    "faiss-gpu==1.7.2": (SpecifierSet(">=3.6,<3.11"), SpecifierSet(">=10,<12")),
    "faiss-gpu-cu12==1.12.0": (SpecifierSet(">=3.9,<3.14"), SpecifierSet(">=12.1,<13")),
    "faiss-gpu==1.14.3": (SpecifierSet(">=3.10"), SpecifierSet(">=12.6")),
}
FAISS_CONDA = {
    "1.7.3": (("3.7", "3.8", "3.9"), SpecifierSet(">=11.3,<12")),
    "1.7.4": (("3.8", "3.9", "3.10"), SpecifierSet(">=11.4,<12")),
    "1.8.0": (("3.9", "3.10", "3.11", "3.12"), SpecifierSet(">=11.4,<13")),
    "1.9.0": (("3.9", "3.10", "3.11", "3.12"), SpecifierSet(">=11.4,<13")),
}
PYG_INDEX = {
    "1.9": ["cpu", "cu102", "cu111"],
    "1.10": ["cpu", "cu102", "cu111", "cu113"],
    "1.11": ["cpu", "cu102", "cu113", "cu115"],
    "1.12": ["cpu", "cu102", "cu113", "cu116"],
    "1.13": ["cpu", "cu116", "cu117"],
    "2.0": ["cpu", "cu117", "cu118"],
    "2.1": ["cpu", "cu118", "cu121"],
    "2.2": ["cpu", "cu118", "cu121"],
    "2.3": ["cpu", "cu118", "cu121"],
    "2.4": ["cpu", "cu118", "cu121", "cu124"],
    "2.5": ["cpu", "cu118", "cu121", "cu124"],
    "2.6": ["cpu", "cu118", "cu124", "cu126"],
    "2.7": ["cpu", "cu118", "cu126", "cu128"],
    "2.8": ["cpu", "cu126", "cu128", "cu129"],
    "2.9": ["cpu", "cu126", "cu128", "cu130"],
    "2.10": ["cpu", "cu126", "cu128", "cu130"],
    "2.11": ["cpu", "cu126", "cu128", "cu130"],
    "2.12": ["cpu", "cu126", "cu130", "cu132"],
    "2.13": ["cpu", "cu126", "cu130", "cu132"],
}
PYG_NEWEST = {"3.8": "2.6.1", "3.9": "2.6.1", "3.10": "2.8.1"}

every_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: f"{image.repository}-{image.tag}")


def steps_for(image, name, specifier=""):
    """Resolve one recipe on one very image."""
    only = Catalog(
        frameworks={"pytorch": (image,)}, version_aliases={}, recipes=CATALOG.recipes, partitions=CATALOG.partitions
    )
    spec = ImageSpec(
        framework="pytorch",
        image_scope=image.image_scope,
        processor=image.processor,
        extras=(RecipeExtra(name=name, specifier=specifier),),
    )
    resolution = resolve(spec, only)
    assert isinstance(resolution, NeedsBuild)
    assert resolution.base is image
    return resolution.steps


def newest_for(table, python):
    return table[max((low for low in table if Version(low) <= Version(python)), key=Version)]


class TestShipped:
    @every_image
    @pytest.mark.parametrize("name", sorted(CATALOG.recipes))
    def test_every_image_resolves_or_gives_a_clear_error(self, image, name):
        try:
            steps = steps_for(image, name)
        except ImageNotInCatalogError as error:
            told = str(error)
            assert told.startswith(
                f"the recipe '{name}' has nothing for pytorch {image.describe()}\n  -> choose another"
            )
        else:
            texts = [text for step in steps for text in step.packages]
            assert texts
            assert not any(set("{}") & set(text) for text in texts)

    @every_image
    def test_faiss_is_there_for_the_python_and_cuda_of_the_image(self, image):
        (step,) = steps_for(image, "faiss")
        (package,) = step.packages
        assert isinstance(step, PipStep)
        if image.processor == "cpu":
            name, _, version = package.partition("==")
            assert name == "faiss-cpu"
            assert Version(version) <= Version(newest_for(FAISS_CPU, python_of(image)))
        else:
            pythons, cudas = FAISS_GPU_WHEELS[package]
            assert python_of(image) in pythons
            assert cuda_of(image) in cudas

    @pytest.mark.parametrize("version", sorted(FAISS_CONDA))
    @every_image
    def test_older_faiss_comes_by_conda_where_there_is_a_build(self, image, version):
        if image.processor == "cpu":
            return
        pythons, cudas = FAISS_CONDA[version]
        has_build = image.has_conda and python_of(image) in pythons and cuda_of(image) in cudas
        try:
            (step,) = steps_for(image, "faiss", f"=={version}")
        except ImageNotInCatalogError as error:
            assert not has_build
            assert f"has no version '=={version}'" in str(error)  # noqa: PT017
            return
        if isinstance(step, CondaStep):
            assert has_build
            assert step.packages[0] == f"faiss-gpu={version}"
            assert step.channels[0] == "pytorch"
        else:
            assert step.packages == (f"faiss-gpu-cu12=={version}",)

    @every_image
    def test_pyg_takes_the_wheels_of_its_torch_and_cuda(self, image):
        build = image.cuda_version or "cpu"
        # AWS's 2.13 image for CUDA 13.3 has the torch of the cu130 index.
        wanted = "cu130" if (minor_of(image), build) == ("2.13", "cu133") else build
        if wanted not in PYG_INDEX.get(minor_of(image), []):
            with pytest.raises(ImageNotInCatalogError, match=r"the recipe 'pyg' has nothing for pytorch"):
                steps_for(image, "pyg")
            return
        (step,) = steps_for(image, "pyg")
        assert step.find_links == (f"https://data.pyg.org/whl/torch-{minor_of(image)}.0+{wanted}.html",)
        name, _, version = step.packages[0].partition("==")
        assert name == "torch-geometric"
        assert Version(version) <= Version(newest_for(PYG_NEWEST, python_of(image)))
        assert {"torch-scatter", "torch-sparse"} < set(step.packages)
        folded = {"torch-cluster", "torch-spline-conv"} & set(step.packages)
        assert bool(folded) == (Version(version) < Version("2.8"))

    def test_images_without_pyg_are_the_known_ones(self):
        without = set()
        for image in IMAGES:
            with suppress(ImageNotInCatalogError):
                steps_for(image, "pyg")
                continue
            without.add((image.version, image.cuda_version))
        assert without == {("2.0.1", "cu121"), ("2.14.0", None), ("2.14.0", "cu133")}

    @pytest.mark.parametrize("name", sorted(CATALOG.recipes))
    def test_every_variant_is_for_some_image(self, name):
        for number, variant in enumerate(CATALOG.recipes[name].variants):
            assert any(variant.when.matches(image) for image in IMAGES), f"variants[{number}] matches nothing"

    @pytest.mark.parametrize("name", sorted(CATALOG.recipes))
    def test_default_version_is_one_of_those_it_can_install(self, name):
        for variant in CATALOG.recipes[name].variants:
            assert variant.choose_version("") == variant.version
            assert not variant.versions or variant.versions.contains(variant.version)

    @pytest.mark.parametrize("name", sorted(CATALOG.recipes))
    def test_verify_commands_are_valid_shell_and_python(self, name):
        import shlex

        recipe = CATALOG.recipes[name]
        for command in (*recipe.verify, *(line for variant in recipe.variants for line in variant.verify)):
            program, flag, script = shlex.split(command)
            assert (program, flag) == ("python", "-c")
            compile(script, name, "exec")

    def test_no_shipped_recipe_replaces_what_is_held(self):
        assert not [v for r in CATALOG.recipes.values() for v in r.variants if v.pip and v.pip.replaces]


class TestVersions:
    IMAGE = next(i for i in IMAGES if i.repository == "pytorch-training" and i.tag.startswith("2.3.0-gpu"))

    @pytest.mark.parametrize(
        ("specifier", "package"),
        [
            ("", "faiss-gpu-cu12==1.12.0"),
            ("==1.12.0", "faiss-gpu-cu12==1.12.0"),
            (">=1.10,<2", "faiss-gpu-cu12==1.12.0"),
            ("==1.12.*", "faiss-gpu-cu12==1.12.0"),
            ("~=1.8", "faiss-gpu-cu12==1.12.0"),
            ("==1.11.0", "faiss-gpu-cu12==1.11.0"),
            ("==1.8.0", "faiss-gpu=1.8.0"),
        ],
    )
    def test_what_is_asked_is_what_is_installed(self, specifier, package):
        (step,) = steps_for(self.IMAGE, "faiss", specifier)
        assert step.packages == (package,)

    @pytest.mark.parametrize("specifier", ["==1.7.2", "==1.8.*,!=1.8.0", "<1.8", "===newest", "==9"])
    def test_version_that_is_not_there_lists_those_that_are(self, specifier):
        with pytest.raises(ImageNotInCatalogError) as caught:
            steps_for(self.IMAGE, "faiss", specifier)
        assert str(caught.value) == (
            f"the recipe 'faiss' has no version {specifier!r} for pytorch 2.3.0 gpu py311 cu121\n"
            "  -> it has 1.12.0 (or <1.13,>=1.9), 1.8.0 (or <1.10,>=1.8)"
        )

    def test_recipe_without_versions_takes_none(self):
        recipe = read_recipe(recipe_document(variants=[{"pip": {"packages": ["a"]}}]), "extras/a.yaml")
        catalog = Catalog(
            frameworks={"pytorch": (self.IMAGE,)},
            version_aliases={},
            recipes={"a": recipe},
            partitions=CATALOG.partitions,
        )
        spec = ImageSpec(framework="pytorch", processor="gpu", extras=(RecipeExtra(name="a"),))
        assert resolve(spec, catalog).steps == (PipStep(packages=("a",)),)
        with pytest.raises(ImageNotInCatalogError, match=r"has no version '==1' .*\n  -> it comes in one version only"):
            resolve(
                ImageSpec(framework="pytorch", processor="gpu", extras=(RecipeExtra(name="a", specifier="==1"),)),
                catalog,
            )


def recipe_document(**changes):
    return {
        "schema_version": 1,
        "name": "a",
        "summary": "s",
        "homepage": "https://a.example",
        "verify": ["true"],
        "variants": [{"pip": {"packages": ["a"]}}],
    } | changes


def variant(**changes):
    return recipe_document(variants=[{"pip": {"packages": ["a"]}} | changes])


class TestMalformed:
    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (None, "extras/a.yaml: the document: "),
            ([], "extras/a.yaml: the document: "),
            (recipe_document(nme="x"), "extras/a.yaml: nme: there is no such key; did you mean 'name'?"),
            (variant(vrsion="1"), "variants[0].vrsion: there is no such key; did you mean 'version'?"),
            (
                variant(when={"procesor": "cpu"}),
                "variants[0].when.procesor: there is no such key; did you mean 'processor'?",
            ),
            (
                variant(pip={"packages": ["a"], "no_dep": True}),
                "variants[0].pip.no_dep: there is no such key; did you mean",
            ),
            (recipe_document(schema_version=2), "extras/a.yaml: schema_version: "),
            (recipe_document(name="A_b"), "extras/a.yaml: name: "),
            (recipe_document(homepage="a.example"), "extras/a.yaml: homepage: "),
            (recipe_document(verify=[]), "extras/a.yaml: verify: "),
            (recipe_document(variants=[]), "extras/a.yaml: variants: "),
            (variant(version=1.9), "extras/a.yaml: variants[0].version: "),
            (variant(version="one"), "variants[0].version: 'one' is not a version such as '1.8.0'"),
            (variant(versions="1.8"), "variants[0].versions: '1.8' is not a PEP 440 specifier such as '>=1.9,<2.6'"),
            (variant(when={"processor": "tpu"}), "variants[0].when.processor: "),
            (variant(when={"python": "three"}), "variants[0].when.python: 'three' is not a PEP 440 specifier"),
            (variant(pip={"packages": []}), "variants[0].pip.packages: "),
            (variant(pip={"packages": ["a=={versoin}"]}), "variants[0].pip.packages[0]: unknown placeholder {versoin}"),
            (variant(pip={"packages": ["a=={"]}), "variants[0].pip.packages[0]: 'a=={': "),
            (variant(pip={"packages": ["{}"]}), "variants[0].pip.packages[0]: unknown placeholder {}"),
            (variant(pip={"packages": ["{cuda.__class__}"]}), "unknown placeholder {cuda.__class__}"),
            (variant(pip={"packages": ["{cuda:{x}}"]}), "a placeholder is a name in braces and nothing else"),
            (variant(pip={"packages": ["{cuda:>9}"]}), "a placeholder is a name in braces and nothing else"),
            (variant(pip={"packages": ["{cuda!r}"]}), "a placeholder is a name in braces and nothing else"),
            (variant(pip={"packages": ["a\nUSER x"]}), "variants[0].pip.packages[0]: it has to stay on one line"),
            (variant(apt=["a\r"]), "variants[0].apt[0]: it has to stay on one line"),
            (variant(uninstall=["a\nb"]), "variants[0].uninstall[0]: "),
            (variant(uninstall=["-y"]), "variants[0].uninstall[0]: "),
            (variant(pip={"packages": ["a"], "replaces": ["Torch"]}), "variants[0].pip.replaces[0]: "),
            (
                variant(pip={"packages": ["a"], "index_url": "https://me:hunter2@h.example/simple"}),
                "variants[0].pip.index_url: a URL here holds credentials",
            ),
            (
                variant(pip={"packages": ["a @ https://me:hunter2@h.example/a.whl"]}),
                "variants[0].pip.packages[0]: a URL here holds credentials",
            ),
            (
                recipe_document(variants=[{"when": {}}]),
                "variants[0]: it has to install something, by apt, conda or pip",
            ),
            (recipe_document(variants=[{"apt": ["a"], "uninstall": ["b"]}]), "variants[0]: uninstall is for pip"),
        ],
    )
    def test_every_mistake_has_its_place(self, document, message):
        with pytest.raises(CatalogError) as caught:
            read_recipe(document, "extras/a.yaml")
        assert message in str(caught.value)
        assert "hunter2" not in str(caught.value)
        assert caught.value.hint == "docs/reference/recipe-format.md lists every key"

    def test_all_mistakes_are_told_at_once(self):
        with pytest.raises(CatalogError) as caught:
            read_recipe(recipe_document(name="A", homepage="x", verify=[]), "extras/a.yaml")
        assert [line.split(": ")[1] for line in caught.value.message.splitlines()] == ["name", "homepage", "verify"]

    def test_mistakes_of_all_files_are_told_at_once(self):
        with pytest.raises(CatalogError) as caught:
            Catalog.from_documents(
                frameworks={},
                recipes={"extras/a.yaml": recipe_document(verify=[]), "extras/b.yaml": recipe_document()},
                partitions={"partitions": {}, "regions": {}, "account_sets": {}},
            )
        first, second = caught.value.message.splitlines()
        assert first.startswith("extras/a.yaml: verify: ")
        assert second == "extras/b.yaml: name: is 'a', but the file is called 'b'"

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet="a{}:!\n@/.=<", max_size=8),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["pip", "packages", "variants", "when", "name", "matrix"]), inner, max_size=4
                )
            ),
            max_leaves=10,
        ),
        st.sampled_from(["variants", "name", "verify", "all", "packages"]),
    )
    def test_any_document_is_read_or_a_clear_error(self, anything, where):
        document = {
            "all": anything,
            "packages": variant(pip={"packages": [anything]}),
        }.get(where, recipe_document(**{where: anything}))
        with suppress(CatalogError):
            assert read_recipe(document, "extras/a.yaml").name

    @pytest.mark.parametrize("name", sorted(CATALOG.recipes))
    def test_shipped_files_are_called_as_their_recipe(self, name):
        assert yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))["name"] == name
