"""What the append builder is put together from: where wheels come from, how they become layers, what checks them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sagemaker_custom.inventory import Inventory, Records
from sagemaker_custom.oci import ImageManifest
from sagemaker_custom.plan import BuildPlan, PipIndexes
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.wheels.layers import LayerBlob
from sagemaker_custom.wheels.lock import Lock
from sagemaker_custom.wheels.store import FetchedWheel

Verification = Literal["run", "static"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendableBase:
    """A base image in the repository that the extended image goes to."""

    reference: ImageReference
    """By the digest of its manifest there."""
    published: Digest
    """What its publisher knows it by: another digest where it is an index or an OCI manifest there."""
    manifest: ImageManifest
    config: Mapping[str, Any]


class Inventories(Protocol):
    """Knows what bases have installed."""

    def of(self, reference: ImageReference, *, python: str, platform: str) -> Inventory:
        """Return what the interpreter sees in an image that is named by its digest."""

    def known(self, reference: ImageReference, *, python: str, platform: str) -> Inventory | None:
        """Return the same, where it need not be found out first."""

    def records(self, reference: ImageReference, *, python: str, platform: str) -> Records:
        """Return the files of each package."""


class Resolver(Protocol):
    """Decides which wheels are added to a base."""

    def resolve(
        self,
        inventory: Inventory,
        steps: Sequence[PipStep],
        *,
        held: Sequence[str],
        indexes: PipIndexes,
        replace: Sequence[str],
    ) -> Lock:
        """Return them.

        Raises:
            NotAppendableError: There are none that fit.
        """


class Wheels(Protocol):
    """Gets wheels."""

    def fetch(self, lock: Lock, progress: Progress) -> tuple[FetchedWheel, ...]:
        """Return the files."""


class Layers(Protocol):
    """Makes layers of wheels."""

    def layers(
        self,
        wheels: Sequence[FetchedWheel],
        inventory: Inventory,
        *,
        removed: Mapping[str, tuple[str, ...]],
        progress: Progress,
        requested: Collection[str] = (),
        direct: Collection[str] = (),
        records: Records | None = None,
        most: int = ...,
    ) -> tuple[LayerBlob, ...]:
        """Return them, lowest first."""


class ImageCheck(Protocol):
    """Starts an image, where that can be done."""

    def kind(self, base: AppendableBase) -> Verification:
        """Say how an image on ``base`` will be checked."""

    def run(self, image: ImageReference, plan: BuildPlan, lock: Lock) -> tuple[str, ...]:
        """Run the plan's commands in an image of the registry.

        Returns:
            Programs that the SDK v3 misses in it.

        Raises:
            VerificationError: One of them fails.
        """
