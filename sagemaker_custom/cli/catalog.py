"""Folders and frameworks → what is wrong with catalogs, what is in them, and what would be new in them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.completions import complete_frameworks
from sagemaker_custom.cli.options import catalog_option, region_option
from sagemaker_custom.cli.output import json_option, print_document, print_table, say
from sagemaker_custom.errors import CatalogError, UsageError
from sagemaker_custom.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagemaker_custom.catalog import Problem
    from sagemaker_custom.catalog.sdk_config import SdkConfig
    from sagemaker_custom.catalog_refresh import Listing
    from sagemaker_custom.reference import Digest
    from sagemaker_custom.wiring import Parts

SOURCES = ("ecr", "sdk", "both")


@click.group()
def catalog() -> None:
    """Check, list and renew image catalogs."""


@catalog.command()
@click.argument("folders", metavar="[FOLDER]...", nargs=-1)
@json_option
@click.pass_context
def validate(ctx: click.Context, folders: tuple[str, ...], as_json: bool) -> None:
    """Say everything that is wrong with catalogs.

    FOLDER may be an s3:// prefix too; without one, the configured catalogs are checked, and the one that is shipped.
    """
    from sagemaker_custom.wiring import Parts

    parts = Parts()
    problems = _problems(folders, parts)
    if as_json:
        print_document({"problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            click.echo(plain(str(problem)))
        say(f"{len(problems)} problems" if problems else "no problems")
    if problems:
        ctx.exit(CatalogError.exit_code)


def _problems(folders: tuple[str, ...], parts: Parts) -> list[Problem]:
    from sagemaker_custom import catalog as catalogs
    from sagemaker_custom.catalog_sources import catalog_folders, validate_catalog
    from sagemaker_custom.resolve import resolve

    if folders:
        found = [validate_catalog(folder, parts.settings, store=lambda: parts.aws) for folder in folders]
    else:
        configured = (catalogs.shipped(), *catalog_folders(parts.settings, store=lambda: parts.aws))
        found = [
            catalogs.validate(folder, configured[1:number], resolve=resolve) for number, folder in enumerate(configured)
        ]
    return [problem for group in found for problem in group]


@catalog.command(name="list")
@catalog_option
@click.option("--origin", is_flag=True, help="Show where each came from, and what it overrides.")
@json_option
def list_(catalog: tuple[str, ...], origin: bool, as_json: bool) -> None:
    """List the frameworks, recipes and named images of all catalogs."""
    from sagemaker_custom.wiring import Parts

    origins = Parts(catalog=catalog).catalog.origins
    if as_json:
        print_document([{"kind": kind, "name": name, **asdict(known)} for (kind, name), known in origins.items()])
    elif origin:
        rows = [(kind, name, one.layer, one.file, " ".join(one.overrides)) for (kind, name), one in origins.items()]
        print_table(("kind", "name", "catalog", "file", "overrides"), rows)
    else:
        print_table(("kind", "name"), origins)


@catalog.command()
@click.argument("frameworks", metavar="[FRAMEWORK]...", nargs=-1, shell_complete=complete_frameworks)
@click.option(
    "--from", "source", type=click.Choice(SOURCES), default="both", show_default=True, help="What to compare with."
)
@click.option("--pin", is_flag=True, help="Write down the digest that each tag has now.")
@click.option("--into", type=click.Path(file_okay=False), metavar="FOLDER", help="Catalog that --write writes to.")
@click.option("--write", is_flag=True, help="Write what changes; else it is only shown.")
@region_option
@catalog_option
@json_option
def refresh(
    frameworks: tuple[str, ...],
    source: str,
    pin: bool,
    into: str | None,
    write: bool,
    region: str | None,
    catalog: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare a catalog with Amazon ECR and with the installed SDK.

    Without FRAMEWORK all are compared. The SDK is read as files, and not imported.
    """
    from sagemaker_custom.catalog_refresh import refresh as compare
    from sagemaker_custom.wiring import Parts

    if write and not into:
        raise UsageError("--write does not say where to", hint="name the folder of a team catalog: --into FOLDER")
    parts = Parts(region=region, catalog=catalog)
    difference = compare(
        frameworks,
        catalog=parts.catalog,
        region=parts.aws.region if source != "sdk" else region or "",
        today=datetime.now(timezone.utc).date(),
        listing=_told(parts) if source != "sdk" else None,
        sdk=_sdk(source) if source != "ecr" else None,
        pin=pin,
    )
    written = difference.write(Path(into)) if write and into else ()
    if as_json:
        print_document({"frameworks": difference.as_data(), "written": [str(path) for path in written]})
        return
    click.echo(plain(difference.render()))
    for path in written:
        say(f"written: {path}")
    if difference.is_change and not write:
        say("nothing is written; --into FOLDER --write does")


def _told(parts: Parts) -> Listing:
    def listing(repository: str, *, region: str, account: str) -> Mapping[str, Digest] | None:
        say(f"listing {repository} of {account} in {region}")
        return parts.aws.tags(repository, region=region, account=account)

    return listing


def _sdk(source: str) -> SdkConfig | None:
    from sagemaker_custom.catalog.sdk_config import installed_sdk

    sdk = installed_sdk()
    if sdk is None and source == "sdk":
        raise UsageError("the SageMaker SDK is not installed here", hint="install it, or take --from ecr")
    if sdk is None:
        say("the SageMaker SDK is not installed here, so only ECR is asked")
    return sdk


@catalog.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print the JSON Schema of a kind of document, for editors; without NAME, of all kinds."""
    from sagemaker_custom.bases import did_you_mean
    from sagemaker_custom.catalog import json_schemas

    schemas = json_schemas()
    if name is not None and name not in schemas:
        raise UsageError(f"there is no kind of document {name!r}", hint=did_you_mean(name, schemas))
    print_document(schemas[name] if name else schemas)
