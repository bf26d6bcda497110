"""A :class:`Framework` → the text of its document in ``image_catalog/frameworks``, always in the same form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from sagemaker_custom.catalog.images import SCHEMA_VERSION, BaseImage, Framework
from sagemaker_custom.catalog.tags import Repository

_ONE_A_LINE = ("repositories", "images")


def framework_document(framework: Framework) -> dict[str, Any]:
    """Return the document that :func:`~sagemaker_custom.catalog.images.read_framework` reads back."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "framework": framework.name,
        "provenance": framework.provenance,
        "version_aliases": dict(framework.version_aliases),
        "repositories": [_repository(repository) for repository in framework.repositories],
        "images": [image_entry(image) for image in framework.images],
    }
    return {key: value for key, value in document.items() if value or key == "images"}


def image_entry(image: BaseImage) -> dict[str, Any]:
    """Return one image as the document has it: in the order of the fields, without what says nothing."""
    return _said(image, without=("framework",))


def _repository(repository: Repository) -> dict[str, Any]:
    return _said(repository, without=("tags",)) | {"tags": [_said(template) for template in repository.tags]}


def _said(value: Any, *, without: Iterable[str] = ()) -> dict[str, Any]:
    said = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in without}
    return {name: _plain(part) for name, part in said.items() if part is not None and part != {}}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def canonical(document: Mapping[str, Any]) -> str:
    """Return the text of a document: one image a line, so that a changed image is a changed line."""
    short = {key: value for key, value in document.items() if key not in _ONE_A_LINE}
    text = json.dumps(short, indent=2, ensure_ascii=False).removesuffix("\n}")
    for key in _ONE_A_LINE:
        if key in document:
            lines = ",\n".join("    " + json.dumps(entry, ensure_ascii=False) for entry in document[key])
            text += f',\n  "{key}": [\n{lines}\n  ]' if lines else f',\n  "{key}": []'
    return text + "\n}\n"
