"""Recipes: those that are shipped, against what their projects publish; and malformed ones."""

from __future__ import annotations

import re
import shlex
import subprocess
from contextlib import suppress
from importlib import resources

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from sagemaker_custom.catalog import BaseImage, Catalog, Framework, load
from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.catalog.recipes import build_of, cuda_of, minor_of, python_of
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError
from sagemaker_custom.resolve import CondaStep, NeedsBuild, PipStep, Prebuilt, resolve
from sagemaker_custom.spec import ImageSpec, RecipeExtra

CATALOG = load()
IMAGES = CATALOG.frameworks["pytorch"].images
EVERY_IMAGE = [image for framework in CATALOG.frameworks.values() for image in framework.images]
NAMES = sorted(CATALOG.recipes)
FOLDER = resources.files("sagemaker_custom.image_catalog") / "extras"

# What the projects publish. Package → Python versions it has wheels for, and the CUDA of images it works on.
FAISS_CPU = {"3.6": "1.7.2", "3.7": "1.7.4", "3.8": "1.8.0.post1", "3.9": "1.13.0", "3.10": "1.15.1"}
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

PLAIN = [
    image
    for image in IMAGES
    if image.architecture == "x86_64" and image.processor in ("cpu", "gpu") and python_of(image)
    if bool(image.cuda_version) == (image.processor == "gpu")
]


def name_of(image):
    return f"{image.repository}-{image.tag}"


every_image = pytest.mark.parametrize("image", IMAGES, ids=name_of)
plain_image = pytest.mark.parametrize("image", PLAIN, ids=name_of)
gpu_image = pytest.mark.parametrize("image", [image for image in PLAIN if image.processor == "gpu"], ids=name_of)


def base(framework="pytorch", version="2.3.0", **known):
    """Return a base image of which no more is known than said."""
    plain = {"image_scope": "training", "processor": "cpu", "repository": "r", "tag": "t", "accounts": "dlc"}
    return BaseImage(framework=framework, version=version, **plain | known)


def resolved(image, name, specifier="", recipes=CATALOG.recipes):
    """Resolve one recipe on one very image."""
    only = Catalog(
        frameworks={image.framework: Framework(name=image.framework, images=(image,), version_aliases={})},
        framework_aliases={},
        recipes=recipes,
        partitions=CATALOG.partitions,
    )
    spec = ImageSpec(
        framework=image.framework,
        image_scope=image.image_scope,
        processor=image.processor,
        architecture=image.architecture,
        extras=(RecipeExtra(name=name, specifier=specifier),),
    )
    resolution = resolve(spec, only)
    assert resolution.base is image
    return resolution


def outcome(image, name):
    try:
        return resolved(image, name)
    except ImageNotInCatalogError as error:
        return error


def steps_for(image, name, specifier=""):
    resolution = resolved(image, name, specifier)
    assert isinstance(resolution, NeedsBuild)
    return resolution.steps


def newest_for(table, python):
    return table[max((low for low in table if Version(low) <= Version(python)), key=Version)]


