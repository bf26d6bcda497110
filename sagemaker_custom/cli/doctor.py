"""This machine → a table of findings; exit code 1 when one of them is a failure."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.options import region_option
from sagemaker_custom.cli.output import json_option, print_document, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_custom.catalog import Problem
    from sagemaker_custom.doctor import Machine
    from sagemaker_custom.reference import ImageReference
    from sagemaker_custom.wiring import Parts


@click.command()
@region_option
@json_option
@click.pass_context
def doctor(context: click.Context, region: str | None, as_json: bool) -> None:
    """Check this machine and its credentials.

    Docker, Compose, BuildKit, disk, GPU, AWS's credentials and rights, catalogs: what is there, and how to repair what
    is not. Changes nothing.
    """
    from sagemaker_custom.doctor import examine

    findings = examine(machine(region))
    if as_json:
        print_document([asdict(finding) for finding in findings])
    else:
        print_table(
            ("check", "", "found", "what to do"),
            [(finding.name, finding.outcome, finding.detail, finding.repair) for finding in findings],
        )
    if any(finding.outcome == "failed" for finding in findings):
        context.exit(1)


def machine(region: str | None) -> Machine:
    """Return what the checks look at, on this machine."""
    from sagemaker_custom.builders.buildkit import docker_commands
    from sagemaker_custom.builders.commands import SubprocessRunner
    from sagemaker_custom.doctor import Machine
    from sagemaker_custom.errors import SettingsError
    from sagemaker_custom.settings import Settings
    from sagemaker_custom.wiring import Parts

    try:
        settings = Settings.load()
    except SettingsError:
        # The check of the settings says what is wrong with them; the others still say what they find.
        settings = Settings()
    parts = Parts(settings=settings, region=region)
    return Machine(
        settings=Settings.load,
        engine=parts.engine,
        aws=parts.aws,
        find=parts.registry.find,
        base=lambda where: _base(parts, where),
        catalogs=lambda: _problems(parts),
        docker_commands=tuple(docker_commands(os.environ.get("PATH", ""))),
        runner=SubprocessRunner(),
        environment=dict(os.environ),
    )


def _base(parts: Parts, region: str) -> ImageReference:
    from sagemaker_custom.bases import find_base, with_defaults
    from sagemaker_custom.spec import ImageSpec

    spec = with_defaults(ImageSpec(framework="pytorch"), parts.catalog)
    return parts.catalog.partitions.reference(find_base(spec, parts.catalog), region)


def _problems(parts: Parts) -> Mapping[str, Sequence[Problem]]:
    from sagemaker_custom.catalog_sources import validate_catalog

    return {
        location: validate_catalog(location, parts.settings, store=lambda: parts.aws)
        for location in parts.settings.catalog
    }
