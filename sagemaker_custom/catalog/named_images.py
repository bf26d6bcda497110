"""A document of ``image_catalog/images`` → :class:`NamedImage`: images that a team calls by one name, and builds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from sagemaker_custom.catalog.problems import Problem, checked, malformed
from sagemaker_custom.catalog.schemas import Document, Name, Region, Text
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.requirements import is_path, read_requirements
from sagemaker_custom.spec import (
    Architecture,
    Extra,
    ImageScope,
    ImageSpec,
    Processor,
    normalise_cuda,
    normalise_extras,
    normalise_python,
    parse_base_framework,
    parse_extra,
)

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # novm: only for the type checker

HINT = "docs/reference/named-images.md lists every key"

_Choice = TypeVar("_Choice", bound=str)


def _python(text: str) -> str:
    return normalise_python(text) or text


def _cuda(text: str) -> str:
    return normalise_cuda(text) or text


def _base_framework(text: str) -> str:
    parse_base_framework(text)
    return text


def _extra(text: str) -> str:
    if not is_path(text):
        parse_extra(text)
    return text


class NamedImageDocument(Document):
    """Images that a team calls by one name: one for each version, scope and processor, with the same extras."""

    schema_version: Literal[1]
    name: Name
    summary: Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
    framework: Name
    versions: list[Annotated[str, Field(pattern=r"^(latest|b?\d[\w.-]*)$")]] = Field(
        min_length=1, description="Of the framework, between quotes; the first one is the default"
    )
    py_version: Annotated[str, AfterValidator(_python)] | None = Field(None, examples=["py311"])
    cuda_version: Annotated[str, AfterValidator(_cuda)] | None = Field(None, examples=["cu121"])
    base_framework_version: Annotated[str, AfterValidator(_base_framework)] | None = Field(
        None, examples=["pytorch2.0.0"]
    )
    processors: list[Processor] = Field(["cpu", "gpu"], min_length=1)
    image_scopes: list[ImageScope] = Field(["training", "inference"], min_length=1)
    architecture: Architecture = "x86_64"
    extras: list[Annotated[Text, AfterValidator(_extra)]] = Field(
        [], description="As in extras=; the path of a requirements file is relative to this document"
    )
    regions: list[Region] = Field([], description="Where a platform team builds it")


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedImage:
    """What a team means by one name: an image for each version, processor and scope, with the same extras."""

    name: str
    summary: str
    framework: str
    versions: tuple[str, ...]
    """The first one is the default."""
    py_version: str | None = None
    cuda_version: str | None = None
    base_framework: str | None = None
    base_framework_version: str | None = None
    processors: tuple[Processor, ...] = ("cpu", "gpu")
    image_scopes: tuple[ImageScope, ...] = ("training", "inference")
    architecture: Architecture = "x86_64"
    extras: tuple[Extra, ...] = ()
    regions: tuple[str, ...] = ()
    """Where a platform team builds it; empty for wherever it is asked to."""

    def specs(self) -> tuple[ImageSpec, ...]:
        """Return every image that a team builds for it."""
        combinations = product(self.versions, self.image_scopes, self.processors)
        return tuple(
            self.spec_for(version=version, image_scope=scope, processor=processor)
            for version, scope, processor in combinations
        )

    def spec_for(
        self,
        *,
        version: str | None = None,
        py_version: str | None = None,
        cuda_version: str | None = None,
        image_scope: ImageScope | None = None,
        processor: Processor | None = None,
        architecture: Architecture | None = None,
        extras: Iterable[Extra] = (),
    ) -> ImageSpec:
        """Return the image to use.

        Args:
            version: One of those listed, as short or as long as one likes; default: the first.
            py_version: Default: what the document says, if anything.
            cuda_version: Of GPU images; default: what the document says, if anything.
            image_scope: Default: the first one.
            processor: Default: the first one.
            architecture: Default: the document's.
            extras: More of them. What comes out is an image of its own, which nobody has prebuilt.

        Raises:
            ImageNotInCatalogError: It is not made for what is asked; says what it is made for.
        """
        chosen = self._chosen(processor, self.processors, "processor")
        return ImageSpec(
            framework=self.framework,
            version=self._version(version),
            py_version=py_version or self.py_version,
            image_scope=self._chosen(image_scope, self.image_scopes, "image_scope"),
            processor=chosen,
            architecture=self._chosen(architecture, (self.architecture,), "architecture"),
            cuda_version=(cuda_version or self.cuda_version) if chosen == "gpu" else None,
            base_framework=self.base_framework,
            base_framework_version=self.base_framework_version,
            extras=normalise_extras((*self.extras, *extras)),
        )

    def _chosen(self, asked: _Choice | None, known: Sequence[_Choice], what: str) -> _Choice:
        if asked is None or asked in known:
            return asked or known[0]
        raise self._not_made(f"{what} {asked!r}", known)

    def _version(self, asked: str | None) -> str:
        if asked is None:
            return self.versions[0]
        for known in self.versions:
            longer, shorter = sorted((known, asked), key=len, reverse=True)
            if longer == shorter or longer.startswith((f"{shorter}.", f"{shorter}-")):
                return longer
        raise self._not_made(f"version {asked!r}", self.versions)

    def _not_made(self, asked: str, known: Iterable[str]) -> ImageNotInCatalogError:
        return ImageNotInCatalogError(
            f"the named image {self.name!r} is not made for {asked}",
            hint=f"it is made for {', '.join(known)}; its team can add to it",
        )


def read_named_image(document: object, where: str, folder: Traversable | None = None) -> NamedImage:
    """Read a named image.

    Args:
        document: What the YAML file holds.
        where: Its file name, for errors.
        folder: That it is in, where its requirements files are looked for.

    Raises:
        CatalogError: It is malformed; every problem has a line with file and key path.
    """
    parsed = checked(NamedImageDocument, document, where, hint=HINT)
    base_framework, base_framework_version = parse_base_framework(parsed.base_framework_version)
    return NamedImage(
        name=parsed.name,
        summary=parsed.summary,
        framework=parsed.framework,
        versions=tuple(parsed.versions),
        py_version=parsed.py_version,
        cuda_version=parsed.cuda_version,
        base_framework=base_framework,
        base_framework_version=base_framework_version,
        processors=tuple(dict.fromkeys(parsed.processors)),
        image_scopes=tuple(dict.fromkeys(parsed.image_scopes)),
        architecture=parsed.architecture,
        extras=_extras(parsed.extras, where, folder),
        regions=tuple(dict.fromkeys(parsed.regions)),
    )


def _extras(texts: Sequence[str], where: str, folder: Traversable | None) -> tuple[Extra, ...]:
    extras, problems = [], []
    for number, text in enumerate(texts):
        try:
            extras.append(read_requirements(_inside(folder, text)) if is_path(text) else parse_extra(text))
        except UsageError as error:
            problems.append(Problem(file=where, path=f"extras[{number}]", message=error.message))
    if not problems:
        try:
            return normalise_extras(extras)
        except UsageError as error:
            problems.append(Problem(file=where, path="extras", message=error.message))
    raise malformed(problems, hint=HINT)


def _inside(folder: Traversable | None, text: str) -> Path:
    if not isinstance(folder, Path):
        raise UsageError(f"{text!r} is a file, and this catalog is not a folder of files")
    # A catalog comes from others: it may read what lies beside it, not what else is on this machine.
    path = (folder / text).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UsageError(f"{text!r} leads out of the folder of the document")
    return path
