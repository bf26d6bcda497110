"""Image options, or whole catalogs of named images → images that are built, and a table of how each went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.options import ImageOptions, optional_image_options
from sagemaker_custom.cli.output import json_option, print_document, warn
from sagemaker_custom.errors import ImageMissingError, UsageError

if TYPE_CHECKING:
    from sagemaker_custom.plan import BuildPlan
    from sagemaker_custom.prebuild import Outcome, PartsMaker, Wanted
    from sagemaker_custom.spec import ImageSpec
    from sagemaker_custom.wiring import Parts

BUILDERS = ("auto", "append", "docker", "codebuild")
VERIFY = ("auto", "run", "static")


@click.command()
@optional_image_options
@click.option("--all", "everything", is_flag=True, help="Build all named images of the catalogs.")
@click.option(
    "--changed-since", metavar="REV", help="With --all: those alone that the catalogs in git did not have at REV."
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="How many at a time; default: 2, 4 in CodeBuild.")
@click.option("--batch", is_flag=True, help="Of several images in CodeBuild: start their builds as one batch.")
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
    changed_since: str | None,
    jobs: int | None,
    batch: bool,
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
    from sagemaker_custom.cli.build_many import BuildMany
    from sagemaker_custom.locks import read_lock_file
    from sagemaker_custom.prebuild import PartsMaker, batch_gate
    from sagemaker_custom.settings import Settings

    settings = Settings.load()
    parts = parts_for(image, replace(settings, verify=verify) if verify else settings)
    if everything or changed_since is not None:
        _check_everything(image, everything=everything)
    if batch and (settings.builder if builder == "auto" else builder) != "codebuild":
        raise UsageError("--batch is for builds in CodeBuild", hint="write --builder codebuild beside it")
    maker = PartsMaker(
        parts=parts,
        planned=lambda one: _plan(one, parts),
        always=always,
        builder=builder,
        lock=read_lock_file(Path(lock_file)) if lock_file else None,
        gate=batch_gate(parts) if batch else None,
    )
    many = BuildMany(maker=maker, jobs=jobs, as_json=as_json)
    if everything:
        _check_one(lock_file)
        ctx.exit(many.everything(image, changed_since))
    wanted = _own(image) if image.is_own else _named(image, parts)
    if len(wanted) > 1:
        _check_one(lock_file)
        ctx.exit(many.images(wanted))
    outcome = _made(wanted[0], maker)
    if as_json:
        from sagemaker_custom.cli.build_many import outcome_document

        print_document({"images": [outcome_document(outcome)]})
    else:
        click.echo(outcome.image)


def _check_everything(image: ImageOptions, *, everything: bool) -> None:
    if not everything:
        raise UsageError("--changed-since chooses among all named images", hint="write --all beside it")
    if image.name or image.selects or image.is_own:
        raise UsageError(
            "--all builds every named image, so nothing can be chosen beside it",
            hint="leave --all out, or the other options but --region, --account, --local and --catalog",
        )


def _check_one(lock_file: str | None) -> None:
    if lock_file:
        raise UsageError(
            f"--lock {lock_file} is of one image, and several would be built", hint="choose one by options"
        )


def _own(image: ImageOptions) -> tuple[Wanted, ...]:
    from sagemaker_custom.cli.asked import asked_own, own_spec

    own = asked_own(image)
    return (replace(_blank(image, own.name, own_spec(image, own)), own=own),)


def _named(image: ImageOptions, parts: Parts) -> tuple[Wanted, ...]:
    from sagemaker_custom.cli.asked import asked_spec
    from sagemaker_custom.prebuild.images import placed

    if not image.name:
        raise UsageError("no image is named", hint="name a framework or a named image, or write --all")
    named = parts.catalog.images.get(image.name)
    specs = named.specs() if named and not image.selects else (asked_spec(image, parts),)
    return placed(_blank(image, image.name, specs[0]), specs, named.regions if named else ())


def _blank(image: ImageOptions, name: str, spec: ImageSpec) -> Wanted:
    from sagemaker_custom.prebuild import Wanted

    return Wanted(name=name, spec=spec, region=image.region, account=image.account, is_local=image.is_local)


def _plan(wanted: Wanted, parts: Parts) -> BuildPlan:
    if wanted.own is None:
        return parts.plan(wanted.spec, local=wanted.is_local, region=wanted.region, account=wanted.account)
    from sagemaker_custom.cli.asked import plan_own

    return plan_own(wanted.own, wanted.spec, parts, local=wanted.is_local, region=wanted.region, account=wanted.account)


def _made(wanted: Wanted, maker: PartsMaker) -> Outcome:
    """Make sure of one alone, with the display that any command has."""
    from sagemaker_custom.prebuild import Outcome

    plan, parts = maker.plan(wanted), maker.parts
    warn(plan.warnings)
    if not maker.always:
        try:
            found = parts.ensure(plan, policy="never", lock=maker.lock)
            return Outcome(wanted=wanted, status="present", plan=plan, image=str(found))
        except ImageMissingError:
            pass
    policy = "always" if maker.always else "if-missing"
    built = parts.ensure(plan, policy=policy, builder=maker.builder, lock=maker.lock)
    return Outcome(wanted=wanted, status="built" if plan.needs_build else "present", plan=plan, image=str(built))
