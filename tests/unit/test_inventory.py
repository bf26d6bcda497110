"""An inventory as a JSON document, and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.inventory import (
    FORMAT,
    InstalledPackage,
    Inventory,
    read_document,
    read_records,
    records_to_document,
    to_document,
)
from sagemaker_custom.reference import digest_of

texts = st.text(max_size=20)
packages = st.builds(
    InstalledPackage,
    name=texts,
    version=texts,
    location=texts,
    requires=st.lists(texts, max_size=3).map(tuple),
    provides_extra=st.lists(texts, max_size=3).map(tuple),
    requires_python=st.none() | texts,
)
INVENTORY = Inventory(
    base=digest_of(b"manifest"),
    platform="linux/amd64",
    python="/opt/conda/bin/python",
    python_version="3.11.9",
    site_packages="/opt/conda/lib/python3.11/site-packages",
    scripts="/opt/conda/bin",
    glibc=None,
    packages=(),
)


@given(st.lists(packages, max_size=3).map(tuple), st.none() | texts)
def test_document_reads_back_through_json(found, glibc):
    from dataclasses import replace

    inventory = replace(INVENTORY, packages=found, glibc=glibc)
    assert read_document(json.loads(json.dumps(to_document(inventory)))) == inventory


@given(st.dictionaries(texts, st.lists(texts, max_size=3).map(tuple), max_size=3))
def test_records_read_back_through_json(records):
    assert read_records(json.loads(json.dumps(records_to_document(records)))) == records


@pytest.mark.parametrize("other", [FORMAT + 1, None, "1"])
def test_document_of_another_format_is_refused(other):
    with pytest.raises(RegistryError, match=rf"^the inventory has the format {other!r} instead of {FORMAT}$"):
        read_document(to_document(INVENTORY) | {"format": other})
    with pytest.raises(RegistryError, match=r"^the list of installed files has the format "):
        read_records(records_to_document({}) | {"format": other})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"glibc": 2.31}, "the inventory is malformed: glibc: Input should be a valid string"),
        ({"packages": [{"name": "torch"}]}, "the inventory is malformed: packages: Field required"),
        ({"surprise": 1}, "the inventory is malformed: surprise: Unexpected keyword argument"),
    ],
)
def test_malformed_document_says_where(change, message):
    with pytest.raises(RegistryError) as caught:
        read_document(to_document(INVENTORY) | change)
    assert str(caught.value) == message


def test_malformed_records_are_refused():
    with pytest.raises(RegistryError, match=r"^the list of installed files is malformed: torch: "):
        read_records({"format": FORMAT, "records": {"torch": 1}})


def test_packages_are_compared_by_normalised_name():
    assert InstalledPackage(name="Typing_Extensions", version="1", location="/x").normalised_name == "typing-extensions"
