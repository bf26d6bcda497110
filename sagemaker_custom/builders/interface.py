"""What every builder and every place of images promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.reference import Digest, ImageReference


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundImage:
    """An image that is there."""

    digest: Digest
    """Of its manifest; in the local Docker Engine, of its configuration."""
    labels: Mapping[str, str]


class ImageStore(Protocol):
    """A place where images are: a registry or the local Docker Engine."""

    def find(self, reference: ImageReference) -> FoundImage | None:
        """Look for an image.

        Args:
            reference: With a tag or a digest.

        Returns:
            ``None`` only when the image is known not to be there.

        Raises:
            RegistryError: Whether it is there could not be learned.
            EngineUnavailableError: The local Docker Engine does not answer.
        """


class ImageBuilder(Protocol):
    """Makes images."""

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build the image, verify it, and put it in its place under its final tag.

        Args:
            plan: One that :attr:`~sagemaker_custom.plan.BuildPlan.needs_build`.
            fresh: Use no cached layer, and the base as its registry has it now; in local mode, as the engine has it.

        Returns:
            ``plan.reference``.

        Raises:
            BuildError: The image could not be built or verified; no tag is left behind.
            RegistryError: It could not be put in its place.
        """
