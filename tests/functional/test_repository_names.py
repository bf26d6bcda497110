"""The SDK's own parser does not take an extended image for one of AWS's."""

from __future__ import annotations

import pytest

from sagemaker_custom.catalog import load
from sagemaker_custom.plan import RegistryTarget, make_plan
from sagemaker_custom.resolve import resolve
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import ImageSpec, PipExtra


def extended(image, prefix):
    spec = ImageSpec(
        framework=image.framework,
        version=image.version,
        py_version=image.py_version,
        image_scope=image.image_scope,
        processor=image.processor,
        architecture=image.architecture,
        cuda_version=image.cuda_version,
        sdk_version=image.sdk_version,
        container_version=image.tag,
        extras=(PipExtra(requirement="zarr"),),
    )
    catalog = load()
    return make_plan(
        spec,
        resolve(spec, catalog),
        partitions=catalog.partitions,
        region="us-east-1",
        target=RegistryTarget(account="123456789012"),
        repository_prefix=prefix,
    )


@pytest.mark.parametrize(
    "prefix", [Settings().repository_prefix, "sagemaker/team", "team/my-sagemaker", "my-sagemaker"]
)
def test_extended_images_are_no_stock_images(prefix):
    from sagemaker.fw_utils import framework_name_from_image

    for image in load().frameworks["pytorch"].images:
        made = extended(image, prefix)
        assert framework_name_from_image(str(made.reference)) == (None, None, None, None)


@pytest.mark.parametrize("prefix", ["sagemaker", "sagemaker-rl", "team/sagemaker"])
def test_prefixes_that_settings_refuse_would_be_taken_for_stock_images(prefix):
    from sagemaker.fw_utils import framework_name_from_image

    image = next(
        image
        for image in load().frameworks["pytorch"].images
        if image.processor in ("cpu", "gpu") and image.release.major >= 2
    )
    assert framework_name_from_image(str(extended(image, prefix).reference))[0] == "pytorch"
