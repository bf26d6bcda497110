"""The image catalog: documents of ``image_catalog``, and of team catalogs → one immutable :class:`Catalog` to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from sagemaker_custom.catalog.images import BaseImage, Framework, Partitions
from sagemaker_custom.catalog.problems import Problem
from sagemaker_custom.catalog.recipes import Recipe
from sagemaker_custom.catalog.sources import CatalogFile, CatalogFolder, Kind, Layer
from sagemaker_custom.catalog.stacking import Origin, Stack
from sagemaker_custom.errors import CatalogError

if TYPE_CHECKING:
    from sagemaker_custom.catalog.named_images import NamedImage
    from sagemaker_custom.spec import ImageSpec

__all__ = [
    "BaseImage",
    "Catalog",
    "CatalogFolder",
    "Framework",
    "Origin",
    "Partitions",
    "Problem",
    "Recipe",
    "json_schemas",
    "load",
    "shipped",
    "validate",
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Catalog:
    """Everything that is known about base images, recipes and named images.

    Documents are read when they are first asked for. One that is malformed raises
    :class:`~sagemaker_custom.errors.CatalogError` then, with all that is wrong with it.
    """

    frameworks: Mapping[str, Framework]
    """By name."""
    framework_aliases: Mapping[str, str]
    """Other name → name."""
    recipes: Mapping[str, Recipe]
    """By name."""
    partitions: Partitions
    images: Mapping[str, NamedImage] = field(default_factory=dict)
    """Named images, by name."""
    origins: Mapping[tuple[Kind, str], Origin] = field(default_factory=dict, repr=False)
    """Where each framework, recipe and named image came from."""

    @classmethod
    def from_documents(
        cls,
        *,
        frameworks: Mapping[str, object],
        recipes: Mapping[str, object],
        partitions: Mapping[str, Any],
        images: Mapping[str, object] | None = None,
        framework_aliases: Mapping[str, Any] | None = None,
    ) -> Catalog:
        """Build a catalog out of parsed documents, and read all of them.

        Args:
            frameworks: File name → document.
            recipes: File name → document.
            partitions: The document of accounts, regions and partitions.
            images: File name → document of a named image.
            framework_aliases: The document of the frameworks' other names.

        Raises:
            CatalogError: Documents are malformed; lists the problems of all of them.
        """
        layer = Layer(
            origin="documents",
            documents={
                "framework": _in_memory(frameworks),
                "recipe": _in_memory(recipes),
                "image": _in_memory(images or {}),
            },
            partitions=_in_memory({"partitions.json": partitions})["partitions"],
            framework_aliases=_in_memory({"framework_aliases.json": framework_aliases})["framework_aliases"]
            if framework_aliases
            else None,
        )
        catalog = cls.stacked([layer])
        catalog.read()
        return catalog

    @classmethod
    def stacked(cls, layers: Iterable[Layer]) -> Catalog:
        """Build a catalog out of layers, of which what comes later counts more.

        Raises:
            CatalogError: Accounts, regions or aliases of a layer are malformed.
        """
        stack = Stack(list(layers))
        return cls(
            frameworks=stack.frameworks,
            framework_aliases=stack.framework_aliases,
            recipes=stack.recipes,
            partitions=stack.partitions,
            images=stack.images,
            origins=stack.origins,
        )

    def read(self) -> None:
        """Read every document.

        Raises:
            CatalogError: Documents are malformed; lists the problems of all of them.
        """
        errors: list[CatalogError] = []
        for documents in (self.recipes, self.frameworks, self.images):
            for name in documents:
                try:
                    documents[name]
                except CatalogError as error:
                    errors.append(error)
        if errors:
            raise CatalogError("\n".join(error.message for error in errors), hint=errors[0].hint)


def _in_memory(documents: Mapping[str, object]) -> dict[str, CatalogFile]:
    return {
        where.rpartition("/")[2].rpartition(".")[0]: CatalogFile(
            where=where,
            read=lambda document=document: document,  # type: ignore[misc]
            is_shipped=True,
        )
        for where, document in documents.items()
    }


@cache
def shipped() -> CatalogFolder:
    """Return the folder of documents that comes with this package."""
    return CatalogFolder(
        origin="sagemaker_custom", root=resources.files("sagemaker_custom.image_catalog"), is_shipped=True
    )


def load(folders: tuple[CatalogFolder, ...] = ()) -> Catalog:
    """Return the catalog that comes with this package, with other folders put upon it; made once a process.

    Args:
        folders: What a later one has counts more than what an earlier one, or this package, has by that name.

    Raises:
        CatalogError: A folder has not the shape of a catalog.
    """
    # Not cached itself: load() and load(()) would be two catalogs.
    return _loaded(folders)


@cache
def _loaded(folders: tuple[CatalogFolder, ...]) -> Catalog:
    return Catalog.stacked(Layer.of(folder) for folder in (shipped(), *folders))


def validate(
    folder: CatalogFolder,
    beneath: tuple[CatalogFolder, ...] = (),
    *,
    resolve: Callable[[ImageSpec, Catalog], object] | None = None,
) -> tuple[Problem, ...]:
    """Read everything in a folder, and return all that is wrong with it.

    Args:
        folder: To be looked at.
        beneath: What it will be put upon, besides the catalog that comes with this package.
        resolve: Is asked for every image of the named images, and raises when there is none.

    Returns:
        Sorted by file; empty when all is well.
    """
    from sagemaker_custom.catalog.validation import Validation

    return Validation(folder, beneath, resolve).problems()


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of document, for editors: name → schema."""
    from sagemaker_custom.catalog import schemas

    return schemas.json_schemas()
