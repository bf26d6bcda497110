"""How the tags of a repository are made: tag → what it says of the image, by the templates of each generation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from string import Formatter
from typing import Any

_PARTS = {
    "version": r"b?\d+(?:\.\d+)*(?:\.post\d+)?(?:-\d+(?:-py\d+)?)?|latest",
    "base_framework_version": r"\d+(?:\.\d+)+",
    "processor": r"cpu|gpu|neuronx|neuron|hpu",
    "py_version": r"py\d+",
    "cuda_version": r"cu\d{2,3}",
    "os": r"ubuntu\d+\.\d+|amzn2023",
    "sdk_version": r"\d+(?:\.\d+)+",
    "build": r"\d+(?:\.\d+)*(?:-\d{4}(?:-\d\d){2,5})?",
}
"""What may stand in braces, and what it looks like. ``build`` is read over."""

_OPTIONAL = {"[": "(?:", "]": ")?"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TagTemplate:
    """The tags of one generation of images."""

    template: str
    """For example ``{version}-{processor}-{py_version}[-{cuda_version}]-{os}``; what is in brackets may be missing."""
    values: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What all tags of this form mean without saying it, for example ``{"processor": "gpu"}``."""

    def read(self, tag: str) -> dict[str, str] | None:
        """Return what ``tag`` says, by names of :class:`~sagemaker_custom.catalog.images.BaseImage`.

        Returns:
            ``None`` when the tag is not of this form.
        """
        match = _pattern(self.template).fullmatch(tag)
        if match is None:
            return None
        said = {name: text for name, text in match.groupdict().items() if text is not None and name != "build"}
        return said | dict(self.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """One repository that AWS publishes to."""

    repository: str
    accounts: str
    """Name of the account set that publishes it."""
    image_scopes: tuple[str, ...]
    architecture: str = "x86_64"
    base_framework: str | None = None
    tags: tuple[TagTemplate, ...]
    """The first that fits a tag counts."""

    def read(self, tag: str) -> dict[str, str] | None:
        """Return what ``tag`` says, ``None`` when it is of no form that is for SageMaker."""
        return next((said for template in self.tags if (said := template.read(tag)) is not None), None)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    pieces: list[str] = []
    for text, name, _, _ in Formatter().parse(template):
        pieces.extend(_OPTIONAL.get(letter) or re.escape(letter) for letter in text)
        if name is not None:
            pieces.append(f"(?P<{name}>{_PARTS[name]})")
    return re.compile("".join(pieces))


def read_repositories(documents: Iterable[Mapping[str, Any]]) -> tuple[Repository, ...]:
    """Read ``repositories`` of a framework's document.

    Raises:
        KeyError, TypeError, ValueError: An entry is malformed.
    """
    return tuple(_repository(dict(document)) for document in documents)


def _repository(document: dict[str, Any]) -> Repository:
    templates = tuple(TagTemplate(**template) for template in document.pop("tags"))
    for template in templates:
        unknown = {name for _, name, _, _ in Formatter().parse(template.template) if name is not None} - _PARTS.keys()
        if unknown:
            raise ValueError(
                f"{template.template!r}: unknown placeholder {min(unknown)!r}; there are {', '.join(_PARTS)}"
            )
        if not re.fullmatch(r"[^\[\]]*(\[[^\[\]]*\][^\[\]]*)*", template.template):
            raise ValueError(f"{template.template!r}: brackets have to come in pairs, none in another")
    return Repository(**document | {"image_scopes": tuple(document["image_scopes"]), "tags": templates})
