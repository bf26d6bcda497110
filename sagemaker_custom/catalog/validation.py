"""A folder of documents, and what it is put upon → everything that is wrong with it, as :class:`Problem` values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from sagemaker_custom.catalog import Catalog
from sagemaker_custom.catalog.documents import RecipeDocument
from sagemaker_custom.catalog.named_images import NamedImage, NamedImageDocument
from sagemaker_custom.catalog.problems import Problem, nearest, problems_of
from sagemaker_custom.catalog.schemas import FrameworkAliasesDocument, FrameworkDocument, PartitionsDocument
from sagemaker_custom.catalog.sources import (
    FOLDERS,
    FRAMEWORK_ALIASES,
    PARTITIONS,
    SUFFIXES,
    CatalogFile,
    CatalogFolder,
    Kind,
    Layer,
    where_of,
)
from sagemaker_custom.errors import CatalogError, SageMakerCustomError
from sagemaker_custom.spec import ImageSpec, RecipeExtra

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # novm: only for the type checker

    from pydantic import BaseModel

_MODELS: dict[Kind, type[BaseModel]] = {
    "framework": FrameworkDocument,
    "recipe": RecipeDocument,
    "image": NamedImageDocument,
}
_SINGLE = (PARTITIONS, FRAMEWORK_ALIASES)
# What a folder may hold besides: notes, the schemas for editors, and what makes it a Python package.
_BESIDES = ("schemas", "py.typed", "LICENSE")
_BESIDES_SUFFIXES = (".md", ".py", ".txt", ".in")


class Validation:
    """Looks at one folder.

    Args:
        folder: To be looked at.
        beneath: What it will be put upon, besides what comes with this package.
        resolve: Raises when there is no such image; ``None`` to leave that open.
    """

    def __init__(
        self,
        folder: CatalogFolder,
        beneath: tuple[CatalogFolder, ...],
        resolve: Callable[[ImageSpec, Catalog], object] | None,
    ) -> None:
        from sagemaker_custom.catalog import shipped

        self._folder = folder
        self._beneath = [Layer.of(lower) for lower in (shipped(), *beneath) if lower != folder]
        self._resolve = resolve

    def problems(self) -> tuple[Problem, ...]:
        """Return all that is wrong, sorted by file."""
        try:
            layer = Layer.of(self._folder)
        except CatalogError as error:
            return (*self._strangers(), Problem(file=self._folder.origin, message=error.message))
        found = [*self._strangers(), *self._of_documents(layer)]
        broken = {problem.file for problem in found}
        catalog, more = self._stacked(layer, broken)
        found += more
        broken |= {problem.file for problem in more}
        for kind in FOLDERS:
            for name, file in layer.documents[kind].items():
                if file.where not in broken:
                    found += self._references(kind, name, file, catalog)
        found += _of_aliases(_unless(layer.framework_aliases, broken), catalog)
        return tuple(sorted(dict.fromkeys(found), key=lambda problem: problem.file))

    def _strangers(self) -> Iterator[Problem]:
        """Name files and folders that nothing reads, since their names may be misspelled."""
        known = [*FOLDERS.values(), *(name + suffix for name in _SINGLE for suffix in SUFFIXES)]
        yield from self._unread(self._folder.root, "", known)
        for name in FOLDERS.values():
            inner = self._folder.root / name
            if inner.is_dir():
                yield from self._unread(inner, f"{name}/", None)

    def _unread(self, folder: Traversable, prefix: str, known: list[str] | None) -> Iterator[Problem]:
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            name = file.name
            is_document = name in known if known is not None else name.endswith(SUFFIXES) and file.is_file()
            if is_document or name.startswith((".", "__")) or name in _BESIDES or name.endswith(_BESIDES_SUFFIXES):
                continue
            what = "folder" if file.is_dir() else "file"
            yield Problem(
                file=where_of(self._folder, prefix + name),
                message=f"nothing reads this {what}",
                suggestion=nearest(name, known) if known is not None else None,
            )

    def _of_documents(self, layer: Layer) -> Iterator[Problem]:
        """Hold every document against its model."""
        files: list[tuple[CatalogFile | None, type[BaseModel]]] = [
            (layer.partitions, PartitionsDocument),
            (layer.framework_aliases, FrameworkAliasesDocument),
        ]
        files += [(file, _MODELS[kind]) for kind in FOLDERS for file in layer.documents[kind].values()]
        for file, model in files:
            if file is not None:
                try:
                    yield from problems_of(model, file.read(), file.where)
                except CatalogError as error:
                    yield from _told(error, file.where)

    def _stacked(self, layer: Layer, broken: set[str]) -> tuple[Catalog, list[Problem]]:
        """Return the catalog with all that can be read, and what goes wrong on the way."""
        readable = replace(
            layer,
            partitions=_unless(layer.partitions, broken),
            framework_aliases=_unless(layer.framework_aliases, broken),
        )
        try:
            return Catalog.stacked([*self._beneath, readable]), []
        except CatalogError as error:
            where = layer.partitions.where if layer.partitions else layer.origin
            return Catalog.stacked(self._beneath), list(_told(error, where))

    def _references(self, kind: Kind, name: str, file: CatalogFile, catalog: Catalog) -> Iterator[Problem]:
        """Look for what a sound document names and nobody has."""
        try:
            match kind:
                case "framework":
                    _ = catalog.frameworks[name]
                case "recipe":
                    yield from _of_recipe(name, file.where, catalog)
                case "image":
                    yield from self._of_image(catalog.images[name], file.where, catalog)
        except CatalogError as error:
            yield from _told(error, file.where)

    def _of_image(self, image: NamedImage, where: str, catalog: Catalog) -> Iterator[Problem]:
        frameworks = [*catalog.frameworks, *catalog.framework_aliases]
        if image.framework not in frameworks:
            yield _unknown(
                where, "framework", f"there is no framework {image.framework!r}", image.framework, frameworks
            )
            return
        unknown = list(_unknown_recipes(image, where, catalog))
        yield from unknown
        for region in image.regions:
            try:
                catalog.partitions.dns_suffix(region)
            except SageMakerCustomError as error:
                yield Problem(file=where, path="regions", message=_with_hint(error))
        if unknown or self._resolve is None:
            return
        for spec in image.specs():
            try:
                self._resolve(spec, catalog)
            except CatalogError:
                # A recipe or framework that it needs is malformed, which is told of that document.
                return
            except SageMakerCustomError as error:
                yield Problem(file=where, path="versions", message=_with_hint(error))


def _of_aliases(file: CatalogFile | None, catalog: Catalog) -> Iterator[Problem]:
    if file is None:
        return
    for alias, name in FrameworkAliasesDocument.model_validate(file.read()).aliases.items():
        if name not in catalog.frameworks:
            path = f"aliases.{alias}"
            yield _unknown(file.where, path, f"there is no framework {name!r}", name, catalog.frameworks)


def _of_recipe(name: str, where: str, catalog: Catalog) -> Iterator[Problem]:
    recipe = catalog.recipes[name]
    for number, other in enumerate(recipe.after):
        if other not in catalog.recipes:
            yield _unknown(where, f"after[{number}]", f"there is no recipe {other!r}", other, catalog.recipes)
    # Not conflicts: packages may stand there too. What Hugging Face's images call their version is of Transformers.
    frameworks = [*catalog.frameworks, "transformers"]
    for number, variant in enumerate(recipe.variants):
        for framework in variant.when.frameworks:
            if framework not in frameworks:
                path = f"variants[{number}].when.framework"
                yield _unknown(where, path, f"there is no framework {framework!r}", framework, frameworks)


def _unknown_recipes(image: NamedImage, where: str, catalog: Catalog) -> Iterator[Problem]:
    for extra in image.extras:
        if isinstance(extra, RecipeExtra) and extra.name not in catalog.recipes:
            yield _unknown(where, "extras", f"there is no recipe {extra.name!r}", extra.name, catalog.recipes)


def _unknown(where: str, path: str, message: str, name: str, known: Iterable[str]) -> Problem:
    return Problem(file=where, path=path, message=message, suggestion=nearest(name, known))


def _told(error: CatalogError, where: str) -> Iterator[Problem]:
    """Return the lines of an error, each of which begins with its file."""
    for line in error.message.splitlines():
        path, colon, message = line.removeprefix(f"{where}: ").partition(": ")
        if colon and line.startswith(f"{where}: ") and " " not in path:
            yield Problem(file=where, path=path, message=message)
        else:
            yield Problem(file=where, message=line.removeprefix(f"{where}: "))


def _with_hint(error: SageMakerCustomError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _unless(file: CatalogFile | None, broken: set[str]) -> CatalogFile | None:
    return None if file is None or file.where in broken else file
