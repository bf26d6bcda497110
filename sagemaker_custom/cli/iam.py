"""A route and where it is used → the IAM policy that it needs, or the buildspec; asks nothing of AWS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.completions import complete_regions
from sagemaker_custom.cli.output import json_option, print_document

if TYPE_CHECKING:
    from sagemaker_custom.aws.permissions import Place

ROUTES = (
    *("use", "docker", "append", "codebuild", "codebuild-batch"),
    *("codebuild-service", "codebuild-batch-service", "platform-admin", "prune"),
)


@click.command()
@click.argument("route", type=click.Choice((*ROUTES, "codebuild-trust", "buildspec")))
@click.option("--region", metavar="REGION", shell_complete=complete_regions, help="Default: the setting.")
@click.option("--account", metavar="ACCOUNT", help="Whose registry it is about; default: the setting.")
@click.option("--bucket", metavar="NAME", help="For code and build contexts; default: the SageMaker SDK's.")
@click.option("--catalog-bucket", metavar="NAME", help="Of the team catalogs; default: those of the settings.")
@json_option
def iam(
    route: str, region: str | None, account: str | None, bucket: str | None, catalog_bucket: str | None, as_json: bool
) -> None:
    """Print the IAM policy of ROUTE.

    It allows what the route calls, and nothing else. What is not known stands in capitals. "codebuild-trust" is the
    trust policy of the service role, and "buildspec" what a build in CodeBuild runs. Policies are JSON in any case.
    """
    from sagemaker_custom.aws.permissions import policy, trust_policy

    if route == "buildspec":
        from sagemaker_custom.builders.codebuild_context import BUILDSPEC

        if as_json:
            print_document({"buildspec": BUILDSPEC})
        else:
            click.echo(BUILDSPEC, nl=False)
    elif route == "codebuild-trust":
        print_document(trust_policy())
    else:
        print_document(policy(route, _place(region, account, bucket, catalog_bucket)))


def _place(region: str | None, account: str | None, bucket: str | None, catalog_bucket: str | None) -> Place:
    from dataclasses import replace

    from sagemaker_custom.aws.permissions import Place
    from sagemaker_custom.catalog import load
    from sagemaker_custom.plan import indexes_of
    from sagemaker_custom.settings import Settings

    settings = Settings.load()
    region, account = region or settings.region, account or settings.account
    default = Place()
    in_s3 = [location.removeprefix("s3://").partition("/")[0] for location in settings.catalog if "://" in location]
    sdk_bucket = f"sagemaker-{region or default.region}-{account or default.account}"
    place = replace(
        default,
        account=account or default.account,
        repository_prefix=settings.repository_prefix,
        bucket=bucket or settings.codebuild_bucket or sdk_bucket,
        catalog_bucket=catalog_bucket or next(iter(in_s3), default.catalog_bucket),
        leases=settings.lease_bucket.removeprefix("s3://").strip("/") if settings.lease_bucket else None,
        project=settings.codebuild_project or default.project,
        role=settings.codebuild_service_role or default.role,
        secret=settings.codebuild_index_secret,
        scans=settings.scan != "off",
        codeartifact=indexes_of(settings, region or default.region).codeartifact,
        in_vpc=bool(settings.codebuild_vpc_id),
    )
    if region is None:
        return place
    partitions = load().partitions
    accounts = {where[region] for where in partitions.accounts.values() if region in where}
    return replace(
        place,
        region=region,
        partition=partitions.partition(region),
        base_accounts=tuple(sorted(accounts)) or default.base_accounts,
    )
