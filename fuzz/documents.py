"""Bytes → the parsers of documents: catalogs, locks, inventories, and what uv and a built image say."""

from __future__ import annotations

import json
from typing import Any

from sagemaker_custom.builders.lock import LISTING_MARK, read_listing
from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.catalog.images import read_framework, read_partitions
from sagemaker_custom.catalog.named_images import read_named_image
from sagemaker_custom.catalog.sources import parse
from sagemaker_custom.inventories.artifact import document_of
from sagemaker_custom.inventory import read_document, read_records, to_document
from sagemaker_custom.leases.interface import read_holder
from sagemaker_custom.requirements import read_extras_document
from sagemaker_custom.wheels.lock import read_lock
from sagemaker_custom.wheels.pylock import read_pylock


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _any(data: bytes) -> Any:
    return parse(_text(data), "x.yaml")


def recipe_yaml(data: bytes) -> None:
    """A recipe as its author writes it."""
    read_recipe(_any(data), "x.yaml")


def recipe_json(data: bytes) -> None:
    """The same as JSON."""
    read_recipe(parse(_text(data), "x.json"), "x.json")


def named_image(data: bytes) -> None:
    """A named image."""
    read_named_image(_any(data), "x.yaml")


def framework(data: bytes) -> None:
    """Images of a framework."""
    for image in read_framework(_any(data), "x.json").images:
        image.describe()


def partitions(data: bytes) -> None:
    """Accounts and regions."""
    read_partitions(_any(data))


def lock(data: bytes) -> None:
    """A lock is what it was written as."""
    parsed = read_lock(_text(data))
    assert read_lock(parsed.to_json()) == parsed


def pylock(data: bytes) -> None:
    """The answer of uv."""
    read_pylock(_text(data))


def inventory(data: bytes) -> None:
    """An inventory is what it was written as."""
    document = document_of(data, "x")
    read_records(document) if "records" in document else None
    parsed = read_document(document)
    assert read_document(json.loads(json.dumps(to_document(parsed)))) == parsed


def extras(data: bytes) -> None:
    """Extras of a label hold nothing that a user could not have written."""
    for extra in read_extras_document(_any(data)):
        assert all(str(getattr(extra, name)).isprintable() for name in extra.__slots__ if name != "path")


def listing(data: bytes) -> None:
    """What Python in an image prints."""
    read_listing([LISTING_MARK + _text(data)], image="x")


def lease(data: bytes) -> None:
    """A record in S3."""
    read_holder(data)


PARSERS = (
    recipe_yaml,
    recipe_json,
    named_image,
    framework,
    partitions,
    lock,
    pylock,
    inventory,
    extras,
    listing,
    lease,
)
"""The first byte of an input chooses."""
