"""Which base image, and what to install on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.bases import find_base
from sagemaker_custom.catalog import BaseImage, load
from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError, InvalidExtraError
from sagemaker_custom.resolve import (
    CondaStep,
    NeedsBuild,
    PackagesStep,
    PipStep,
    Prebuilt,
    held_packages,
    resolve,
)
from sagemaker_custom.spec import ImageSpec, RequirementsExtra, normalise_extras, parse_extra

CATALOG = load()
SPEC = ImageSpec(framework="pytorch", version="2.3", processor="gpu")


def extras(*texts):
    return normalise_extras(parse_extra(text) for text in texts)


def steps(*texts, spec=SPEC, catalog=CATALOG):
    return resolve(replace(spec, extras=extras(*texts)), catalog).steps


def with_recipe(**document):
    recipe = read_recipe(
        {
            "schema_version": 1,
            "name": "mine",
            "summary": "s",
            "homepage": "https://a.example",
            "verify": ["python -c 'import mine'"],
        }
        | document,
        "extras/mine.yaml",
    )
    return replace(CATALOG, recipes={**CATALOG.recipes, "mine": recipe})


class TestExtras:
    def test_without_extras_it_is_awss_own_image(self):
        assert resolve(SPEC, CATALOG) == Prebuilt(base=find_base(SPEC, CATALOG))

    def test_steps_come_distribution_first_and_pip_last(self):
        found = steps("pip:umap-learn", "apt:libgl1", "conda:pytorch::a", "faiss", "apt:git", "pip:b")
        assert found == (
            PackagesStep(packages=("git", "libgl1")),
            CondaStep(packages=("a",), channels=("pytorch",)),
            PipStep(packages=("faiss-gpu-cu12==1.12.0",)),
            PipStep(packages=("b", "umap-learn")),
        )

    @given(st.permutations(["faiss", "pyg", "pip:a>=1", "pip:B", "conda:c::d", "apt:ee", "apt:ff=1"]))
    def test_order_of_extras_does_not_matter(self, texts):
        assert steps(*texts) == steps(*sorted(texts))

    def test_requirements_file_keeps_its_indexes(self):
        extra = RequirementsExtra(
            requirements=("a",),
            constraints=("numpy<2",),
            index_url="https://a.example",
            extra_index_urls=("https://b.example",),
            find_links=("https://c.example",),
        )
        assert resolve(replace(SPEC, extras=(extra,)), CATALOG).steps == (
            PipStep(
                packages=("a",),
                constraints=("numpy<2",),
                index_url="https://a.example",
                extra_index_urls=("https://b.example",),
                find_links=("https://c.example",),
            ),
        )

    def test_torch_family_is_held_and_recipes_are_verified(self):
        resolution = resolve(replace(SPEC, extras=extras("faiss", "pyg", "pip:a")), CATALOG)
        assert isinstance(resolution, NeedsBuild)
        assert resolution.held == ("torch", "torchaudio", "torchdata", "torchtext", "torchvision")
        assert resolution.verify == (*CATALOG.recipes["faiss"].verify, *CATALOG.recipes["pyg"].verify)

    def test_verify_of_a_variant_replaces_that_of_the_recipe(self):
        resolution = resolve(replace(SPEC, version="1.9", extras=extras("pyg")), CATALOG)
        assert len(resolution.verify) == 1
        assert "torch_scatter" in resolution.verify[0]
        assert "pyg_lib" not in resolution.verify[0]

    def test_every_part_of_a_recipe_arrives(self):
        catalog = with_recipe(
            variants=[
                {
                    "version": "1.0",
                    "apt": ["lib{py_version}"],
                    "conda": {"packages": ["c={version}"], "channels": ["x/{cuda}"]},
                    "uninstall": ["old"],
                    "pip": {
                        "packages": ["p=={version}+torch{framework_minor}{cuda}"],
                        "find_links": ["https://{python}/{framework_version}"],
                        "index_url": "https://{cuda_version}/",
                        "extra_index_urls": ["https://{{x}}"],
                        "build_packages": ["cython", "numpy=={version}"],
                        "no_deps": True,
                        "no_build_isolation": True,
                        "replaces": ["torch"],
                        "env": {"MAX_JOBS": "4", "ARCH": "{python_tag}-cu{cuda_major}"},
                    },
                }
            ]
        )
        assert steps("mine", catalog=catalog) == (
            PackagesStep(packages=("libpy311",)),
            CondaStep(packages=("c=1.0",), channels=("x/cu121",)),
            PipStep(
                packages=("p==1.0+torch2.3cu121",),
                uninstall=("old",),
                find_links=("https://3.11/2.3.0",),
                index_url="https://12.1/",
                extra_index_urls=("https://{x}",),
                build_packages=("cython", "numpy==1.0"),
                no_deps=True,
                no_build_isolation=True,
                replaces=("torch",),
                env=(("ARCH", "cp311-cu12"), ("MAX_JOBS", "4")),
            ),
        )

    def test_placeholders_of_a_cpu_image(self):
        catalog = with_recipe(variants=[{"pip": {"packages": ["a-{cuda}-{cuda_version}{cuda_major}x"]}}])
        assert steps("mine", spec=replace(SPEC, processor="cpu"), catalog=catalog) == (PipStep(packages=("a-cpu-x",)),)

    @pytest.mark.parametrize(
        ("when", "fits"),
        [
            ({}, True),
            ({"framework": "pytorch", "image_scope": "training", "processor": "gpu", "layout": "conda"}, True),
            ({"framework": "tensorflow"}, False),
            ({"framework": ["tensorflow", "pytorch"], "framework_version": ">=2.3,<2.4"}, True),
            ({"framework": ["tensorflow", "mxnet"]}, False),
            ({"processor": ["cpu", "gpu"]}, True),
            ({"processor": ["cpu", "neuronx"]}, False),
            ({"architecture": "x86_64"}, True),
            ({"architecture": "arm64"}, False),
            ({"os": "ubuntu"}, True),
            ({"os": ["amzn2023", "ubuntu20.04"]}, True),
            ({"os": "ubuntu22"}, False),
            ({"image_scope": "inference"}, False),
            ({"processor": "cpu"}, False),
            ({"layout": "venv"}, False),
            ({"framework_version": ">=2.3,<2.4"}, True),
            ({"framework_version": "<2.3"}, False),
            ({"python": "==3.11"}, True),
            ({"python": "<3.10"}, False),
            ({"cuda": ">=12,<12.2"}, True),
            ({"cuda": ">=12.2"}, False),
            ({"matrix": {"2.3": ["cpu", "cu121"]}}, True),
            ({"matrix": {"2.3": ["cpu"]}}, False),
            ({"matrix": {"2.4": ["cu121"]}}, False),
        ],
    )
    def test_conditions_of_a_variant(self, when, fits):
        catalog = with_recipe(variants=[{"when": when, "pip": {"packages": ["a"]}}])
        if fits:
            assert steps("mine", catalog=catalog) == (PipStep(packages=("a",)),)
        else:
            with pytest.raises(
                ImageNotInCatalogError, match=r"the recipe 'mine' has nothing for pytorch 2.3.0 gpu py311"
            ):
                steps("mine", catalog=catalog)

    def test_cuda_condition_never_fits_a_cpu_image(self):
        catalog = with_recipe(variants=[{"when": {"cuda": ">=0"}, "pip": {"packages": ["a"]}}])
        with pytest.raises(ImageNotInCatalogError, match=r"has nothing for pytorch 2.3.0 cpu py311"):
            steps("mine", spec=replace(SPEC, processor="cpu"), catalog=catalog)

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("fais", "did you mean faiss?; for a package of the index write 'pip:fais'"),
            ("umap-learn", "there are faiss, pyg; for a package of the index write 'pip:umap-learn'"),
        ],
    )
    def test_unknown_recipe_names_the_nearest(self, name, hint):
        with pytest.raises(ImageNotInCatalogError) as caught:
            steps(
                name,
                catalog=replace(CATALOG, recipes={name: CATALOG.recipes[name] for name in ("faiss", "pyg")}),
            )
        assert str(caught.value) == f"there is no recipe {name!r} in the catalog\n  -> {hint}"

    def test_conda_package_on_an_image_without_conda(self):
        with pytest.raises(ImageNotInCatalogError) as caught:
            steps("conda:a", spec=replace(SPEC, version="2.8"))
        assert "has no conda, so 'conda:a' cannot be installed\n  -> use 'pip:…'" in str(caught.value)

    def test_recipe_without_anything_for_the_base_says_why(self):
        catalog = with_recipe(
            variants=[{"when": {"processor": "gpu"}, "unavailable": "take a CPU"}, {"pip": {"packages": ["a"]}}]
        )
        with pytest.raises(ImageNotInCatalogError) as caught:
            steps("mine", catalog=catalog)
        assert str(caught.value) == ("the recipe 'mine' has nothing for pytorch 2.3.0 gpu py311 cu121\n  -> take a CPU")


HAS_IT = {
    "when": {"framework": "pytorch"},
    "preinstalled": True,
    "verify": ["python -c 'import mine, torch'"],
}


class TestPreinstalled:
    CATALOG = with_recipe(variants=[HAS_IT, {"version": "2.0", "pip": {"packages": ["mine=={version}"]}}])

    def resolved(self, *texts):
        return resolve(replace(SPEC, extras=extras(*texts)), self.CATALOG)

    def test_image_that_has_it_is_used_as_it_is(self):
        assert self.resolved("mine") == Prebuilt(base=find_base(SPEC, CATALOG))

    def test_what_is_there_is_verified_when_something_else_is_built(self):
        resolution = self.resolved("mine", "faiss")
        assert isinstance(resolution, NeedsBuild)
        assert resolution.steps == steps("faiss")
        assert resolution.verify == (*CATALOG.recipes["faiss"].verify, "python -c 'import mine, torch'")

    def test_version_by_name_is_installed_over_it(self):
        resolution = self.resolved("mine==2.0")
        assert resolution.steps == (PipStep(packages=("mine==2.0",)),)
        assert resolution.verify == ("python -c 'import mine'",)


def image(framework, version="1.0", **known):
    return BaseImage(
        framework=framework,
        version=version,
        image_scope="training",
        processor="cpu",
        repository="r",
        tag="t",
        accounts="dlc",
        **known,
    )


class TestHeld:
    @pytest.mark.parametrize(
        ("base", "held", "free"),
        [
            (image("pytorch"), "torch", "transformers"),
            (image("tensorflow"), "tensorflow", "torch"),
            (image("mxnet"), "mxnet", "torch"),
            (image("ray-tensorflow"), "tensorflow", "torch"),
            (image("sklearn"), "scikit-learn", "torch"),
            (image("autogluon"), "torch", "tensorflow"),
            (image("huggingface", base_framework="pytorch", base_framework_version="2.1.0"), "torch", "tensorflow"),
            (image("huggingface", base_framework="pytorch", base_framework_version="2.1.0"), "transformers", "keras"),
            (image("huggingface", base_framework="tensorflow", base_framework_version="2.6"), "tensorflow", "torch"),
        ],
    )
    def test_packages_of_the_framework_and_of_what_it_runs_on(self, base, held, free):
        assert held in held_packages(base)
        assert free not in held_packages(base)

    @pytest.mark.parametrize("text", ["pip:torch==2.4.0", "pip:Torch<2.3", "pip:torch==2.4.0+cu121"])
    def test_other_version_of_the_framework_is_refused(self, text):
        with pytest.raises(InvalidExtraError) as caught:
            steps(text)
        told = str(caught.value)
        assert "asks for torch" in told
        assert "but the base image has torch 2.3.0, which may not be replaced\n  -> choose the base image" in told

    @pytest.mark.parametrize(
        "text",
        ["pip:torch", "pip:torch>=2", "pip:torch==2.3.0", "pip:torch==2.3.0+cu121", "pip:torch==9; python_version<'3'"],
    )
    def test_same_version_is_no_contradiction(self, text):
        assert steps(text)


class TestOrder:
    def two(self, **after):
        mine = with_recipe(variants=[{"pip": {"packages": ["mine"]}}], after=after.get("mine", []))
        other = read_recipe(
            {
                "schema_version": 1,
                "name": "other",
                "summary": "s",
                "homepage": "https://a.example",
                "verify": ["true"],
                "after": after.get("other", []),
                "variants": [{"pip": {"packages": ["other"]}}],
            },
            "extras/other.yaml",
        )
        return replace(mine, recipes={**mine.recipes, "other": other})

    @given(st.permutations(["other", "faiss", "mine"]))
    def test_recipes_come_by_name(self, texts):
        found = [step.packages[0] for step in steps(*texts, catalog=self.two())]
        assert found == ["faiss-gpu-cu12==1.12.0", "mine", "other"]

    @given(st.permutations(["other", "faiss", "mine"]))
    def test_recipe_comes_after_those_it_names(self, texts):
        catalog = self.two(mine=["other", "pyg"])
        assert [step.packages[0] for step in steps(*texts, catalog=catalog)][1:] == ["other", "mine"]

    def test_two_that_want_to_be_last(self):
        with pytest.raises(CatalogError) as caught:
            steps("mine", "other", catalog=self.two(mine=["other"], other=["mine"]))
        assert str(caught.value) == (
            "the recipes mine, other want to come after one another\n  -> remove one of their 'after' keys"
        )


def mine(**keys):
    return with_recipe(**{"variants": [{"pip": {"packages": ["mine==1.0"]}}]} | keys)


class TestConflicts:
    @pytest.mark.parametrize(
        ("texts", "catalog", "message"),
        [
            (
                ["opencv==4.10.0.84", "opencv-contrib"],
                CATALOG,
                (
                    "the extras 'opencv==4.10.0.84' and 'opencv-contrib' cannot be in one image: "
                    "'opencv==4.10.0.84' does not go with 'opencv-contrib'"
                ),
            ),
            (
                ["mine", "faiss"],
                mine(conflicts=["faiss"]),
                "the extras 'faiss' and 'mine' cannot be in one image: 'mine' does not go with 'faiss'",
            ),
            (
                ["mine", "pip:Other_One>=2"],
                mine(conflicts=["other-one"]),
                (
                    "the extras 'mine' and 'pip:other-one>=2' cannot be in one image: "
                    "'mine' does not go with 'other-one'"
                ),
            ),
            (
                ["onnxruntime", "pip:onnxruntime"],
                CATALOG,
                (
                    "the extras 'onnxruntime' and 'pip:onnxruntime' cannot be in one image: "
                    "'onnxruntime' removes 'onnxruntime', which 'pip:onnxruntime' installs"
                ),
            ),
            (
                ["mine", "pip:mine==2.0"],
                mine(),
                (
                    "the extras 'mine' and 'pip:mine==2.0' cannot be in one image: "
                    "one installs 'mine==1.0', the other 'mine==2.0'"
                ),
            ),
            (
                ["mine", "pip:mine>=2"],
                mine(),
                (
                    "the extras 'mine' and 'pip:mine>=2' cannot be in one image: "
                    "one installs 'mine==1.0', the other 'mine>=2'"
                ),
            ),
            (
                ["pip:a==1", "pip:a==2"],
                CATALOG,
                ("the extras 'pip:a==1' and 'pip:a==2' cannot be in one image: one installs 'a==1', the other 'a==2'"),
            ),
            (
                ["mine", "pip:mine @ https://a.example/mine.whl"],
                mine(),
                "the extras 'mine' and 'pip:mine @ https://a.example/mine.whl' cannot be in one image: ",
            ),
            (
                ["transformers-git", "transformers"],
                CATALOG,
                "the extras 'transformers' and 'transformers-git' cannot be in one image: ",
            ),
        ],
    )
    def test_both_names_are_told(self, texts, catalog, message):
        with pytest.raises(InvalidExtraError) as caught:
            steps(*texts, catalog=catalog)
        assert caught.value.message.startswith(message)
        assert caught.value.hint == "keep one of them, or make two images"

    def test_requirements_file_is_told_too(self):
        extra = RequirementsExtra(requirements=("faiss-gpu-cu12==1.11.0 --hash=sha256:00",))
        with pytest.raises(InvalidExtraError, match=r"'faiss' and 'requirements of 1 packages' .*'faiss-gpu-cu12"):
            resolve(replace(SPEC, extras=(*extras("faiss"), extra)), CATALOG)

    @pytest.mark.parametrize(
        "texts",
        [
            ["mine", "pip:mine"],
            ["mine", "pip:mine>=0.9,<2"],
            ["mine", "pip:mine==1.*"],
            ["mine", "pip:mine==2.0; python_version < '3'"],
            ["pip:a>=1", "pip:a<2"],
            ["pip:a @ https://a.example/a.whl", "pip:a>=1"],
        ],
    )
    def test_what_may_agree_is_left_to_pip(self, texts):
        assert steps(*texts, catalog=mine())

    def test_build_of_one_variant_is_no_conflict_with_itself(self):
        assert steps("onnxruntime", "pip:onnxruntime-gpu>=1.20")

    @given(st.permutations(["mine", "faiss"]))
    def test_order_does_not_change_the_message(self, texts):
        with pytest.raises(InvalidExtraError, match=r"the extras 'faiss' and 'mine' cannot"):
            steps(*texts, catalog=mine(conflicts=["faiss"]))
