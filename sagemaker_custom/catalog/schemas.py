"""Models of the documents that are mostly machine-written, and the JSON Schemas of all documents for editors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import GenerateJsonSchema

from sagemaker_custom.catalog.tags import read_repositories
from sagemaker_custom.spec import Architecture, ImageScope, Processor

if TYPE_CHECKING:
    from typing_extensions import Self

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Region = Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)+-\d+$")]
Account = Annotated[str, Field(pattern=r"^\d{12}$", description="The twelve digits of an AWS account, between quotes")]
Text = Annotated[str, Field(min_length=1)]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


class Document(BaseModel):
    """What all documents have in common: no unknown keys, and no value of another kind is taken for a text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ImageDocument(Document):
    """One image of a framework."""

    version: Text
    image_scope: ImageScope
    processor: Processor
    architecture: Architecture = "x86_64"
    py_version: str | None = Field(None, pattern=r"^py\d+$", examples=["py311"])
    cuda_version: str | None = Field(None, pattern=r"^cu\d{2,3}$", examples=["cu121"])
    base_framework: Name | None = None
    base_framework_version: Text | None = None
    sdk_version: Text | None = None
    os: Text | None = Field(None, examples=["ubuntu22.04", "amzn2023"])
    repository: Text = Field(description="As in the registry, without its host")
    tag: Text
    accounts: Text = Field(description="Name of an account set in partitions.json")
    layout: Literal["conda", "usrlocal", "venv"] | None = Field(None, description="How Python got into the image")
    end_of_patch: str | None = Field(None, pattern=r"^\d{4}-\d\d-\d\d$")
    digest: str | None = Field(None, pattern=r"^sha256:[0-9a-f]{64}$")
    origin: str | None = None


class TagTemplateDocument(Document):
    """The tags of one generation of images."""

    template: Text
    values: dict[str, str] = {}


class RepositoryDocument(Document):
    """One repository that a framework's images are published to."""

    repository: Text
    accounts: Text
    image_scopes: list[ImageScope]
    architecture: Architecture = "x86_64"
    base_framework: Name | None = None
    tags: list[TagTemplateDocument]

    @model_validator(mode="after")
    def _reads(self) -> Self:
        for repository in read_repositories([self.model_dump()]):
            repository.read("")
        return self


class FrameworkDocument(Document):
    """The images of a framework, and how their tags are made."""

    schema_version: Literal[1]
    framework: Name
    provenance: str = ""
    version_aliases: dict[str, str] = {}
    repositories: list[RepositoryDocument] = []
    images: list[ImageDocument] = []


class PartitionDocument(Document):
    """One partition of AWS."""

    dns_suffix: Text
    region_regex: Annotated[str, AfterValidator(_pattern)]


class PartitionsDocument(Document):
    """Partitions, regions and publishing accounts; the document of a team holds what it adds."""

    schema_version: Literal[1]
    partitions: dict[str, PartitionDocument] = {}
    regions: dict[Region, str] = Field({}, description="Region → partition")
    account_sets: dict[str, dict[Region, Account]] = Field({}, description="Account set → region → account")


class FrameworkAliasesDocument(Document):
    """Other names of frameworks."""

    schema_version: Literal[1]
    aliases: dict[Name, Name] = Field(description="Other name → name")


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of document, from the models that validate it.

    Returns:
        Name of the schema → schema.
    """
    from sagemaker_custom.catalog.documents import RecipeDocument
    from sagemaker_custom.catalog.named_images import NamedImageDocument

    models: dict[str, type[BaseModel]] = {
        "framework": FrameworkDocument,
        "framework_aliases": FrameworkAliasesDocument,
        "named_image": NamedImageDocument,
        "partitions": PartitionsDocument,
        "recipe": RecipeDocument,
    }
    return {
        name: {"$schema": DIALECT, **model.model_json_schema(schema_generator=_ForEditors)}
        for name, model in models.items()
    }


class _ForEditors(GenerateJsonSchema):
    """Says of a list that may be written as its one entry that it may."""

    def function_before_schema(self, schema: Any) -> dict[str, Any]:
        from sagemaker_custom.catalog.documents import _as_list

        inner = super().function_before_schema(schema)
        function = schema["function"].get("function")
        return {"anyOf": [inner["items"], inner]} if function is _as_list else inner
