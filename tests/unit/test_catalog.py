"""The documents of the catalog: those that are shipped, and malformed ones."""

from __future__ import annotations

import importlib.util
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from sagemaker_custom.catalog import Catalog, load, shipped, validate
from sagemaker_custom.catalog.images import read_framework, read_partitions
from sagemaker_custom.errors import CatalogError, ImageNotInCatalogError
from sagemaker_custom.resolve import NeedsBuild, resolve

DATA = resources.files("sagemaker_custom.image_catalog")
CATALOG = load()
IMAGES = CATALOG.frameworks["pytorch"].images
PLAIN = [image for image in IMAGES if image.processor in ("cpu", "gpu") and image.architecture == "x86_64"]
DLC = next(image for image in IMAGES if image.accounts == "dlc")
TOOLS = Path(__file__).parents[2] / "tools"

IMAGE = {
    "version": "2.3.0",
    "image_scope": "training",
    "processor": "gpu",
    "architecture": "x86_64",
    "py_version": "py311",
    "cuda_version": "cu121",
    "os": "ubuntu20.04",
    "repository": "pytorch-training",
    "tag": "2.3.0-gpu-py311-cu121-ubuntu20.04-sagemaker",
    "accounts": "dlc",
    "layout": "conda",
}
PARTITIONS = {
    "partitions": {"aws": {"dns_suffix": "amazonaws.com", "region_regex": r"^us\-\w+\-\d+$"}},
    "regions": {"us-east-1": "aws", "us-west-2": "aws"},
    "account_sets": {"dlc": {"us-east-1": "763104351884"}},
}


def document(*images, **changes):
    return {"schema_version": 1, "framework": "pytorch", "images": list(images)} | changes


