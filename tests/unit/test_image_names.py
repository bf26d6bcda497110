"""Every name leads to one image and back: properties of tags and URIs over the whole catalog."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_custom import image_uris
from sagemaker_custom.catalog import load
from sagemaker_custom.errors import ImageNotInCatalogError, InvalidReferenceError
from sagemaker_custom.extended_tags import LONGEST_TAG, extended_tag, read_extended_tag
from sagemaker_custom.plan import MirrorPolicy, RegistryTarget, make_plan
from sagemaker_custom.resolve import resolve
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import ImageSpec, normalise_extras, parse_extra

CATALOG = load()
IMAGES = [image for framework in CATALOG.frameworks.values() for image in framework.images]
ACCOUNT = "123456789012"
EXTRAS = ["pip:Umap_Learn>=0.5,<1", "pip:lightning", "apt:libgl1", "pip:a[x,y]==1.0", "apt:git", "pip:zarr"]
OTHER_SPELLINGS = {
    "pip:Umap_Learn>=0.5,<1": "pip: umap.learn <1, >=0.5",
    "pip:lightning": "pip:Lightning ",
    "pip:a[x,y]==1.0": "pip:A[y, X] == 1.0",
    "pip:zarr": "pip:ZARR",
}
SAID = (
    *("framework", "version", "image_scope", "processor", "architecture", "py_version", "cuda_version"),
    *("base_framework", "base_framework_version", "sdk_version"),
)

any_image = st.sampled_from(IMAGES)
some_extras = st.lists(st.sampled_from(EXTRAS), min_size=1, unique=True)


def spec_of(image, extras=()):
    return ImageSpec(
        framework=image.framework,
        version=image.version,
        py_version=image.py_version,
        image_scope=image.image_scope,
        processor=image.processor,
        architecture=image.architecture,
        cuda_version=image.cuda_version,
        base_framework=image.base_framework,
        base_framework_version=image.base_framework_version,
        sdk_version=image.sdk_version,
        container_version=image.tag,
        extras=normalise_extras(parse_extra(text) for text in extras),
    )


def plan(spec, **changes):
    base = resolve(spec, CATALOG).base
    return make_plan(
        spec,
        resolve(spec, CATALOG),
        partitions=CATALOG.partitions,
        target=RegistryTarget(account=ACCOUNT),
        **{
            "region": min(CATALOG.partitions.accounts[base.accounts]),
            "repository_prefix": "sagemaker-custom",
        }
        | changes,
    )


@given(any_image, st.permutations(EXTRAS), st.permutations(EXTRAS))
def test_order_and_spelling_of_extras_never_change_the_tag(image, some, others):
    spelled = [OTHER_SPELLINGS.get(text, text) for text in others]
    assert plan(spec_of(image, some)).reference == plan(spec_of(image, spelled)).reference


@given(any_image, some_extras, any_image, some_extras)
@settings(max_examples=300)
def test_unequal_specs_never_share_a_tag(image, extras, other_image, other_extras):
    one, other = plan(spec_of(image, extras)), plan(spec_of(other_image, other_extras))
    assert (one.reference.tag == other.reference.tag) == (one.document == other.document)
    assert (one.document == other.document) == (one.spec == other.spec)


@given(any_image, st.sampled_from(sorted(CATALOG.partitions.regions)))
def test_region_and_account_never_change_the_tag(image, region):
    spec = spec_of(image, ["pip:lightning"])
    if region in CATALOG.partitions.accounts[image.accounts]:
        assert plan(spec, region=region).reference.tag == plan(spec).reference.tag


@given(any_image, some_extras)
def test_every_extended_uri_parses_back(image, extras):
    made = plan(spec_of(image, extras))
    parsed = image_uris.parse(str(made.reference), settings=Settings())
    for field in SAID:
        # A tag cannot hold the "+" of a local version.
        value = getattr(image, field)
        assert getattr(parsed, field) == (value and value.replace("+", "_"))
    assert made.fingerprint.startswith(parsed.fingerprint)
    assert len(made.reference.tag) <= LONGEST_TAG


@given(any_image)
def test_every_uri_of_aws_parses_back(image):
    uri = str(plan(spec_of(image)).reference)
    parsed = image_uris.parse(uri, settings=Settings())
    assert str(parsed.reference) == uri
    assert (parsed.framework, parsed.version, parsed.fingerprint) == (image.framework, image.version, None)


@given(any_image)
def test_every_mirrored_uri_parses_back(image):
    regions = sorted(CATALOG.partitions.accounts[image.accounts])
    mirror = MirrorPolicy(source_region=regions[0], when="always")
    made = plan(
        spec_of(image), region="ap-northeast-3" if regions[0] != "ap-northeast-3" else "us-east-1", mirror=mirror
    )
    assert made.mirror_of == CATALOG.partitions.reference(image, regions[0])
    parsed = image_uris.parse(str(made.reference), settings=Settings())
    assert (parsed.framework, parsed.version) == (image.framework, image.version)
    assert parsed.image_scope == image.image_scope


def test_a_fresh_build_keeps_what_its_tag_says():
    image = next(image for image in IMAGES if image.tag.startswith("2.3.0-gpu"))
    tag = extended_tag(image, (), "ab" * 32, "20261121T101500Z-1f2e")
    said = read_extended_tag(tag)
    assert (said.version, said.fingerprint, said.revision) == ("2.3.0", "ab" * 10, "20261121T101500Z-1f2e")


def test_names_that_are_long_are_cut_off_before_the_fingerprint():
    image = next(image for image in IMAGES if image.tag.startswith("2.3.0-gpu"))
    extras = normalise_extras(parse_extra(f"pip:package-number-{number}") for number in range(40))
    tag = extended_tag(image, extras, "ab" * 32)
    assert len(tag) <= LONGEST_TAG
    assert tag.endswith("-" + "ab" * 10)
    assert read_extended_tag(tag).version == "2.3.0"


@pytest.mark.parametrize("tag", ["latest", "2.3.0-training-gpu", "2.3.0-training-gpu-py311-abc", "2.3-gpu-py311"])
def test_other_tags_are_not_ours(tag):
    assert read_extended_tag(tag) is None


def test_uris_that_name_nothing_known_are_told_so():
    with pytest.raises(ImageNotInCatalogError, match="neither an image of the catalog nor an extended one"):
        image_uris.parse(
            f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:mine", settings=Settings()
        )
    with pytest.raises(InvalidReferenceError):
        image_uris.parse("not an image", settings=Settings())


def test_another_prefix_is_read_by_its_settings():
    image = next(image for image in IMAGES if image.tag.startswith("2.3.0-gpu"))
    made = plan(spec_of(image, ["pip:a"]), repository_prefix="team/sagemaker-ml")
    assert image_uris.parse(str(made.reference), settings=Settings(repository_prefix="team/sagemaker-ml")) == replace(
        image_uris.parse(str(plan(spec_of(image, ["pip:a"])).reference), settings=Settings()),
        reference=made.reference,
    )
