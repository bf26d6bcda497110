"""An image in one registry → the same image in another one: blob by blob through this process, in bounded memory."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import BinaryIO, cast

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    ImageMissingError,
    RegistryError,
    RegistryUnavailableError,
    SageMakerCustomError,
    TagConflictError,
)
from sagemaker_custom.progress import Progress, Task
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import Manifest, RegistryClient

_WORKERS = 4


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

    Returns:
        What was copied. A Docker schema2 manifest keeps its bytes and so its digest; an OCI manifest becomes one.

    Raises:
        ImageMissingError: There is no such image.
        TagConflictError: The tag holds another image.
        DigestMismatchError: What the source sends is not what its digest says.
        RegistryUnavailableError: A registry gives no answer after all attempts.
        RegistryError: A registry refuses, or the image cannot be one for SageMaker.
    """
    manifest = _source_manifest(source, source_registry, platform)
    done = target.with_digest(manifest.digest)
    present = target_registry.find(target.with_tag(target.tag or ""))
    if present == manifest.digest:
        progress.step(f"{target} is there, nothing to mirror")
        return Mirrored(reference=done)
    if present is not None:
        raise TagConflictError(
            f"{target} holds another image, {present}; {source} is {manifest.digest}",
            hint="AWS has published the tag anew: delete the mirrored tag, or keep what you have",
        )
    progress.step(f"mirroring {source} to {target}")
    copy = _Copy(source, target, source_registry, target_registry)
    copied = copy.run(_blobs(manifest, str(source)), progress, workers)
    target_registry.put_manifest(target, manifest)
    return Mirrored(
        reference=done,
        blobs_copied=sum(1 for blob, was_sent in copied if was_sent),
        blobs_present=sum(1 for blob, was_sent in copied if not was_sent),
        bytes_copied=sum(blob.size for blob, was_sent in copied if was_sent),
    )


def _source_manifest(source: ImageReference, registry: RegistryClient, platform: str) -> Manifest:
    name, (os, _, architecture) = str(source), platform.partition("/")
    manifest = registry.manifest(source)
    if manifest is not None and oci.is_index(manifest.media_type):
        index = oci.parse_index(manifest.media_type, manifest.content, name=name)
        chosen = oci.select_platform(index, os=os, architecture=architecture, name=name)
        manifest = registry.manifest(source.with_digest(chosen.digest))
    if manifest is None:
        raise ImageMissingError(
            f"there is no image {name} to mirror",
            hint="AWS may not publish that one there: choose another source_region, or look the tag up",
        )
    # Also tells of layers that are not gzip or lie elsewhere, which SageMaker hosting refuses.
    content = oci.to_docker_schema2(oci.parse_manifest(manifest.media_type, manifest.content, name=name))
    if manifest.media_type == oci.DOCKER_MANIFEST:
        return manifest
    return Manifest(media_type=oci.DOCKER_MANIFEST, content=content)


def _blobs(manifest: Manifest, name: str) -> tuple[oci.Descriptor, ...]:
    """Return config and layers, each once, the largest first so that none is left over at the end."""
    parsed = oci.parse_manifest(manifest.media_type, manifest.content, name=name)
    unique = {blob.digest: blob for blob in (parsed.config, *parsed.layers)}
    return tuple(sorted(unique.values(), key=lambda blob: -blob.size))


class _Copy:
    """The blobs of one image on their way."""

    def __init__(
        self,
        source: ImageReference,
        target: ImageReference,
        source_registry: RegistryClient,
        target_registry: RegistryClient,
    ) -> None:
        self._source = source
        self._target = target
        self._source_registry = source_registry
        self._target_registry = target_registry
        self._stopped = threading.Event()

    def run(
        self, blobs: Sequence[oci.Descriptor], progress: Progress, workers: int
    ) -> tuple[tuple[oci.Descriptor, bool], ...]:
        """Copy all of them; the first failure, or Ctrl-C, stops the others."""
        total = sum(blob.size for blob in blobs)
        task = _SharedTask(progress.task(f"mirroring {self._target.repository}", total=total))
        with ThreadPoolExecutor(max_workers=max(1, min(workers, len(blobs))), thread_name_prefix="mirror") as pool:
            try:
                futures = [pool.submit(self._one, blob, task) for blob in blobs]
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                self._stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                task.finish()
        failure = _first_failure(futures)
        if failure is not None:
            raise failure
        return tuple(zip(blobs, (future.result() for future in futures), strict=True))

    def _one(self, blob: oci.Descriptor, task: Task) -> bool:
        opened: list[_BlobReader] = []

        def open_content() -> BinaryIO:
            opened.append(_BlobReader(lambda: self._read(blob)))
            return cast("BinaryIO", opened[-1])

        try:
            was_sent = self._target_registry.upload_blob(self._target, blob.digest, blob.size, open_content, task=task)
        except SageMakerCustomError as error:
            # What the source says counts: to the target it is only a stream that broke off.
            raise (opened[-1].failure if opened else None) or error from None
        if not was_sent:
            task.advance(blob.size)
        return was_sent

    def _read(self, blob: oci.Descriptor) -> Iterator[bytes]:
        for chunk in self._source_registry.read_blob(self._source, blob.digest, size=blob.size):
            if self._stopped.is_set():
                raise _StoppedError(f"mirroring {self._source} was stopped")
            yield chunk


class _StoppedError(RegistryError):
    """Another blob failed, which is what is reported."""


def _first_failure(futures: Sequence[Future[bool]]) -> BaseException | None:
    failures = [future.exception() for future in futures if future.done() and not future.cancelled()]
    told = [failure for failure in failures if failure is not None]
    return next((failure for failure in told if not isinstance(failure, _StoppedError)), next(iter(told), None))


class _BlobReader(io.RawIOBase):
    """A blob of the source as a file that is read once, chunk by chunk."""

    def __init__(self, open_chunks: Callable[[], Iterator[bytes]]) -> None:
        super().__init__()
        self._chunks = open_chunks()
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
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        super().close()


class _SharedTask:
    """A bar that several threads move."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._lock = threading.Lock()

    def advance(self, amount: int) -> None:
        """Move it."""
        with self._lock:
            self._task.advance(amount)

    def set_total(self, total: int) -> None:
        """Say how much there is."""
        with self._lock:
            self._task.set_total(total)

    def finish(self) -> None:
        """Take it away."""
        with self._lock:
            self._task.finish()
