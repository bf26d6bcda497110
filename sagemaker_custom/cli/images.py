"""A registry → a table of what has been built there."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.options import account_option, region_option
from sagemaker_custom.cli.output import json_option, print_document, print_table, say, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagemaker_custom.built_images import BuiltImage
    from sagemaker_custom.reference import ImageReference
    from sagemaker_custom.wiring import Parts

_MB = 1_000_000
_DAY_S = 86_400
_HOUR_S = 3600


@click.command()
@click.argument("frameworks", metavar="[FRAMEWORK]...", nargs=-1)
@region_option
@account_option
@click.option("--check-base", is_flag=True, help="Ask AWS's registry whether each base has been published anew since.")
@json_option
def images(
    frameworks: tuple[str, ...], region: str | None, account: str | None, check_base: bool, as_json: bool
) -> None:
    """List the built images of a registry.

    Those of the repositories that begin with the configured prefix, newest first; with FRAMEWORK, of these alone.
    """
    from sagemaker_custom.built_images import as_document, list_images
    from sagemaker_custom.wiring import Parts

    parts = Parts(region=region)
    prefix = parts.settings.repository_prefix
    repositories = _repositories(parts, frameworks, account)
    found = list_images(
        repositories, registry=parts.registry, prefix=prefix, base_of=_base_of(parts) if check_base else None
    )
    if as_json:
        print_document([as_document(image) for image in found])
        return
    if not found:
        names = " and ".join(f"{prefix}-{framework}" for framework in frameworks or ("*",))
        say(f"there are no images in repositories {names} of {parts.aws.region}")
        return
    print_table(_columns(check_base), [_row(image, check_base) for image in found])
    warn(f"{image.reference} could not be read: {image.problem}" for image in found if image.problem)
    unknown = ((image.base or image.reference.tag, image.base_problem) for image in found if image.base_problem)
    # Once a base, however many images stand on it.
    warn(f"whether {base} has moved is unknown: {problem}" for base, problem in dict.fromkeys(unknown))


def _repositories(parts: Parts, frameworks: tuple[str, ...], account: str | None) -> tuple[ImageReference, ...]:
    from sagemaker_custom.reference import ImageReference

    region, prefix = parts.aws.region, parts.settings.repository_prefix
    owner = account or parts.settings.account or parts.aws.account_id()
    names = parts.aws.repositories(f"{prefix}-", region=region, account=owner)
    host = parts.catalog.partitions.registry_host(owner, region)
    wanted = [f"{prefix}-{framework}" for framework in frameworks]
    return tuple(ImageReference(registry=host, repository=name) for name in names if name in wanted or not frameworks)


def _base_of(parts: Parts) -> Callable[[str], ImageReference]:
    from sagemaker_custom.errors import ImageNotInCatalogError

    catalog, region = parts.catalog, parts.aws.region
    known = {
        f"{image.repository}:{image.tag}": image
        for framework in catalog.frameworks.values()
        for image in framework.images
    }

    def base_of(name: str) -> ImageReference:
        if name not in known:
            raise ImageNotInCatalogError(f"the catalog has no image {name}")
        # By its tag: a digest that the catalog pins stays what it was when the tag moves.
        return catalog.partitions.reference(known[name], region).with_tag(known[name].tag)

    return base_of


def _columns(check_base: bool) -> tuple[str, ...]:
    columns = ("framework", "version", "for", "extras", "base", "size", "age")
    return (*columns, *(["base moved"] if check_base else []), "tag")


def _row(image: BuiltImage, check_base: bool) -> list[object]:
    kind = " ".join(filter(None, [image.image_scope, image.processor, image.py_version]))
    moved = {"same": "no", "moved": "yes"}.get(image.base_state or "", image.base_state)
    return [
        image.framework,
        image.version,
        kind or image.kind,
        image.extras,
        image.base,
        None if image.size is None else f"{image.size / _MB:,.0f} MB",
        _age(image.created),
        *([moved] if check_base else []),
        image.reference.tag,
    ]


def _age(created: datetime | None) -> str | None:
    if created is None:
        return None
    seconds = (datetime.now(timezone.utc) - created).total_seconds()
    if seconds < _DAY_S:
        return f"{max(seconds, 0) / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} d"