class TestShipped:
    @pytest.mark.parametrize("name", NAMES)
    def test_every_image_resolves_or_gives_a_clear_error(self, name):
        for image in EVERY_IMAGE:
            resolution = outcome(image, name)
            if isinstance(resolution, ImageNotInCatalogError):
                assert resolution.message == f"the recipe '{name}' has nothing for {image.framework} {image.describe()}"
                assert len(resolution.hint) > 20
                continue
            if isinstance(resolution, Prebuilt):
                continue
            assert resolution.verify
            for step in resolution.steps:
                texts = [*step.packages, *getattr(step, "find_links", ()), getattr(step, "index_url", None) or ""]
                assert step.packages
                assert not any(set("{}") & set(text) or "None" in text for text in texts)
                assert not (isinstance(step, CondaStep) and not image.has_conda)

    @pytest.mark.parametrize("name", NAMES)
    def test_wheels_for_one_architecture_are_for_no_other(self, name):
        for image in EVERY_IMAGE:
            if image.architecture == "arm64" and image.processor == "gpu":
                with suppress(ImageNotInCatalogError):
                    resolution = resolved(image, name)
                    assert name in FOR_ARM_GPU, image.tag
                    assert resolution.base is image

    @plain_image
    def test_faiss_is_there_for_the_python_and_cuda_of_the_image(self, image):
        (step,) = steps_for(image, "faiss")
        (package,) = step.packages
        assert isinstance(step, PipStep)
        if image.processor != "gpu":
            name, _, version = package.partition("==")
            assert name == "faiss-cpu"
            assert Version(version) <= Version(newest_for(FAISS_CPU, python_of(image)))
        else:
            pythons, cudas = FAISS_GPU_WHEELS[package]
            assert python_of(image) in pythons
            assert cuda_of(image) in cudas

    @pytest.mark.parametrize("version", sorted(FAISS_CONDA))
    @gpu_image
    def test_older_faiss_comes_by_conda_where_there_is_a_build(self, image, version):
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
        minor, build = minor_of(image.release), build_of(image)
        # AWS's 2.13 image for CUDA 13.3 has the torch of the cu130 index.
        wanted = "cu130" if (minor, build) == ("2.13", "cu133") else build
        if image.architecture != "x86_64" or wanted not in PYG_INDEX.get(minor, []):
            with pytest.raises(ImageNotInCatalogError, match=r"the recipe 'pyg' has nothing for pytorch"):
                steps_for(image, "pyg")
            return
        (step,) = steps_for(image, "pyg")
        assert step.find_links == (f"https://data.pyg.org/whl/torch-{minor}.0+{wanted}.html",)
        name, _, version = step.packages[0].partition("==")
        assert name == "torch-geometric"
        assert Version(version) <= Version(newest_for(PYG_NEWEST, python_of(image)))
        assert {"torch-scatter", "torch-sparse"} < set(step.packages)
        folded = {"torch-cluster", "torch-spline-conv"} & set(step.packages)
        assert bool(folded) == (Version(version) < Version("2.8"))

    def test_images_without_pyg_are_the_known_ones(self):
        without = set()
        for image in IMAGES:
            if image.processor in ("cpu", "gpu") and image.architecture == "x86_64" and image.release >= Version("1.9"):
                with suppress(ImageNotInCatalogError):
                    steps_for(image, "pyg")
                    continue
                without.add((image.release.base_version, image.cuda_version))
        assert {version for version, _ in without} == {"2.0.1", "2.14.0"}
        assert ("2.0.1", "cu118") not in without

    @pytest.mark.parametrize("name", NAMES)
    def test_every_variant_is_for_some_image(self, name):
        known = [*EVERY_IMAGE, *OF_OTHER_FRAMEWORKS]
        for number, variant in enumerate(CATALOG.recipes[name].variants):
            assert any(variant.when.matches(image) for image in known), f"variants[{number}] matches nothing"

    @pytest.mark.parametrize("name", NAMES)
    def test_no_variant_stands_behind_one_that_takes_all_its_images(self, name):
        known = [*EVERY_IMAGE, *OF_OTHER_FRAMEWORKS]
        variants = CATALOG.recipes[name].variants
        for number, variant in enumerate(variants):
            before = variants[:number]
            specifier = f"=={variant.version}" if variant.version else ""
            assert any(
                variant.when.matches(image)
                and not any(
                    other.when.matches(image) and (other.unavailable or other.installs(specifier)) for other in before
                )
                for image in known
            ), f"variants[{number}] is never reached"

    @pytest.mark.parametrize("name", NAMES)
    def test_default_version_is_one_of_those_it_can_install(self, name):
        for variant in CATALOG.recipes[name].variants:
            assert variant.choose_version("") == variant.version
            assert not variant.versions or variant.versions.contains(variant.version)

    @pytest.mark.parametrize("name", NAMES)
    def test_verify_commands_are_valid_shell_and_python(self, name):
        recipe = CATALOG.recipes[name]
        for command in (*recipe.verify, *(line for variant in recipe.variants for line in variant.verify)):
            assert subprocess.run(["/bin/sh", "-n", "-c", command], check=False).returncode == 0
            words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\w+", word)]
            program, flag, script = words
            assert (program, flag) == ("python", "-c")
            compile(script, name, "exec")

    def test_only_transformers_replace_what_is_held(self):
        replacing = {
            (name, *variant.pip.replaces)
            for name, recipe in CATALOG.recipes.items()
            for variant in recipe.variants
            if variant.pip and variant.pip.replaces
        }
        assert replacing == {("transformers", "transformers"), ("transformers-git", "transformers")}

    def test_names_in_after_and_conflicts_are_recipes(self):
        for recipe in CATALOG.recipes.values():
            assert {*recipe.after, *recipe.conflicts} <= CATALOG.recipes.keys() - {recipe.name}


