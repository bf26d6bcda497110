"""Repositories and what counts as old → images that are gone, or would be; or the lifecycle policy for ECR."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.options import catalog_option, region_option
from sagemaker_custom.cli.output import json_option, print_document, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sagemaker_custom.aws.stored_images import StoredImages
    from sagemaker_custom.pruning import Removable, Rules, Verdict
    from sagemaker_custom.wiring import Parts

_MB = 1_000_000


def _days(ctx: click.Context, param: click.Parameter, value: str) -> timedelta:
    from datetime import timedelta

    match = re.fullmatch("([0-9]{1,5})d", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a number of days such as 30d", ctx, param)
    return timedelta(days=int(match[1]))


@click.command()
@click.argument("frameworks", metavar="[FRAMEWORK]...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--keep", metavar="N", type=click.IntRange(0), default=10, help="Newest of each repository; default: 10.")
@click.option("--older-than", metavar="DAYS", callback=_days, default="30d", help="Younger ones stay; default: 30d.")
@click.option(
    "--unused-for",
    metavar="DAYS",
    callback=_days,
    default="90d",
    help="Images stay that a job used or somebody pulled in this time; default: 90d.",
)
@click.option("--policy", "wants_policy", is_flag=True, help="Print a lifecycle policy for ECR, and remove nothing.")
@click.option("--put-policy", is_flag=True, help="Set that policy on repositories that have none; remove nothing.")
@region_option
@catalog_option
@json_option
def prune(
    frameworks: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    keep: int,
    older_than: timedelta,
    unused_for: timedelta,
    wants_policy: bool,
    put_policy: bool,
    region: str | None,
    catalog: tuple[str, ...],
    as_json: bool,
) -> None:
    """Remove images that nothing uses.

    Those of your account's repositories that begin with the configured prefix; with FRAMEWORK, of these alone. No image
    goes that an endpoint, a model, a model package, a pipeline, a Studio image, or a job of late names. When any of
    that cannot be asked, nothing goes.
    """
    from sagemaker_custom.pruning import Rules, lifecycle_policy
    from sagemaker_custom.wiring import Parts

    policy = lifecycle_policy(max(older_than.days, 1))
    if wants_policy:
        print_document(policy)
        return
    parts = Parts(region=region, catalog=catalog)
    stored, repositories = _own_repositories(parts, frameworks)
    if put_policy:
        _put_policy(stored, repositories, policy, dry_run=dry_run, yes=yes)
        return
    verdicts = _verdicts(parts, stored, repositories, Rules(keep=keep, older_than=older_than, unused_for=unused_for))
    removable = _shown(verdicts, as_json=as_json)
    if dry_run or not removable:
        return
    _agree(f"Remove these {len(removable)} images?", yes=yes)
    _remove(stored, removable)


def _own_repositories(parts: Parts, frameworks: Sequence[str]) -> tuple[StoredImages, tuple[str, ...]]:
    from sagemaker_custom.aws.stored_images import StoredImages
    from sagemaker_custom.errors import UsageError

    account, prefix = parts.aws.account_id(), parts.settings.repository_prefix
    if parts.settings.account not in (None, account):
        raise UsageError(
            f"the images are in the account {parts.settings.account}, and these credentials are of {account}",
            hint="prune with credentials of that account: what uses its images can be asked there alone",
        )
    names = parts.aws.repositories(f"{prefix}-", region=parts.aws.region, account=account)
    wanted = {f"{prefix}-{framework}" for framework in frameworks}
    stored = StoredImages(parts.aws.connection, region=parts.aws.region, account=account)
    return stored, tuple(name for name in names if name in wanted or not wanted)


def _verdicts(parts: Parts, stored: StoredImages, repositories: Sequence[str], rules: Rules) -> tuple[Verdict, ...]:
    from datetime import datetime, timezone

    from sagemaker_custom.aws.image_uses import ImageUses
    from sagemaker_custom.pruning import Known, decide

    now, region = datetime.now(timezone.utc), parts.aws.region
    with parts.progress() as progress:
        # Listed first: what begins to use an image from now on is seen, or the image is too young to go.
        images = {repository: stored.of(repository) for repository in repositories}
        uses = ImageUses(parts.aws.connection, region=region, progress=progress).since(rules.jobs_since(now))
    host = parts.catalog.partitions.registry_host(parts.aws.account_id(), region)
    known = Known(host=host, uses=uses, named=_named(parts))
    return tuple(verdict for some in images.values() for verdict in decide(some, known, rules, now))


def _named(parts: Parts) -> frozenset[tuple[str, str]]:
    from sagemaker_custom.errors import ImageNotInCatalogError

    found: set[tuple[str, str]] = set()
    for named in parts.catalog.images.values():
        for spec in named.specs():
            try:
                reference = parts.plan(spec, account=parts.aws.account_id()).reference
            except ImageNotInCatalogError:
                # It is for another region, so that there is none here.
                continue
            found.add((reference.repository, reference.tag or ""))
    return frozenset(found)


def _shown(verdicts: Sequence[Verdict], *, as_json: bool) -> tuple[Removable, ...]:
    from sagemaker_custom.pruning import Removable

    removable = tuple(verdict for verdict in verdicts if isinstance(verdict, Removable))
    if as_json:
        print_document([_document(verdict) for verdict in verdicts])
        return removable
    rows = [[_name(verdict), f"{verdict.image.size / _MB:,.0f} MB", verdict.reason] for verdict in removable]
    if rows:
        print_table(("image", "size", "why it can go"), rows)
    say(f"{len(removable)} of {len(verdicts)} images can go")
    return removable


def _name(verdict: Verdict) -> str:
    image = verdict.image
    return f"{image.repository}:{image.tags[0]}" if image.tags else f"{image.repository}@{image.digest}"


def _document(verdict: Verdict) -> dict[str, object]:
    from sagemaker_custom.pruning import Removable

    image = verdict.image
    return {
        "repository": image.repository,
        "digest": image.digest,
        "tags": list(image.tags),
        "size": image.size,
        "pushed": image.pushed.isoformat(),
        "pulled": image.pulled.isoformat() if image.pulled else None,
        "can_go": isinstance(verdict, Removable),
        "reason": verdict.reason,
    }


def _agree(question: str, *, yes: bool) -> None:
    from sagemaker_custom.errors import UsageError
    from sagemaker_custom.progress import confirm

    if yes:
        return
    answer = confirm(question)
    if answer is None:
        raise UsageError("nobody can be asked whether to go on", hint="add --yes, or --dry-run to only look")
    if not answer:
        raise click.Abort


def _remove(stored: StoredImages, removable: Sequence[Removable]) -> None:
    from sagemaker_custom.errors import AwsError

    refused: dict[str, str] = {}
    for repository in dict.fromkeys(verdict.image.repository for verdict in removable):
        digests = [verdict.image.digest for verdict in removable if verdict.image.repository == repository]
        refused |= {f"{repository}@{digest}": reason for digest, reason in stored.remove(repository, digests).items()}
    say(f"removed {len(removable) - len(refused)} images")
    # Images of an index have no tags of their own, and ECR alone knows which index is whose.
    parts = [image for image, reason in refused.items() if reason.startswith("ImageReferencedByManifestList")]
    if parts:
        say(f"{len(parts)} are parts of an image for several platforms, and stay")
    failed = [f"{image}: {reason}" for image, reason in refused.items() if image not in parts]
    if failed:
        raise AwsError(f"{len(failed)} images were not removed: {'; '.join(failed)}", hint="see the ECR console")


def _put_policy(
    stored: StoredImages, repositories: Sequence[str], policy: dict[str, object], *, dry_run: bool, yes: bool
) -> None:
    current = {repository: stored.lifecycle_policy(repository) for repository in repositories}
    without = [repository for repository, its in current.items() if its is None]
    others = [repository for repository, its in current.items() if its not in (None, policy)]
    for name in others:
        say(f"{name} has a lifecycle policy of its own, which stays")
    say(f"{', '.join(without) or 'no repository'} would get the policy")
    if dry_run or not without:
        return
    _agree("Set it?", yes=yes)
    for repository in without:
        stored.put_lifecycle_policy(repository, policy)
    say(f"set on {len(without)} repositories")
