"""Catalog → its recipes, all that one of them installs, or what would be installed on one base image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from sagemaker_custom.cli.completions import complete_recipes
from sagemaker_custom.cli.options import ImageOptions, selecting_options
from sagemaker_custom.cli.output import json_option, print_document, print_pairs, print_table
from sagemaker_custom.errors import ImageNotInCatalogError, InvalidExtraError, UsageError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from sagemaker_custom.catalog import Catalog, Recipe
    from sagemaker_custom.catalog.recipes import Condition, Variant
    from sagemaker_custom.resolve import Step
    from sagemaker_custom.wiring import Parts


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What a recipe does on one base image."""

    name: str
    steps: tuple[Step, ...] = ()
    """Empty when nothing is installed."""
    words: tuple[str, ...] = ()
    """The steps, for people."""
    why: str | None = None
    """Why nothing is installed."""

    @property
    def document(self) -> dict[str, Any]:
        """What programs are told."""
        steps = [{"kind": type(step).__name__, **asdict(step)} for step in self.steps]
        return {"name": self.name, "steps": steps, "nothing_because": self.why}


@click.command()
@click.argument("recipe", metavar="[NAME]", required=False, shell_complete=complete_recipes)
@selecting_options
@json_option
def extras(recipe: str | None, image: ImageOptions, as_json: bool) -> None:
    """List recipes, and what they install.

    With NAME, all variants of that recipe; with --framework, what would be installed on that image.
    """
    from sagemaker_custom.cli.asked import parts_for

    parts = parts_for(image)
    recipes = [_known(recipe, parts.catalog)] if recipe else _by_name(parts.catalog)
    if image.name:
        _show_installed([_installed(one, image, parts) for one in recipes], as_json)
    elif image.selects:
        raise UsageError("options that say which image is meant need --framework", hint="name one: --framework pytorch")
    elif recipe:
        _show_recipe(recipes[0], as_json)
    else:
        _show_all(recipes, as_json)


def _known(name: str, catalog: Catalog) -> Recipe:
    from packaging.utils import canonicalize_name

    from sagemaker_custom.bases import did_you_mean

    recipe = catalog.recipes.get(canonicalize_name(name))
    if recipe is None:
        raise ImageNotInCatalogError(
            f"there is no recipe {name!r} in the catalog", hint=did_you_mean(name, catalog.recipes)
        )
    return recipe


def _by_name(catalog: Catalog) -> list[Recipe]:
    return [catalog.recipes[name] for name in sorted(catalog.recipes)]


def _show_all(recipes: Sequence[Recipe], as_json: bool) -> None:
    if as_json:
        print_document([{"name": one.name, "summary": one.summary, "homepage": one.homepage} for one in recipes])
    else:
        print_table(("name", "summary"), [(one.name, one.summary) for one in recipes])


def _show_recipe(recipe: Recipe, as_json: bool) -> None:
    if as_json:
        print_document(
            {
                "name": recipe.name,
                "summary": recipe.summary,
                "homepage": recipe.homepage,
                "verify": list(recipe.verify),
                "after": list(recipe.after),
                "conflicts": list(recipe.conflicts),
                "variants": [_variant_document(variant) for variant in recipe.variants],
            }
        )
        return
    print_pairs([("name", recipe.name), ("summary", recipe.summary), ("homepage", recipe.homepage)])
    print_pairs(("conflicts with", name) for name in recipe.conflicts)
    click.echo()
    rows = [(_words(_condition(variant.when)), *_installs(variant)) for variant in recipe.variants]
    print_table(("for", "version", "or", "installs"), rows)


def _condition(when: Condition) -> Iterator[tuple[str, Any]]:
    """Give what a condition asks for, and leave out what it does not care about."""
    yield "framework", list(when.frameworks)
    yield "framework_version", _specifiers(when.framework_version)
    yield "image_scope", when.image_scope
    yield "processor", list(when.processors)
    yield "architecture", when.architecture
    yield "cuda", _specifiers(when.cuda) if when.cuda is not None else None
    yield "python", _specifiers(when.python)
    yield "layout", when.layout
    yield "os", list(when.os)
    yield "matrix", {minor: list(builds) for minor, builds in (when.matrix or {}).items()}


def _specifiers(specifiers: SpecifierSet) -> str:
    # Sorted here, since releases of packaging differ in how they print a set.
    return ",".join(sorted(map(str, specifiers), reverse=True))


def _words(condition: Iterator[tuple[str, Any]]) -> str:
    return "; ".join(f"{name} {_word(value)}" for name, value in condition if value) or "all images"


def _word(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{minor}: {' '.join(builds)}" for minor, builds in value.items())
    return "/".join(value) if isinstance(value, list) else str(value)


def _installs(variant: Variant) -> tuple[str | None, str | None, str]:
    """Return the version, which others can be asked for, and what is installed."""
    if variant.unavailable:
        return None, None, f"nothing: {variant.unavailable}"
    if variant.preinstalled:
        return None, None, "nothing: the image has it"
    parts = [("apt", variant.apt)]
    parts += [("conda", variant.conda.packages)] if variant.conda else []
    parts += [("pip", variant.pip.packages)] if variant.pip else []
    installed = "; ".join(f"{way}: {' '.join(packages)}" for way, packages in parts if packages)
    version = str(variant.version) if variant.version else None
    return version, _specifiers(variant.versions) or None, installed


def _variant_document(variant: Variant) -> dict[str, Any]:
    return {
        "when": {name: value for name, value in _condition(variant.when) if value},
        "version": str(variant.version) if variant.version else None,
        "versions": _specifiers(variant.versions) or None,
        "preinstalled": variant.preinstalled,
        "unavailable": variant.unavailable,
        "apt": list(variant.apt),
        "conda": asdict(variant.conda) if variant.conda else None,
        "uninstall": list(variant.uninstall),
        "pip": asdict(variant.pip) if variant.pip else None,
        "verify": list(variant.verify),
    }


def _installed(recipe: Recipe, image: ImageOptions, parts: Parts) -> Installed:
    """Say what a recipe does on the base image of the options."""
    from sagemaker_custom.bases import with_defaults
    from sagemaker_custom.cli.asked import asked_spec
    from sagemaker_custom.cli.plan import describe_step
    from sagemaker_custom.resolve import Prebuilt, resolve
    from sagemaker_custom.spec import RecipeExtra

    spec = replace(asked_spec(image, parts), extras=())
    catalog = parts.catalog_for(spec)
    spec = with_defaults(spec, catalog)
    resolve(spec, catalog)
    try:
        resolution = resolve(replace(spec, extras=(RecipeExtra(name=recipe.name),)), catalog)
    except (ImageNotInCatalogError, InvalidExtraError) as error:
        return Installed(name=recipe.name, why=error.hint or error.message)
    if isinstance(resolution, Prebuilt):
        return Installed(name=recipe.name, why="the image has it")
    return Installed(name=recipe.name, steps=resolution.steps, words=tuple(map(describe_step, resolution.steps)))


def _show_installed(installed: Sequence[Installed], as_json: bool) -> None:
    if as_json:
        print_document([one.document for one in installed])
    else:
        rows = [(one.name, "; ".join(one.words) or f"nothing: {one.why}") for one in installed]
        print_table(("name", "installs"), rows)
