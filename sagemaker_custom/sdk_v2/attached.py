"""The image of a training job → how the SDK makes the estimator that attaches to it; never AWS's image by accident."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagemaker_custom.image_uris import ParsedImage
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.sdk.attached import JobImage
from sagemaker_custom.sdk.dialect import Dialect

ATTACHED_IMAGE = "attached_image"
"""Argument by which the SDK's ``attach`` hands the image of the job to the constructor."""
# Any account will do: the SDK reads the last part of the name alone, and takes everything else for a user's image.
_AS_THE_SDK_READS = "000000000000.dkr.ecr.us-east-1.amazonaws.com"
_OWN = "an-image-of-the-users-own"
_NO_VERSION = ParsedImage(
    reference=ImageReference(repository="own", tag="own"),
    framework="",
    version="0.0-0",
    image_scope="training",
    processor="cpu",
    architecture="x86_64",
)


def described(image: JobImage, job_details: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Return the job's description with an image that the SDK reads as it should.

    It looks at the end of a name alone, whoever's image it is, and then takes AWS's instead.

    Args:
        image: Of the job.
        job_details: As AWS describes it.
        dialect: Of the class that attaches.
    """
    if image.said is None and image.is_of_aws:
        return dict(job_details)
    known = image.said or (_NO_VERSION if dialect.always_versioned else None)
    name = f"{_AS_THE_SDK_READS}/{dialect.stock_name(known)}" if known else _OWN
    algorithm = {**job_details["AlgorithmSpecification"], "TrainingImage": name}
    return {**job_details, "AlgorithmSpecification": algorithm}


def completed(image: JobImage, arguments: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Return the constructor's arguments, with what the SDK could not know.

    Args:
        image: Of the job.
        arguments: As the SDK reads them off the job.
        dialect: Of the class that attaches.
    """
    if image.said is None and image.is_of_aws:
        return arguments
    arguments = {name: value for name, value in arguments.items() if name != "image_uri"}
    if image.said is None:
        return {**arguments, "image_uri": image.uri} | ({dialect.version: None} if dialect.always_versioned else {})
    return {**arguments, ATTACHED_IMAGE: image.uri} if image.is_extended else arguments
