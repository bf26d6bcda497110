"""A registry → what has been built there: of each image its spec, base, size and age, and whether its base moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from datetime import datetime, timezone
from typing import Literal

from sagemaker_custom import oci
from sagemaker_custom.errors import SageMakerCustomError
from sagemaker_custom.evidence import subject_of
from sagemaker_custom.extended_tags import read_extended_tag
from sagemaker_custom.plan import FINGERPRINT_LABEL, LABEL_PREFIX, VERIFIED_LABEL
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import RegistryClient

Kind = Literal["extended", "mirrored base", "other", "unreadable"]
BaseState = Literal["same", "moved", "gone", "unknown"]

_WORKERS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltImage:
    """One tag of a repository; ``None`` stands for what the image does not say."""

    reference: ImageReference
    kind: Kind
    framework: str
    """As the repository's name has it."""
    version: str | None = None
    image_scope: str | None = None
    processor: str | None = None
    py_version: str | None = None
    extras: str | None = None
    """As the tag has them, cut off where they are long."""
    base: str | None = None
    """``repository:tag`` of AWS's image."""
    base_digest: Digest | None = None
    """Of the base that it was built on."""
    fingerprint: str | None = None
    builder: str | None = None
    verified: str | None = None
    """``run`` or ``static``."""
    size: int | None = None
    """Bytes of all layers, as they are stored."""
    created: datetime | None = None
    base_state: BaseState | None = None
    """Whether AWS has published the base's tag anew since; ``None`` when not asked, or the image is none of ours."""
    base_problem: str | None = None
    """Why that is unknown."""
    problem: str | None = None
    """Why it could not be read."""


def list_images(
    repositories: Sequence[ImageReference],
    *,
    registry: RegistryClient,
    prefix: str,
    base_of: Callable[[str], ImageReference] | None = None,
) -> tuple[BuiltImage, ...]:
    """List the images of some repositories, the newest first.

    An image that cannot be read is listed with the reason, and hides no other.

    Args:
        repositories: Where to look.
        registry: Reads them.
        prefix: Of our repositories' names; what follows it is the framework.
        base_of: ``repository:tag`` of a base → where AWS publishes it, without a digest, to compare that; may raise
            one of our errors. ``None`` to ask nothing.

    Raises:
        RegistryError: A repository cannot be listed.
    """
    found = [
        repository.with_tag(tag)
        for repository in repositories
        for tag in registry.tags(repository)
        if not tag.startswith("inventory-") and subject_of(tag) is None
    ]
    reader = _Reader(registry, prefix)
    with ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="images") as pool:
        images = list(pool.map(reader.read, found))
        if base_of:
            images = _compared(images, _Bases(registry, base_of), pool)
    return tuple(sorted(images, key=lambda image: (_seconds(image), str(image.reference)), reverse=True))


def _seconds(image: BuiltImage) -> float:
    return image.created.timestamp() if image.created else 0.0


class _Reader:
    """Reads images one by one."""

    def __init__(self, registry: RegistryClient, prefix: str) -> None:
        self._registry = registry
        self._prefix = prefix

    def read(self, reference: ImageReference) -> BuiltImage:
        framework = reference.repository.removeprefix(f"{self._prefix}-")
        try:
            return self._read(reference, framework)
        except SageMakerCustomError as error:
            return BuiltImage(reference=reference, kind="unreadable", framework=framework, problem=error.message)

    def _read(self, reference: ImageReference, framework: str) -> BuiltImage:
        manifest = self._registry.manifest(reference)
        config = self._registry.image_config(reference)
        if manifest is None or config is None:
            return BuiltImage(
                reference=reference, kind="unreadable", framework=framework, problem="it was deleted meanwhile"
            )
        labels = oci.labels(config)
        size = (
            sum(layer.size for layer in oci.parse_manifest(manifest.media_type, manifest.content).layers)
            if not oci.is_index(manifest.media_type)
            else None
        )
        said = read_extended_tag(reference.tag or "")
        base, base_digest = labels.get(f"{LABEL_PREFIX}base"), labels.get(f"{LABEL_PREFIX}base-digest")
        builder = labels.get(f"{LABEL_PREFIX}builder")
        is_extended = FINGERPRINT_LABEL in labels
        is_mirrored = (reference.tag or "").startswith("base-")
        return BuiltImage(
            reference=reference,
            kind="extended" if is_extended else "mirrored base" if is_mirrored else "other",
            framework=framework,
            version=said.version if said else None,
            image_scope=said.image_scope if said else None,
            processor=said.processor if said else None,
            py_version=said.py_version if said else None,
            extras=said.extras if said else None,
            base=base,
            base_digest=Digest(base_digest) if base_digest else None,
            fingerprint=labels.get(FINGERPRINT_LABEL),
            builder=builder,
            verified=labels.get(VERIFIED_LABEL),
            size=size,
            # What is appended keeps the time of its base, so that equal images have equal digests.
            created=None if builder == "append" else _created(config),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unknown:
    """What AWS has now could not be found out."""

    problem: str


class _Bases:
    """Asks AWS's registry what it has now."""

    def __init__(self, registry: RegistryClient, base_of: Callable[[str], ImageReference]) -> None:
        self._registry = registry
        self._base_of = base_of

    def ask(self, base: str) -> Digest | _Unknown | None:
        try:
            return self._registry.find(self._base_of(base))
        except SageMakerCustomError as error:
            # Whether it moved is not worth losing the list for; that it is not known is said.
            return _Unknown(problem=error.message)


def _compared(images: Sequence[BuiltImage], bases: _Bases, pool: Executor) -> list[BuiltImage]:
    # Many images share a base, which is asked for once.
    names = sorted({image.base for image in images if image.base and image.base_digest})
    published = dict(zip(names, pool.map(bases.ask, names), strict=True))
    return [_with_state(image, published) if image.kind == "extended" else image for image in images]


def _with_state(image: BuiltImage, published: Mapping[str, Digest | _Unknown | None]) -> BuiltImage:
    if image.base is None or image.base_digest is None:
        return replace(image, base_state="unknown", base_problem="its labels do not say which base it was built on")
    now = published[image.base]
    if isinstance(now, _Unknown):
        return replace(image, base_state="unknown", base_problem=now.problem)
    if now is None:
        return replace(image, base_state="gone")
    return replace(image, base_state="same" if now == image.base_digest else "moved")


def _created(config: Mapping[str, object]) -> datetime | None:
    text = str(config.get("created") or "")
    try:
        # The engine writes nanoseconds, which Python 3.10 does not read.
        moment, _, rest = text.partition(".")
        zone = rest.lstrip("0123456789") if rest else ""
        created = datetime.fromisoformat((moment + zone).replace("Z", "+00:00"))
    except ValueError:
        return None
    # What was never set reads 0001-01-01T00:00:00Z.
    return (created if created.tzinfo else created.replace(tzinfo=timezone.utc)) if created.year > 1 else None


def as_document(image: BuiltImage) -> dict[str, object]:
    """Return what JSON has."""
    known = {field.name: getattr(image, field.name) for field in fields(image)}
    created = image.created.isoformat() if image.created else None
    return known | {"reference": str(image.reference), "created": created}
