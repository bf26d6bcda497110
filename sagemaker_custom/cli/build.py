"""Image options, or whole catalogs of named images → images that are built, and a table of how each went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sagemaker_custom.cli.failures import error_document
from sagemaker_custom.cli.options import ImageOptions, optional_image_options
from sagemaker_custom.cli.output import json_option, print_document, print_table, say, warn
from sagemaker_custom.errors import ImageMissingError, SageMakerCustomError, UsageError

if TYPE_CHECKING:
    from sagemaker_custom.own_images import OwnImage
    from sagemaker_custom.plan import BuildPlan
    from sagemaker_custom.spec import ImageSpec
    from sagemaker_custom.wheels.lock import Lock
    from sagemaker_custom.wiring import Parts

BUILDERS = ("auto", "append", "docker")
VERIFY = ("auto", "run", "static")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One image that shall be there."""

    name: str
    """Of the framework or the named image."""
    spec: ImageSpec
    region: str | None
    account: str | None
    is_local: bool
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

    @property
    def document(self) -> dict[str, Any]:
        """What programs are told."""
        # What is known of the base is more than what was asked.
        asked = self.plan.base if self.plan else self.wanted.spec
        ecr = self.plan.reference.ecr if self.plan else None
        return {
            "name": self.wanted.name,
            "version": asked.version,
            "image_scope": asked.image_scope,
            "processor": asked.processor,
            "region": ecr.region if ecr else self.wanted.region,
            "status": self.status,
            "image": self.image,
            "error": error_document(self.error) if self.error else None,
        }


@click.command()
@optional_image_options
@click.option("--all", "everything", is_flag=True, help="Build all named images of the catalogs.")
@click.option("--always", is_flag=True, help="Build afresh, even if the image is there.")
@click.option("--builder", type=click.Choice(BUILDERS), default="auto", show_default=True, help="What builds.")
@click.option("--lock", "lock_file", metavar="FILE", help="What to install, as the lock command wrote it.")
@click.option("--verify", type=click.Choice(VERIFY), help="How an appended image is checked; default: the setting.")
@json_option
@click.pass_context
def build(
    ctx: click.Context,
    image: ImageOptions,
    everything: bool,
    always: bool,
    builder: str,
    lock_file: str | None,
    verify: str | None,
    as_json: bool,
) -> None:
    """Build images and put them in their place.

    IMAGE is a framework or a named image. What is there already is not built again. Of one image the URI is printed;
    a named image without further options stands for all images that its team builds, and a table tells of each.
    """
    from sagemaker_custom.cli.asked import parts_for
    from sagemaker_custom.locks import read_lock_file
    from sagemaker_custom.settings import Settings

    settings = Settings.load()
    parts = parts_for(image, replace(settings, verify=verify) if verify else settings)
    wanted = _everything(image, parts) if everything else _own(image) if image.is_own else _named(image, parts)
    if lock_file and len(wanted) > 1:
        raise UsageError(
            f"--lock {lock_file} is of one image, and {len(wanted)} would be built", hint="choose one by options"
        )
    lock = read_lock_file(Path(lock_file)) if lock_file else None
    run = BuildRun(parts=parts, always=always, builder=builder, lock=lock)
    if len(wanted) == 1:
        outcome = run.outcome(wanted[0])
        if as_json:
            print_document({"images": [outcome.document]})
        else:
            click.echo(outcome.image)
        return
    outcomes = tuple(run.outcomes(wanted))
    _show(outcomes, as_json)
    if any(outcome.status == "failed" for outcome in outcomes):
        ctx.exit(SageMakerCustomError.exit_code)


def _own(image: ImageOptions) -> tuple[Wanted, ...]:
    from sagemaker_custom.cli.asked import asked_own, own_spec

    own = asked_own(image)
    spec = own_spec(image, own)
    return (replace(_wanted(image, own.name, (spec,), ())[0], own=own),)


def _named(image: ImageOptions, parts: Parts) -> tuple[Wanted, ...]:
    from sagemaker_custom.cli.asked import asked_spec

    if not image.name:
        raise UsageError("no image is named", hint="name a framework or a named image, or write --all")
    named = parts.catalog.images.get(image.name)
    specs = named.specs() if named and not image.selects else (asked_spec(image, parts),)
    return _wanted(image, image.name, specs, named.regions if named else ())


def _everything(image: ImageOptions, parts: Parts) -> tuple[Wanted, ...]:
    if image.name or image.selects or image.is_own:
        raise UsageError(
            "--all builds every named image, so nothing can be chosen beside it",
            hint="leave --all out, or the other options but --region, --account, --local and --catalog",
        )
    images = parts.catalog.images.values()
    wanted = tuple(one for named in images for one in _wanted(image, named.name, named.specs(), named.regions))
    if not wanted:
        raise UsageError(
            "the catalogs have no named images", hint="docs/reference/named-images.md shows how to write one"
        )
    return wanted


def _wanted(image: ImageOptions, name: str, specs: Sequence[ImageSpec], regions: Sequence[str]) -> tuple[Wanted, ...]:
    places = [image.region] if image.region or image.is_local or not regions else regions
    return tuple(
        Wanted(name=name, spec=spec, region=region, account=image.account, is_local=image.is_local)
        for region in places
        for spec in specs
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildRun:
    """Makes sure of images, one after the other."""

    parts: Parts
    always: bool
    builder: str
    lock: Lock | None = None

    def outcomes(self, wanted: Sequence[Wanted]) -> Iterator[Outcome]:
        """Make sure of each; an error of one does not keep the others from being built."""
        for number, one in enumerate(wanted, 1):
            say(f"[{number}/{len(wanted)}] {one.describe()}")
            try:
                outcome = self.outcome(one)
            except SageMakerCustomError as error:
                outcome = Outcome(wanted=one, status="failed", error=error)
            say(f"[{number}/{len(wanted)}] {one.describe()}: {outcome.status}")
            yield outcome

    def outcome(self, wanted: Wanted) -> Outcome:
        """Make sure of one.

        Raises:
            SageMakerCustomError: It could not be built, or whether it is there could not be learned.
        """
        plan = self._plan(wanted)
        warn(plan.warnings)
        present = None if self.always else self._present(plan)
        if present:
            return Outcome(wanted=wanted, status="present", plan=plan, image=present)
        built = self.parts.ensure(
            plan, policy="always" if self.always else "if-missing", builder=self.builder, lock=self.lock
        )
        return Outcome(wanted=wanted, status="built" if plan.needs_build else "present", plan=plan, image=str(built))

    def _plan(self, wanted: Wanted) -> BuildPlan:
        if wanted.own is None:
            return self.parts.plan(wanted.spec, local=wanted.is_local, region=wanted.region, account=wanted.account)
        from sagemaker_custom.cli.asked import plan_own

        return plan_own(
            wanted.own,
            wanted.spec,
            self.parts,
            local=wanted.is_local,
            region=wanted.region,
            account=wanted.account,
        )

    def _present(self, plan: BuildPlan) -> str | None:
        try:
            return str(self.parts.ensure(plan, policy="never", lock=self.lock))
        except ImageMissingError:
            return None


def _show(outcomes: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        print_document({"images": [outcome.document for outcome in outcomes]})
        return
    rows = [
        (outcome.wanted.describe(), outcome.status, outcome.error.message if outcome.error else outcome.image)
        for outcome in outcomes
    ]
    print_table(("image", "status", "URI, or why not"), rows)
    counts = [(word, sum(outcome.status == word for outcome in outcomes)) for word in ("built", "present", "failed")]
    say(", ".join(f"{count} {word}" for word, count in counts if count))
