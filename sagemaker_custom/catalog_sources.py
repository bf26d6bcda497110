"""Settings, installed packages and an argument → the folders of team catalogs, and the catalog with all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from sagemaker_custom.catalog import Catalog, CatalogFolder, Problem, load, validate
from sagemaker_custom.errors import CatalogError, SettingsError
from sagemaker_custom.resolve import resolve

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from sagemaker_custom.s3_catalogs import ObjectStore
    from sagemaker_custom.settings import Settings

Locations: TypeAlias = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""Folders or ``s3://`` prefixes."""

GROUP = "sagemaker_custom.catalogs"
"""Entry points of this group name packages whose folder is a catalog."""

_fetched: dict[tuple[str, str], CatalogFolder] = {}
"""Prefix and folder of copies → the copy. S3 is asked once a process, so that one process gives one answer."""
_fetching = Lock()


def open_catalog(settings: Settings, *, catalog: Locations = (), store: Callable[[], ObjectStore]) -> Catalog:
    """Return the catalog that comes with this package, with all team catalogs put upon it.

    It is read once a process; asking again costs microseconds.

    Args:
        settings: Say where team catalogs are, and where copies of them are kept.
        catalog: Further ones, which count most.
        store: S3; only made for a prefix that this process has not fetched.

    Raises:
        SettingsError: There is no such folder.
        CatalogError: A folder has not the shape of a catalog.
        AwsError: S3 cannot be asked.
    """
    return load(catalog_folders(settings, catalog=catalog, store=store))


def catalog_folders(
    settings: Settings, *, catalog: Locations = (), store: Callable[[], ObjectStore]
) -> tuple[CatalogFolder, ...]:
    """Return the folders of all team catalogs, those that count most last.

    First those of installed packages by the names of their entry points, then those of the settings, then ``catalog``.
    One that is named twice counts where it is named last.

    Raises:
        SettingsError: There is no such folder.
        AwsError: S3 cannot be asked.
    """
    given = [catalog] if isinstance(catalog, str | os.PathLike) else catalog
    named = [*settings.catalog, *(os.fspath(location) for location in given)]
    folders = [*installed_catalogs(), *(_folder(location, settings, store) for location in named)]
    return tuple(dict.fromkeys(reversed(folders)))[::-1]


def validate_catalog(
    location: str | os.PathLike[str], settings: Settings, *, store: Callable[[], ObjectStore]
) -> tuple[Problem, ...]:
    """Return all that is wrong with a catalog, when it is put upon the configured ones.

    Raises:
        SettingsError: There is no such folder.
        AwsError: S3 cannot be asked.
    """
    folder = _folder(os.fspath(location), settings, store)
    beneath = tuple(other for other in catalog_folders(settings, store=store) if other != folder)
    return validate(folder, beneath, resolve=resolve)


@cache
def installed_catalogs() -> tuple[CatalogFolder, ...]:
    """Return the catalogs of installed packages, by the names of their entry points; looked for once a process.

    Raises:
        CatalogError: An entry point names a package that is not there.
    """
    from importlib.metadata import entry_points

    found = sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))
    return tuple(dict.fromkeys(_package(entry) for entry in found))


def _package(entry: EntryPoint) -> CatalogFolder:
    # Found without being imported: a catalog is data, and none of its package's code is wanted.
    from importlib.util import find_spec

    try:
        found = find_spec(entry.value)
    except (ImportError, ValueError):
        found = None
    folder = _folder_of(found) if found else None
    if folder is None or not folder.is_dir():
        package = f" of {entry.dist.name}" if entry.dist else ""
        raise CatalogError(
            f"the entry point {entry.name!r}{package} in {GROUP} names {entry.value!r}, which has no folder here",
            hint="name a package that holds the catalog; reinstall or remove the one that does not",
        )
    return CatalogFolder(origin=entry.value, root=folder)


def _folder_of(found: ModuleSpec) -> Path | None:
    if found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    return Path(found.origin).parent if found.origin else None


def _folder(location: str, settings: Settings, store: Callable[[], ObjectStore]) -> CatalogFolder:
    if location.startswith("s3://"):
        return _fetch(location, settings, store)
    path = Path(location).expanduser().absolute()
    if not path.is_dir():
        raise SettingsError(
            f"the catalog {str(path)!r} is not a folder",
            hint="look at catalog in the configuration file, SAGEMAKER_CUSTOM_CATALOG and catalog=",
        )
    return CatalogFolder(origin=str(path), root=path)


def _fetch(uri: str, settings: Settings, store: Callable[[], ObjectStore]) -> CatalogFolder:
    from sagemaker_custom.s3_catalogs import S3Catalogs

    copies = Path(settings.cache_dir, "catalogs")
    key = (uri.rstrip("/"), str(copies))
    with _fetching:
        if key not in _fetched:
            catalogs = S3Catalogs(folder=copies, store=store)
            _fetched[key] = catalogs.kept(key[0]) if settings.catalog_offline else catalogs.fetch(key[0])
        return _fetched[key]