def gpu(version="2.3.0", cuda="cu121", py="py311", scope="training", **known):
    return base(version=version, processor="gpu", cuda_version=cuda, py_version=py, image_scope=scope, **known)


def cpu(version="2.3.0", py="py311", scope="training", **known):
    return base(version=version, py_version=py, image_scope=scope, **known)


def hugging_face(torch="2.1.0", cuda="cu121", py="py310", scope="training", **known):
    return base(
        "huggingface",
        "4.36.0",
        base_framework="pytorch",
        base_framework_version=torch,
        processor="gpu",
        cuda_version=cuda,
        py_version=py,
        image_scope=scope,
        **known,
    )


OLD = {"os": "ubuntu18.04", "layout": "usrlocal"}
UBUNTU = {"os": "ubuntu22.04", "layout": "usrlocal"}
AL2023 = {"os": "amzn2023", "layout": "venv"}
TENSORFLOW = base("tensorflow", "2.19.0", processor="gpu", cuda_version="cu125", py_version="py312", **UBUNTU)
OF_OTHER_FRAMEWORKS = [
    TENSORFLOW,
    base("tensorflow", "2.12.0", processor="gpu", cuda_version="cu118", py_version="py310"),
    base("tensorflow", "2.14.1", py_version="py310"),
    base("tensorflow", "2.5.0", py_version="py37", processor="neuron", **OLD),
    base("mxnet", "1.8.0", py_version="py36", processor="gpu", cuda_version="cu110", **OLD),
    base("mxnet", "1.8.0", py_version="py36", **OLD),
    base("sklearn", "1.2.1", py_version="py38"),
    base("autogluon", "1.4.0", py_version="py311"),
    base("autogluon", "1.5.0", py_version="py314"),
    hugging_face(),
    hugging_face(scope="inference"),
    cpu("1.8.1", "py36", **OLD),
    gpu("1.8.1", "cu111", "py36", **OLD),
    gpu("2.6.0", "cu124", "py312", "inference", architecture="arm64", **UBUNTU),
    cpu("2.4.0", "py311", "inference", architecture="arm64", **UBUNTU),
]
FOR_ARM_GPU = {
    "bitsandbytes", "datasets", "lightgbm", "opencv", "opencv-contrib", "rapids", "spacy", "transformers",
    "transformers-git",
}  # fmt: skip

