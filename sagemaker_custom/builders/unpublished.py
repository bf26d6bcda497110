"""A name without a host → the id of the image that a Docker Engine made itself under it."""

from __future__ import annotations

import logging

from sagemaker_custom.builders.engine import Engine
from sagemaker_custom.errors import EngineUnavailableError
from sagemaker_custom.reference import Digest, ImageReference

logger = logging.getLogger(__name__)


def unpublished_id(engine: Engine, reference: ImageReference) -> Digest | None:
    """Return the id, since the name says nothing of the content.

    What was pulled is known by its name, as on every other machine.

    Args:
        engine: Of this machine; where it does not answer, nothing is known.
        reference: Without a host.
    """
    if reference.digest:
        return None
    try:
        image = engine.find_image(str(reference))
    except EngineUnavailableError as error:
        logger.info("whether %s is an image of this machine cannot be told: %s", reference, error.message)
        return None
    if image is None or any(text.startswith(f"{reference.repository}@") for text in image.digests):
        return None
    return image.id
