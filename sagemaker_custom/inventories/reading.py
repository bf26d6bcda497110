"""Layers of an image in a registry → their facts, several at a time; those already known are not read."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue

from sagemaker_custom import oci
from sagemaker_custom.errors import RegistryError
from sagemaker_custom.inventories.layer_scan import LayerFacts, LayerScanner, scan_layer
from sagemaker_custom.progress import Progress, Task
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import RegistryClient

logger = logging.getLogger(__name__)

_WORKERS = 4
_LAYER_TYPES = (oci.DOCKER_LAYER, oci.OCI_LAYER)


class LayerReader:
    """Collects the facts of layers: of those that pass by, and of those that have to be read.

    Args:
        registry: Reads layers.
        progress: Shows one bar for all bytes that are read.
        workers: How many layers are read at a time.
        passed: Facts of layers that pass by, shared with other readers where one mirrors what another asks for.
    """

    def __init__(
        self,
        registry: RegistryClient,
        progress: Progress,
        workers: int = _WORKERS,
        *,
        passed: dict[Digest, LayerFacts] | None = None,
    ) -> None:
        self._registry = registry
        self._progress = progress
        self._workers = workers
        self._passed = {} if passed is None else passed

    def watch(self, blob: oci.Descriptor, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass the chunks of a blob on unchanged, and read along where it is a layer.

        What goes wrong with reading concerns nobody but this reader, who then reads the layer from a registry. Facts
        count only when ``chunks`` has come to its end, and with it to its verification.
        """
        scanner = LayerScanner() if blob.media_type in _LAYER_TYPES else None
        for chunk in chunks:
            if scanner and not self._is_fed(scanner, blob, chunk):
                scanner = None
            yield chunk
        if scanner:
            self._finish(scanner, blob)

    def facts(self, reference: ImageReference, layers: Sequence[oci.Descriptor]) -> tuple[LayerFacts, ...]:
        """Return the facts of layers in their order, and forget those of them that passed by.

        Raises:
            RegistryError: One cannot be read, or is not a layer.
        """
        passed = dict(self._passed)
        facts = {layer.digest: passed[layer.digest] for layer in layers if layer.digest in passed}
        unknown = {layer.digest: layer for layer in layers if layer.digest not in facts}
        if unknown:
            largest_first = sorted(unknown.values(), key=lambda layer: -layer.size)
            _Reading(reference, self._registry, facts).run(largest_first, self._progress, self._workers)
        for layer in layers:
            self._passed.pop(layer.digest, None)
        return tuple(facts[layer.digest] for layer in layers)

    def _is_fed(self, scanner: LayerScanner, blob: oci.Descriptor, chunk: bytes) -> bool:
        try:
            scanner.feed(chunk)
        except Exception as error:  # noqa: BLE001  # whoever copies the blob must not fail for it
            logger.info("%s could not be read on its way: %s", blob.digest, error)
            return False
        return True

    def _finish(self, scanner: LayerScanner, blob: oci.Descriptor) -> None:
        try:
            self._passed[blob.digest] = scanner.finish()
        except RegistryError as error:
            logger.info("%s could not be read on its way: %s", blob.digest, error)


class _StoppedError(RegistryError):
    """Another layer failed, or somebody pressed Ctrl-C; nobody gets to see it."""


class _Reading:
    """The layers of one image that are read."""

    def __init__(self, reference: ImageReference, registry: RegistryClient, facts: dict[Digest, LayerFacts]) -> None:
        self._reference = reference
        self._registry = registry.checked(self._check)
        self._facts = facts
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[oci.Descriptor] = SimpleQueue()
        self._outcomes: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(self, layers: Sequence[oci.Descriptor], progress: Progress, workers: int) -> None:
        """Read all of them; the first failure, or Ctrl-C, stops the others."""
        for layer in layers:
            self._waiting.put(layer)
        progress.step(f"reading what {self._reference} has installed")
        task = progress.task("reading layers", total=sum(layer.size for layer in layers))
        try:
            for number in range(min(workers, len(layers))):
                # Daemons, as those of the mirror: Ctrl-C does not wait for a registry that does not answer.
                threading.Thread(target=self._work, args=(task,), name=f"inventory-{number}", daemon=True).start()
            for _ in layers:
                outcome = self._outcomes.get()
                if outcome is not None:
                    raise outcome
        finally:
            self._stopped.set()
            with self._lock:
                task.finish()

    def _work(self, task: Task) -> None:
        while not self._stopped.is_set():
            try:
                layer = self._waiting.get_nowait()
            except Empty:
                return
            try:
                self._facts[layer.digest] = scan_layer(self._read(layer, task))
                self._outcomes.put(None)
            except BaseException as error:  # noqa: BLE001
                # First the reason, for the others will only say that they were stopped.
                self._outcomes.put(error)
                self._stopped.set()

    def _read(self, layer: oci.Descriptor, task: Task) -> Iterator[bytes]:
        for chunk in self._registry.read_blob(self._reference, layer.digest, size=layer.size):
            self._check()
            with self._lock:
                if not self._stopped.is_set():
                    task.advance(len(chunk))
            yield chunk

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError(f"reading {self._reference} was stopped")
