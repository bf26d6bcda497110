"""An image reference → the image in a registry or in the local Docker Engine, or the knowledge that it is not there."""

from __future__ import annotations

from sagemaker_custom import oci
from sagemaker_custom.builders.engine import Engine
from sagemaker_custom.builders.interface import FoundImage
from sagemaker_custom.plan import STAND_IN_LABEL
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient


class RegistryStore:
    """Images in registries.

    Args:
        client: Reaches them.
    """

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def find(self, reference: ImageReference) -> FoundImage | None:
        """Look for an image; see :meth:`ImageStore.find`."""
        digest = self._client.find(reference)
        if digest is None:
            return None
        # By digest: the tag may move between the two questions.
        config = self._client.image_config(reference.with_digest(digest))
        return FoundImage(digest=digest, labels=oci.labels(config)) if config is not None else None


class EngineStore:
    """Images in the local Docker Engine.

    Args:
        engine: That engine.
        accept_stand_ins: Whether an image counts that the sandbox's stand-ins are in.
    """

    def __init__(self, engine: Engine, *, accept_stand_ins: bool = False) -> None:
        self._engine = engine
        self._accept_stand_ins = accept_stand_ins

    def find(self, reference: ImageReference) -> FoundImage | None:
        """Look for an image; see :meth:`ImageStore.find`."""
        image = self._engine.find_image(str(reference))
        if image is None or (STAND_IN_LABEL in image.labels and not self._accept_stand_ins):
            return None
        return FoundImage(digest=image.id, labels=image.labels)
