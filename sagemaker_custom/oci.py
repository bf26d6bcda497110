"""Bytes of manifests, indexes and image configs → typed values, and a manifest → the form that SageMaker accepts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.reference import Digest, digest_of

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

MANIFEST_TYPES = (DOCKER_MANIFEST, OCI_MANIFEST)
INDEX_TYPES = (DOCKER_INDEX, OCI_INDEX)
MANIFEST_LIMIT = 4 * 1024 * 1024
"""Bytes that a manifest may have at most, by the distribution specification and by ECR."""

_DOCKER_TYPES = {
    OCI_CONFIG: DOCKER_CONFIG,
    DOCKER_CONFIG: DOCKER_CONFIG,
    OCI_LAYER: DOCKER_LAYER,
    DOCKER_LAYER: DOCKER_LAYER,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """What a manifest says about one piece of content."""

    media_type: str
    digest: Digest
    size: int
    """In bytes, as stored in the registry."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageManifest:
    """One image for one platform; annotations are not kept."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexEntry:
    """One manifest of an index and the platform that it is for."""

    descriptor: Descriptor
    os: str
    architecture: str

    @property
    def is_image(self) -> bool:
        """Whether this is an image: BuildKit files its attestations under the platform ``unknown/unknown``."""
        return "unknown" not in {self.os, self.architecture}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageIndex:
    """Manifests of one image for several platforms."""

    media_type: str
    entries: tuple[IndexEntry, ...]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Descriptor(_Document):
    media_type: str = Field(alias="mediaType")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size: int = Field(ge=0)

    def value(self) -> Descriptor:
        return Descriptor(media_type=self.media_type, digest=Digest(self.digest), size=self.size)


class _Manifest(_Document):
    config: _Descriptor
    layers: list[_Descriptor]


class _Platform(_Document):
    os: str = "unknown"
    architecture: str = "unknown"


class _IndexEntry(_Descriptor):
    platform: _Platform = Field(default_factory=_Platform)


class _Index(_Document):
    manifests: list[_IndexEntry]


class _ContainerConfig(_Document):
    labels: dict[str, str] | None = Field(default=None, alias="Labels")


class _ImageConfig(_Document):
    config: _ContainerConfig | None = None


class _Layers(_Document):
    diff_ids: list[str]
    history: list[dict[str, Any]]


_ANY_OBJECT = TypeAdapter(dict[str, Any])
_D = TypeVar("_D", bound=_Document)


def is_index(media_type: str) -> bool:
    """Tell whether ``media_type`` is that of an index (or, in docker's words, a manifest list)."""
    return media_type in INDEX_TYPES


def parse_manifest(media_type: str, content: bytes, *, name: str = "the image") -> ImageManifest:
    """Read the manifest of one image.

    Args:
        media_type: As the registry said it.
        content: The manifest's bytes.
        name: What error messages call the image.

    Raises:
        RegistryError: Another kind of manifest, or a malformed one.
    """
    if media_type not in MANIFEST_TYPES:
        raise RegistryError(
            f"the manifest of {name} has the media type {media_type!r}, which is not that of an image",
            hint=f"push it again as {DOCKER_MANIFEST}",
        )
    document = _read(_Manifest, content, f"the manifest of {name}")
    return ImageManifest(
        media_type=media_type,
        config=document.config.value(),
        layers=tuple(layer.value() for layer in document.layers),
    )


def parse_index(media_type: str, content: bytes, *, name: str = "the image") -> ImageIndex:
    """Read an index.

    Args:
        media_type: As the registry said it.
        content: The index's bytes.
        name: What error messages call the image.

    Raises:
        RegistryError: Not an index, or a malformed one.
    """
    if not is_index(media_type):
        raise RegistryError(f"the media type {media_type!r} of {name} is not that of an image index")
    document = _read(_Index, content, f"the index of {name}")
    return ImageIndex(
        media_type=media_type,
        entries=tuple(
            IndexEntry(
                descriptor=entry.value(),
                os=entry.platform.os,
                architecture=entry.platform.architecture,
            )
            for entry in document.manifests
        ),
    )


def select_platform(
    index: ImageIndex, *, os: str = "linux", architecture: str = "amd64", name: str = "the image"
) -> Descriptor:
    """Return the manifest of ``index`` for one platform; the first one where several fit.

    Raises:
        RegistryError: The index has none for it; the message lists those that it has.
    """
    images = [entry for entry in index.entries if entry.is_image]
    for entry in images:
        if (entry.os, entry.architecture) == (os, architecture):
            return entry.descriptor
    offered = ", ".join(sorted({f"{entry.os}/{entry.architecture}" for entry in images})) or "no platform"
    raise RegistryError(
        f"{name} does not exist for {os}/{architecture}", hint=f"it exists for {offered}; choose one, or another image"
    )


def parse_config(content: bytes, *, name: str = "the image") -> dict[str, Any]:
    """Read an image config.

    Raises:
        RegistryError: It is not a JSON object.
    """
    try:
        return _ANY_OBJECT.validate_json(content)
    except ValidationError as error:
        raise _malformed(f"the config of {name}", error) from None


def labels(config_document: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels in an image config.

    Raises:
        RegistryError: They are not texts.
    """
    try:
        config = _ImageConfig.model_validate(dict(config_document)).config
    except ValidationError as error:
        raise _malformed("the image config", error) from None
    return dict((config and config.labels) or {})


def to_docker_schema2(manifest: ImageManifest) -> bytes:
    """Write ``manifest`` as Docker schema 2, the only form that SageMaker hosting accepts; same image, same bytes.

    Raises:
        RegistryError: A layer is not gzip, or the config is not an image's.
    """
    document = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": _docker_descriptor(manifest.config, {DOCKER_CONFIG}),
        "layers": [_docker_descriptor(layer, {DOCKER_LAYER}) for layer in manifest.layers],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedLayer:
    """A layer that comes on top of an image."""

    digest: Digest
    diff_id: Digest
    """Of its content before compression."""
    size: int
    """In bytes, as stored in the registry."""
    created_by: str
    """What the history says of it."""


def append_layers(
    manifest: ImageManifest,
    config_document: Mapping[str, Any],
    layers: Sequence[AddedLayer],
    labels: Mapping[str, str],
    *,
    name: str = "the image",
) -> tuple[bytes, bytes]:
    """Put layers and labels on an image; what it starts, its environment and its time stay those of the image.

    Args:
        manifest: Of the image.
        config_document: Of the image.
        layers: Lowest first.
        labels: Put over those that it has.
        name: What error messages call the image.

    Returns:
        The new config, and the new manifest as Docker schema 2; the same bytes for the same input.

    Raises:
        RegistryError: Config and manifest do not belong together, or the manifest cannot be written as schema 2.
    """
    known = _read_rootfs(config_document, name)
    if len(known.diff_ids) != len(manifest.layers):
        raise RegistryError(
            f"the config of {name} lists {len(known.diff_ids)} layers, its manifest {len(manifest.layers)}",
            hint="push the image again",
        )
    created = {"created": config_document["created"]} if "created" in config_document else {}
    # Readers take the entries that are no 'empty_layer' for those of the layers, one by one.
    told = sum(not entry.get("empty_layer") for entry in known.history)
    unknown = [dict(created) for _ in range(len(known.diff_ids) - told)]
    added = [{**created, "created_by": layer.created_by, "comment": "sagemaker-custom"} for layer in layers]
    inner = dict(config_document.get("config") or {})
    document = {
        **config_document,
        "config": {**inner, "Labels": {**(inner.get("Labels") or {}), **labels}},
        "history": [*known.history, *unknown, *added],
        "rootfs": {"type": "layers", "diff_ids": [*known.diff_ids, *(layer.diff_id for layer in layers)]},
    }
    config = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    described = [Descriptor(media_type=DOCKER_LAYER, digest=layer.digest, size=layer.size) for layer in layers]
    appended = ImageManifest(
        media_type=DOCKER_MANIFEST,
        config=Descriptor(media_type=DOCKER_CONFIG, digest=digest_of(config), size=len(config)),
        layers=(*manifest.layers, *described),
    )
    return config, to_docker_schema2(appended)


def _read_rootfs(config_document: Mapping[str, Any], name: str) -> _Layers:
    rootfs = config_document.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, Mapping) else None
    try:
        return _Layers.model_validate({"diff_ids": diff_ids, "history": config_document.get("history") or []})
    except ValidationError as error:
        raise _malformed(f"the config of {name}", error) from None


def _docker_descriptor(descriptor: Descriptor, allowed: set[str]) -> dict[str, str | int]:
    media_type = _DOCKER_TYPES.get(descriptor.media_type)
    if media_type not in allowed:
        raise RegistryError(
            f"{descriptor.digest} has the media type {descriptor.media_type!r}, which SageMaker hosting refuses",
            hint=f"it accepts {DOCKER_MANIFEST} with a config of {DOCKER_CONFIG} and gzip layers ({DOCKER_LAYER}); "
            "build the image again with gzip compression",
        )
    return {"mediaType": media_type or "", "size": descriptor.size, "digest": descriptor.digest}


def _read(kind: type[_D], content: bytes, what: str) -> _D:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _malformed(what, error) from None


def _malformed(what: str, error: ValidationError) -> RegistryError:
    # Not as a cause, which would show the input: somebody's labels and environment.
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return RegistryError(
        f"{what} is malformed: {f'{where}: ' if where else ''}{first['msg']}", hint="push the image again"
    )
