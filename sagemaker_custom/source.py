"""Training or inference code → an archive in an object store, or a folder for local mode, named after its content."""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.filesize import decimal

from sagemaker_custom.archive import collect, content_digest, copy_tree, script_name, write_tar_gz
from sagemaker_custom.digest_cache import DigestCache
from sagemaker_custom.entry import Entry
from sagemaker_custom.errors import SourceError
from sagemaker_custom.partial_files import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagemaker_custom.progress import Progress, Task

logger = logging.getLogger(__name__)

# With network isolation the containers look for the code under this very name.
_ARCHIVE_NAME = "sourcedir.tar.gz"
# Fewer are read as fast as their digests would be looked up.
_MANY_FILES = 100
_MANY_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceBundle:
    """What is packed, and the digest that names it."""

    entries: tuple[Entry, ...]
    digest: str
    """64 hexadecimal digits: sha256 over names, permissions and contents."""
    script_name: str | None
    """The entry point in the archive; ``None`` where none was given."""
    size: int
    """Bytes of all files, before compression."""
    files: int
    """How many files there are."""
    cache: DigestCache | None = field(default=None, compare=False, repr=False)
    """What remembers the digests of the files."""

    @property
    def address(self) -> str:
        """64 hexadecimal digits that name the archive's folder in a store: content and entry point.

        The SDK's processors put a script beside the archive that starts the entry point; two entry points in one
        folder would overwrite each other's.
        """
        return hashlib.sha256(f"{self.digest} {self.script_name or ''}".encode()).hexdigest()


class ObjectInfo(Protocol):
    """What a store says about an object."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def kms_key(self) -> str | None:
        """ARN of the KMS key it is encrypted with, if it is."""


class ObjectStore(Protocol):
    """The part of S3 that an upload needs."""

    def exists(self, bucket: str, key: str, *, expected_owner: str | None) -> ObjectInfo | None:
        """Return what is known about an object, ``None`` if it is not there.

        Args:
            bucket: Where to look.
            key: Name of the object.
            expected_owner: Account that has to own the bucket, where that matters.
        """

    def put_file(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        kms_key: str | None,
        encrypt: bool,
        expected_owner: str | None,
        task: Task,
    ) -> None:
        """Upload a file.

        Args:
            bucket: Where to.
            key: Name of the object.
            path: What to upload.
            kms_key: To encrypt with.
            encrypt: Without a ``kms_key``: whether the account's default KMS key for S3 encrypts the object.
            expected_owner: Account that has to own the bucket, where that matters.
            task: Is advanced by each byte sent.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceDestination:
    """Where archives go, and how they are protected there."""

    bucket: str
    prefix: str
    """Of the keys, with or without slashes at its ends; may be empty."""
    kms_key: str | None = None
    """Id or ARN. With an alias each call uploads anew, as S3 names keys by ARN and the two cannot be compared."""
    encrypt: bool = True
    """Without a ``kms_key``: whether to encrypt with the account's default KMS key for S3."""
    expected_owner: str | None = None
    """Account that has to own the bucket: somebody else may have taken a predictable bucket name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedSource:
    """Where the code is now."""

    uri: str
    """``s3://…/sourcedir.tar.gz``."""
    script_name: str | None
    """The entry point in the archive."""
    uploaded_bytes: int
    """0 if the archive was there already."""


def bundle(
    entry_point: str | None,
    source_dir: str | Path | None,
    dependencies: Sequence[str | Path] = (),
    *,
    cache_dir: Path | None = None,
) -> SourceBundle:
    """List and hash what is to be packed; nothing is written.

    Args:
        entry_point: The script; with a ``source_dir``, a path inside it.
        source_dir: A local folder; ``None`` to pack the script alone.
        dependencies: Files and folders to add at the top level.
        cache_dir: Remembers the digests of files, so that those which did not change are not read again.

    Raises:
        SourceError: The code cannot be packed.
    """
    entries = collect(entry_point, source_dir, dependencies)
    size, files = sum(entry.size for entry in entries), sum(entry.kind == "file" for entry in entries)
    cache = None
    if cache_dir and (size >= _MANY_BYTES or files >= _MANY_FILES):
        cache = DigestCache(cache_dir / "sources", _tree_name(source_dir or entry_point, dependencies))
    return SourceBundle(
        entries=entries,
        digest=content_digest(entries, cache=cache),
        script_name=script_name(entry_point, source_dir) if entry_point else None,
        size=size,
        files=files,
        cache=cache,
    )


