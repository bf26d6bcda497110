"""BuildPlan → its wheels as layers on the base's manifest, put into the registry without any engine.

1. The base is in the repository of the extended images, or is brought there once.
2. What it has installed is known; it is asked of the cache first.
3. The wheels that are added are chosen so that nothing of the base changes.
4. They become layers; a wheel has the same layer on every machine.
5. Layers and config are uploaded, as far as they are not there; then the manifest, without a tag.
6. Where an engine has the base, the verify commands run in the image.
7. The manifest gets its tag.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sagemaker_custom import oci
from sagemaker_custom.builders import script_start
from sagemaker_custom.builders.append_bases import BaseLibrary
from sagemaker_custom.builders.append_interface import (
    AppendableBase,
    ImageCheck,
    Inventories,
    Layers,
    Resolver,
    Verification,
    Wheels,
)
from sagemaker_custom.builders.append_upload import bytes_blob, file_blob, upload
from sagemaker_custom.builders.blob_places import BlobPlaces
from sagemaker_custom.builders.choice import why_not_appended
from sagemaker_custom.builders.failures import full_disk_told
from sagemaker_custom.builders.lock_fit import check_lock, replaceable, requirement_of
from sagemaker_custom.builders.promotion import put_final
from sagemaker_custom.errors import BuildError, NotAppendableError
from sagemaker_custom.inventory import Inventory, Records
from sagemaker_custom.plan import (
    LABEL_PREFIX,
    LOCK_LABEL,
    STARTS_SCRIPTS_LABEL,
    VERIFIED_LABEL,
    WHEELS_LABEL,
    BuildPlan,
)
from sagemaker_custom.progress import NoProgress, Progress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import Manifest, RegistryClient
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.spec import canonical_json
from sagemaker_custom.wheels.layer_choice import MOST_LAYERS
from sagemaker_custom.wheels.layers import LayerBlob
from sagemaker_custom.wheels.lock import Lock
from sagemaker_custom.wheels.store import FetchedWheel

BUILDER = "append"
_MOST_LAYERS = 127
"""What a Docker Engine with overlay2 mounts at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppendParts:
    """What the append builder is made of."""

    registry: RegistryClient
    bases: BaseLibrary
    inventories: Inventories
    resolver: Resolver
    wheels: Wheels
    layers: Layers
    places: BlobPlaces
    check: ImageCheck
    check_statically: Callable[[Inventory, Lock, Sequence[FetchedWheel], Sequence[LayerBlob]], None]
    """Compares the files with what they say of themselves, and raises a VerificationError."""


