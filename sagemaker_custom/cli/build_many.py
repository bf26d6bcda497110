"""Named images of the catalogs → all of them there, a table while it goes on, and a summary with an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_custom.catalog import Catalog
from sagemaker_custom.cli.build_table import terminal_board
from sagemaker_custom.cli.failures import INTERRUPTED, error_document
from sagemaker_custom.cli.options import ImageOptions
from sagemaker_custom.cli.output import print_document, print_table, say, warn
from sagemaker_custom.errors import InterruptedRunError, SageMakerCustomError, UsageError
from sagemaker_custom.prebuild import (
    Changes,
    Outcome,
    PartsMaker,
    Prebuild,
    Wanted,
    changed_since,
    default_jobs,
    wanted_images,
)

_STATES = ("built", "present", "failed")


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """Return what programs are told of an image."""
    # What is known of the base is more than what was asked.
    asked = outcome.plan.base if outcome.plan else outcome.wanted.spec
    ecr = outcome.plan.reference.ecr if outcome.plan else None
    return {
        "name": outcome.wanted.name,
        "version": asked.version,
        "image_scope": asked.image_scope,
        "processor": asked.processor,
        "region": ecr.region if ecr else outcome.wanted.region,
        "status": outcome.status,
        "image": outcome.image,
        "error": error_document(outcome.error) if outcome.error else None,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildMany:
    """Makes sure of several images, and tells how each went; every method returns an exit code."""

    maker: PartsMaker
    jobs: int | None
    as_json: bool

    def everything(self, image: ImageOptions, since: str | None) -> int:
        """Make sure of all named images, or of those that have changed since a git revision.

        Raises:
            UsageError: There are none, or there is no such revision.
        """

        def choose(catalog: Catalog) -> tuple[Wanted, ...]:
            return wanted_images(catalog, region=image.region, account=image.account, is_local=image.is_local)

        if not self.maker.parts.catalog.images:
            raise UsageError(
                "the catalogs have no named images", hint="docs/reference/named-images.md shows how to write one"
            )
        if since is None:
            return self.images(choose(self.maker.parts.catalog))
        changes = changed_since(since, choose, self.maker.parts)
        warn(changes.notes)
        for one in changes.left_out:
            say(f"left out, the same as at {changes.since}: {one.describe()}")
        if not changes.changed:
            say(f"no image has changed since {changes.since}")
        return self.images(changes.changed, changes)

    def images(self, wanted: Sequence[Wanted], changes: Changes | None = None) -> int:
        """Make sure of some."""
        # Those of a batch wait for each other, so that none may wait for room.
        usual = len(wanted) if self.maker.gate else default_jobs(self.maker.builder, self.maker.parts.settings)
        jobs = self.jobs or usual
        outcomes = Prebuild(self.maker, board=terminal_board(), jobs=jobs).run(wanted) if wanted else ()
        self._show(outcomes, changes)
        if any(isinstance(outcome.error, InterruptedRunError) for outcome in outcomes):
            return INTERRUPTED
        failed = any(outcome.status == "failed" for outcome in outcomes)
        return SageMakerCustomError.exit_code if failed else 0

    def _show(self, outcomes: Sequence[Outcome], changes: Changes | None) -> None:
        if self.as_json:
            document: dict[str, Any] = {"images": [outcome_document(outcome) for outcome in outcomes]}
            if changes:
                document["left_out"] = [_left_out(one) for one in changes.left_out]
            print_document(document)
            return
        if not outcomes:
            return
        rows = [
            (outcome.wanted.describe(), outcome.status, outcome.error.message if outcome.error else outcome.image)
            for outcome in outcomes
        ]
        print_table(("image", "status", "URI, or why not"), rows)
        for outcome in outcomes:
            if outcome.error and outcome.error.hint:
                say(f"{outcome.wanted.describe()}: {outcome.error.hint}")
        counts = [(word, sum(outcome.status == word for outcome in outcomes)) for word in _STATES]
        say(", ".join(f"{count} {word}" for word, count in counts if count))


def _left_out(one: Wanted) -> dict[str, Any]:
    spec = one.spec
    return {
        "name": one.name,
        "version": spec.version,
        "image_scope": spec.image_scope,
        "processor": spec.processor,
        "region": one.region,
    }