# Recipe, image → what pip installs, or "has it" for what is in AWS's image.
SPOTS = [
    ("apex", gpu("2.4.0"), "has it"),
    ("bitsandbytes", gpu("2.8.0", "cu129", "py312"), "bitsandbytes==0.49.2"),
    ("bitsandbytes", cpu("2.13.0", "py312"), "bitsandbytes==0.49.2"),
    ("bitsandbytes", gpu("2.1.0", "cu121", "py310"), "bitsandbytes==0.45.5"),
    ("bitsandbytes", gpu("1.13.1", "cu117", "py39"), "bitsandbytes==0.44.1"),
    ("datasets", cpu("1.9.0", "py38"), "datasets==3.1.0"),
    ("datasets", cpu("2.13.0", "py312"), "datasets==4.5.0"),
    ("datasets", hugging_face(), "has it"),
    ("datasets", hugging_face(scope="inference"), "datasets==4.5.0"),
    ("deepspeed", gpu("2.0.1", "cu118", "py310"), "has it"),
    ("deepspeed", gpu("2.13.0", "cu133", "py312", **AL2023), "has it"),
    ("deepspeed", gpu("2.3.0", **UBUNTU), "deepspeed==0.16.9"),
    ("deepspeed", gpu("2.6.0", "cu126", "py312", **UBUNTU), "deepspeed==0.18.9"),
    ("deepspeed", cpu("2.13.0", "py312", **AL2023), "deepspeed==0.18.9"),
    ("detectron2", gpu("1.10.0", "cu113", "py38"), "detectron2==0.6"),
    ("detectron2", cpu("2.6.0", "py312"), "detectron2 @ git+https://github.com/facebookresearch/detectron2@e0ec4e1"),
    ("dgl", gpu("1.9.0", "cu111", "py38"), "has it"),
    ("dgl", gpu("2.4.0", "cu124"), "dgl==2.4.0"),
    ("dgl", cpu("2.0.0", "py310"), "dgl==1.1.3"),
    ("faiss", hugging_face("2.0.0", "cu118"), "faiss-gpu==1.7.2"),
    ("faiss", cpu("2.4.0", architecture="arm64"), "faiss-cpu==1.12.0"),
    ("faiss", base(py_version="py310", processor="neuronx"), "faiss-cpu==1.12.0"),
    ("faiss", TENSORFLOW, "faiss-gpu-cu12==1.12.0"),
    ("flash-attn", gpu("2.8.0", "cu129", "py312"), "has it"),
    ("flash-attn", hugging_face(), "has it"),
    ("flash-attn", gpu("2.6.0", "cu124", "py312", "inference"), "flash-attn==2.7.4.post1"),
    ("flash-attn", gpu("2.1.0", "cu118", "py310", "inference"), "flash-attn==2.5.8"),
    ("horovod", gpu("2.0.0", "cu118", "py310"), "has it"),
    ("horovod", OF_OTHER_FRAMEWORKS[1], "has it"),
    ("horovod", cpu("1.13.1", "py39"), "horovod==0.28.1"),
    ("lightgbm", base("sklearn", "1.2.1", py_version="py38", os="ubuntu20.04"), "lightgbm==4.6.0"),
    ("lightgbm", base("mxnet", "1.8.0", py_version="py36", **OLD), "lightgbm==3.3.5"),
    ("mmcv", gpu("2.3.0"), "mmcv==2.2.0"),
    ("mmcv", gpu("1.13.1", "cu117", "py39"), "mmcv==2.1.0"),
    ("mmcv", gpu("2.8.0", "cu129", "py312"), "mmcv==2.2.0"),
    ("onnxruntime", cpu("1.9.0", "py38"), "onnxruntime==1.19.2"),
    ("onnxruntime", cpu("2.13.0", "py312"), "onnxruntime==1.23.2"),
    ("onnxruntime", gpu("1.9.0", "cu111", "py38"), "onnxruntime-gpu==1.18.1"),
    ("onnxruntime", gpu("2.3.0"), "onnxruntime-gpu[cudnn]==1.23.2"),
    ("onnxruntime", gpu("2.6.0", "cu126", "py312"), "onnxruntime-gpu==1.23.2"),
    ("onnxruntime", gpu("2.11.0", "cu130", "py312"), "onnxruntime-gpu==1.31.1"),
    ("opencv", gpu("2.3.0"), "has it"),
    ("opencv", gpu("2.3.0", scope="inference"), "opencv-python-headless==4.11.0.86"),
    ("opencv-contrib", gpu("2.3.0"), "opencv-contrib-python-headless==4.11.0.86"),
    ("pyg", hugging_face("2.1.0", "cu121"), "torch-geometric==2.6.1"),
    ("rapids", gpu("2.3.0"), "cudf-cu12==26.2.*"),
    ("rapids", gpu("2.13.0", "cu133", "py312"), "cudf-cu13==26.2.*"),
    ("rapids", gpu("2.0.0", "cu118", "py310"), "cudf-cu11==25.6.*"),
    ("spacy", gpu("2.8.0", "cu129", "py312"), "has it"),
    ("spacy", cpu("2.8.0", "py312"), "spacy==3.8.7"),
    ("spacy", gpu("2.3.0"), "spacy[cuda12x]==3.8.7"),
    ("spacy", cpu("1.9.0", "py38"), "spacy==3.7.5"),
    ("tensorrt", gpu("2.3.0"), "tensorrt-cu12==10.13.3.9.post1"),
    ("tensorrt", gpu("2.10.0", "cu130", "py313"), "tensorrt-cu13==10.13.3.9.post1"),
    ("tensorrt", gpu("1.13.1", "cu117", "py39"), "tensorrt-cu11==10.13.0.35"),
    ("transformers", hugging_face(), "has it"),
    ("transformers", gpu("2.8.0", "cu129", "py312"), "transformers==5.23.0"),
    ("transformers", cpu("2.3.0"), "transformers==4.57.6"),
    ("transformers", cpu("1.9.0", "py38"), "transformers==4.30.2"),
    ("transformers", TENSORFLOW, "transformers==4.49.0"),
    ("transformers-git", gpu("2.8.0", "cu129", "py312"), "transformers @ git+https://github.com/huggingface/transformers@v5.23.0"),
    ("vllm", gpu("2.8.0", "cu129", "py312"), "vllm==0.11.0"),
    ("vllm", base("vllm", "0.30.0", processor="gpu", image_scope="inference"), "has it"),
    ("vllm", gpu("2.6.0", "cu124", "py312", "inference"), "vllm==0.8.5.post1"),
    ("xformers", gpu("2.3.0"), "xformers==0.0.26.post1"),
    ("xformers", hugging_face("2.0.0", "cu118"), "xformers==0.0.19"),
    ("xformers", gpu("2.13.0", "cu133", "py312"), "xformers==0.0.35"),
]  # fmt: skip

