"""Which base image, and what to install on it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.catalog import Catalog, load
from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.errors import ImageNotInCatalogError
from sagemaker_custom.resolve import CondaStep, NeedsBuild, PackagesStep, PipStep, Prebuilt, find_base, resolve
from sagemaker_custom.spec import ImageSpec, RequirementsExtra, normalise_extras, parse_extra

CATALOG = load()
IMAGES = CATALOG.frameworks["pytorch"]
SPEC = ImageSpec(framework="pytorch", version="2.3", processor="gpu")

catalog_specs = st.sampled_from(IMAGES).map(
    lambda image: ImageSpec(
        framework=image.framework,
        version=image.version,
        py_version=image.py_version,
        image_scope=image.image_scope,
        processor=image.processor,
        cuda_version=image.cuda_version,
    )
)


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


class TestBase:
    @given(catalog_specs)
    def test_what_the_catalog_lists_is_found(self, spec):
        base = find_base(spec, CATALOG)
        assert (base.version, base.py_version, base.image_scope) == (spec.version, spec.py_version, spec.image_scope)
        assert (base.processor, base.cuda_version) == (spec.processor, spec.cuda_version)

    @pytest.mark.parametrize(
        ("changes", "tag"),
        [
            ({"version": "1.9", "py_version": "py38", "cuda_version": "cu111"}, "1.9.0-gpu-py38-cu111-ubuntu20.04"),
            ({"version": "1.9.1"}, "1.9.1-gpu-py38-cu111-ubuntu20.04"),
            ({"version": "1.10.0"}, "1.10.0-gpu-py38-cu113-ubuntu20.04-sagemaker"),
            ({"version": "2.0.1", "cuda_version": "cu121"}, "2.0.1-gpu-py310-cu121-ubuntu20.04-sagemaker"),
            ({"version": "2.0.1", "cuda_version": "cu118"}, "2.0.1-gpu-py310-cu118-ubuntu20.04-sagemaker"),
            ({"version": "2.0.1"}, "2.0.1-gpu-py310-cu118-ubuntu20.04-sagemaker"),
        ],
    )
    def test_known_tags(self, changes, tag):
        assert find_base(replace(SPEC, **changes), CATALOG).tag == tag

    def test_short_version_is_the_newest_patch_release(self):
        assert find_base(replace(SPEC, version="1.13"), CATALOG).version == "1.13.1"
        assert find_base(replace(SPEC, version="1.10"), CATALOG).version == "1.10.2"

    def test_short_version_is_no_prefix_of_digits(self):
        # 2.1 is not 2.10, and 1.1 is nothing at all.
        assert find_base(replace(SPEC, version="2.1"), CATALOG).version == "2.1.0"
        with pytest.raises(ImageNotInCatalogError):
            find_base(replace(SPEC, version="1.1"), CATALOG)

    def test_no_version_is_the_newest(self):
        assert find_base(replace(SPEC, version=None), CATALOG).version == "2.14.0"
        assert find_base(replace(SPEC, version=None, image_scope="inference"), CATALOG).version == "2.6.0"

    def test_cuda_does_not_matter_on_cpu(self):
        assert find_base(replace(SPEC, processor="cpu", cuda_version="cu121"), CATALOG).cuda_version is None

    def test_of_two_equal_images_the_catalog_prefers_the_first(self):
        first = replace(IMAGES[0], tag="first")
        catalog = replace(CATALOG, frameworks={"pytorch": (first, replace(first, tag="second"))})
        spec = ImageSpec(framework="pytorch", image_scope=first.image_scope, processor=first.processor)
        assert find_base(spec, catalog).tag == "first"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"framework": "pytorhc"},
                "there is no framework 'pytorhc' in the catalog\n  -> did you mean pytorch?",
            ),
            ({"framework": "x"}, "there is no framework 'x' in the catalog\n  -> there are pytorch"),
            (
                {"version": "2.99"},
                (
                    "the catalog has no pytorch training image for 2.99 gpu\n"
                    "  -> the nearest are: 2.14.0 gpu py312 cu133; "
                ),
            ),
            (
                {"cuda_version": "cu118"},
                (
                    "the catalog has no pytorch training image for 2.3 gpu cu118\n"
                    "  -> the nearest are: 2.3.0 gpu py311 cu121; "
                ),
            ),
            (
                {"py_version": "py38"},
                (
                    "the catalog has no pytorch training image for 2.3 gpu py38\n"
                    "  -> the nearest are: 2.3.0 gpu py311 cu121; "
                ),
            ),
            (
                {"architecture": "arm64", "processor": "cpu"},
                "the catalog has no pytorch training image for 2.3 cpu arm64\n  -> the nearest are: 2.3.0 cpu py311; ",
            ),
            (
                {"version": "2.7", "image_scope": "inference"},
                "the catalog has no pytorch inference image for 2.7 gpu\n  -> the nearest are: 2.6.0 gpu py312 cu124; ",
            ),
        ],
    )
    def test_what_is_not_there_names_the_nearest(self, changes, message):
        with pytest.raises(ImageNotInCatalogError) as caught:
            find_base(replace(SPEC, **changes), CATALOG)
        assert str(caught.value).startswith(message)

    def test_scope_without_images(self):
        catalog = replace(CATALOG, frameworks={"pytorch": ()})
        with pytest.raises(ImageNotInCatalogError, match=r"there is none for this scope at all"):
            find_base(SPEC, catalog)

    @given(
        st.text(max_size=8) | st.text(alphabet="12.³²x", max_size=6),
        st.none() | st.text(max_size=5),
        st.none() | st.text(max_size=5),
    )
    def test_any_version_is_found_or_a_clear_error(self, version, python, cuda):
        with suppress(ImageNotInCatalogError):
            base = find_base(replace(SPEC, version=version, py_version=python, cuda_version=cuda), CATALOG)
            assert not version or base.version.startswith(version)


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
                        "no_deps": True,
                        "no_build_isolation": True,
                        "replaces": ["torch"],
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
                no_deps=True,
                no_build_isolation=True,
                replaces=("torch",),
            ),
        )

    def test_placeholders_of_a_cpu_image(self):
        catalog = with_recipe(variants=[{"pip": {"packages": ["a-{cuda}-{cuda_version}."]}}])
        assert steps("mine", spec=replace(SPEC, processor="cpu"), catalog=catalog) == (PipStep(packages=("a-cpu-.",)),)

    @pytest.mark.parametrize(
        ("when", "fits"),
        [
            ({}, True),
            ({"framework": "pytorch", "image_scope": "training", "processor": "gpu", "layout": "conda"}, True),
            ({"framework": "tensorflow"}, False),
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
                catalog=Catalog(
                    frameworks=CATALOG.frameworks,
                    version_aliases={},
                    recipes={name: CATALOG.recipes[name] for name in ("faiss", "pyg")},
                    partitions=CATALOG.partitions,
                ),
            )
        assert str(caught.value) == f"there is no recipe {name!r} in the catalog\n  -> {hint}"

    def test_conda_package_on_an_image_without_conda(self):
        with pytest.raises(ImageNotInCatalogError) as caught:
            steps("conda:a", spec=replace(SPEC, version="2.8"))
        assert "has no conda, so 'conda:a' cannot be installed\n  -> use 'pip:…'" in str(caught.value)
