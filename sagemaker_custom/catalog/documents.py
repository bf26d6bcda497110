"""A YAML mapping that a person wrote → :class:`Recipe`; all problems of a document are told at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter
from typing import TYPE_CHECKING, Annotated, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sagemaker_custom.catalog.problems import checked
from sagemaker_custom.catalog.recipes import CondaPart, Condition, PipPart, Recipe, Variant
from sagemaker_custom.spec import without_credentials

if TYPE_CHECKING:
    from typing_extensions import Self

PLACEHOLDERS = frozenset(
    {
        "version",
        "framework_version",
        "framework_minor",
        "cuda",
        "cuda_version",
        "cuda_major",
        "python",
        "py_version",
        "python_tag",
    }
)
"""What may stand in braces in packages, channels, URLs and variables of a recipe."""

# The build sets them itself, or they decide what its own commands run.
_RESERVED = re.compile(r"PATH|HOME|IFS|ENV|SHELL|PIP_\w+|LD_\w+|PYTHON\w*|\w+_PROXY|\w*CA_BUNDLE|SSL_\w+|NETRC")


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


def _requirement(text: str) -> str:
    try:
        Requirement(text.format_map(dict.fromkeys(PLACEHOLDERS, "1")))
    except InvalidRequirement as error:
        raise ValueError(f"{text!r} is not a requirement such as 'faiss-cpu==1.8.0'") from error
    return text


def _package(text: str) -> str:
    # What begins like an option would be one to conda, dnf and apt-get, and apt-get removes "NAME-".
    if not re.fullmatch(r"[A-Za-z0-9_{][A-Za-z0-9_.+:~={}<>!*,/-]*", text) or text.endswith("-"):
        raise ValueError(f"{text!r} is not a package such as 'libaio-dev' or 'faiss-gpu=1.7.3'")
    return text


def _channel(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9{][A-Za-z0-9_.:{}/-]*", text):
        raise ValueError(f"{text!r} is not a channel such as 'conda-forge'")
    return text


def _url(text: str) -> str:
    if not text.startswith(("https://", "http://")) or " " in text:
        raise ValueError(f"{text!r} is not a URL that begins with https://")
    return text


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
        raise ValueError(f"{name!r} is not a name of a variable such as 'MAX_JOBS'")
    if _RESERVED.fullmatch(name):
        raise ValueError(f"{name!r} belongs to the build itself")
    return name


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


SpecifierText = Annotated[str, AfterValidator(_specifier)]
VersionText = Annotated[str, AfterValidator(_version)]
Template = Annotated[str, Field(min_length=1), AfterValidator(_template)]
PackageText = Annotated[Template, AfterValidator(_package)]
UrlText = Annotated[Template, AfterValidator(_url)]
ChannelText = Annotated[Template, AfterValidator(_channel)]
RequirementText = Annotated[Template, AfterValidator(_requirement)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Variable = Annotated[str, AfterValidator(_variable)]
OneLine = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
ProcessorName = Literal["cpu", "gpu", "neuron", "neuronx", "hpu", "eia"]
FrameworkNames = Annotated[list[Name], BeforeValidator(_as_list)]
ProcessorNames = Annotated[list[ProcessorName], BeforeValidator(_as_list)]
SystemNames = Annotated[list[Annotated[str, Field(pattern=r"^(ubuntu|amzn)[0-9.]*$")]], BeforeValidator(_as_list)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ConditionDocument(_Document):
    """``when``: which base images a variant is for."""

    framework: FrameworkNames = []
    framework_version: SpecifierText = ""
    image_scope: Literal["training", "inference", "processing"] | None = None
    processor: ProcessorNames = []
    architecture: Literal["x86_64", "arm64"] | None = None
    cuda: SpecifierText | None = None
    python: SpecifierText = ""
    layout: Literal["conda", "usrlocal", "venv"] | None = None
    os: SystemNames = []
    matrix: dict[str, list[str]] | None = None


class CondaDocument(_Document):
    """``conda``: packages and channels."""

    packages: list[PackageText] = Field(min_length=1)
    channels: list[ChannelText] = []


class PipDocument(_Document):
    """``pip``: packages, and where they come from."""

    packages: list[RequirementText] = Field(min_length=1)
    build_packages: list[RequirementText] = []
    find_links: list[UrlText] = []
    index_url: UrlText | None = None
    extra_index_urls: list[UrlText] = []
    no_deps: bool = False
    no_build_isolation: bool = False
    replaces: list[Name] = []
    env: dict[Variable, Template] = {}


class VariantDocument(_Document):
    """One way to install a recipe."""

    when: ConditionDocument = ConditionDocument()
    version: VersionText | None = None
    versions: SpecifierText = ""
    preinstalled: bool = False
    unavailable: OneLine | None = None
    apt: list[PackageText] = []
    conda: CondaDocument | None = None
    uninstall: list[Name] = []
    pip: PipDocument | None = None
    verify: list[str] = []

    @model_validator(mode="after")
    def _installs_something(self) -> Self:
        installs = bool(self.apt or self.conda or self.pip)
        if installs + self.preinstalled + bool(self.unavailable) > 1:
            raise ValueError("it is either installed, or preinstalled, or unavailable")
        if not (installs or self.preinstalled or self.unavailable):
            raise ValueError("it has to install something, by apt, conda or pip, or be preinstalled or unavailable")
        if not installs and (self.version or self.versions):
            raise ValueError("what installs nothing has no version to choose")
        if self.uninstall and not self.pip:
            raise ValueError("uninstall is for pip, which this variant does not use")
        return self


class RecipeDocument(_Document):
    """``image_catalog/extras/<name>.yaml``."""

    schema_version: Literal[1]
    name: Name
    summary: OneLine
    homepage: str = Field(pattern=r"^https://[^\s\x00-\x1f\x7f-\x9f]+$")
    verify: list[str] = Field(min_length=1)
    after: list[Name] = []
    conflicts: list[Name] = []
    variants: list[VariantDocument] = Field(min_length=1)


def read_recipe(document: object, where: str) -> Recipe:
    """Read a recipe.

    Args:
        document: What the YAML file holds.
        where: Its file name, for errors.

    Raises:
        CatalogError: It is malformed; every problem has a line with file and key path.
    """
    parsed = checked(RecipeDocument, document, where, hint="docs/reference/recipe-format.md lists every key")
    return Recipe(
        name=parsed.name,
        summary=parsed.summary,
        homepage=parsed.homepage,
        verify=tuple(parsed.verify),
        after=tuple(parsed.after),
        conflicts=tuple(parsed.conflicts),
        variants=tuple(_variant(variant) for variant in parsed.variants),
    )


def _variant(document: VariantDocument) -> Variant:
    conda = document.conda
    return Variant(
        when=_condition(document.when),
        version=Version(document.version) if document.version else None,
        versions=SpecifierSet(document.versions),
        preinstalled=document.preinstalled,
        unavailable=document.unavailable,
        apt=tuple(document.apt),
        conda=CondaPart(packages=tuple(conda.packages), channels=tuple(conda.channels)) if conda else None,
        uninstall=tuple(document.uninstall),
        pip=_pip(document.pip) if document.pip else None,
        verify=tuple(document.verify),
    )


def _pip(document: PipDocument) -> PipPart:
    return PipPart(
        packages=tuple(document.packages),
        build_packages=tuple(document.build_packages),
        find_links=tuple(document.find_links),
        index_url=document.index_url,
        extra_index_urls=tuple(document.extra_index_urls),
        no_deps=document.no_deps,
        no_build_isolation=document.no_build_isolation,
        replaces=tuple(document.replaces),
        env=tuple(sorted(document.env.items())),
    )


def _condition(document: ConditionDocument) -> Condition:
    matrix: Mapping[str, list[str]] | None = document.matrix
    return Condition(
        frameworks=tuple(document.framework),
        framework_version=SpecifierSet(document.framework_version),
        image_scope=document.image_scope,
        processors=tuple(document.processor),
        architecture=document.architecture,
        cuda=SpecifierSet(document.cuda) if document.cuda is not None else None,
        python=SpecifierSet(document.python),
        layout=document.layout,
        os=tuple(document.os),
        matrix={minor: tuple(builds) for minor, builds in matrix.items()} if matrix is not None else None,
    )
