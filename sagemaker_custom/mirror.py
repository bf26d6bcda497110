"""An image in one registry → the same image in another one: blob by blob through this process, in bounded memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import BinaryIO, TypeAlias, cast

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    DigestMismatchError,
    ImageMissingError,
    InvalidReferenceError,
    RegistryError,
    RegistryUnavailableError,
    SageMakerCustomError,
    TagConflictError,
)
from sagemaker_custom.progress import Progress, SharedTask, Task
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import Manifest, RegistryClient

_WORKERS = 4
# What is left of a connection that does not move is given this long to end by itself.
_GRACE_S = 1.0

Watch: TypeAlias = Callable[[oci.Descriptor, Iterator[bytes]], Iterator[bytes]]
"""A blob and its chunks → the same chunks; called anew for every attempt to send the blob, from several threads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirrored:
    """What was done."""

    reference: ImageReference
    """Of the image in the registry that it was brought to, with tag and digest."""
    blobs_copied: int = 0
    blobs_present: int = 0
    """That were there already."""
    bytes_copied: int = 0


def mirror_image(
    source: ImageReference,
    target: ImageReference,
    *,
    source_registry: RegistryClient,
    target_registry: RegistryClient,
    progress: Progress,
    workers: int = _WORKERS,
    platform: str = "linux/amd64",
    watch: Watch | None = None,
) -> Mirrored:
    """Bring one image from one registry to another; what is there already is not sent again.

    Blobs go straight from the one connection to the other, several at a time, and are verified on their way. Nothing is
    written to disk. The manifest comes last, so that the tag never names less than the whole image. After a failure a
    further call goes on where this one ended.

    Args:
        source: Where the image is. An index is fine: the image for ``platform`` is taken.
        target: Where it goes, with a tag.
        source_registry: Reads it.
        target_registry: Writes it.
        progress: Shows one bar for all bytes.
        workers: How many blobs are on their way at a time.
        platform: ``linux/amd64`` or ``linux/arm64``.
        watch: Sees the content of each blob that is sent; the last chunk before it is verified, the end after that.

    Returns:
        What was copied. A Docker schema2 manifest keeps its bytes and so its digest; an OCI manifest becomes one.

    Raises:
        InvalidReferenceError: ``target`` has no tag.
        ImageMissingError: There is no such image.
        TagConflictError: The tag holds another image.
        DigestMismatchError: What the source sends is not what its digest says, or ``target`` asks for another digest.
        RegistryUnavailableError: A registry gives no answer after all attempts.
        RegistryError: A registry refuses, or the image cannot be one for SageMaker.
    """
    if not target.tag:
        raise InvalidReferenceError(f"{target} has no tag to mirror {source} to", hint="add ':tag'")
    with _naming(source, target):
        manifest = _source_manifest(source, source_registry, platform)
        done = target.with_digest(manifest.digest)
        if _is_there(target, manifest.digest, target_registry):
            progress.step(f"{target} is there, nothing to mirror")
            return Mirrored(reference=done)
        progress.step(f"mirroring {source} to {target}")
        blobs = _blobs(manifest, str(source))
        copy = _Copy(source, target, source_registry, target_registry, watch or _unwatched)
        sent = copy.run(blobs, progress, workers)
        target_registry.put_manifest(target, manifest)
    return Mirrored(
        reference=done,
        blobs_copied=len(sent),
        blobs_present=len(blobs) - len(sent),
        bytes_copied=sum(blob.size for blob in sent),
    )


def _unwatched(blob: oci.Descriptor, chunks: Iterator[bytes]) -> Iterator[bytes]:
    del blob
    return chunks


@contextmanager
def _naming(source: ImageReference, target: ImageReference) -> Iterator[None]:
    try:
        yield
    except SageMakerCustomError as error:
        message = f"cannot mirror {source} to {target}: {error.message}"
        raise type(error)(message, hint=error.hint) from error


def _source_manifest(source: ImageReference, registry: RegistryClient, platform: str) -> Manifest:
    name, (os, _, architecture) = str(source), platform.partition("/")
    manifest = registry.manifest(source)
    if manifest is None:
        raise ImageMissingError(
            f"there is no image {name}",
            hint="AWS may not publish that one there: choose another source_region, or look the tag up",
        )
    if oci.is_index(manifest.media_type):
        index = oci.parse_index(manifest.media_type, manifest.content, name=name)
        chosen = oci.select_platform(index, os=os, architecture=architecture, name=name)
        manifest = registry.manifest(source.with_digest(chosen.digest))
        if manifest is None:
            raise RegistryError(f"{name} is incomplete: its registry has no {chosen.digest}", hint="push it again")
    # Also tells of layers that are not gzip or lie elsewhere, which SageMaker hosting refuses.
    content = oci.to_docker_schema2(oci.parse_manifest(manifest.media_type, manifest.content, name=name))
    if manifest.media_type == oci.DOCKER_MANIFEST:
        return manifest
    return Manifest(media_type=oci.DOCKER_MANIFEST, content=content)