def upload(
    bundle: SourceBundle,
    destination: SourceDestination,
    *,
    store: ObjectStore,
    progress: Progress,
    workspace: Path | None = None,
) -> UploadedSource:
    """Make sure that the archive is in the store; pack and send it only if it is not.

    Args:
        bundle: What to upload.
        destination: Where to.
        store: Does the upload.
        progress: Is told which of the two happened.
        workspace: Folder for the temporary archive; by default that of the system.

    Raises:
        SourceError: The code changed since it was bundled, or there is no space for the archive.
    """
    prefix = destination.prefix.strip("/")
    key = f"{prefix}/{bundle.address}/{_ARCHIVE_NAME}" if prefix else f"{bundle.address}/{_ARCHIVE_NAME}"
    uri = f"s3://{destination.bucket}/{key}"
    found = store.exists(destination.bucket, key, expected_owner=destination.expected_owner)
    if found is not None and _has_key(found, destination.kms_key):
        progress.step(f"source ({bundle.files} files, {decimal(found.size)} packed) already at {uri}")
        return UploadedSource(uri=uri, script_name=bundle.script_name, uploaded_bytes=0)
    if found is not None:
        logger.info("%s is encrypted with %s, not with %s", uri, found.kms_key, destination.kms_key)
    progress.step(f"packing source: {bundle.files} files, {decimal(bundle.size)}")
    with _temporary_folder(workspace) as folder:
        path = Path(folder, _ARCHIVE_NAME)
        size = _pack(bundle, path)
        progress.step(f"uploading source ({decimal(size)}) to {uri}")
        task = progress.task("uploading source", total=size)
        store.put_file(
            destination.bucket,
            key,
            path,
            kms_key=destination.kms_key,
            encrypt=destination.encrypt,
            expected_owner=destination.expected_owner,
            task=task,
        )
        task.finish()
    return UploadedSource(uri=uri, script_name=bundle.script_name, uploaded_bytes=size)


def stage(bundle: SourceBundle, workspace: Path) -> Path:
    """Lay the code out as a folder for local mode, or find it laid out already.

    Args:
        bundle: What to lay out.
        workspace: The folder becomes ``source/<digest>`` in it.

    Raises:
        SourceError: The code changed since it was bundled, or there is no space for it.
    """
    target = workspace / "source" / bundle.digest
    if target.is_dir():
        return target
    try:
        with _doubted(bundle):
            copy_tree(bundle.entries, target, digest=bundle.digest)
    except FileExistsError:
        logger.debug("another process has laid out %s", target)
    except OSError as error:
        raise SourceError(
            f"cannot lay the source out in {workspace}: {error.strerror}",
            hint="free some space there, or let TMPDIR name another folder",
        ) from error
    return target


def _tree_name(code: str | Path | None, dependencies: Sequence[str | Path]) -> str:
    places = "\0".join(str(Path(place).absolute()) for place in (code or "", *dependencies))
    return f"{hashlib.sha256(os.fsencode(places)).hexdigest()}.digests"


def _has_key(found: ObjectInfo, kms_key: str | None) -> bool:
    if kms_key is None:
        return True
    return found.kms_key is not None and (found.kms_key == kms_key or found.kms_key.endswith(f":key/{kms_key}"))


def _temporary_folder(workspace: Path | None) -> TemporaryFolder:
    try:
        return TemporaryFolder(workspace)
    except OSError as error:
        raise _unwritable(workspace or "the temporary folder", error) from error


@contextmanager
def _doubted(bundle: SourceBundle) -> Iterator[None]:
    # Who tries again shall not be told the same by a cache that is wrong.
    try:
        yield
    except SourceError:
        if bundle.cache:
            bundle.cache.forget()
        raise


def _pack(bundle: SourceBundle, path: Path) -> int:
    try:
        with path.open("wb") as file, _doubted(bundle):
            return write_tar_gz(bundle.entries, file, digest=bundle.digest)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(where: str | Path, error: OSError) -> SourceError:
    return SourceError(
        f"cannot write the source archive to {where}: {error.strerror}",
        hint="free some space there, or let TMPDIR name another folder",
    )