class AppendBuilder:
    """Appends wheels to base images.

    Args:
        parts: What does the work.
        version: Of this package, for the image's label.
        lock: What to install; ``None`` to have it resolved.
        progress: Told what happens.
    """

    def __init__(
        self, parts: AppendParts, *, version: str, lock: Lock | None = None, progress: Progress | None = None
    ) -> None:
        self._parts = parts
        self._version = version
        self._lock = lock
        self._progress = progress or NoProgress()

    @full_disk_told()
    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build, verify and publish; see :meth:`ImageBuilder.build`.

        Raises:
            NotAppendableError: Something has to be run in the image, or no wheel fits it.
        """
        # The base is asked for each time, and wheels and layers are known by their content.
        del fresh
        obstacle = why_not_appended(plan)
        if obstacle:
            raise NotAppendableError(obstacle)
        base, inventory, lock = self._locked(plan)
        wheels = self._parts.wheels.fetch(lock, self._progress)
        layers = self._layers(plan, base, inventory, lock, wheels)
        self._parts.check_statically(inventory, lock, wheels, layers)
        kind = self._parts.check.kind(base)
        config, manifest = self._image(plan, base, lock, layers, kind)
        self._upload(plan, config, layers)
        if kind == "run":
            pinned = replace(plan.reference, tag=None, digest=manifest.digest)
            self._parts.registry.put_manifest(pinned, manifest)
            lacks = self._parts.check.run(pinned, plan, lock)
            if lacks:
                config, manifest = self._image(plan, base, lock, layers, kind, lacks)
                self._upload(plan, config, ())
        digest = put_final(
            self._parts.registry,
            plan.reference,
            manifest,
            fingerprint=plan.fingerprint,
            architecture=_platform(plan).rpartition("/")[2],
        )
        self._progress.step(f"{plan.reference} is {digest}")
        return plan.reference

    def preview(self, plan: BuildPlan) -> Lock | None:
        """Return what would be added; nothing is brought, built or written.

        Returns:
            ``None`` where that is not known before the base has been brought.

        Raises:
            NotAppendableError: No wheel fits.
        """
        obstacle = why_not_appended(plan)
        if obstacle:
            raise NotAppendableError(obstacle)
        base = self._parts.bases.find(plan)
        if base is None:
            return None
        inventory = self._parts.inventories.known(base.reference, python=plan.base.python, platform=_platform(plan))
        return self._resolved(plan, inventory) if inventory else None

    def _resolved(self, plan: BuildPlan, inventory: Inventory) -> Lock:
        return self._parts.resolver.resolve(
            inventory, _pip_steps(plan), held=plan.held, indexes=plan.pip_indexes, replace=replaceable(plan)
        )

    def _locked(self, plan: BuildPlan) -> tuple[AppendableBase, Inventory, Lock]:
        given = self._lock
        base = self._parts.bases.bring(plan) if given is None else self._parts.bases.bring_locked(plan, given.base)
        inventory = self._parts.inventories.of(base.reference, python=plan.base.python, platform=_platform(plan))
        if given is not None:
            check_lock(given, plan, inventory)
            return base, inventory, given
        self._progress.step(f"resolving {plan.reference} (append)")
        return base, inventory, self._resolved(plan, inventory)

    def _layers(
        self,
        plan: BuildPlan,
        base: AppendableBase,
        inventory: Inventory,
        lock: Lock,
        wheels: Sequence[FetchedWheel],
    ) -> tuple[LayerBlob, ...]:
        wanted = tuple(requirement_of(text) for step in _pip_steps(plan) for text in step.packages)
        # They are large, and tell only what vanishes and what that shares with others.
        records = self._records(plan, base, lock) if lock.replaced else None
        return self._parts.layers.layers(
            wheels,
            inventory,
            removed={name: records[name] for name in lock.replaced} if records is not None else {},
            records=records,
            progress=self._progress,
            requested=tuple(requirement.name for requirement in wanted),
            direct=tuple(requirement.name for requirement in wanted if requirement.url),
            most=min(MOST_LAYERS, _MOST_LAYERS - len(base.manifest.layers)),
        )

    def _records(self, plan: BuildPlan, base: AppendableBase, lock: Lock) -> Records:
        records = self._parts.inventories.records(base.reference, python=plan.base.python, platform=_platform(plan))
        unknown = [name for name in lock.replaced if name not in records]
        if unknown:
            raise NotAppendableError(f"the base does not say which files belong to {' '.join(unknown)}")
        return records

    def _image(
        self,
        plan: BuildPlan,
        base: AppendableBase,
        lock: Lock,
        layers: Sequence[LayerBlob],
        kind: Verification,
        lacks: tuple[str, ...] = (),
    ) -> tuple[bytes, Manifest]:
        name = f"{plan.base.repository}:{plan.base.tag}"
        count = len(base.manifest.layers) + len(layers)
        if count > _MOST_LAYERS:
            raise NotAppendableError(f"{name} and what is added would have {count} layers, more than {_MOST_LAYERS}")
        added = [
            oci.AddedLayer(digest=layer.digest, diff_id=layer.diff_id, size=layer.size, created_by=layer.created_by)
            for layer in layers
        ]
        config, content = oci.append_layers(
            base.manifest, base.config, added, self._labels(plan, base, lock, kind, lacks), name=name
        )
        if max(len(config), len(content)) > oci.MANIFEST_LIMIT:
            raise BuildError(f"the config of {plan.reference} would have {len(config)} bytes", hint="make two images")
        return config, Manifest(media_type=oci.DOCKER_MANIFEST, content=content)

    def _labels(
        self, plan: BuildPlan, base: AppendableBase, lock: Lock, kind: Verification, lacks: tuple[str, ...]
    ) -> Mapping[str, str]:
        installed = {wheel.name: wheel.version for wheel in lock.wheels}
        removed = sorted(name for name in lock.replaced if name not in installed)
        is_asked = kind == "run" and script_start.is_asked(plan)
        return {
            **plan.labels,
            f"{LABEL_PREFIX}base-digest": base.published,
            LOCK_LABEL: canonical_json({"installed": installed, "removed": removed}),
            WHEELS_LABEL: lock.to_json(),
            f"{LABEL_PREFIX}builder": BUILDER,
            f"{LABEL_PREFIX}version": self._version,
            VERIFIED_LABEL: kind,
            **({STARTS_SCRIPTS_LABEL: script_start.label_value(lacks)} if is_asked else {}),
        }

    def _upload(self, plan: BuildPlan, config: bytes, layers: Sequence[LayerBlob]) -> None:
        blobs = [file_blob(layer.digest, layer.size, layer.path) for layer in layers]
        self._progress.step(f"uploading {plan.reference}")
        every = [*blobs, bytes_blob(config)]
        upload(self._parts.registry, plan.reference, every, self._progress, places=self._parts.places)


def _pip_steps(plan: BuildPlan) -> tuple[PipStep, ...]:
    return tuple(step for step in plan.steps if isinstance(step, PipStep))


def _platform(plan: BuildPlan) -> str:
    return str(plan.document["platform"])
