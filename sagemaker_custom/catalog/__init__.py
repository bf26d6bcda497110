"""The image catalog: documents of ``image_catalog`` → one immutable :class:`Catalog` to ask."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sagemaker_custom.catalog.images import BaseImage, Partitions, read_framework, read_partitions
from sagemaker_custom.catalog.recipes import Recipe
from sagemaker_custom.errors import CatalogError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # novm: only for the type checker

__all__ = ["BaseImage", "Catalog", "Partitions", "Recipe", "load"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """Everything that is known about base images and recipes."""

    frameworks: Mapping[str, tuple[BaseImage, ...]]
    """Framework → its images."""
    version_aliases: Mapping[str, Mapping[str, str]]
    """Framework → short version → full version, where that is not simply the newest."""
    recipes: Mapping[str, Recipe]
    """Name → recipe."""
    partitions: Partitions

    @classmethod
    def from_documents(
        cls,
        *,
        frameworks: Mapping[str, Mapping[str, Any]],
        recipes: Mapping[str, object],
        partitions: Mapping[str, Any],
    ) -> Catalog:
        """Build a catalog out of parsed documents.

        Args:
            frameworks: File name → JSON document.
            recipes: File name → YAML document.
            partitions: The JSON document of accounts, regions and partitions.

        Raises:
            CatalogError: A document is malformed; lists the problems of all recipes, else of the first other document.
        """
        from sagemaker_custom.catalog.documents import read_recipe

        read, problems = [], []
        for where, document in recipes.items():
            try:
                recipe = read_recipe(document, where)
                _check_name(recipe, where)
                read.append(recipe)
            except CatalogError as error:
                problems.append(error)
        if problems:
            raise CatalogError("\n".join(error.message for error in problems), hint=problems[0].hint)
        places = read_partitions(partitions)
        images = [read_framework(document, where) for where, document in frameworks.items()]
        for where, group in zip(frameworks, images, strict=True):
            _check_accounts(group, places, where)
        return cls(
            frameworks={group[0].framework: group for group in images if group},
            version_aliases={
                document["framework"]: document.get("version_aliases", {}) for document in frameworks.values()
            },
            recipes={recipe.name: recipe for recipe in read},
            partitions=places,
        )


def _check_name(recipe: Recipe, where: str) -> None:
    stem = where.rpartition("/")[2].rpartition(".")[0]
    if recipe.name != stem:
        raise CatalogError(
            f"{where}: name: is {recipe.name!r}, but the file is called {stem!r}", hint="give both the same name"
        )


def _check_accounts(images: Iterable[BaseImage], partitions: Partitions, where: str) -> None:
    for image in images:
        if image.accounts not in partitions.accounts:
            raise CatalogError(
                f"{where}: {image.tag}: there are no accounts {image.accounts!r}",
                hint=f"partitions.json has {', '.join(sorted(partitions.accounts))}",
            )


@cache
def load() -> Catalog:
    """Read the catalog that comes with this package, once a process."""
    root = resources.files("sagemaker_custom.image_catalog")
    return Catalog.from_documents(
        frameworks={
            f"frameworks/{file.name}": json.loads(file.read_text("utf-8"))
            for file in _files(root, "frameworks", ".json")
        },
        recipes={f"extras/{file.name}": _yaml(file) for file in _files(root, "extras", ".yaml")},
        partitions=json.loads((root / "partitions.json").read_text("utf-8")),
    )


def _files(root: Traversable, folder: str, suffix: str) -> Iterable[Traversable]:
    return sorted(
        (file for file in (root / folder).iterdir() if file.name.endswith(suffix)), key=lambda file: file.name
    )


def _yaml(file: Traversable) -> object:
    import yaml

    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise CatalogError(f"extras/{file.name}: {error}", hint="it has to be YAML") from error
