"""The documents that are shipped: form, order, and that tags say what the entries say."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import defaultdict
from importlib import resources
from pathlib import Path

import pytest

from sagemaker_custom.catalog.images import read_framework, read_partitions, release_of
from sagemaker_custom.catalog.tags import Repository, TagTemplate
from sagemaker_custom.catalog.writing import canonical, framework_document

DATA = resources.files("sagemaker_custom.image_catalog")
WRITER = Path(__file__).parents[2] / "tools" / "write_catalog.py"
NAMES = sorted(file.name.removesuffix(".json") for file in (DATA / "frameworks").iterdir())
FRAMEWORKS = {
    name: read_framework(json.loads((DATA / "frameworks" / f"{name}.json").read_text("utf-8")), name) for name in NAMES
}
ALIASES = json.loads((DATA / "framework_aliases.json").read_text("utf-8"))["aliases"]
PLACES = json.loads((DATA / "partitions.json").read_text("utf-8"))
PARTITIONS = read_partitions(PLACES)
ADDRESS = (
    *("version", "image_scope", "processor", "architecture", "py_version", "cuda_version"),
    *("base_framework", "base_framework_version", "sdk_version"),
)

# Images that differ in nothing that is asked for but the ending of the tag: the first is preferred.
SAME_ADDRESS = [
    ("pytorch", "1.6.0-gpu-py36-cu110-", ["ubuntu16.04", "ubuntu18.04"]),
    ("pytorch", "1.7.1-neuron-py36-", ["ubuntu16.04", "ubuntu18.04"]),
    ("pytorch", "1.9.1-cpu-py38-ubuntu20.04", ["", "-sagemaker"]),
    ("pytorch", "1.9.1-gpu-py38-cu111-ubuntu20.04", ["", "-sagemaker"]),
    ("pytorch", "1.12.1-cpu-py38-ubuntu20.04", ["-sagemaker", ""]),
    ("sklearn", "1.4-2-py312", ["", "-cpu-py3"]),
    ("sklearn", "1.4-2-py312", ["", "-cpu-py3"]),
    ("tensorflow", "2.2.0-cpu-py37-ubuntu18.04", ["", "-v1.0"]),
    ("tensorflow", "2.4.1-cpu-py37-ubuntu18.04", ["", "-v1.0"]),
    ("tensorflow", "2.9.1-cpu-py38-ubuntu20.04", ["-sagemaker", ""]),
    ("tensorflow", "2.13.0-cpu-py310-ubuntu20.04", ["-sagemaker", ""]),
    ("tensorflow", "2.13.0-gpu-py310-cu118-ubuntu20.04", ["-sagemaker", ""]),
]


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("write_catalog", WRITER)
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def says(said, image):
    """Whether an entry has what its tag says, as far as the tag says it in full."""
    known = {name: getattr(image, name) for name in said}
    # PyTorch 2.14 is 2.14.0; and "py3" leaves open which Python 3 it is.
    full = {"version": {image.version, image.version.removesuffix(".0")}, "py_version": {image.py_version, "py3"}}
    return all(text in full.get(name, {known[name]}) for name, text in said.items())


def reads(repository, image):
    place = (repository.repository, repository.accounts, repository.architecture, repository.base_framework)
    if place != (image.repository, image.accounts, image.architecture, image.base_framework):
        return False
    said = repository.read(image.tag)
    return image.image_scope in repository.image_scopes and said is not None and says(said, image)


class TestFrameworks:
    @pytest.mark.parametrize("name", NAMES)
    def test_document_is_in_canonical_form(self, name):
        text = (DATA / "frameworks" / f"{name}.json").read_text("utf-8")
        assert canonical(framework_document(FRAMEWORKS[name])) == text

    @pytest.mark.parametrize("name", NAMES)
    def test_document_has_its_name_images_and_provenance(self, name):
        framework = FRAMEWORKS[name]
        assert framework.name == name
        assert framework.images
        assert framework.provenance.startswith("available_images.md, ")

    @pytest.mark.parametrize("name", NAMES)
    def test_every_tag_is_read_by_one_repository_to_what_its_entry_says(self, name):
        everywhere = [(other.name, place) for other in FRAMEWORKS.values() for place in other.repositories]
        wrong = [
            (image.tag, readers)
            for image in FRAMEWORKS[name].images
            if (readers := [owner for owner, place in everywhere if reads(place, image)]) != [name]
        ]
        assert wrong == []

    @pytest.mark.parametrize("name", NAMES)
    def test_every_form_of_a_tag_is_of_use_and_every_repository_has_images(self, name):
        for place in FRAMEWORKS[name].repositories:
            read = [image for image in FRAMEWORKS[name].images if reads(place, image)]
            assert read, place.repository
            assert {image.image_scope for image in read} == set(place.image_scopes), place.repository

    @pytest.mark.parametrize("name", NAMES)
    def test_images_stand_in_the_order_of_their_versions(self, name):
        images = FRAMEWORKS[name].images
        assert list(images) == sorted(images, key=lambda image: (image.release, image.image_scope, image.processor))

    @pytest.mark.parametrize("name", NAMES)
    def test_no_image_stands_twice(self, name):
        images = FRAMEWORKS[name].images
        identities = {(image.repository, image.tag, image.image_scope, image.processor) for image in images}
        assert len(identities) == len(images)

    @pytest.mark.parametrize("name", NAMES)
    def test_short_versions_stand_for_versions_that_there_are(self, name):
        framework = FRAMEWORKS[name]
        assert set(framework.version_aliases.values()) <= {image.version for image in framework.images}

    def test_images_that_only_the_ending_of_the_tag_tells_apart(self):
        groups = defaultdict(list)
        for framework in FRAMEWORKS.values():
            for image in framework.images:
                groups[(framework.name, *(getattr(image, field) for field in ADDRESS))].append(image.tag)
        found = [(key[0], tags) for key, tags in groups.items() if len(tags) > 1]
        assert found == [(name, [start + end for end in ends]) for name, start, ends in SAME_ADDRESS]

    def test_gpu_images_alone_have_cuda(self):
        images = [image for framework in FRAMEWORKS.values() for image in framework.images]
        assert {image.processor for image in images if image.cuda_version} == {"gpu"}
        assert {image.processor for image in images if image.sdk_version} == {"neuron", "neuronx", "hpu"}

    def test_what_only_the_sdk_knows_is_marked_so(self):
        images = [image for framework in FRAMEWORKS.values() for image in framework.images]
        assert {image.origin for image in images} == {None, "sagemaker 2.257.7 / sagemaker-core 2.27.0"}
        assert {image.tag for image in FRAMEWORKS["pytorch"].images if image.origin and image.release.major >= 2} == {
            "2.14-cpu-amzn2023-sagemaker",
            "2.14-cu133-amzn2023-sagemaker",
        }


class TestKnownImages:
    @pytest.mark.parametrize(
        ("framework", "tag", "fields"),
        [
            ("pytorch", "2.13.0-cu133-amzn2023-sagemaker", {"layout": "venv", "py_version": "py312", "os": "amzn2023"}),
            ("pytorch", "1.13.0-neuron-py38-sdk2.8.0-ubuntu20.04", {"processor": "neuronx", "sdk_version": "2.8.0"}),
            ("pytorch", "1.5.1-cpu-py38-ubuntu20.04", {"processor": "eia", "image_scope": "inference"}),
            ("tensorflow", "2.8.0-hpu-py38-synapseai1.4.1-ubuntu20.04", {"processor": "hpu", "sdk_version": "1.4.1"}),
            (
                "huggingface",
                "2.1.0-transformers4.36.0-gpu-py310-cu121-ubuntu20.04",
                {"version": "4.36.0", "base_framework": "pytorch", "base_framework_version": "2.1.0"},
            ),
            ("huggingface", "1.6.0-transformers4.5.0-gpu-py36", {"layout": "conda"}),
            (
                "huggingface-llm",
                "2.7.0-tgi3.3.6-gpu-py311-cu124-ubuntu22.04",
                {"version": "3.3.6", "base_framework_version": "2.7.0"},
            ),
            (
                "huggingface-llm-neuronx",
                "2.5.1-optimum3.3.4-neuronx-py310-ubuntu22.04",
                {"version": "0.2.0", "processor": "neuronx"},
            ),
            ("huggingface-tei", "2.0.1-tei1.8.2-cpu-py310-ubuntu22.04", {"version": "1.8.2", "repository": "tei-cpu"}),
            ("djl-lmi", "0.36.0-lmi28.0.0-cu130", {"base_framework": "lmi", "base_framework_version": "28.0.0"}),
            ("sagemaker-tritonserver", "25.09-py3-cpu", {"version": "25.09", "processor": "cpu"}),
            (
                "vllm-server",
                "server-sagemaker-cuda-v2.2",
                {"version": "2.2", "base_framework": "vllm", "base_framework_version": "0.26.0"},
            ),
            ("sklearn", "1.2-1-cpu-py3", {"version": "1.2-1", "accounts": "algo"}),
            ("sagemaker-inspect-ai", "latest", {"image_scope": "processing"}),
            ("tensorflow", "2.20.0-gpu-py312", {"layout": None}),
            ("sklearn", "1.9-0", {"layout": "venv"}),
        ],
    )
    def test_fields(self, framework, tag, fields):
        image = next(image for image in FRAMEWORKS[framework].images if image.tag == tag)
        assert {name: getattr(image, name) for name in fields} == fields

    @pytest.mark.parametrize(
        ("framework", "tag", "kinds"),
        [
            ("chainer", "5.0.0-gpu-py3", {("training", "gpu"), ("inference", "gpu")}),
            ("sklearn", "1.4-2-cpu-py3", {("training", "cpu")}),
            ("mxnet", "1.3.0-gpu-py3", {("training", "gpu"), ("inference", "gpu")}),
            ("xgboost", "1.7-1", {(s, p) for s in ("training", "inference") for p in ("cpu", "gpu")}),
            ("sparkml-serving", "3.3", {("inference", "cpu"), ("inference", "gpu")}),
        ],
    )
    def test_one_image_for_several_uses(self, framework, tag, kinds):
        images = [image for image in FRAMEWORKS[framework].images if image.tag == tag]
        assert {(image.image_scope, image.processor) for image in images} == kinds

    def test_training_of_mxnet_14_has_a_serving_image_of_its_own(self):
        images = [image for image in FRAMEWORKS["mxnet"].images if image.repository == "sagemaker-mxnet"]
        assert {image.image_scope for image in images if image.release >= release_of("1.4")} == {"training"}


class TestAliases:
    def test_names_of_frameworks_are_in_canonical_form(self):
        document = {"schema_version": 1, "aliases": dict(sorted(ALIASES.items()))}
        text = (DATA / "framework_aliases.json").read_text("utf-8")
        assert text == json.dumps(document, indent=2) + "\n"

    def test_other_names_stand_for_frameworks_that_there_are(self):
        assert set(ALIASES.values()) <= set(NAMES)
        assert not set(ALIASES) & set(NAMES)


class TestPartitions:
    def test_document_is_in_canonical_form(self, writer, tmp_path):
        copy = tmp_path / "folder" / "partitions.json"
        facts = {
            "partitions": PLACES["partitions"],
            "regions": PLACES["regions"],
            "account_sets": {name: {"regions": regions} for name, regions in PLACES["account_sets"].items()},
        }
        writer.write(copy, writer.partitions_document(facts))
        assert copy.read_text("utf-8") == (DATA / "partitions.json").read_text("utf-8")

    def test_every_partition_has_a_suffix_and_regions_of_its_own(self):
        assert set(PARTITIONS.dns_suffixes) == set(PARTITIONS.patterns)
        assert {"aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"} <= set(PARTITIONS.dns_suffixes)
        for name, suffix in PARTITIONS.dns_suffixes.items():
            assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", suffix)
            assert name in PARTITIONS.regions.values()

    @pytest.mark.parametrize("region", sorted(PARTITIONS.regions))
    def test_one_pattern_fits_a_region(self, region):
        fitting = [name for name, pattern in PARTITIONS.patterns.items() if pattern.fullmatch(region)]
        assert fitting == [PARTITIONS.regions[region]]

    @pytest.mark.parametrize("name", sorted(PARTITIONS.accounts))
    def test_account_sets(self, name):
        accounts = PARTITIONS.accounts[name]
        assert set(accounts) <= set(PARTITIONS.regions)
        assert all(re.fullmatch(r"\d{12}", account) for account in accounts.values())

    def test_images_are_in_account_sets_that_there_are(self):
        used = {image.accounts for framework in FRAMEWORKS.values() for image in framework.images}
        assert used <= set(PARTITIONS.accounts)


ROW = {
    "framework": "pytorch",
    "version": "2.3.0",
    "scope": "training",
    "processor": "gpu",
    "arch": "x86_64",
    "py": "py311",
    "cuda": "cu121",
    "os": "ubuntu20.04",
    "platform": "sagemaker",
    "repo": "pytorch-training",
    "tag": "2.3.0-gpu-py311-cu121-ubuntu20.04-sagemaker",
    "sm_tag": "2.3.0-gpu-py311",
    "transformers": None,
    "extra": None,
    "acct": "dlc",
    "layout": "conda",
    "eop": "2025-04-24",
    "src": "md",
}


class TestWriter:
    def reading(self, writer, **changes):
        (reading,) = writer.read_row(ROW | changes, FRAMEWORKS.values())
        return reading

    def test_row_becomes_an_entry(self, writer):
        (image,) = writer.entries(self.reading(writer))
        assert image in FRAMEWORKS["pytorch"].images

    def test_words_of_the_sdks_configuration_become_those_of_tags(self, writer):
        tgi = {"repo": "huggingface-pytorch-tgi-inference", "tag": "1.13.1-optimum0.0.16-inf2-py310-ubuntu22.04"}
        assert writer.by_its_tag(tgi)["tag"] == "1.13.1-optimum0.0.16-neuronx-py310-ubuntu22.04"
        assert writer.by_its_tag(ROW) is ROW
        assert writer.by_its_tag(ROW | {"tag": "1.11.0-trn-py38-sdk2.4.0-ubuntu20.04"}) is None

    def test_tag_of_no_template_stops_the_tool(self, writer):
        with pytest.raises(SystemExit) as caught:
            self.reading(writer, tag="2.3.0-gpu-py311-new")
        assert str(caught.value) == "pytorch-training:2.3.0-gpu-py311-new (dlc, x86_64) is read by no template"

    def test_tag_of_two_frameworks_stops_the_tool(self, writer):
        both = [
            read_framework(
                {
                    "schema_version": 1,
                    "framework": name,
                    "repositories": [
                        {
                            "repository": "pytorch-training",
                            "accounts": "dlc",
                            "image_scopes": ["training"],
                            "tags": [{"template": "{version}-gpu", "values": {"processor": "gpu"}}],
                        }
                    ],
                },
                name,
            )
            for name in ("one", "other")
        ]
        with pytest.raises(SystemExit) as caught:
            list(writer.read_row(ROW | {"tag": "2.3.0-gpu"}, both))
        assert str(caught.value) == "pytorch-training:2.3.0-gpu (dlc, x86_64) is read by one, other"

    @pytest.mark.parametrize(
        ("column", "value", "tag_says"),
        [("py", "py310", "py311"), ("cuda", "cu118", "cu121"), ("os", "ubuntu22.04", "ubuntu20.04")],
    )
    def test_contradiction_without_a_rule_is_told(self, writer, column, value, tag_says):
        (found,) = writer.contradictions(self.reading(writer, **{column: value}))
        assert found.reason is None
        assert str(found) == (
            f"pytorch-training:{ROW['tag']}: {column}: tag {tag_says}, table {value}: no rule settles this"
        )

    def test_version_that_is_not_the_tags_is_told(self, writer):
        (found,) = writer.contradictions(self.reading(writer, version="2.3.1"))
        assert (found.column, found.tag_says, found.reason) == ("version", "2.3.0", None)

    def test_python_that_a_tag_leaves_open_is_the_tables(self, writer):
        place = Repository(
            repository="sagemaker-scikit-learn",
            accounts="algo",
            image_scopes=("training",),
            tags=(TagTemplate(template="{version}-{processor}-{py_version}"),),
        )
        row = ROW | {"repo": "sagemaker-scikit-learn", "tag": "1.9-0-cpu-py3", "version": "1.9-0"}
        reading = writer.ReadRow(
            row=row | {"py": "py312", "processor": "cpu"},
            framework="sklearn",
            repository=place,
            said=place.read(row["tag"]),
        )
        assert [str(found.reason) for found in writer.contradictions(reading)] == [
            "Python: 'py3' in the tag says less than the table"
        ]
        (image,) = writer.entries(reading)
        assert image.py_version == "py312"