def _is_there(target: ImageReference, digest: Digest, registry: RegistryClient) -> bool:
    if target.digest not in {None, digest}:
        raise DigestMismatchError(
            f"the image to mirror has the digest {digest}", hint="leave the digest of the target out"
        )
    present = registry.find(target.with_tag(target.tag or ""))
    if present not in {None, digest}:
        raise TagConflictError(
            f"the tag holds another image, {present} instead of {digest}",
            hint="it was published anew since it was mirrored: keep what is there, or remove that tag and mirror again",
        )
    return present is not None


def _blobs(manifest: Manifest, name: str) -> tuple[oci.Descriptor, ...]:
    """Return config and layers, each once, the largest first so that none is left over at the end."""
    parsed = oci.parse_manifest(manifest.media_type, manifest.content, name=name)
    unique = {blob.digest: blob for blob in (parsed.config, *parsed.layers)}
    return tuple(sorted(unique.values(), key=lambda blob: -blob.size))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrived:
    """A blob that the target has now."""

    blob: oci.Descriptor
    was_sent: bool


class _StoppedError(RegistryError):
    """Another blob failed, or somebody pressed Ctrl-C; nobody gets to see it."""


class _Copy:
    """The blobs of one image on their way."""

    def __init__(
        self,
        source: ImageReference,
        target: ImageReference,
        source_registry: RegistryClient,
        target_registry: RegistryClient,
        watch: Watch,
    ) -> None:
        self._source = source
        self._watch = watch
        self._target = target
        self._source_registry = source_registry.checked(self._check)
        self._target_registry = target_registry.checked(self._check)
        self._stopped = threading.Event()
        self._waiting: SimpleQueue[oci.Descriptor] = SimpleQueue()
        self._outcomes: SimpleQueue[_Arrived | BaseException] = SimpleQueue()

    def run(self, blobs: Sequence[oci.Descriptor], progress: Progress, workers: int) -> tuple[oci.Descriptor, ...]:
        """Copy all of them and return those that were sent; the first failure, or Ctrl-C, stops the others."""
        for blob in blobs:
            self._waiting.put(blob)
        total = sum(blob.size for blob in blobs)
        task = SharedTask(progress.task(f"mirroring {self._target.repository}", total=total))
        threads: list[threading.Thread] = []
        try:
            for number in range(max(1, min(workers, len(blobs)))):
                # Daemons, since nothing wakes a thread that waits for a registry: Ctrl-C would have to wait as well.
                threads.append(threading.Thread(target=self._work, args=(task,), name=f"mirror-{number}", daemon=True))
                threads[-1].start()
            return tuple(arrived.blob for arrived in self._arrivals(len(blobs)) if arrived.was_sent)
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join(_GRACE_S / len(threads))
            task.finish()

    def _arrivals(self, count: int) -> Iterator[_Arrived]:
        for _ in range(count):
            outcome = self._outcomes.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome

    def _work(self, task: Task) -> None:
        while not self._stopped.is_set():
            try:
                blob = self._waiting.get_nowait()
            except Empty:
                return
            try:
                self._outcomes.put(_Arrived(blob=blob, was_sent=self._copy(blob, task)))
            except BaseException as error:  # noqa: BLE001
                # First the reason, for the others will only say that they were stopped.
                self._outcomes.put(error)
                self._stopped.set()

    def _copy(self, blob: oci.Descriptor, task: Task) -> bool:
        opened: list[_BlobReader] = []

        def open_content() -> BinaryIO:
            opened.append(_BlobReader(self._read(blob)))
            return cast("BinaryIO", opened[-1])

        try:
            was_sent = self._target_registry.upload_blob(self._target, blob.digest, blob.size, open_content, task=task)
        except SageMakerCustomError as error:
            # What the source says counts: to the target it is only a stream that broke off.
            raise (opened[-1].failure if opened else None) or error from None
        if not was_sent:
            task.advance(blob.size)
        return was_sent

    def _read(self, blob: oci.Descriptor) -> Generator[bytes, None, None]:
        # The last chunk is held back until all of it is verified: the target never gets the whole of a wrong blob.
        held = b""
        for chunk in self._watch(blob, self._source_registry.read_blob(self._source, blob.digest, size=blob.size)):
            self._check()
            if held:
                yield held
            held = chunk
        if held:
            yield held

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError(f"mirroring {self._source} was stopped")


class _BlobReader:
    """A blob of the source as a file that is read once, chunk by chunk."""

    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self._chunks = chunks
        self.failure: SageMakerCustomError | None = None

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk, whatever its size, and nothing at the end, when all of it was verified."""
        del size
        try:
            return next(self._chunks, b"")
        except SageMakerCustomError as error:
            self.failure = error
            if isinstance(error, RegistryUnavailableError):
                # The source was tried often enough; the target's attempts are not for that.
                raise RegistryError(error.message, hint=error.hint) from error
            raise

    def close(self) -> None:
        """Give the connection to the source back."""
        self._chunks.close()
