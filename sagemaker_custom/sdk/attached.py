"""The image of a training job → what an estimator that attaches to it asks for; never AWS's image by accident."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker_custom import catalog
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import ImageMissingError, ImageNotInCatalogError, InvalidReferenceError, UsageError
from sagemaker_custom.extended_tags import read_extended_tag
from sagemaker_custom.image_uris import ParsedImage, parse
from sagemaker_custom.plan import EXTRAS_LABEL, REPLACE_LABEL
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.requirements import read_extras_document
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import Extra, normalise_replace
from sagemaker_custom.wiring import Parts


@dataclass(frozen=True, kw_only=True, slots=True)
class JobImage:
    """The image that a training job had."""

    uri: str
    said: ParsedImage | None
    """``None`` for an image of the user's own, or a short name of AWS's."""
    is_of_aws: bool

    @classmethod
    def of(cls, job_details: Mapping[str, Any], dialect: Dialect) -> JobImage | None:
        """Read a job's description; ``None`` for one without an image, of the marketplace.

        Raises:
            UsageError: The image is one of another framework.
        """
        uri = job_details["AlgorithmSpecification"].get("TrainingImage")
        if uri is None:
            return None
        said = _said(uri)
        if said and not dialect.speaks_of(said.framework):
            raise UsageError(
                f"the job {job_details['TrainingJobName']} trained with {uri}, an image of {said.framework}",
                hint="attach with the class of that framework",
            )
        return cls(uri=uri, said=said, is_of_aws=_is_of_aws(uri))

    @property
    def is_extended(self) -> bool:
        """Whether it is one of ours."""
        return self.said is not None and self.said.fingerprint is not None


def _said(uri: str) -> ParsedImage | None:
    try:
        said = parse(uri)
    except (ImageNotInCatalogError, InvalidReferenceError):
        return None
    # Somebody's copy of an image of AWS is not that image.
    return said if said.fingerprint or _is_of_aws(uri) else None


def _is_of_aws(uri: str) -> bool:
    reference = ImageReference.parse(uri)
    published = catalog.load().partitions.accounts.values()
    return reference.ecr is not None and any(reference.ecr.account in accounts.values() for accounts in published)


def extras_of(uri: str, session: Any, settings: Settings | None) -> tuple[tuple[Extra, ...], tuple[str, ...]]:
    """Ask the registry what the image was extended by, and which packages of the base that may replace.

    Args:
        uri: Of an extended image.
        session: The SDK's.
        settings: Default: the environment's and the configuration file's.

    Raises:
        ImageMissingError: It is not there any more.
        UsageError: It does not say.
        RegistryError: The registry did not answer.
    """
    reference = ImageReference.parse(uri)
    parts = Parts(session=session.boto_session if session else None, settings=settings)
    found = RegistryStore(parts.registry).find(reference)
    if found is None:
        raise ImageMissingError(
            f"the image {uri} of the job is gone, and with it what it was extended by",
            hint="make an estimator with the same extras, and a model with the job's model_data",
        )
    if EXTRAS_LABEL not in found.labels:
        raise UsageError(
            f"the image {uri} does not say what it was extended by; an earlier release built it",
            hint="make an estimator with the same extras, and a model with the job's model_data",
        )
    replaces = tuple(found.labels.get(REPLACE_LABEL, "").split())
    try:
        extras = json.loads(found.labels[EXTRAS_LABEL])
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"what the image {uri} says it was extended by is not JSON: {error}",
            hint="make an estimator with the same extras, and a model with the job's model_data",
        ) from error
    return read_extras_document(extras), normalise_replace(replaces)


def is_still_made(uri: str, planned: str) -> bool:
    """Whether the catalog of today makes of the same request what it made then."""
    then, now = (read_extended_tag(ImageReference.parse(image).tag or "") for image in (uri, planned))
    return then is not None and now is not None and then.fingerprint == now.fingerprint
