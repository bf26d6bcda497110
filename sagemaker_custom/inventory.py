"""What a base image has installed, as values → a JSON document, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, TypeVar

from packaging.utils import canonicalize_name
from pydantic import ConfigDict, TypeAdapter, ValidationError

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.reference import Digest

FORMAT = 1
"""Of the documents; one of another format is not read."""

Records: TypeAlias = Mapping[str, tuple[str, ...]]
"""Normalised name of a package → absolute paths of its files in the image; without packages that keep no list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledPackage:
    """One distribution, as its metadata says."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    version: str
    location: str
    """Absolute path in the image of its ``.dist-info`` or ``.egg-info``, which may be a file."""
    requires: tuple[str, ...] = ()
    """``Requires-Dist``, as written."""
    provides_extra: tuple[str, ...] = ()
    requires_python: str | None = None

    @property
    def normalised_name(self) -> str:
        """What the package is compared by."""
        return canonicalize_name(self.name)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What new packages have to fit to, and where they go."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    base: Digest
    """Of the manifest for ``platform``, never of an index."""
    platform: str
    """For example ``linux/amd64``."""
    python: str
    """Absolute path of the interpreter, as it is called: a link of a virtual environment is not resolved."""
    python_version: str
    """``3.11.9``, or ``3.11`` where the image does not tell more."""
    site_packages: str
    """Where pip installs; one folder for pure and other packages."""
    scripts: str
    """Where pip puts console scripts."""
    glibc: str | None
    """For example ``2.31``; ``None``: musl, or unknown."""
    packages: tuple[InstalledPackage, ...]
    """Those that the interpreter sees, one of each, sorted by normalised name."""


_T = TypeVar("_T")
_INVENTORY = TypeAdapter(Inventory)
_RECORDS = TypeAdapter(dict[str, tuple[str, ...]])


def to_document(inventory: Inventory) -> dict[str, Any]:
    """Return what JSON has; :func:`read_document` reads it back."""
    return {"format": FORMAT, **asdict(inventory)}


def read_document(document: Mapping[str, Any]) -> Inventory:
    """Read what :func:`to_document` wrote.

    Raises:
        RegistryError: Another format, or malformed.
    """
    _check_format(document, "the inventory")
    content = {name: value for name, value in document.items() if name != "format"}
    return _validated(_INVENTORY, content, "the inventory")


def records_to_document(records: Records) -> dict[str, Any]:
    """Return what JSON has; :func:`read_records` reads it back."""
    return {"format": FORMAT, "records": dict(records)}


def read_records(document: Mapping[str, Any]) -> Records:
    """Read what :func:`records_to_document` wrote.

    Raises:
        RegistryError: Another format, or malformed.
    """
    _check_format(document, "the list of installed files")
    return _validated(_RECORDS, document.get("records"), "the list of installed files")


def _check_format(document: Mapping[str, Any], what: str) -> None:
    if document.get("format") != FORMAT:
        raise RegistryError(f"{what} has the format {document.get('format')!r} instead of {FORMAT}")


def _validated(adapter: TypeAdapter[_T], content: object, what: str) -> _T:
    try:
        return adapter.validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"][:1])
        raise RegistryError(f"{what} is malformed: {where}{first['msg']}") from None
