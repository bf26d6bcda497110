"""Image options → what would be used or built; nothing is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sagemaker_custom.cli.options import ImageOptions, optional_image_options
from sagemaker_custom.cli.output import json_option, print_document, print_pairs, warn
from sagemaker_custom.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagemaker_custom.plan import BuildPlan
    from sagemaker_custom.reference import Digest
    from sagemaker_custom.resolve import Step
    from sagemaker_custom.wiring import Parts


@click.command()
@optional_image_options
@json_option
def resolve(image: ImageOptions, as_json: bool) -> None:
    """Print the URI of an image, stock or extended.

    IMAGE is a framework or a named image. Nothing is built, and whether the image exists is not asked.
    """
    from sagemaker_custom.cli.asked import asked_plan, parts_for

    planned = asked_plan(image, parts_for(image))
    warn(planned.warnings)
    if as_json:
        print_document({"image": str(planned.reference)})
    else:
        click.echo(str(planned.reference))


@click.command()
@optional_image_options
@click.option("--digest", is_flag=True, help="Ask the registry for the digest that the base image has now.")
@click.option("--delta", is_flag=True, help="Ask registry and package indexes which wheels would be appended.")
@click.option("--dockerfile", is_flag=True, help="Print the Dockerfile too.")
@json_option
def plan(image: ImageOptions, digest: bool, delta: bool, dockerfile: bool, as_json: bool) -> None:
    """Say which image would be used or built, and why.

    IMAGE is a framework or a named image. Nothing is changed.
    """
    from sagemaker_custom.cli.asked import asked_plan, parts_for
    from sagemaker_custom.cli.delta import delta_of

    parts = parts_for(image)
    planned = asked_plan(image, parts)
    warn(planned.warnings)
    asks_registry = digest and (planned.mirror_of or planned.base_reference).registry is not None
    base_digest = _current_digest(planned, parts) if asks_registry else planned.base.digest
    text = _dockerfile(planned) if dockerfile and planned.needs_build else None
    added = delta_of(planned, parts) if delta and planned.needs_build else None
    if as_json:
        document = _document(planned, parts, base_digest, text)
        print_document({**document, **({"delta": added.document} if added else {})})
    else:
        print_pairs(_pairs(planned, parts, base_digest))
        print_pairs(added.pairs if added else ())
        if text:
            click.echo(plain(text))


def _current_digest(planned: BuildPlan, parts: Parts) -> Digest | None:
    from sagemaker_custom.errors import BaseImageError

    # A pinned reference would be answered with its own digest.
    asked = replace(planned.mirror_of or planned.base_reference, digest=None)
    found = parts.registry.find(asked)
    if found is None:
        raise BaseImageError(
            f"the registry has no {asked}", hint="look at the version and the region, or refresh the catalog"
        )
    return found


def _dockerfile(planned: BuildPlan) -> str:
    from sagemaker_custom.dockerfile import BuildEnvironment, render

    return render(planned, str(planned.base_reference), BuildEnvironment(secret_mounts=True))


def _pairs(planned: BuildPlan, parts: Parts, base_digest: Digest | None) -> Iterator[tuple[str, object]]:
    yield "image", planned.reference
    yield "base", planned.base_reference
    yield "reason", planned.reason
    yield "serving", _serving(planned, parts)
    yield "base digest", base_digest
    yield "mirror of", planned.mirror_of
    yield "folder", f"{planned.context.folder.path} ({len(planned.context.entries)} paths)" if planned.context else None
    for step in planned.steps:
        yield "step", describe_step(step)
    for command in planned.verify:
        yield "verify", command
    if planned.needs_build:
        choice = parts.builder_choice(planned)
        yield "builder", f"{choice.name}: {choice.reason}"


def _serving(planned: BuildPlan, parts: Parts) -> str | None:
    # An image of the user's own serves by itself, or not at all.
    return parts.serving(planned) if planned.base.image_scope == "training" and planned.own is None else None


def describe_step(step: Step) -> str:
    """Return a step in one line for people."""
    from sagemaker_custom.resolve import CondaStep, PackagesStep, ToolkitStep

    match step:
        case PackagesStep():
            return f"packages of the distribution: {' '.join(step.packages)}"
        case CondaStep():
            channels = f" from {' '.join(step.channels)}" if step.channels else ""
            return f"conda: {' '.join(step.packages)}{channels}"
        case ToolkitStep():
            program = "serve" if step.image_scope == "inference" else "train"
            return f"SageMaker's toolkit, unless there is a {program} program: {' '.join(step.packages)}"
        case _:
            removed = f", after removing {' '.join(step.uninstall)}" if step.uninstall else ""
            return f"pip: {' '.join((*step.build_packages, *step.packages))}{removed}"


def _document(planned: BuildPlan, parts: Parts, base_digest: Digest | None, dockerfile: str | None) -> dict[str, Any]:
    choice = parts.builder_choice(planned) if planned.needs_build else None
    return {
        "image": str(planned.reference),
        "base": str(planned.base_reference),
        "base_digest": base_digest,
        "mirror_of": str(planned.mirror_of) if planned.mirror_of else None,
        "needs_build": planned.needs_build,
        "fingerprint": planned.fingerprint or None,
        "steps": planned.document["steps"],
        "verify": list(planned.verify),
        "held": list(planned.held),
        "serving": _serving(planned, parts),
        "builder": {"name": choice.name, "reason": choice.reason} if choice else None,
        "reason": planned.reason,
        "warnings": list(planned.warnings),
        **({"dockerfile": dockerfile} if dockerfile else {}),
    }
