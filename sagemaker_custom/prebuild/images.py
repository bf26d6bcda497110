"""Named images of the catalogs → what shall be there; and a plan → the image, made with the real parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

from sagemaker_custom.catalog import Catalog
from sagemaker_custom.errors import ImageMissingError, SageMakerCustomError
from sagemaker_custom.own_images import OwnImage
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.spec import ImageSpec
from sagemaker_custom.wiring import Parts

if TYPE_CHECKING:
    from sagemaker_custom.builders.codebuild_batch import BatchGate
    from sagemaker_custom.inventories.layer_scan import LayerFacts
    from sagemaker_custom.prebuild.rows import Attendant
    from sagemaker_custom.wheels.lock import Lock


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One image that shall be there."""

    name: str
    """Of the framework or the named image."""
    spec: ImageSpec
    region: str | None = None
    account: str | None = None
    is_local: bool = False
    own: OwnImage | None = None
    """When it is one of the user's own; ``spec`` then says what it is used for."""

    def describe(self) -> str:
        """Return what it is, for people."""
        where = "local" if self.is_local else self.region
        words = (self.name, self.spec.version, self.spec.image_scope, self.spec.processor, where)
        return " ".join(filter(None, words))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How it went."""

    wanted: Wanted
    status: Literal["built", "present", "failed"]
    plan: BuildPlan | None = None
    """What it was about, unless not even that could be told."""
    image: str | None = None
    error: SageMakerCustomError | None = None


def wanted_images(
    catalog: Catalog, *, region: str | None = None, account: str | None = None, is_local: bool = False
) -> tuple[Wanted, ...]:
    """Return all images that the named images of a catalog stand for.

    Args:
        catalog: Ours, with those of teams upon it.
        region: Where all of them shall be; default: where each document says, else the configured one.
        account: Whose registry holds them; default: the configured one, else the caller's.
        is_local: Whether they are for local mode.
    """
    blank = Wanted(name="", spec=ImageSpec(framework=""), region=region, account=account, is_local=is_local)
    return tuple(
        one
        for named in catalog.images.values()
        for one in placed(replace(blank, name=named.name), named.specs(), named.regions)
    )


def placed(wanted: Wanted, specs: Sequence[ImageSpec], regions: Sequence[str]) -> tuple[Wanted, ...]:
    """Return ``wanted`` for each of ``specs`` in each of ``regions``, unless it says itself where it shall be."""
    places = [wanted.region] if wanted.region or wanted.is_local or not regions else regions
    return tuple(replace(wanted, spec=spec, region=region) for region in places for spec in specs)


def batch_gate(parts: Parts) -> BatchGate:
    """Return where the builds of several threads become batches of CodeBuild."""
    from sagemaker_custom.aws import CodeBuild, CodeBuildBatches
    from sagemaker_custom.builders.codebuild_batch import BatchGate

    connection = parts.aws.connection
    return BatchGate(
        builds=lambda region: CodeBuild(connection, region=region),
        batches=lambda region: CodeBuildBatches(connection, region=region),
    )


class ImageMaker(Protocol):
    """Makes images, in several threads at once."""

    def plan(self, wanted: Wanted) -> BuildPlan:
        """Say what is to be made."""

    def find(self, plan: BuildPlan, attendant: Attendant) -> ImageReference | None:
        """Return the image if it is there and need not be made."""

    def make(self, plan: BuildPlan, attendant: Attendant) -> ImageReference:
        """Make sure of the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartsMaker:
    """Makes images with the real parts, which its threads share.

    Errors are those of :meth:`sagemaker_custom.wiring.Parts.ensure`.
    """

    parts: Parts
    planned: Callable[[Wanted], BuildPlan] | None = None
    """Default: for named images and frameworks."""
    builder: str = "auto"
    always: bool = False
    """Whether to build what is there, too."""
    lock: Lock | None = None
    gate: BatchGate | None = None
    """Where the builds of CodeBuild wait for each other, to be one batch."""
    passed: dict[Digest, LayerFacts] = field(default_factory=dict)
    """What one thread has seen of a base that it brought, for the others."""

    def plan(self, wanted: Wanted) -> BuildPlan:
        """Say what is to be made."""
        if self.planned:
            return self.planned(wanted)
        return self.parts.plan(wanted.spec, local=wanted.is_local, region=wanted.region, account=wanted.account)

    def find(self, plan: BuildPlan, attendant: Attendant) -> ImageReference | None:
        """Return the image if it is there and need not be made."""
        if self.always:
            return None
        try:
            return self._ensure(plan, "never", attendant)
        except ImageMissingError:
            return None

    def make(self, plan: BuildPlan, attendant: Attendant) -> ImageReference:
        """Make sure of the image."""
        return self._ensure(plan, "always" if self.always else "if-missing", attendant)

    def _ensure(self, plan: BuildPlan, policy: str, attendant: Attendant) -> ImageReference:
        bench = self.parts.workbench(attendant)
        attended = replace(
            bench,
            copy=attendant.mirroring(bench.copy),
            sleep=attendant.sleep,
            confirm=attendant.confirm,
            builds=self.gate.builds(sleep=attendant.sleep, confirm=attendant.confirm) if self.gate else None,
            passed=self.passed,
        )
        return self.parts.ensure_at(attended, plan, policy=policy, builder=self.builder, lock=self.lock)
