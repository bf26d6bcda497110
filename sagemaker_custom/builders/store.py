"""An image reference → the image in a registry or in the local Docker Engine, or the knowledge that it is not there."""

from __future__ import annotations

import json
from pathlib import Path

from sagemaker_custom import oci
from sagemaker_custom.builders.engine import Engine
from sagemaker_custom.builders.interface import FoundImage
from sagemaker_custom.cache_files import CacheFolder
from sagemaker_custom.plan import STAND_IN_LABEL
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import RegistryClient

_MOST_IMAGES = 256


class RegistryStore:
    """Images in registries.

    Args:
        client: Reaches them.
        cache_dir: Remembers the labels of images by the digest of their manifest, which never has others: then one
            question suffices, whether the image is there.
    """

    def __init__(self, client: RegistryClient, *, cache_dir: str | Path | None = None) -> None:
        self._client = client
        self._labels = (
            CacheFolder(path=Path(cache_dir, "labels"), content="labels 1", most_files=_MOST_IMAGES)
            if cache_dir
            else None
        )

    def find(self, reference: ImageReference) -> FoundImage | None:
        """Look for an image; see :meth:`ImageStore.find`."""
        digest = self._client.find(reference)
        if digest is None:
            return None
        labels = self._remembered(digest)
        if labels is None:
            # By digest: the tag may move between the two questions.
            config = self._client.image_config(reference.with_digest(digest))
            if config is None:
                return None
            labels = oci.labels(config)
            if self._labels:
                self._labels.write(_file_name(digest), json.dumps(labels).encode())
        return FoundImage(digest=digest, labels=labels)

    def _remembered(self, digest: Digest) -> dict[str, str] | None:
        content = self._labels.read(_file_name(digest)) if self._labels else None
        return None if content is None else json.loads(content)


def _file_name(digest: Digest) -> str:
    return f"{digest.removeprefix('sha256:')}.json"


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