NOTHING = [
    ("apex", gpu("2.6.0", "cu126", "py312"), "torch.amp"),
    ("apex", cpu(), "leave it out here"),
    ("deepspeed", gpu(scope="inference"), "DJL or vLLM"),
    ("dgl", cpu("2.13.0", "py312"), "the recipe 'pyg'"),
    ("flash-attn", cpu(), "scaled_dot_product_attention"),
    ("horovod", gpu("2.1.0", "cu121", "py310"), "torch.distributed"),
    ("horovod", TENSORFLOW, "tf.distribute"),
    ("mmcv", gpu("2.6.0", "cu124", "py312", "inference"), "pip:mmcv-lite"),
    ("rapids", cpu(), "pandas and scikit-learn"),
    ("tensorrt", cpu(), "the recipe 'onnxruntime'"),
    ("vllm", gpu("2.9.0", "cu130", "py312"), "AWS's own vLLM images"),
    ("xformers", cpu(), "scaled_dot_product_attention"),
    # Of an image with an unknown Python nothing is assumed.
    ("faiss", base("sklearn", "0.20.0", py_version="py3"), "'pip:PKG'"),
    ("datasets", base("sklearn", "0.20.0"), "'pip:PKG'"),
    ("spacy", base("mxnet", "1.4.0", py_version="py2"), "'pip:PKG'"),
    ("xformers", gpu("2.0.1", "cu121", "py310"), "'pip:PKG'"),
    ("pyg", base(py_version="py310", processor="neuronx"), "'pip:PKG'"),
]