def loaded(tool):
    spec = importlib.util.spec_from_file_location(tool, TOOLS / f"{tool}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestShipped:
    @pytest.mark.parametrize(
        ("version", "layout", "manager", "python"),
        [
            ("1.9.0", "conda", "apt", "/opt/conda/bin/python"),
            ("2.5.1", "conda", "apt", "/opt/conda/bin/python"),
            ("2.6.0", "usrlocal", "apt", "/usr/local/bin/python"),
            ("2.10.0", "usrlocal", "apt", "/usr/local/bin/python"),
            ("2.11.0", "venv", "dnf", "/opt/venv/bin/python"),
        ],
    )
    def test_how_python_got_into_the_images(self, version, layout, manager, python):
        images = [image for image in PLAIN if image.version == version]
        assert images
        assert {(image.layout, image.package_manager, image.python) for image in images} == {(layout, manager, python)}
        assert {image.has_conda for image in images} == {layout == "conda"}

    def test_newest_versions_of_pytorch(self):
        newest = {scope: max(i.release for i in PLAIN if i.image_scope == scope) for scope in ("training", "inference")}
        assert newest == {"training": Version("2.14.0"), "inference": Version("2.6.0")}

    def test_every_document_can_be_read_and_is_sound(self):
        CATALOG.read()
        assert validate(shipped(), resolve=resolve) == ()

    @pytest.mark.parametrize("name", sorted(CATALOG.images))
    def test_every_image_of_a_named_image_resolves(self, name):
        specs = CATALOG.images[name].specs()
        assert specs
        for spec in specs:
            assert isinstance(resolve(spec, CATALOG), NeedsBuild)

    def test_schemas_are_those_of_the_models(self):
        writer = loaded("write_schemas")
        found = {file.name: file.read_text("utf-8") for file in (DATA / "schemas").iterdir()}
        assert found == writer.texts(), "run tools/write_schemas.py"

    @pytest.mark.parametrize(("folder", "schema"), [("images", "named_image"), ("extras", "recipe")])
    def test_documents_name_their_schema_for_editors(self, folder, schema):
        first = {file.read_text("utf-8").splitlines()[0] for file in (DATA / folder).iterdir()}
        assert first == {f"# yaml-language-server: $schema=../schemas/{schema}.schema.json"}

    def test_catalog_is_read_once(self):
        assert load() is CATALOG


class TestPlaces:
    @pytest.mark.parametrize(
        ("region", "host"),
        [
            ("us-east-1", "763104351884.dkr.ecr.us-east-1.amazonaws.com"),
            ("cn-north-1", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn"),
            ("cn-northwest-1", "727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn"),
            ("us-gov-west-1", "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com"),
            ("us-iso-east-1", "886529160074.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
        ],
    )
    def test_where_aws_publishes(self, region, host):
        assert CATALOG.partitions.reference(DLC, region).registry == host

    def test_every_region_has_a_suffix(self):
        suffixes = {region: CATALOG.partitions.dns_suffix(region) for region in CATALOG.partitions.regions}
        assert suffixes["eusc-de-east-1"] == "amazonaws.eu"
        assert all(image.accounts in CATALOG.partitions.accounts for image in IMAGES)

    def test_region_that_is_newer_than_the_catalog(self):
        assert CATALOG.partitions.registry_host("123456789012", "ap-middle-7").endswith(".amazonaws.com")
        assert CATALOG.partitions.registry_host("123456789012", "cn-south-9").endswith(".amazonaws.com.cn")

    def test_unknown_region_names_the_nearest(self):
        with pytest.raises(ImageNotInCatalogError) as caught:
            CATALOG.partitions.dns_suffix("us-east1")
        assert str(caught.value).startswith("there is no AWS region 'us-east1'\n  -> did you mean us-east-1")
        with pytest.raises(ImageNotInCatalogError, match="write for example 'us-east-1'"):
            CATALOG.partitions.reference(DLC, "???")

    def test_region_without_the_images(self):
        catalog = Catalog.from_documents(
            frameworks={"frameworks/pytorch.json": document(IMAGE)}, recipes={}, partitions=PARTITIONS
        )
        with pytest.raises(ImageNotInCatalogError) as caught:
            catalog.partitions.reference(catalog.frameworks["pytorch"].images[0], "us-west-2")
        assert str(caught.value) == "AWS does not publish pytorch-training in us-west-2\n  -> it is in us-east-1"


class TestMalformed:
    def test_newer_schema_is_its_own_error(self):
        with pytest.raises(CatalogError) as caught:
            read_framework(document(schema_version=2), "frameworks/pytorch.json")
        assert str(caught.value).startswith(
            "frameworks/pytorch.json: schema_version is 2, this release reads 1\n  -> update"
        )

    def test_every_bad_image_is_told(self):
        without_tag = {key: value for key, value in IMAGE.items() if key != "tag"}
        bad = [
            IMAGE | {"colour": "red"},
            IMAGE | {"processor": "tpu"},
            IMAGE,
            IMAGE | {"layout": "nix"},
            IMAGE | {"py_version": "3.11"},
            IMAGE | {"cuda_version": "12.1"},
            without_tag,
            7,
        ]
        with pytest.raises(CatalogError) as caught:
            read_framework(document(*bad), "frameworks/pytorch.json")
        lines = caught.value.message.splitlines()
        assert [line.split(":")[1].strip() for line in lines] == [f"images[{n}]" for n in (0, 1, 3, 4, 5, 6, 7)]
        assert "'colour'" in lines[0]
        assert "processor 'tpu' is none of cpu, gpu" in lines[1]
        assert "layout 'nix' is none of conda, usrlocal, venv" in lines[2]
        assert "'tag'" in lines[5]

    @pytest.mark.parametrize("key", ["partitions", "regions", "account_sets"])
    def test_partitions_without_a_part(self, key):
        with pytest.raises(CatalogError, match=rf"partitions.json: '{key}'"):
            read_partitions({name: value for name, value in PARTITIONS.items() if name != key})

    def test_partition_with_a_bad_pattern(self):
        bad = {"partitions": {"aws": {"dns_suffix": "x", "region_regex": "("}}}
        with pytest.raises(CatalogError, match=r"partitions.json: "):
            read_partitions(PARTITIONS | bad)

    @pytest.mark.parametrize("bad", [None, [], "x", {"schema_version": 1, "images": []}, document(images=7)])
    def test_framework_that_is_something_else(self, bad):
        with pytest.raises(CatalogError, match=r"frameworks/pytorch.json"):
            Catalog.from_documents(frameworks={"frameworks/pytorch.json": bad}, recipes={}, partitions=PARTITIONS)

    def test_image_of_unknown_accounts(self):
        bad = document(IMAGE | {"accounts": "mine"})
        with pytest.raises(CatalogError, match=r"frameworks/pytorch.json: .*there are no accounts 'mine'"):
            Catalog.from_documents(frameworks={"frameworks/pytorch.json": bad}, recipes={}, partitions=PARTITIONS)

    @given(
        st.fixed_dictionaries(
            {"schema_version": st.just(1), "framework": st.just("a")},
            optional={
                "images": st.lists(st.dictionaries(st.sampled_from([*IMAGE]), st.none() | st.integers() | st.text()))
            },
        )
    )
    def test_any_document_is_read_or_a_clear_error(self, anything):
        try:
            assert read_framework(anything, "a.json").images == ()
        except CatalogError:
            assert anything["images"]
