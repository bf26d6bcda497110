"""Image options and where to bring it from → the base image is in the account's own registry."""

from __future__ import annotations

from dataclasses import replace

import click

from sagemaker_custom.cli.completions import complete_regions
from sagemaker_custom.cli.options import ImageOptions, image_options
from sagemaker_custom.cli.output import json_option, print_document, say, warn


@click.command()
@image_options
@click.option(
    "--from-region",
    metavar="REGION",
    shell_complete=complete_regions,
    help="Where it is brought from; default: the setting source_region.",
)
@click.option(
    "--source-profile", metavar="PROFILE", help="AWS profile that reads it there; default: the setting, else yours."
)
@json_option
def mirror(image: ImageOptions, from_region: str | None, source_profile: str | None, as_json: bool) -> None:
    """Bring a base image from another region.

    The base image of IMAGE, a framework or a named image, is copied to the account's own registry, blob by blob.
    """
    from sagemaker_custom.cli.asked import asked_plan, parts_for
    from sagemaker_custom.settings import Settings

    configured = Settings.load()
    settings = replace(
        configured,
        source_region=from_region or configured.source_region,
        source_profile=source_profile or configured.source_profile,
        mirror="always",
    )
    parts = parts_for(image, settings)
    planned = asked_plan(image, parts)
    warn(planned.warnings)
    mirrored = parts.mirror(planned)
    if as_json:
        print_document(
            {
                "image": str(mirrored.reference),
                "source": str(planned.mirror_of),
                "blobs_copied": mirrored.blobs_copied,
                "blobs_present": mirrored.blobs_present,
                "bytes_copied": mirrored.bytes_copied,
            }
        )
        return
    click.echo(str(mirrored.reference))
    say(
        f"copied {mirrored.blobs_copied} blobs, {mirrored.bytes_copied:,} bytes; {mirrored.blobs_present} were there"
        if mirrored.blobs_copied or mirrored.blobs_present
        else "it was there already"
    )
