"""Layers of documents, those that count most last → what a catalog is made of, each document read when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sagemaker_custom.catalog.images import BaseImage, Framework, Partitions, read_framework, read_partitions
from sagemaker_custom.catalog.problems import Problem, checked, malformed
from sagemaker_custom.catalog.sources import CatalogFile, Documents, Kind, Layer
from sagemaker_custom.errors import CatalogError

if TYPE_CHECKING:
    from sagemaker_custom.catalog.named_images import NamedImage
    from sagemaker_custom.catalog.recipes import Recipe

HINT = "docs/how-to/run-a-team-catalog.md shows the documents of a catalog"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where an entry of the catalog came from."""

    layer: str
    """The folder, package or ``s3://`` prefix."""
    file: str
    overrides: tuple[str, ...] = ()
    """Other layers that have it too, nearest first; of frameworks their images are there as well."""


class Stack:
    """Layers, put upon each other.

    Args:
        layers: What comes later counts more.

    Raises:
        CatalogError: Accounts, regions or aliases of a layer are malformed.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self.partitions = _partitions(layers)
        self.framework_aliases = _aliases(layers)
        self.frameworks: Mapping[str, Framework] = Documents(self._files("framework"), self._framework)
        self.recipes: Mapping[str, Recipe] = Documents(self._files("recipe"), _recipe)
        self.images: Mapping[str, NamedImage] = Documents(self._files("image"), self._image)

    @property
    def origins(self) -> Mapping[tuple[Kind, str], Origin]:
        """By kind and name."""
        return dict(self._origins())

    def _origins(self) -> Iterator[tuple[tuple[Kind, str], Origin]]:
        kinds: tuple[Kind, ...] = ("framework", "recipe", "image")
        for kind in kinds:
            for name in self._files(kind):
                upper, *lower = [layer for layer in reversed(self._layers) if name in layer.documents[kind]]
                yield (
                    (kind, name),
                    Origin(
                        layer=upper.origin,
                        file=upper.documents[kind][name].where,
                        overrides=tuple(layer.origin for layer in lower),
                    ),
                )

    def _files(self, kind: Kind) -> dict[str, tuple[CatalogFile, ...]]:
        files: dict[str, tuple[CatalogFile, ...]] = {}
        for layer in self._layers:
            for name, file in layer.documents[kind].items():
                files[name] = (*files.get(name, ()), file)
        return files

    def _framework(self, name: str, files: Sequence[CatalogFile]) -> Framework:
        lowest, *others = files
        framework = self._framework_of(name, lowest)
        for file in others:
            framework = merged(self._framework_of(name, file), framework)
        return framework

    def _framework_of(self, name: str, file: CatalogFile) -> Framework:
        document = file.read()
        if not file.is_shipped:
            from sagemaker_custom.catalog.schemas import FrameworkDocument

            checked(FrameworkDocument, document, file.where, hint=HINT)
        framework = read_framework(document, file.where)
        check_name(framework.name, name, file.where, key="framework")
        problems = account_problems(framework.images, self.partitions, file.where)
        if problems:
            raise malformed(problems, hint=f"there are {', '.join(sorted(self.partitions.accounts))}")
        return framework

    def _image(self, name: str, files: Sequence[CatalogFile]) -> NamedImage:
        from sagemaker_custom.catalog.named_images import read_named_image

        file = files[-1]
        image = read_named_image(file.read(), file.where, file.folder)
        check_name(image.name, name, file.where)
        if name in self.frameworks or name in self.framework_aliases:
            raise CatalogError(
                f"{file.where}: name: {name!r} is the name of a framework already",
                hint="give the image another name, and its file too",
            )
        return image


def _recipe(name: str, files: Sequence[CatalogFile]) -> Recipe:
    from sagemaker_custom.catalog.documents import read_recipe

    file = files[-1]
    recipe = read_recipe(file.read(), file.where)
    check_name(recipe.name, name, file.where)
    return recipe


def check_name(name: str, stem: str, where: str, key: str = "name") -> None:
    """Refuse a document whose file is called otherwise.

    Raises:
        CatalogError: It is.
    """
    if name != stem:
        raise CatalogError(
            f"{where}: {key}: is {name!r}, but the file is called {stem!r}", hint="give both the same name"
        )


def account_problems(images: Sequence[BaseImage], partitions: Partitions, where: str) -> list[Problem]:
    """Return a problem for each image that nobody is known to publish."""
    return [
        Problem(file=where, path=f"images[{number}].accounts", message=f"there are no accounts {image.accounts!r}")
        for number, image in enumerate(images)
        if image.accounts not in partitions.accounts
    ]


def merged(upper: Framework, lower: Framework) -> Framework:
    """Return a framework with what another layer says of it put first.

    An image of ``lower`` goes when ``upper`` has it, for example to pin it. All others stay, after those of ``upper``:
    of images that are equally new, the first one is taken.
    """
    images = {_identity(image) for image in upper.images}
    repositories = {(entry.repository, entry.image_scopes) for entry in upper.repositories}
    return replace(
        lower,
        images=(*upper.images, *(image for image in lower.images if _identity(image) not in images)),
        version_aliases={**lower.version_aliases, **upper.version_aliases},
        repositories=(
            *upper.repositories,
            *(entry for entry in lower.repositories if (entry.repository, entry.image_scopes) not in repositories),
        ),
        provenance="; ".join(filter(None, (upper.provenance, lower.provenance))),
    )


def _identity(image: BaseImage) -> tuple[str, ...]:
    return (image.repository, image.tag, image.image_scope, image.processor)


def _partitions(layers: Sequence[Layer]) -> Partitions:
    document: dict[str, dict[str, Any]] = {"partitions": {}, "regions": {}, "account_sets": {}}
    for layer in layers:
        if layer.partitions is None:
            continue
        found = _document(layer.partitions, _check_partitions)
        for key, known in document.items():
            if layer.partitions.is_shipped and key not in found:
                raise CatalogError(f"{layer.partitions.where}: {key!r} is missing", hint=HINT)
            for name, value in found.get(key, {}).items():
                both = key == "account_sets" and name in known
                known[name] = {**known[name], **value} if both else value
    return read_partitions(document)


def _aliases(layers: Sequence[Layer]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for layer in layers:
        if layer.framework_aliases is not None:
            aliases |= _document(layer.framework_aliases, _check_aliases)["aliases"]
    return aliases


def _document(file: CatalogFile, check: Callable[[object, str], object]) -> Mapping[str, Any]:
    document: Any = file.read()
    if not file.is_shipped:
        check(document, file.where)
    return document  # type: ignore[no-any-return]


def _check_partitions(document: object, where: str) -> object:
    from sagemaker_custom.catalog.schemas import PartitionsDocument

    return checked(PartitionsDocument, document, where, hint=HINT)


def _check_aliases(document: object, where: str) -> object:
    from sagemaker_custom.catalog.schemas import FrameworkAliasesDocument

    return checked(FrameworkAliasesDocument, document, where, hint=HINT)
