"""An ``s3://`` prefix → a folder with its catalog documents: what has changed is downloaded, and kept by ETag."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sagemaker_custom.catalog import CatalogFolder
from sagemaker_custom.catalog.sources import LARGEST_BYTES
from sagemaker_custom.errors import AwsError, CatalogError, SettingsError

if TYPE_CHECKING:
    from sagemaker_custom.aws import ListedObject

logger = logging.getLogger(__name__)

MOST_DOCUMENTS = 2000
KEPT_S = 7 * 24 * 3600
"""For how long a superseded copy stays, as another process may still read from it."""

_DOCUMENT = re.compile(r"(?:(?:frameworks|extras|images)/)?\w[\w.-]*\.(?:json|ya?ml|txt|in)")
_ETAGS = ".etags.json"
_UNFINISHED = ".unfinished-"


class ObjectStore(Protocol):
    """What is wanted of S3; :class:`sagemaker_custom.aws.Aws` has it."""

    def list_objects(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
        """List the objects whose keys begin with ``prefix``."""

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return the content of an object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Catalogs:
    """Copies of catalogs that are in S3.

    Every state of a prefix has a folder of its own, which is named after the ETags and never changes. It appears by
    one rename when all of it is there, so neither a crash nor a second process leaves half of one to be read.
    """

    folder: Path
    """Where the copies are kept."""
    store: Callable[[], ObjectStore]
    clock: Callable[[], float] = time.time

    def fetch(self, uri: str) -> CatalogFolder:
        """Return a copy of what is in S3 now.

        Args:
            uri: ``s3://bucket/prefix``.

        Raises:
            AwsError: S3 cannot be asked. A copy that is there is not used in its place; the hint tells of it.
            CatalogError: There is no document, or one is too large.
            SettingsError: The address names no bucket, or copies cannot be written.
        """
        bucket, prefix = _place(uri)
        try:
            listed = _documents(self.store().list_objects(bucket, prefix), prefix, uri)
            etags = {name: item.etag for name, item in listed.items()}
            copy = self._copies(uri) / _state(etags)
            if not copy.is_dir():
                self._download(copy, bucket, listed, self._newest(uri))
            os.utime(copy, (self.clock(), self.clock()))
        except (AwsError, SettingsError) as error:
            kept = self._newest(uri)
            if kept is None:
                raise
            raise type(error)(
                f"the catalog {uri} cannot be renewed: {error.message}",
                hint=f"{error.hint or 'try again'}; or go on with the copy of {self._date(kept)}: catalog_offline=true",
            ) from error
        except OSError as error:
            raise SettingsError(
                f"a copy of the catalog {uri} cannot be kept in {self.folder}: {error.strerror}",
                hint="set cache_dir to a folder that you may write to",
            ) from error
        self._remove_old(copy)
        return CatalogFolder(origin=uri, root=copy)

    def kept(self, uri: str) -> CatalogFolder:
        """Return the newest copy that is there, without asking S3.

        Raises:
            CatalogError: There is none.
        """
        _place(uri)
        copy = self._newest(uri)
        if copy is None:
            raise CatalogError(
                f"there is no copy of the catalog {uri} on this machine",
                hint="set catalog_offline to false once, so that it is fetched",
            )
        logger.warning("catalog %s: the copy of %s is used, without asking S3 for changes", uri, self._date(copy))
        return CatalogFolder(origin=uri, root=copy)

    def _copies(self, uri: str) -> Path:
        readable = re.sub(r"[^a-z0-9]+", "-", uri.removeprefix("s3://").lower()).strip("-")[:60]
        return self.folder / f"{readable}-{hashlib.sha256(uri.encode()).hexdigest()[:12]}"

    def _newest(self, uri: str) -> Path | None:
        return max(_complete(self._copies(uri)), key=_modified, default=None)

    def _date(self, copy: Path) -> str:
        return f"{datetime.fromtimestamp(_modified(copy), tz=timezone.utc):%Y-%m-%d %H:%M} UTC"

    def _download(self, copy: Path, bucket: str, listed: Mapping[str, ListedObject], older: Path | None) -> None:
        copy.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=copy.parent))
        try:
            known = _etags(older) if older else {}
            for name, item in listed.items():
                (unfinished / name).parent.mkdir(exist_ok=True)
                content = (older / name).read_bytes() if older and known.get(name) == item.etag else None
                if content is None:
                    content = _whole(self.store().read_object(bucket, item.key), item)
                (unfinished / name).write_bytes(content)
            etags = {name: item.etag for name, item in listed.items()}
            (unfinished / _ETAGS).write_text(json.dumps(etags), encoding="utf-8")
            _rename(unfinished, copy)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _remove_old(self, current: Path) -> None:
        for folder in current.parent.iterdir():
            if folder != current and self.clock() - _modified(folder) > KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)


def _place(uri: str) -> tuple[str, str]:
    bucket, _, prefix = uri.removeprefix("s3://").strip("/").partition("/")
    if not bucket:
        raise SettingsError(f"the catalog {uri!r} names no bucket", hint="write s3://BUCKET/PREFIX")
    return bucket, f"{prefix}/" if prefix else ""


def _documents(objects: Sequence[ListedObject], prefix: str, uri: str) -> dict[str, ListedObject]:
    """Pick the documents by name. What else lies beside them is not downloaded."""
    found = {item.key.removeprefix(prefix): item for item in objects}
    listed = {name: found[name] for name in sorted(found) if _DOCUMENT.fullmatch(name)}
    large = [item.key for item in listed.values() if item.size > LARGEST_BYTES]
    if large:
        raise CatalogError(
            f"{uri}: {large[0]} is larger than {LARGEST_BYTES // 1_000_000} MB, so it is no document of a catalog",
            hint="keep catalogs under a prefix of their own",
        )
    if not listed or len(listed) > MOST_DOCUMENTS:
        raise CatalogError(
            f"{uri} holds {len(listed)} documents of a catalog",
            hint=f"name the prefix that has frameworks/, extras/ and images/, with at most {MOST_DOCUMENTS} documents",
        )
    return listed


def _whole(content: bytes, item: ListedObject) -> bytes:
    # What was written over meanwhile would stand under the name of what was there before.
    if len(content) != item.size:
        raise AwsError(
            f"{item.key} has {len(content)} bytes, and had {item.size} when it was listed",
            hint="somebody is writing to the catalog: try again",
        )
    return content


def _state(etags: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(etags.items())).encode()).hexdigest()[:32]


def _complete(copies: Path) -> Iterator[Path]:
    for folder in copies.iterdir() if copies.is_dir() else ():
        if not folder.name.startswith(_UNFINISHED) and (folder / _ETAGS).is_file():
            yield folder


def _etags(copy: Path) -> dict[str, str]:
    etags: dict[str, str] = json.loads((copy / _ETAGS).read_text(encoding="utf-8"))
    return etags


def _rename(unfinished: Path, copy: Path) -> None:
    try:
        unfinished.rename(copy)
    except OSError:
        # Another process was faster; the name says that its folder holds the same.
        if not copy.is_dir():
            raise


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # removed by another process
        return 0.0
