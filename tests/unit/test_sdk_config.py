"""The SDK's configuration, read as files: every shape of document that it has, and how it joins our catalog."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sagemaker_custom.catalog import Catalog
from sagemaker_custom.catalog.images import BaseImage, Framework, read_partitions
from sagemaker_custom.catalog.sdk_config import SdkConfig, extended, names, sdk_framework, sdk_in, with_sdk
from sagemaker_custom.catalog.sdk_images import read_sdk_documents

ACCOUNTS = {"us-east-1": "763104351884", "cn-north-1": "727897471807"}
SDK = "sagemaker 2.257.7"


def read(config, document, framework=None):
    return read_sdk_documents(framework or config, {config: document}, origin=SDK)


def leaf(repository, **more):
    return {"registries": ACCOUNTS, "repository": repository, **more}


def only(images):
    (image,) = images
    return image


def tags(read):
    return sorted({image.tag for image in read.images})


class TestDocuments:
    def test_tag_is_version_processor_and_python(self):
        document = {
            "training": {
                "processors": ["cpu", "gpu"],
                "version_aliases": {"2.8": "2.8.0"},
                "versions": {"2.8.0": leaf("pytorch-training", py_versions=["py312"])},
            }
        }
        found = read("pytorch", document)
        cpu, gpu = found.images
        assert (cpu.tag, gpu.tag) == ("2.8.0-cpu-py312", "2.8.0-gpu-py312")
        assert (gpu.framework, gpu.version, gpu.image_scope, gpu.processor) == ("pytorch", "2.8.0", "training", "gpu")
        assert (gpu.py_version, gpu.repository, gpu.origin) == ("py312", "pytorch-training", SDK)
        assert (gpu.os, gpu.layout, gpu.cuda_version) == (None, None, None)
        assert found.accounts[gpu.accounts] == ACCOUNTS

    def test_what_a_tag_says_of_system_and_cuda_is_taken_from_it(self):
        entry = leaf(
            "huggingface-pytorch-tgi-inference",
            tag_prefix="2.7.0-tgi3.3.6",
            py_versions=["py311"],
            container_version={"gpu": "cu124-ubuntu22.04"},
        )
        image = only(
            read("huggingface-llm", {"inference": {"processors": ["gpu"], "versions": {"3.3.6": entry}}}).images
        )
        assert image.tag == "2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04"
        assert (image.cuda_version, image.os, image.version) == ("cu124", "ubuntu22.04", "3.3.6")

    def test_base_framework_is_a_level_of_its_own(self):
        entry = leaf("huggingface-pytorch-training", py_versions=["py312"], container_version={"gpu": "cu129-ubuntu22"})
        version = {"version_aliases": {"pytorch2.8": "pytorch2.8.0"}, "pytorch2.8.0": entry}
        document = {"training": {"processors": ["gpu"], "versions": {"4.56.2": version}}}
        image = only(read("huggingface", document).images)
        assert image.tag == "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22"
        assert (image.base_framework, image.base_framework_version) == ("pytorch", "2.8.0")

    def test_python_can_be_a_level_of_its_own(self):
        version = {"py2": leaf("sagemaker-tensorflow-scriptmode"), "py3": leaf("tensorflow-training")}
        document = {"training": {"processors": ["cpu"], "versions": {"1.13.1": version}}}
        found = read("tensorflow", document)
        assert [(image.repository, image.tag) for image in found.images] == [
            ("sagemaker-tensorflow-scriptmode", "1.13.1-cpu-py2"),
            ("tensorflow-training", "1.13.1-cpu-py3"),
        ]

    def test_document_without_processors_is_for_any(self):
        found = read("pca", {"scope": ["inference", "training"], "versions": {"1": leaf("pca")}})
        assert tags(found) == ["1"]
        assert {(image.image_scope, image.processor) for image in found.images} == {
            ("inference", "cpu"),
            ("inference", "gpu"),
            ("training", "cpu"),
            ("training", "gpu"),
        }

    @pytest.mark.parametrize(
        ("tag", "processor"), [("0.38.0-lmi29.0.0-cu130", "gpu"), ("0.29.0-neuronx-sdk2.19.1", "neuronx")]
    )
    def test_document_without_processors_whose_tag_names_one(self, tag, processor):
        found = read("djl", {"scope": ["inference"], "versions": {"0.1": leaf("djl-inference", tag_prefix=tag)}})
        assert only(found.images).processor == processor

    def test_elastic_inference_is_a_processor(self):
        document = {"eia": {"processors": ["cpu"], "versions": {"1.5.1": leaf("pytorch-inference-eia")}}}
        image = only(read("pytorch", document).images)
        assert (image.image_scope, image.processor, image.tag) == ("inference", "eia", "1.5.1-cpu")

    def test_graviton_is_an_architecture(self):
        entry = leaf("pytorch-inference-graviton", py_versions=["py311"], container_version={"cpu": "ubuntu22.04"})
        document = {"inference_graviton": {"processors": ["cpu"], "versions": {"2.4.0": entry}}}
        image = only(read("pytorch", document).images)
        assert (image.image_scope, image.architecture) == ("inference", "arm64")
        assert image.tag == "2.4.0-cpu-py311-ubuntu22.04-sagemaker"

    @pytest.mark.parametrize(
        ("more", "tag"),
        [({}, "1.5-1-arm64"), ({"processors": ["cpu"], "py_versions": ["py3"]}, "1.5-1-arm64-cpu-py3")],
    )
    def test_graviton_of_the_algorithms_says_its_architecture(self, more, tag):
        document = {"inference_graviton": {"versions": {"1.5-1": leaf("sagemaker-xgboost", **more)}}}
        assert only(read("xgboost", document).images).tag == tag

    def test_newest_neuron_sdk_is_in_the_tag(self):
        entry = leaf(
            "huggingface-pytorch-inference-neuronx",
            py_versions=["py310"],
            container_version={"inf": "ubuntu22.04"},
            sdk_versions=["sdk2.9.1", "sdk2.24.1"],
        )
        document = {"inference": {"processors": ["inf"], "versions": {"4.51.3": {"pytorch2.7.1": entry}}}}
        image = only(read("huggingface-neuronx", document, "huggingface").images)
        assert image.tag == "2.7.1-transformers4.51.3-neuronx-py310-sdk2.24.1-ubuntu22.04"
        assert (image.processor, image.sdk_version) == ("neuronx", "2.24.1")

    def test_training_on_the_first_trainium_says_neuron(self):
        entry = leaf("pytorch-training-neuron", py_versions=["py38"], container_version={"trn": "ubuntu20.04"})
        document = {"training": {"processors": ["trn"], "versions": {"1.11.0": entry}}}
        image = only(read("pytorch-neuron", document, "pytorch").images)
        assert (image.tag, image.processor) == ("1.11.0-neuron-py38-ubuntu20.04", "neuronx")

    def test_processor_that_is_not_in_the_tag(self):
        entry = leaf(
            "pytorch",
            tag_prefix="2.14",
            processor_in_tag=False,
            container_version={"cpu": "cpu-amzn2023-sagemaker", "gpu": "cu133-amzn2023-sagemaker"},
        )
        found = read("pytorch-amzn2023", {"training": {"processors": ["cpu", "gpu"], "versions": {"2.14": entry}}})
        assert tags(found) == ["2.14-cpu-amzn2023-sagemaker", "2.14-cu133-amzn2023-sagemaker"]
        assert [(image.processor, image.cuda_version) for image in found.images] == [("cpu", None), ("gpu", "cu133")]

    def test_triton_says_the_processor_only_when_it_is_the_cpu(self):
        entry = leaf("sagemaker-tritonserver", tag_prefix="25.09-py3")
        document = {"scope": ["inference"], "processors": ["cpu", "gpu"], "versions": {"25.09": entry}}
        assert [image.tag for image in read("sagemaker-tritonserver", document).images] == [
            "25.09-py3-cpu",
            "25.09-py3",
        ]

    def test_uri_without_a_tag_means_latest(self):
        found = read("model-monitor", {"scope": ["monitoring"], "versions": {"": leaf("analyzer")}})
        assert {(image.tag, image.version, image.image_scope) for image in found.images} == {
            ("latest", "latest", "processing")
        }

    def test_python_in_the_name_of_the_repository(self):
        found = read("sagemaker-base-python", {"versions": {"1.0": leaf("sagemaker-base-python")}})
        assert {(image.repository, image.tag, image.py_version) for image in found.images} == {
            ("sagemaker-base-python-310", "1.0", "py310"),
            ("sagemaker-base-python-38", "1.0", "py38"),
        }

    def test_only_aliases_that_do_not_mean_the_newest_are_kept(self):
        versions = {"2.6.0": leaf("a"), "2.6.1": leaf("a"), "2.5.1": leaf("a"), "2.7.0": leaf("a", tag_prefix="2.7-x")}
        aliases = {"2.5": "2.5.1", "2.6": "2.6.0", "latest": "2.7.0"}
        found = read("a", {"scope": ["training"], "version_aliases": aliases, "versions": versions})
        assert found.version_aliases == {"2.6": "2.6.0", "latest": "2.7.0"}

    def test_alias_that_the_sdk_makes_a_tag_of_is_an_image_of_its_own(self):
        aliases = {"2.3.1": "2.5.0", "2.5.0": "2.5.0", "2.5": "2.5.0"}
        found = read("smp", {"scope": ["training"], "version_aliases": aliases, "versions": {"2.5.0": leaf("smp")}})
        assert tags(found) == ["2.3.1", "2.5.0"]
        assert found.version_aliases == {}

    def test_versions_with_the_same_accounts_share_a_set(self):
        other = {"registries": {"us-east-1": "520713654638"}, "repository": "sagemaker-a"}
        document = {"scope": ["training"], "versions": {"1": other, "2": leaf("a"), "3": leaf("a")}}
        found = read("a", document)
        assert len(found.accounts) == 2
        assert {image.version: found.accounts[image.accounts]["us-east-1"] for image in found.images} == {
            "1": "520713654638",
            "2": "763104351884",
            "3": "763104351884",
        }


@pytest.fixture
def sdk(tmp_path):
    folder = tmp_path / "sagemaker" / "image_uri_config"
    folder.mkdir(parents=True)
    pytorch = {
        "training": {
            "processors": ["cpu"],
            "version_aliases": {"2": "2.7.0"},
            "versions": {v: leaf("pytorch-training", py_versions=["py312"]) for v in ("2.7.0", "2.8.0")},
        }
    }
    neuron = {"training": {"processors": ["trn"], "versions": {"1.11.0": leaf("pytorch-training-neuron")}}}
    documents = {
        "pytorch": pytorch,
        "pytorch-neuron": neuron,
        "pca": {"scope": ["training"], "versions": {"1": leaf("pca")}},
        "instance_gpu_info": {"us-east-1": {"ml.p3.2xlarge": {"Count": 1}}},
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    (folder / "broken.json").write_text("{")
    return SdkConfig(folder=folder, version=SDK)


class TestInstalled:
    def test_version_2_has_it_in_the_package(self, sdk):
        assert sdk_in([str(sdk.folder.parent)]).folder == sdk.folder

    def test_version_3_has_it_in_the_core(self, tmp_path):
        folder = tmp_path / "sagemaker" / "core" / "image_uri_config"
        folder.mkdir(parents=True)
        found = sdk_in([str(tmp_path / "elsewhere"), str(tmp_path / "sagemaker")])
        assert found.folder == folder
        assert found.version.startswith("sagemaker-core ")

    def test_no_sdk_is_no_error(self, tmp_path):
        assert sdk_in([str(tmp_path)]) is None

    def test_only_documents_of_images_are_frameworks(self, sdk):
        assert names(sdk) >= {"pytorch", "instance_gpu_info", "broken"}
        assert sdk_framework("instance_gpu_info", sdk) is None
        assert sdk_framework("broken", sdk) is None

    def test_name_that_leads_out_of_the_folder_is_unknown(self, sdk):
        (sdk.folder.parent / "outside.json").write_text(json.dumps({"versions": {"1": leaf("a")}}))
        assert sdk_framework("../outside", sdk) is None

    def test_documents_for_some_processors_belong_to_the_framework(self, sdk):
        found = sdk_framework("pytorch", sdk).framework
        assert {image.repository for image in found.images} == {"pytorch-training", "pytorch-training-neuron"}
        assert {image.framework for image in found.images} == {"pytorch"}


def ours(**values):
    kind = {"framework": "pytorch", "version": "2.7.0", "image_scope": "training", "processor": "cpu"}
    place = {"repository": "pytorch-training", "tag": "full", "accounts": "dlc", "py_version": "py312"}
    return BaseImage(**{**kind, **place, **values})


def framework(*images, name="pytorch", **values):
    return Framework(**{"name": name, "images": images, "version_aliases": {}, **values})


class TestWithSdk:
    def test_ours_wins_and_what_we_lack_is_appended(self, sdk):
        known = framework(ours(), version_aliases={"2": "2.8.0"})
        merged = with_sdk(known, sdk_framework("pytorch", sdk).framework)
        assert merged.images[0] == ours()
        assert [(image.tag, image.origin) for image in merged.images[1:]] == [
            ("2.8.0-cpu-py312", SDK),
            ("1.11.0-neuron", SDK),
        ]
        assert merged.version_aliases == {"2": "2.8.0"}

    def test_framework_that_only_the_sdk_has(self, sdk):
        fallback = sdk_framework("pca", sdk).framework
        assert with_sdk(None, fallback) is fallback

    @pytest.mark.parametrize(
        ("known", "asked"), [("py312", None), (None, "py3"), ("py312", "py3"), ("py3", "py310"), ("py27", "py2")]
    )
    def test_pythons_that_are_the_same_image(self, known, asked):
        merged = with_sdk(framework(ours(py_version=known)), framework(ours(py_version=asked, tag="short")))
        assert len(merged.images) == 1

    @pytest.mark.parametrize(
        "difference",
        [
            {"py_version": "py311"},
            {"version": "2.7.1"},
            {"processor": "gpu"},
            {"image_scope": "inference"},
            {"architecture": "arm64"},
            {"base_framework": "tensorflow", "base_framework_version": "2.6.3"},
            {"sdk_version": "2.9.1"},
        ],
    )
    def test_differences_that_make_another_image(self, difference):
        merged = with_sdk(framework(ours()), framework(ours(tag="short", **difference)))
        assert [image.tag for image in merged.images] == ["full", "short"]

    def test_versions_are_compared_as_numbers(self):
        assert len(with_sdk(framework(ours(version="2.14.0")), framework(ours(version="2.14"))).images) == 1

    def test_short_version_of_one_of_ours_is_no_image_of_its_own(self):
        known = framework(ours(version="2.12.1"))
        assert with_sdk(known, framework(ours(version="2.12", tag="2.12"))).images == known.images
        elsewhere = framework(ours(version="2.12", tag="2.12", repository="other"))
        assert len(with_sdk(known, elsewhere).images) == 2

    def test_base_framework_that_the_sdk_does_not_tell_can_be_any(self):
        known = framework(ours(base_framework="pytorch", base_framework_version="2.7.0"))
        assert with_sdk(known, framework(ours(tag="short"))).images == known.images

    def test_version_that_is_an_alias_with_us_is_no_image(self):
        known = framework(ours(), version_aliases={"latest": "2.7.0"})
        assert with_sdk(known, framework(ours(version="latest", tag="latest"))).images == known.images

    def test_image_for_any_processor_is_not_added_where_we_know_for_which(self):
        known = framework(ours(processor="gpu", py_version=None))
        fallback = framework(*(ours(tag="1", processor=processor) for processor in ("cpu", "gpu")))
        assert with_sdk(known, fallback).images == known.images

    def test_images_take_our_name_of_the_framework(self):
        merged = with_sdk(framework(name="djl"), framework(ours(framework="djl-lmi"), name="djl-lmi"))
        assert merged.images[0].framework == "djl"


@pytest.fixture
def catalog():
    partitions = read_partitions(
        {
            "partitions": {"aws": {"dns_suffix": "amazonaws.com", "region_regex": "us-.*"}},
            "regions": {"us-east-1": "aws"},
            "account_sets": {"dlc": ACCOUNTS},
        }
    )
    return Catalog(
        frameworks={"pytorch": framework(ours()), "other": framework(name="other")},
        framework_aliases={"torch": "pytorch"},
        recipes={},
        partitions=partitions,
    )


class TestExtended:
    def test_images_of_the_sdk_are_where_the_sdk_says(self, catalog, sdk):
        wider = extended(catalog, "pytorch", sdk)
        image = wider.frameworks["pytorch"].images[1]
        assert str(wider.partitions.reference(image, "us-east-1")) == (
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.8.0-cpu-py312"
        )
        assert set(wider.frameworks) == {"pytorch", "other"}
        assert len(wider.frameworks) == 2
        assert wider.frameworks["other"] is catalog.frameworks["other"]

    def test_framework_that_we_lack(self, catalog, sdk):
        wider = extended(catalog, "pca", sdk)
        assert set(wider.frameworks) == {"pytorch", "other", "pca"}
        assert "pca" not in catalog.frameworks

    def test_our_other_name_of_a_framework(self, catalog, sdk):
        assert len(extended(catalog, "torch", sdk).frameworks["pytorch"].images) == 3

    def test_neither_has_it(self, catalog, sdk):
        assert extended(catalog, "tf", sdk) is None

    def test_asked_again_it_is_the_same(self, catalog, sdk):
        assert extended(catalog, "pca", sdk) is extended(catalog, "pca", sdk)
        assert extended(catalog, "pca", sdk) is not extended(replace(catalog), "pca", sdk)
