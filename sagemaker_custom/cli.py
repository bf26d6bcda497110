"""The command line: arguments → one call → exit code of the error tree."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from sagemaker_custom._version import __version__
from sagemaker_custom.errors import SageMakerCustomError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.wiring import BUILDERS, Parts, with_defaults


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Extend the Amazon SageMaker deep learning images."""


def image_options(command: Any) -> Any:
    """Add the options that name an image."""
    options = [
        click.argument("framework"),
        click.option("--version", help="For example 2.3; default: the newest for training and inference."),
        click.option("--py-version", help="For example py311."),
        click.option("--cuda-version", help="For example cu121."),
        click.option("--image-scope", type=click.Choice(["training", "inference"]), default="training"),
        click.option(
            "--processor", type=click.Choice(["cpu", "gpu"]), help="Default: gpu with a CUDA version, else cpu."
        ),
        click.option("--extra", "extras", multiple=True, help="Recipe, pip:…, conda:…, apt:… or a requirements file."),
        click.option("--region", help="Default: the one configured for AWS."),
        click.option("--account", help="Whose registry; default: the configured one, else yours."),
        click.option("--local", is_flag=True, help="For local mode: stays in the Docker Engine."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def plan_of(parts: Parts, **options: Any) -> BuildPlan:
    """Plan the image that the options name."""
    local, region, account = options.pop("local"), options.pop("region"), options.pop("account")
    processor = options.pop("processor")
    spec = image_spec(options.pop("framework"), **options)
    spec = replace(spec, processor=processor) if processor else spec
    return parts.plan(with_defaults(spec, parts.catalog), local=local, region=region, account=account)


@cli.command()
@image_options
@click.option("--dockerfile", is_flag=True, help="Print the Dockerfile too.")
def plan(dockerfile: bool, **options: Any) -> None:
    """Say which image would be used or built, and why; changes nothing."""
    from sagemaker_custom.dockerfile import BuildEnvironment, render

    planned = plan_of(Parts(region=options["region"]), **options)
    click.echo(f"image: {planned.reference}\nbase: {planned.base_reference}\nreason: {planned.reason}")
    if dockerfile and planned.needs_build:
        click.echo(render(planned, str(planned.base_reference), BuildEnvironment(secret_mounts=True)))


@cli.command()
@image_options
@click.option("--always", is_flag=True, help="Build afresh, even if the image is there.")
@click.option("--builder", type=click.Choice(BUILDERS), default="auto")
def build(always: bool, builder: str, **options: Any) -> None:
    """Build an image and put it in its place, unless it is there; print its URI."""
    parts = Parts(region=options["region"])
    planned = plan_of(parts, **options)
    click.echo(str(parts.ensure(planned, policy="always" if always else "if-missing", builder=builder)))


def main() -> None:
    """Run the command line; an error of ours ends it with its message and exit code."""
    try:
        cli(standalone_mode=True)
    except SageMakerCustomError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
