"""Which base image: the newest that fits, the nearest that do not, and which one serves what another trains."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.bases import find_base, serving_pair, with_defaults
from sagemaker_custom.catalog import load
from sagemaker_custom.catalog.images import BaseImage, Framework
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.spec import ImageSpec, with_scope

CATALOG = load()
IMAGES = CATALOG.frameworks["pytorch"].images
SPEC = ImageSpec(framework="pytorch", version="2.3", processor="gpu")

catalog_specs = st.sampled_from(IMAGES).map(
    lambda image: ImageSpec(
        framework=image.framework,
        version=image.version,
        py_version=image.py_version,
        image_scope=image.image_scope,
        processor=image.processor,
        architecture=image.architecture,
        sdk_version=image.sdk_version,
        cuda_version=image.cuda_version,
    )
)


def framework(*images, name="pytorch", **aliases):
    return Framework(name=name, images=images, version_aliases=aliases)


def image(version, scope="training", **changes):
    known = {
        "framework": "pytorch",
        "version": version,
        "image_scope": scope,
        "processor": "cpu",
        "py_version": "py312",
        "repository": f"pytorch-{scope}",
        "tag": f"{version}-cpu-py312-ubuntu22.04-sagemaker",
        "accounts": "dlc",
        "layout": "usrlocal",
    }
    return BaseImage(**known | changes)


def catalog_of(*images):
    return replace(CATALOG, frameworks={images[0].framework: framework(*images, name=images[0].framework)})


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
        # 2.1 is not 2.10, and 1.1 is not 1.10.
        assert find_base(replace(SPEC, version="2.1"), CATALOG).version == "2.1.0"
        assert find_base(replace(SPEC, version="1.1"), CATALOG).version == "1.1.0"

    def test_version_that_an_image_bears_is_that_one_even_if_others_begin_like_it(self):
        known = [image(version, framework="xgboost") for version in ("1", "1.7-1")]
        assert find_base(ImageSpec(framework="xgboost", version="1"), catalog_of(*known)).version == "1"

    def test_no_version_is_the_newest(self):
        assert find_base(replace(SPEC, version=None), CATALOG).version == "2.14.0"
        assert find_base(replace(SPEC, version=None, image_scope="inference"), CATALOG).version == "2.6.0"

    def test_cuda_does_not_matter_on_cpu(self):
        assert find_base(replace(SPEC, processor="cpu", cuda_version="cu121"), CATALOG).cuda_version is None

    def test_of_two_equal_images_the_catalog_prefers_the_first(self):
        first = replace(IMAGES[0], tag="first")
        catalog = catalog_of(first, replace(first, tag="second"))
        spec = ImageSpec(
            framework="pytorch",
            image_scope=first.image_scope,
            processor=first.processor,
            architecture=first.architecture,
        )
        assert find_base(spec, catalog).tag == "first"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (
                {"framework": "pytorhc"},
                "there is no framework 'pytorhc' in the catalog\n  -> did you mean pytorch, ",
            ),
            ({"framework": "x"}, "there is no framework 'x' in the catalog\n  -> there are autogluon, chainer, "),
            (
                {"version": "2.99"},
                (
                    "the catalog has no pytorch training image for 2.99 gpu\n"
                    "  -> the nearest are: 2.14.0 gpu py312 cu133 (other version); "
                ),
            ),
            (
                {"cuda_version": "cu118"},
                (
                    "the catalog has no pytorch training image for 2.3 gpu cu118\n"
                    "  -> the nearest are: 2.3.0 gpu py311 cu121 (other CUDA); "
                ),
            ),
            (
                {"py_version": "py38"},
                (
                    "the catalog has no pytorch training image for 2.3 gpu py38\n"
                    "  -> the nearest are: 2.3.0 gpu py311 cu121 (other Python); "
                ),
            ),
            (
                {"architecture": "arm64", "processor": "cpu"},
                (
                    "the catalog has no pytorch training image for 2.3 cpu arm64\n"
                    "  -> the nearest are: 2.3.0 cpu py311 (other architecture); "
                ),
            ),
            (
                {"version": "2.7", "image_scope": "inference"},
                (
                    "the catalog has no pytorch inference image for 2.7 gpu\n"
                    "  -> the nearest are: 2.6.0 gpu py312 cu124 (other version); "
                ),
            ),
        ],
    )
    def test_what_is_not_there_names_the_nearest(self, changes, message):
        with pytest.raises(ImageNotInCatalogError) as caught:
            find_base(replace(SPEC, **changes), CATALOG)
        assert str(caught.value).startswith(message)

    def test_scope_without_images(self):
        with pytest.raises(ImageNotInCatalogError, match=r"AWS has pytorch for inference only"):
            find_base(SPEC, catalog_of(image("2.6.0", "inference")))

    @given(
        st.text(max_size=8) | st.text(alphabet="12.³²x", max_size=6),
        st.none() | st.text(max_size=5),
        st.none() | st.text(max_size=5),
    )
    def test_any_version_is_found_or_a_clear_error(self, version, python, cuda):
        with suppress(ImageNotInCatalogError):
            base = find_base(replace(SPEC, version=version, py_version=python, cuda_version=cuda), CATALOG)
            assert not version or base.version.startswith(version)


class TestKinds:
    """Scope and processor that nobody named."""

    def test_training_and_cpu_come_first(self):
        base = find_base(ImageSpec(framework="pytorch", version="2.3", image_scope=None, processor=None), CATALOG)
        assert (base.image_scope, base.processor) == ("training", "cpu")

    def test_what_else_there_is_otherwise(self):
        only = image("1.0", "inference", framework="mine", processor="gpu", cuda_version="cu130")
        spec = ImageSpec(framework="mine", image_scope=None, processor=None)
        assert find_base(spec, catalog_of(only)) == only

    def test_python_that_aws_does_not_tell_fits_every_python_3(self):
        told = image("1.0", py_version="py3")
        for known in (told, replace(told, py_version=None)):
            assert find_base(ImageSpec(framework="pytorch", py_version="py39"), catalog_of(known)) == known
        with pytest.raises(ImageNotInCatalogError, match="other Python"):
            find_base(ImageSpec(framework="pytorch", py_version="py27"), catalog_of(told))

    def test_pytorch_comes_before_tensorflow_and_either_can_be_named(self):
        on_torch = image("4.28.1", framework="huggingface", base_framework="pytorch", base_framework_version="2.0.0")
        on_tf = replace(on_torch, base_framework="tensorflow", base_framework_version="2.11.0", tag="tf")
        catalog, spec = catalog_of(on_tf, on_torch), ImageSpec(framework="huggingface")
        assert find_base(spec, catalog) == on_torch
        assert find_base(replace(spec, base_framework="tensorflow"), catalog) == on_tf
        assert find_base(replace(spec, base_framework_version="2.11"), catalog) == on_tf
        with pytest.raises(ImageNotInCatalogError, match=r"for on pytorch2\.1 cpu\n.*other base framework"):
            find_base(replace(spec, base_framework="pytorch", base_framework_version="2.1"), catalog)

    def test_ending_of_the_tag_tells_equal_images_apart_at_a_dash_only(self):
        old = image("1.6.0", tag="1.6.0-cpu-py36-ubuntu16.04")
        new = replace(old, tag="1.6.0-cpu-py36-ubuntu18.04")
        catalog = catalog_of(new, old)
        assert find_base(ImageSpec(framework="pytorch", container_version="ubuntu16.04"), catalog) == old
        assert find_base(ImageSpec(framework="pytorch", container_version=old.tag), catalog) == old
        with pytest.raises(ImageNotInCatalogError, match=r"…-16\.04\n.*other ending of the tag"):
            find_base(ImageSpec(framework="pytorch", container_version="16.04"), catalog)

    def test_newest_neuron_sdk_unless_one_is_named(self):
        old = image("2.1.0", processor="neuronx", sdk_version="2.18.2", tag="old")
        new = replace(old, sdk_version="2.20.0", tag="new")
        spec = ImageSpec(framework="pytorch", processor="neuronx")
        assert find_base(spec, catalog_of(old, new)) == new
        assert find_base(replace(spec, sdk_version="2.18"), catalog_of(old, new)) == old

    def test_other_names_of_a_framework(self):
        catalog = replace(CATALOG, framework_aliases={"torch": "pytorch"})
        assert find_base(ImageSpec(framework="torch", version="2.3"), catalog).framework == "pytorch"
        with pytest.raises(ImageNotInCatalogError, match="did you mean torch"):
            find_base(ImageSpec(framework="torhc"), catalog)

    def test_versions_with_a_build_number_are_found_without_it(self):
        known = [image(version, framework="xgboost") for version in ("1.7-1", "3.0-5", "1.5-1")]
        assert find_base(ImageSpec(framework="xgboost", version="1.7"), catalog_of(*known)).version == "1.7-1"
        assert find_base(ImageSpec(framework="xgboost"), catalog_of(*known)).version == "3.0-5"


class TestPair:
    """AWS's training images are ahead of those for inference."""

    CATALOG = catalog_of(
        image("2.5.1", "inference", py_version="py311"),
        image("2.6.0"),
        image("2.6.0", "inference"),
        image("2.8.0", py_version="py313"),
    )

    def pair(self, version, serving_version, **changes):
        spec = replace(ImageSpec(framework="pytorch", version=version), **changes)
        trained = find_base(spec, self.CATALOG)
        return serving_pair(with_scope(spec, "inference", "ml.m5.xlarge"), trained, self.CATALOG, serving_version)

    @pytest.mark.parametrize("serving_version", ["same", "nearest"])
    def test_the_version_trained_with_serves_where_there_is_one(self, serving_version):
        pair = self.pair("2.6", serving_version)
        assert pair.spec.version == "2.6.0"
        assert pair.reason == "serves pytorch 2.6.0: the version that is trained with"

    def test_another_version_never_serves_unasked(self):
        with pytest.raises(ImageNotInCatalogError) as caught:
            self.pair("2.8", "same")
        assert str(caught.value) == (
            "AWS has no inference image of pytorch 2.8.0 for 2.8.0 cpu; "
            "the newest that is not newer is 2.6.0 cpu py312\n"
            "  -> train with 2.6.0, or serve with it: serving_version='nearest'"
        )

    def test_nearest_is_the_newest_that_is_not_newer_whatever_its_python(self):
        pair = self.pair("2.8", "nearest", py_version="py313")
        assert (pair.spec.version, pair.spec.py_version) == ("2.6.0", None)
        assert find_base(pair.spec, self.CATALOG).tag == "2.6.0-cpu-py312-ubuntu22.04-sagemaker"
        assert pair.reason == (
            "serves pytorch 2.8.0: AWS has no inference image of it, and 2.6.0 is the newest before it"
        )

    def test_a_version_that_is_named_serves(self):
        pair = self.pair("2.8", "2.5")
        assert find_base(pair.spec, self.CATALOG).version == "2.5.1"
        assert pair.reason == "serves pytorch 2.8.0, because serving_version='2.5' was asked for"

    def test_nothing_older_names_what_there_is(self):
        with pytest.raises(ImageNotInCatalogError, match=r"no pytorch inference image for 2\.6\.0 gpu"):
            serving_pair(
                replace(SPEC, image_scope="inference"), image("2.6.0", processor="gpu"), self.CATALOG, "nearest"
            )

    def test_words_that_mean_nothing(self):
        with pytest.raises(UsageError, match=r"serving_version='latest' cannot be read\n.*'same', 'nearest' or"):
            self.pair("2.6", "latest")

    def test_default_version_has_both_halves(self):
        assert with_defaults(ImageSpec(framework="pytorch"), self.CATALOG).version == "2.6.0"

    def test_default_version_is_not_one_that_only_another_processor_serves(self):
        neuron = image("2.8.0", "inference", processor="neuronx")
        catalog = catalog_of(*self.CATALOG.frameworks["pytorch"].images, neuron)
        assert with_defaults(ImageSpec(framework="pytorch"), catalog).version == "2.6.0"
        trained = replace(neuron, image_scope="training")
        catalog = catalog_of(*catalog.frameworks["pytorch"].images, trained)
        assert with_defaults(ImageSpec(framework="pytorch", processor="neuronx"), catalog).version == "2.8.0"

    def test_without_pairs_there_is_no_default(self):
        spec = ImageSpec(framework="pytorch")
        assert with_defaults(spec, catalog_of(image("2.8.0"))) == spec
