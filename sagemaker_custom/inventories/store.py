"""Reference of a base image → its inventory: from the disk, from beside the image, or else from its layers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sagemaker_custom import oci
from sagemaker_custom.errors import BaseImageError, RegistryError, SageMakerCustomError
from sagemaker_custom.inventories.artifact import fetch, publish, tag_of
from sagemaker_custom.inventories.combined import combine
from sagemaker_custom.inventories.disk_cache import DiskCache
from sagemaker_custom.inventories.layer_scan import LayerFacts
from sagemaker_custom.inventories.reading import LayerReader
from sagemaker_custom.inventory import (
    Inventory,
    Records,
    read_document,
    read_records,
    records_to_document,
    to_document,
)
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import RegistryClient

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Base:
    """One image for one platform, and the Python that is asked about."""

    reference: ImageReference
    """With the digest of its manifest."""
    manifest: oci.ImageManifest
    digest: Digest
    platform: str
    python: str


class Inventories:
    """Knows what base images have installed; finds it out once for all who use the same registry.

    Args:
        registry: Reads images, and writes inventories beside them.
        cache_dir: Folder for what was found out.
        progress: Told when layers have to be read.
        passed: What other inventories of this process know of layers that pass by, and these share.
        turn: Held while the layers of a base are read; it is asked whether another one has read them meanwhile.
    """

    def __init__(
        self,
        registry: RegistryClient,
        cache_dir: Path,
        progress: Progress,
        *,
        passed: dict[Digest, LayerFacts] | None = None,
        turn: Callable[[ImageReference, Callable[[], bool]], AbstractContextManager[object]] = lambda *_: nullcontext(),
    ) -> None:
        self._registry = registry
        self._disk = DiskCache(cache_dir / "inventories")
        self._layers = LayerReader(registry, progress, passed=passed)
        self._turn = turn

    def watch(self, blob: oci.Descriptor, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Read a layer while it is mirrored, to hand to ``mirror_image(watch=…)``; :meth:`of` then knows it."""
        return self._layers.watch(blob, chunks)

    def of(self, reference: ImageReference, *, python: str, platform: str = "linux/amd64") -> Inventory:
        """Return what an image has installed.

        With a digest of a manifest that was asked for before on this machine, the registry is not asked.

        Args:
            reference: Of a manifest or an index; with a digest, so that it is surely the image that is meant.
            python: Absolute path of the interpreter, or a name that is looked up in the image's ``PATH``.
            platform: Chosen from an index.

        Raises:
            BaseImageError: There is no such image, or it does not have that Python.
            RegistryError: It cannot be read, or is not for ``platform``.
        """
        if reference.digest:
            kept = self._kept(reference.digest, python, platform)
            if kept is not None:
                return kept
        base = self._base(reference, python, platform)
        kept = self._kept(base.digest, python, platform)
        if kept is not None:
            return kept
        published = self._published(base, "inventory", read_document)
        if published is not None and (published.base, published.platform) == (base.digest, platform):
            self._disk.write(base.digest, python, "inventory", to_document(published))
            return published
        return self._scanned(base)[0]

    def known(self, reference: ImageReference, *, python: str, platform: str = "linux/amd64") -> Inventory | None:
        """Return what an image has installed, where that was found out before; no layer is read.

        Takes the arguments of :meth:`of`, and raises its errors.
        """
        kept = self._kept(reference.digest, python, platform) if reference.digest else None
        if kept is not None:
            return kept
        base = self._base(reference, python, platform)
        published = self._published(base, "inventory", read_document)
        return published if published and (published.base, published.platform) == (base.digest, platform) else None

    def records(self, reference: ImageReference, *, python: str, platform: str = "linux/amd64") -> Records:
        """Return which files the packages of an image have; see :meth:`of` for arguments and errors."""
        base = self._base(reference, python, platform)
        kept = self._disk.read(base.digest, python, "records")
        records = _readable(kept, read_records) if kept is not None else None
        if records is None:
            records = self._published(base, "records", read_records)
            if records is None:
                return self._scanned(base)[1]
            self._disk.write(base.digest, python, "records", records_to_document(records))
        return records

    def _kept(self, digest: Digest, python: str, platform: str) -> Inventory | None:
        document = self._disk.read(digest, python, "inventory")
        inventory = _readable(document, read_document) if document is not None else None
        return inventory if inventory and (inventory.base, inventory.platform) == (digest, platform) else None

    def _base(self, reference: ImageReference, python: str, platform: str) -> _Base:
        name, (os, _, architecture) = str(reference), platform.partition("/")
        manifest = self._registry.manifest(reference)
        if manifest is not None and oci.is_index(manifest.media_type):
            index = oci.parse_index(manifest.media_type, manifest.content, name=name)
            chosen = oci.select_platform(index, os=os, architecture=architecture, name=name)
            reference = reference.with_digest(chosen.digest)
            manifest = self._registry.manifest(reference)
        if manifest is None:
            raise BaseImageError(f"the base image {name} does not exist, or not as a whole", hint="push it again")
        return _Base(
            reference=reference.with_digest(manifest.digest),
            manifest=oci.parse_manifest(manifest.media_type, manifest.content, name=name),
            digest=manifest.digest,
            platform=platform,
            python=python,
        )

    def _published(self, base: _Base, name: str, read: Callable[[Mapping[str, Any]], _T]) -> _T | None:
        tagged = _tagged(base)
        try:
            document = fetch(self._registry, tagged, name)
        except SageMakerCustomError as error:
            # Nothing but time depends on it: the image itself says the same, or why nothing can be learned.
            logger.info("%s is not used: %s", tagged, error.message)
            return None
        return None if document is None else _readable(document, read)

    def _scanned(self, base: _Base) -> tuple[Inventory, Records]:
        def is_known() -> bool:
            return self._read_before(base) is not None

        with self._turn(base.reference, is_known):
            return self._read_before(base) or self._read(base)

    def _read_before(self, base: _Base) -> tuple[Inventory, Records] | None:
        inventory = self._kept(base.digest, base.python, base.platform)
        document = self._disk.read(base.digest, base.python, "records")
        records = _readable(document, read_records) if document is not None else None
        return (inventory, records) if inventory and records else None

    def _read(self, base: _Base) -> tuple[Inventory, Records]:
        config = self._config(base)
        # Tells of layers that are not gzip, which nobody could append to.
        oci.to_docker_schema2(base.manifest)
        layers = self._layers.facts(base.reference, base.manifest.layers)
        inventory, records = combine(layers, config, base=base.digest, platform=base.platform, python=base.python)
        self._disk.write(base.digest, base.python, "inventory", to_document(inventory))
        self._disk.write(base.digest, base.python, "records", records_to_document(records))
        try:
            publish(self._registry, _tagged(base), inventory, records)
        except SageMakerCustomError as error:
            logger.info("the inventory of %s is not kept in the registry: %s", base.reference, error.message)
        return inventory, records

    def _config(self, base: _Base) -> Mapping[str, Any]:
        config = self._registry.image_config(base.reference)
        if config is None:
            raise BaseImageError(f"the base image {base.reference} does not exist any more")
        platform = f"{config.get('os')}/{config.get('architecture')}"
        if platform != base.platform:
            raise RegistryError(
                f"{base.reference} is for {platform}, not for {base.platform}", hint="choose the image for that one"
            )
        return config


def _tagged(base: _Base) -> ImageReference:
    return base.reference.with_tag(tag_of(base.digest, base.python))


def _readable(document: Mapping[str, Any], read: Callable[[Mapping[str, Any]], _T]) -> _T | None:
    try:
        return read(document)
    except RegistryError as error:
        logger.info("an inventory is not used: %s", error.message)
        return None
