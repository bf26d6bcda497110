"""A YAML mapping that a person wrote → :class:`Recipe`; all problems of a document are told at once."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagemaker_custom.catalog.recipes import CondaPart, Condition, PipPart, Recipe, Variant
from sagemaker_custom.errors import CatalogError
from sagemaker_custom.spec import without_credentials

if TYPE_CHECKING:
    from typing_extensions import Self

PLACEHOLDERS = frozenset(
    {"version", "framework_version", "framework_minor", "cuda", "cuda_version", "python", "py_version"}
)
"""What may stand in braces in packages, channels and URLs of a recipe."""


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(f"{text!r} is not a PEP 440 specifier such as '>=1.9,<2.6'") from error
    return text


def _version(text: str) -> str:
    try:
        Version(text)
    except InvalidVersion as error:
        raise ValueError(f"{text!r} is not a version such as '1.8.0'") from error
    return text


def _template(text: str) -> str:
    # A line end would end the instruction of the Dockerfile.
    if not text.isprintable():
        raise ValueError("it has to stay on one line, without control characters")
    if any(without_credentials(word) != word for word in text.split()):
        raise ValueError("a URL here holds credentials; put the index in the setting pip_index_url instead")
    try:
        fields = [field for field in Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from error
    names = {name for _, name, _, _ in fields if name is not None}
    if any(layout or conversion for _, _, layout, conversion in fields):
        raise ValueError(f"{text!r}: a placeholder is a name in braces and nothing else")
    unknown = sorted(names - PLACEHOLDERS)
    if unknown:
        raise ValueError(f"unknown placeholder {{{unknown[0]}}}; there are {', '.join(sorted(PLACEHOLDERS))}")
    return text


SpecifierText = Annotated[str, AfterValidator(_specifier)]
VersionText = Annotated[str, AfterValidator(_version)]
Template = Annotated[str, Field(min_length=1), AfterValidator(_template)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ConditionDocument(_Document):
    """``when``: which base images a variant is for."""

    framework: str | None = None
    framework_version: SpecifierText = ""
    image_scope: Literal["training", "inference"] | None = None
    processor: Literal["cpu", "gpu"] | None = None
    cuda: SpecifierText | None = None
    python: SpecifierText = ""
    layout: Literal["conda", "usrlocal", "venv"] | None = None
    matrix: dict[str, list[str]] | None = None


class CondaDocument(_Document):
    """``conda``: packages and channels."""

    packages: list[Template] = Field(min_length=1)
    channels: list[Template] = []


class PipDocument(_Document):
    """``pip``: packages, and where they come from."""

    packages: list[Template] = Field(min_length=1)
    find_links: list[Template] = []
    index_url: Template | None = None
    extra_index_urls: list[Template] = []
    no_deps: bool = False
    no_build_isolation: bool = False
    replaces: list[Name] = []


class VariantDocument(_Document):
    """One way to install a recipe."""

    when: ConditionDocument = ConditionDocument()
    version: VersionText | None = None
    versions: SpecifierText = ""
    apt: list[Template] = []
    conda: CondaDocument | None = None
    uninstall: list[Name] = []
    pip: PipDocument | None = None
    verify: list[str] = []

    @model_validator(mode="after")
    def _installs_something(self) -> Self:
        if not (self.apt or self.conda or self.pip):
            raise ValueError("it has to install something, by apt, conda or pip")
        if self.uninstall and not self.pip:
            raise ValueError("uninstall is for pip, which this variant does not use")
        return self


class RecipeDocument(_Document):
    """``image_catalog/extras/<name>.yaml``."""

    schema_version: Literal[1]
    name: Name
    summary: str
    homepage: str = Field(pattern=r"^https://")
    verify: list[str] = Field(min_length=1)
    variants: list[VariantDocument] = Field(min_length=1)


def read_recipe(document: object, where: str) -> Recipe:
    """Read a recipe.

    Args:
        document: What the YAML file holds.
        where: Its file name, for errors.

    Raises:
        CatalogError: It is malformed; every problem has a line with file and key path.
    """
    try:
        parsed = RecipeDocument.model_validate(document)
    except ValidationError as error:
        raise CatalogError(
            "\n".join(f"{where}: {_describe(problem)}" for problem in error.errors()),
            hint="docs/reference/recipe-format.md lists every key",
        ) from error
    return Recipe(
        name=parsed.name,
        summary=parsed.summary,
        homepage=parsed.homepage,
        verify=tuple(parsed.verify),
        variants=tuple(_variant(variant) for variant in parsed.variants),
    )


def _variant(document: VariantDocument) -> Variant:
    conda, pip = document.conda, document.pip
    return Variant(
        when=_condition(document.when),
        version=Version(document.version) if document.version else None,
        versions=SpecifierSet(document.versions),
        apt=tuple(document.apt),
        conda=CondaPart(packages=tuple(conda.packages), channels=tuple(conda.channels)) if conda else None,
        uninstall=tuple(document.uninstall),
        pip=PipPart(
            packages=tuple(pip.packages),
            find_links=tuple(pip.find_links),
            index_url=pip.index_url,
            extra_index_urls=tuple(pip.extra_index_urls),
            no_deps=pip.no_deps,
            no_build_isolation=pip.no_build_isolation,
            replaces=tuple(pip.replaces),
        )
        if pip
        else None,
        verify=tuple(document.verify),
    )


def _condition(document: ConditionDocument) -> Condition:
    matrix: Mapping[str, list[str]] | None = document.matrix
    return Condition(
        framework=document.framework,
        framework_version=SpecifierSet(document.framework_version),
        image_scope=document.image_scope,
        processor=document.processor,
        cuda=SpecifierSet(document.cuda) if document.cuda is not None else None,
        python=SpecifierSet(document.python),
        layout=document.layout,
        matrix={minor: tuple(builds) for minor, builds in matrix.items()} if matrix is not None else None,
    )


_MODELS: dict[str, type[BaseModel]] = {
    "when": ConditionDocument,
    "conda": CondaDocument,
    "pip": PipDocument,
    "variants": VariantDocument,
}


def _describe(problem: Any) -> str:
    location = problem["loc"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if problem["type"] != "extra_forbidden":
        return f"{path or 'the document'}: {problem['msg'].removeprefix('Value error, ')}"
    parents = [part for part in location[:-1] if isinstance(part, str)]
    known = _MODELS.get(parents[-1], RecipeDocument) if parents else RecipeDocument
    near = get_close_matches(str(location[-1]), known.model_fields, n=1)
    return f"{path}: there is no such key" + (f"; did you mean {near[0]!r}?" if near else "")