class TestSpots:
    @pytest.mark.parametrize(("name", "image", "package"), SPOTS)
    def test_image_gets_this_package(self, name, image, package):
        resolution = resolved(image, name)
        if package == "has it":
            assert resolution == Prebuilt(base=image)
        else:
            step = next(step for step in resolution.steps if isinstance(step, PipStep))
            assert step.packages[0].startswith(package)

    @pytest.mark.parametrize(("name", "image", "advice"), NOTHING)
    def test_image_gets_nothing_and_the_reason(self, name, image, advice):
        with pytest.raises(ImageNotInCatalogError) as caught:
            resolved(image, name)
        assert caught.value.message == f"the recipe '{name}' has nothing for {image.framework} {image.describe()}"
        assert advice in caught.value.hint

    def test_every_recipe_has_a_spot(self):
        assert {name for name, _, _ in SPOTS} == set(NAMES)

    def test_version_by_name_replaces_what_is_there(self):
        (step,) = steps_for(gpu("2.8.0", "cu129", "py312"), "flash-attn", "==2.8.3")
        assert (step.packages, step.no_build_isolation, step.env) == (
            ("flash-attn==2.8.3",),
            True,
            (("MAX_JOBS", "4"),),
        )
        (step,) = steps_for(hugging_face(), "transformers", "==4.40.0")
        assert (step.packages, step.replaces) == (("transformers==4.40.0",), ("transformers",))

    @pytest.mark.parametrize(
        ("image", "packages"),
        [
            (base("tensorflow", "2.19.0", os="ubuntu22.04", py_version="py312"), ("libgomp1",)),
            (base("tensorflow", "2.21.0", py_version="py312", **AL2023), ("libgomp",)),
        ],
    )
    def test_distributions_name_their_packages_otherwise(self, image, packages):
        assert steps_for(image, "lightgbm")[0].packages == packages


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
        recipes = {"a": read_recipe(recipe_document(variants=[{"pip": {"packages": ["a"]}}]), "extras/a.yaml")}
        assert resolved(self.IMAGE, "a", recipes=recipes).steps == (PipStep(packages=("a",)),)
        with pytest.raises(ImageNotInCatalogError, match=r"has no version '==1' .*\n  -> it comes in one version only"):
            resolved(self.IMAGE, "a", "==1", recipes)


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
            (variant(when={"processor": "tpu"}), "variants[0].when.processor[0]: "),
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
            (variant(pip={"packages": ["a b"]}), "variants[0].pip.packages[0]: 'a b' is not a requirement such as"),
            (variant(pip={"packages": ["a"], "build_packages": ["-e ."]}), "variants[0].pip.build_packages[0]: '-e .'"),
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
                "variants[0]: it has to install something, by apt, conda or pip, or be preinstalled or unavailable",
            ),
            (variant(preinstalled=True), "variants[0]: it is either installed, or preinstalled, or unavailable"),
            (variant(unavailable="no"), "variants[0]: it is either installed, or preinstalled, or unavailable"),
            (
                recipe_document(variants=[{"preinstalled": True, "unavailable": "no"}]),
                "variants[0]: it is either installed, or preinstalled, or unavailable",
            ),
            (
                recipe_document(variants=[{"preinstalled": True, "version": "1"}]),
                "variants[0]: what installs nothing has no version to choose",
            ),
            (recipe_document(variants=[{"unavailable": "a\nb"}]), "variants[0].unavailable: "),
            (recipe_document(conflicts=["A b"]), "extras/a.yaml: conflicts[0]: "),
            (recipe_document(after="b"), "extras/a.yaml: after: "),
            (variant(when={"framework": ["pytorch", "Py Torch"]}), "variants[0].when.framework[1]: "),
            (variant(when={"os": "debian"}), "variants[0].when.os[0]: "),
            (variant(when={"architecture": "amd64"}), "variants[0].when.architecture: "),
            (
                variant(pip={"packages": ["a"], "env": {"max_jobs": "4"}}),
                "'max_jobs' is not a name of a variable such as 'MAX_JOBS'",
            ),
            (variant(pip={"packages": ["a"], "env": {"PATH": "/x"}}), "'PATH' belongs to the build itself"),
            (variant(pip={"packages": ["a"], "env": {"PIP_INDEX_URL": "x"}}), "'PIP_INDEX_URL' belongs to the build"),
            (variant(pip={"packages": ["a"], "env": {"A": 1}}), "variants[0].pip.env.A: "),
            (
                variant(pip={"packages": ["a"], "env": {"A": "b\nc"}}),
                "variants[0].pip.env.A: it has to stay on one line",
            ),
            (variant(pip={"packages": ["a"], "env": {"A": "{b}"}}), "variants[0].pip.env.A: unknown placeholder {b}"),
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

    @pytest.mark.parametrize("name", NAMES)
    def test_shipped_files_are_called_as_their_recipe(self, name):
        assert yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))["name"] == name
