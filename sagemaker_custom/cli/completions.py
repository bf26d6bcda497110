"""What has been typed so far → what the shell offers, out of the catalog; without network, and never an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from sagemaker_custom.catalog import Catalog

_KINDS = ("pip:", "conda:", "apt:")


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return frameworks and named images."""
    del param
    return _offered(ctx, incomplete, lambda catalog: (*catalog.images, *catalog.frameworks, *catalog.framework_aliases))


def complete_frameworks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return frameworks."""
    del param
    return _offered(ctx, incomplete, lambda catalog: catalog.frameworks)


def complete_recipes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return recipes."""
    del param
    return _offered(ctx, incomplete, lambda catalog: catalog.recipes)


def complete_extras(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return recipes and the other kinds of extras; a path is left to the shell."""
    del param
    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    return _offered(ctx, incomplete, lambda catalog: (*catalog.recipes, *_KINDS))


def complete_regions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return AWS's regions."""
    del param
    return _offered(ctx, incomplete, lambda catalog: catalog.partitions.regions)


def complete_versions(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the versions of the framework that is named, newest last."""
    del param
    # An argument before the option that is being typed is parsed no further by click, and left over.
    name = ctx.params.get("name") or next(iter(ctx.args), "")
    return _offered(ctx, incomplete, lambda catalog: _versions(catalog, name))


def _versions(catalog: Catalog, name: str) -> Iterable[str]:
    if name in catalog.images:
        return catalog.images[name].versions
    framework = catalog.frameworks.get(catalog.framework_aliases.get(name, name))
    return (image.version for image in framework.images) if framework else ()


def _offered(ctx: click.Context, incomplete: str, names: Callable[[Catalog], Iterable[str]]) -> list[CompletionItem]:
    from sagemaker_custom.errors import SageMakerCustomError

    try:
        known = dict.fromkeys(names(_catalog(ctx)))
    except SageMakerCustomError:
        # An error would be printed into the line that is being typed.
        return []
    return [CompletionItem(name) for name in known if name.startswith(incomplete)]


def _catalog(ctx: click.Context) -> Catalog:
    from dataclasses import replace

    from sagemaker_custom.settings import Settings
    from sagemaker_custom.wiring import Parts

    settings = replace(Settings.load(), catalog_offline=True)
    return Parts(settings=settings, catalog=ctx.params.get("catalog") or ()).catalog
