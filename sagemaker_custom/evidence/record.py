"""An image that is in a registry → its bill and its provenance; every build of an image for a registry stores both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sagemaker_custom import oci
from sagemaker_custom.builders import ImageBuilder
from sagemaker_custom.errors import ImageMissingError, SageMakerCustomError
from sagemaker_custom.evidence.artifact import KINDS, PROVENANCE, SBOM, Kind, fetch, publish, tag_of
from sagemaker_custom.evidence.bill import bill_of
from sagemaker_custom.evidence.described import DescribedImage, describe
from sagemaker_custom.evidence.provenance import BuildTimes, provenance_of
from sagemaker_custom.inventory import Inventory
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient


class KnownInventories(Protocol):
    """Knows what some images have installed."""

    def known(self, reference: ImageReference, *, python: str, platform: str = "linux/amd64") -> Inventory | None:
        """Return what an image has installed, where that was found out before."""


class Evidence:
    """What is known of images, computed or as it was stored.

    Args:
        registry: Has the images.
        inventories: Know their bases.
    """

    def __init__(self, registry: RegistryClient, inventories: Callable[[], KnownInventories]) -> None:
        self._registry = registry
        self._inventories = inventories

    def stored(self, image: ImageReference, kind: Kind) -> bytes | None:
        """Return a document that is beside an image; ``None`` when there is none.

        Raises:
            ImageMissingError: There is no such image.
            RegistryError: What is there is something else; or the registry does not tell.
        """
        digest = self._registry.find(image)
        if digest is None:
            raise _missing(image)
        return fetch(self._registry, image, digest, kind)

    def computed(self, image: ImageReference, kind: Kind, times: BuildTimes | None = None) -> bytes:
        """Return a document about an image, from what the image says of itself.

        Raises:
            ImageMissingError: There is no such image.
            UsageError: It was not built by this package.
            RegistryError: It cannot be read.
        """
        return self._document(self._described(image), kind, times)

    def store(self, image: ImageReference, times: BuildTimes | None = None) -> tuple[ImageReference, ...]:
        """Put what is missing beside an image, and return where; see :meth:`computed` for the errors."""
        described = self._described(image)
        missing = [kind for kind in KINDS if not self._registry.find(image.with_tag(tag_of(described.digest, kind)))]
        written = [
            kind
            for kind in missing
            if publish(self._registry, image, described.manifest, kind, self._document(described, kind, times))
        ]
        return tuple(image.with_tag(tag_of(described.digest, kind)) for kind in written)

    def _described(self, image: ImageReference) -> DescribedImage:
        manifest = self._registry.manifest(image)
        if manifest is None:
            raise _missing(image)
        # By digest: the tag may move between the two questions.
        config = self._registry.image_config(image.with_digest(manifest.digest))
        if config is None:
            raise _missing(image)
        descriptor = oci.Descriptor(media_type=manifest.media_type, digest=manifest.digest, size=len(manifest.content))
        return describe(image, descriptor, oci.labels(config), _created(config.get("created")))

    def _document(self, image: DescribedImage, kind: Kind, times: BuildTimes | None) -> bytes:
        if kind is PROVENANCE:
            return provenance_of(image, times)
        return bill_of(image, self._inventory(image))

    def _inventory(self, image: DescribedImage) -> Inventory | None:
        python, platform, base = image.spec.get("python"), image.spec.get("platform"), image.inventoried_base
        if not (isinstance(python, str) and isinstance(platform, str) and base):
            return None
        try:
            return self._inventories().known(image.reference.with_digest(base), python=python, platform=platform)
        except SageMakerCustomError:
            # Its base is not beside it: then what that has installed is not known here, which the bill says.
            return None


class RecordingBuilder:
    """Builds, and stores what is known of what was built.

    Args:
        builder: Builds.
        evidence: Stores.
        clock: Now, with a time zone.
        progress: Told when it could not be stored.
    """

    def __init__(
        self, builder: ImageBuilder, evidence: Evidence, *, clock: Callable[[], datetime], progress: Progress
    ) -> None:
        self._builder = builder
        self._evidence = evidence
        self._clock = clock
        self._progress = progress

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build an image; see :meth:`ImageBuilder.build`."""
        started = self._clock()
        built = self._builder.build(plan, fresh=fresh)
        try:
            self._evidence.store(built, BuildTimes(started=started, finished=self._clock()))
        except SageMakerCustomError as error:
            # The image is there and right; failing now would leave it to the next caller just as it is.
            self._progress.step(
                f"warning: what is in {built} was not stored beside it: {error.message};"
                f" later: sagemaker-custom sbom --store {built}"
            )
        return built


def _created(created: object) -> str | None:
    """Return when an image was made, in the form that a bill takes; ``None`` where it says nothing."""
    text = str(created or "")
    # What was never set reads 0001-01-01T00:00:00Z.
    return None if not text or text.startswith("0001-") else text


def _missing(image: ImageReference) -> ImageMissingError:
    return ImageMissingError(f"there is no image {image}", hint="sagemaker-custom images lists those that there are")


__all__ = ["PROVENANCE", "SBOM", "Evidence", "KnownInventories", "RecordingBuilder"]
