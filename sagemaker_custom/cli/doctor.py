"""This machine → a table of findings; exit code 1 when one of them is a failure."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.options import region_option
from sagemaker_custom.cli.output import json_option, print_document, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagemaker_custom.catalog import Problem
    from sagemaker_custom.machine import Machine
    from sagemaker_custom.reference import ImageReference
    from sagemaker_custom.wiring import Parts

_ATTEMPTS = 2
_TIMEOUT_S = 10.0


@click.command()
@region_option
@json_option
@click.pass_context
def doctor(context: click.Context, region: str | None, as_json: bool) -> None:
    """Check this machine and its credentials.

    Docker, Compose, BuildKit, disk, uv, GPU, AWS's credentials and rights, catalogs: what is there, and how to repair
    what is not. Changes nothing.
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
    from sagemaker_custom.errors import SettingsError
    from sagemaker_custom.machine import Machine, environment_credentials_end
    from sagemaker_custom.settings import Settings
    from sagemaker_custom.wiring import Parts

    try:
        settings = Settings.load()
    except SettingsError:
        # The check of the settings says what is wrong with them; the others still say what they find.
        settings = Settings()
    # What a job waits for patiently, such as a registry behind a firewall, would keep this table back for minutes.
    attempts, timeout_s = min(settings.registry_attempts, _ATTEMPTS), min(settings.registry_timeout_s, _TIMEOUT_S)
    hasty = replace(settings, registry_attempts=attempts, registry_timeout_s=timeout_s)
    parts = Parts(settings=hasty, region=region)
    return Machine(
        settings=Settings.load,
        engine=parts.engine,
        # A profile that does not exist is a finding, so the session is only opened by the check.
        aws=lambda: parts.aws,
        find=parts.registry.find,
        base=lambda where: _base(parts, where),
        own=lambda account, where: _own(parts, account, where),
        project=lambda name: _project(parts, name),
        catalogs=lambda: _problems(parts),
        docker_commands=tuple(docker_commands(os.environ.get("PATH", ""))),
        runner=SubprocessRunner(),
        environment=dict(os.environ),
        # boto3 prefers a profile that it is told to the variables.
        credentials_end=lambda: None if settings.profile else environment_credentials_end(os.environ),
    )


def _base(parts: Parts, region: str) -> ImageReference:
    from sagemaker_custom.bases import find_base, with_defaults
    from sagemaker_custom.spec import ImageSpec

    spec = with_defaults(ImageSpec(framework="pytorch"), parts.catalog)
    return parts.catalog.partitions.reference(find_base(spec, parts.catalog), region)


def _own(parts: Parts, account: str, region: str) -> ImageReference:
    from sagemaker_custom.reference import ImageReference

    host = parts.catalog.partitions.registry_host(account, region)
    return ImageReference(registry=host, repository=f"{parts.settings.repository_prefix}-pytorch", tag="latest")


def _project(parts: Parts, name: str) -> object | None:
    from sagemaker_custom.aws import CodeBuild

    return CodeBuild(parts.aws.connection, region=parts.aws.region).find_project(name)


def _problems(parts: Parts) -> Mapping[str, Sequence[Problem]]:
    from sagemaker_custom.catalog_sources import validate_catalog

    return {
        location: validate_catalog(location, parts.settings, store=lambda: parts.aws)
        for location in parts.settings.catalog
    }
