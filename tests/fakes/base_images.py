"""Layers and base images as bytes, small enough for memory, with Pythons and packages in them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from sagemaker_custom import oci
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient

CONDA = "/opt/conda/lib/python3.11/site-packages"
LIBC = b"\0GNU C Library (Debian GLIBC 2.31-13+deb11u11) stable release version 2.31.\nCopyright\0"


@dataclass(frozen=True, slots=True)
class Link:
    target: str


@dataclass(frozen=True, slots=True)
class Hard:
    target: str


class Folder:
    """An entry of its own for a folder."""


Content = bytes | str | Link | Hard | type[Folder]


def entry_for(path: str, content: Content) -> tuple[tarfile.TarInfo, io.BytesIO | None]:
    entry = tarfile.TarInfo(path.lstrip("/"))
    if content is Folder:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        return entry, None
    if isinstance(content, Link | Hard):
        entry.type = tarfile.SYMTYPE if isinstance(content, Link) else tarfile.LNKTYPE
        entry.linkname = content.target if isinstance(content, Link) else content.target.lstrip("/")
        return entry, None
    data = content.encode() if isinstance(content, str) else content
    entry.size = len(data)
    return entry, io.BytesIO(data)


def archive(entries: Mapping[str, Content], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for path, content in entries.items():
            tar.addfile(*entry_for(path, content))
    return buffer.getvalue()


def layer(entries: Mapping[str, Content]) -> bytes:
    """Return a layer."""
    return gzip.compress(archive(entries), compresslevel=1, mtime=0)


def package(
    folder: str, name: str, version: str, *, headers: str = "", record: tuple[str, ...] | None = ()
) -> dict[str, Content]:
    """Return the files of an installed package; ``record`` beside its own, ``None`` without any list."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{headers}\nName: of the description\n"
    files: dict[str, Content] = {f"{folder}/{info}/METADATA": text}
    if record is not None:
        lines = [*record, f"{info}/METADATA", f"{info}/RECORD"]
        files[f"{folder}/{info}/RECORD"] = "".join(f"{line},sha256=abc,12\n" for line in lines)
    return files


def conda(version: str = "3.11.9") -> dict[str, Content]:
    """Return a Python as conda installs it, and Debian's C library."""
    release = version.rpartition(".")[0]
    return {
        "/lib": Link("usr/lib"),
        "/usr/lib/x86_64-linux-gnu/libc-2.31.so": LIBC,
        "/usr/lib/x86_64-linux-gnu/libc.so.6": Link("libc-2.31.so"),
        "/opt/conda/bin/python": Link(f"python{release}"),
        "/opt/conda/bin/python3": Link(f"python{release}"),
        f"/opt/conda/bin/python{release}": b"\x7fELF",
        f"/opt/conda/include/python{release}/patchlevel.h": f'#define PY_VERSION      "{version}"\n',
        f"/opt/conda/lib/python{release}/os.py": "",
        "/opt/conda/lib64": Link("lib"),
    }


def config_of(
    *, architecture: str = "amd64", env: tuple[str, ...] = ("PATH=/opt/conda/bin:/usr/bin",)
) -> dict[str, object]:
    """Return the config of an image."""
    return {"architecture": architecture, "os": "linux", "config": {"Env": list(env)}}


def push_image(
    client: RegistryClient,
    reference: ImageReference,
    layers: tuple[bytes, ...],
    *,
    config: Mapping[str, object] | None = None,
    media_type: str = oci.DOCKER_MANIFEST,
    platforms: tuple[str, ...] = (),
) -> ImageReference:
    """Push an image, or an index of the same image for several platforms; return its reference with the digest."""
    if platforms:
        entries = []
        for platform in platforms:
            made = config_of(architecture=platform.partition("/")[2])
            image = push_image(client, reference, layers, config=made, media_type=media_type)
            content = client.manifest(image).content
            os, _, architecture = platform.partition("/")
            described = {"mediaType": media_type, "digest": image.digest, "size": len(content)}
            entries.append({**described, "platform": {"os": os, "architecture": architecture}})
        kind = oci.OCI_INDEX if media_type == oci.OCI_MANIFEST else oci.DOCKER_INDEX
        index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
        return reference.with_digest(client.put_manifest(reference, Manifest(media_type=kind, content=index)))
    is_oci = media_type == oci.OCI_MANIFEST
    kinds = (oci.OCI_CONFIG, oci.OCI_LAYER) if is_oci else (oci.DOCKER_CONFIG, oci.DOCKER_LAYER)
    blobs = [json.dumps(config or config_of()).encode(), *layers]
    described = []
    for number, blob in enumerate(blobs):
        client.upload_blob(reference, digest_of(blob), len(blob), lambda blob=blob: io.BytesIO(blob))
        described.append({"mediaType": kinds[bool(number)], "size": len(blob), "digest": digest_of(blob)})
    document = {"schemaVersion": 2, "mediaType": media_type, "config": described[0], "layers": described[1:]}
    manifest = Manifest(media_type=media_type, content=json.dumps(document).encode())
    return reference.with_digest(client.put_manifest(reference, manifest))
