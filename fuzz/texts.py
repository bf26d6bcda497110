"""Bytes → the parsers of what people write on a line or in a small file, and of headers that servers send."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sagemaker_custom.dockerignore import read_dockerignore
from sagemaker_custom.extended_tags import read_extended_tag
from sagemaker_custom.ignore import IgnoreRules
from sagemaker_custom.plain_text import plain
from sagemaker_custom.reference import ImageReference, parse_digest
from sagemaker_custom.registry.auth import parse_challenges
from sagemaker_custom.registry.retries import retry_after
from sagemaker_custom.requirements import extras_document, read_extras_document, read_requirements
from sagemaker_custom.spec import (
    canonical_requirement,
    hardware_of,
    normalise_cuda,
    normalise_python,
    parse_base_framework,
    parse_extra,
    redacted,
    without_credentials,
)
from sagemaker_custom.wheels.pip_configuration import read_pip_configuration


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def reference(data: bytes) -> None:
    """An image reference says what it was written as."""
    parsed = ImageReference.parse(_text(data))
    assert ImageReference.parse(str(parsed)) == parsed
    assert str(parsed).isprintable()


def digest(data: bytes) -> None:
    """A digest is what it was written as."""
    assert parse_digest(_text(data)) == _text(data)


def extra(data: bytes) -> None:
    """An extra is one line, begins with no option, and survives being written into a label."""
    parsed = parse_extra(_text(data))
    assert all(str(value).isprintable() and not str(value).startswith("-") for value in _values(parsed))
    assert read_extras_document(extras_document([parsed])) == (parsed,)


def _values(parsed: object) -> list[object]:
    return [value for name in parsed.__slots__ if (value := getattr(parsed, name))]  # type: ignore[attr-defined]


def requirement(data: bytes) -> None:
    """The canonical spelling of a requirement is its own canonical spelling, on one line."""
    once = canonical_requirement(_text(data), where="here")
    assert canonical_requirement(once, where="here") == once
    assert once.isprintable()
    assert not once.startswith("-")


def requirements_file(data: bytes) -> None:
    """What a requirements file asks for stands on lines of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "requirements.txt")
        path.write_bytes(data)
        parsed = read_requirements(path)
    lines = (*parsed.requirements, *parsed.constraints, *parsed.extra_index_urls, *parsed.find_links)
    assert all(line.isprintable() for line in lines)


def versions(data: bytes) -> None:
    """Short texts of the SDK's arguments."""
    text = _text(data)
    for read in (hardware_of, normalise_cuda, normalise_python, parse_base_framework, read_extended_tag):
        try:
            read(text)
        except ValueError as error:
            assert hasattr(error, "hint"), error  # noqa: PT017


def url(data: bytes) -> None:
    """A URL has no credentials afterwards, and neither has a message about it."""
    text = _text(data)
    redacted(text)
    once = without_credentials(text)
    assert without_credentials(once) == once


def challenge(data: bytes) -> None:
    """A header of a registry."""
    parse_challenges(data.decode("latin-1"))


def patience(data: bytes) -> None:
    """Two headers of a registry."""
    text = data.decode("latin-1")
    said = retry_after({"Retry-After": text, "Date": "Mon, 01 Jan 2024 00:00:00 GMT"})
    assert said is None or said >= 0
    retry_after({"Retry-After": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": text})


def dockerignore(data: bytes) -> None:
    """Patterns of a build context."""
    rules = read_dockerignore(_text(data), origin=".dockerignore")
    for path in ("a", "a/b", "a/b/c.py", ".git/x", "-"):
        rules.excludes(path)


def ignore_file(data: bytes) -> None:
    """Patterns of a source folder."""
    rules = IgnoreRules().extend(_text(data), folder="", origin="ignore")
    for path in ("a", "a/b", "a/b/c.py", ".git"):
        rules.ignore(path, directory=False)


def pip_configuration(data: bytes) -> None:
    """A file of pip's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pip.conf")
        path.write_bytes(data)
        read_pip_configuration({}, [path])


def shown(data: bytes) -> None:
    """Nothing that a terminal shows is obeyed by it."""
    text = plain(_text(data))
    assert all(letter.isprintable() or letter in "\t\n" or ord(letter) > 0x9F for letter in text)
    text.encode()
    assert plain(text) == text


PARSERS = (
    reference,
    digest,
    extra,
    requirement,
    requirements_file,
    versions,
    url,
    challenge,
    patience,
    dockerignore,
    ignore_file,
    pip_configuration,
    shown,
)
"""The first byte of an input chooses."""
