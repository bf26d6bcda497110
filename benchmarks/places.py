"""Registries for benchmarks: AWS's with base images, and empty ones of an account, all on loopback; AWS is moto."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

# What the tests make small base images of.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import base_images, tiny_wheels

from sagemaker_custom import oci
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport
from sagemaker_custom.sandbox import Sandbox
from sagemaker_custom.sandbox.aws import ACCOUNT, SandboxAws
from sagemaker_custom.sandbox.registry import LocalRegistry
from sagemaker_custom.settings import RegistryEndpoint, Settings
from sagemaker_custom.wiring import Parts

__all__ = ["base_images", "tiny_wheels"]


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account whose registry is empty at first."""

    registry: LocalRegistry
    settings: Settings
    aws: SandboxAws

    def parts(self, cache: Path, **changes: object) -> Parts:
        """Return the parts of a caller, as one with an empty or used cache has them."""
        return Parts(
            session=self.aws.boto_session(),
            settings=replace(self.settings, cache_dir=str(cache), **changes),
            progress=lambda: nullcontext(NoProgress()),
        )

    def at(self, reference: ImageReference) -> str:
        """Return the name by which an engine reaches an image of this account."""
        return f"{self.registry.address}/{reference.repository}:{reference.tag}"


@contextmanager
def account(folder: Path, bases: LocalRegistry) -> Iterator[Account]:
    """Run an empty registry of an account beside the one that has AWS's images."""
    with ExitStack() as context:
        aws = context.enter_context(SandboxAws())
        registry = context.enter_context(LocalRegistry(folder / f"account-{secrets.token_hex(3)}"))
        settings = replace(
            Settings.load(),
            account=ACCOUNT,
            region="us-east-1",
            registry_endpoints=(
                RegistryEndpoint(pattern=f"{ACCOUNT}.dkr.ecr.*", url=registry.url),
                RegistryEndpoint(pattern="*.dkr.ecr.*", url=bases.url),
            ),
            accept_stand_ins=True,
            verify="static",
        )
        yield Account(registry=registry, settings=settings, aws=aws)


def client(registry: LocalRegistry) -> RegistryClient:
    """Return a client that takes every host for this registry."""
    return RegistryClient(
        transport=RequestsTransport(), credentials=lambda _host: None, endpoint_for=lambda _host: registry.url
    )


def publish_stand_in(bases: LocalRegistry, stock: ImageReference, *, padding: int) -> int:
    """Put the stand-in for an image of AWS where AWS has it, with layers of data upon it, as ``TAG`` and ``padded``.

    Returns:
        The size of the image's compressed layers in bytes.
    """
    target = client(bases)
    with Sandbox() as sandbox:
        sandbox.ensure_bases()
        source = RegistryClient(
            transport=RequestsTransport(),
            credentials=lambda _host: None,
            endpoint_for=lambda _host: sandbox.registry_url,
        )
        made = stock.with_tag("stand-in")
        mirror_image(stock, made, source_registry=source, target_registry=target, progress=NoProgress())
    return rewrite(target, made, stock.with_tag("padded"), padding=padding)


def rewrite(registry: RegistryClient, old: ImageReference, new: ImageReference, *, padding: int = 0) -> int:
    """Put an image anew, with a layer below all others that makes it one nobody has, and large ones above them."""
    manifest = registry.manifest(old)
    parsed = oci.parse_manifest(manifest.media_type, manifest.content)
    config = json.loads(b"".join(registry.read_blob(old, parsed.config.digest)))
    below = put_layer(registry, new, {"etc/bench": os.urandom(16)})
    above = [put_layer(registry, new, files) for files in padding_files(padding)]
    diff_ids = config["rootfs"]["diff_ids"]
    config["rootfs"]["diff_ids"] = [below[1], *diff_ids, *(diff_id for _, diff_id in above)]
    config["history"] = []
    layers = [below[0], *map(_described, parsed.layers), *(described for described, _ in above)]
    put_image(registry, new, config, layers)
    return sum(int(str(item["size"])) for item in layers)


def put_image(
    registry: RegistryClient, reference: ImageReference, config: object, layers: Sequence[Mapping[str, object]]
) -> None:
    """Put config and manifest of an image whose layers are there."""
    content = json.dumps(config).encode()
    _upload(registry, reference, content)
    described = {"mediaType": oci.DOCKER_CONFIG, "size": len(content), "digest": digest_of(content)}
    document = {"schemaVersion": 2, "mediaType": oci.DOCKER_MANIFEST, "config": described, "layers": layers}
    registry.put_manifest(reference, Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(document).encode()))


def padding_files(size: int) -> Iterator[dict[str, bytes]]:
    """Yield the files of layers of up to 128 MiB, half of which gzip can save."""
    piece = 128 << 20
    for number, begin in enumerate(range(0, size, piece)):
        half = min(piece, size - begin) // 2
        yield {f"opt/bench/{number}": os.urandom(half) + bytes(half)}


def put_layer(
    registry: RegistryClient, reference: ImageReference, files: Mapping[str, base_images.Content]
) -> tuple[dict[str, object], str]:
    """Put a layer; returns its descriptor and its diff id."""
    unpacked = base_images.archive(files)
    content = gzip.compress(unpacked, 1, mtime=0)
    _upload(registry, reference, content)
    return {"mediaType": oci.DOCKER_LAYER, "size": len(content), "digest": digest_of(content)}, digest_of(unpacked)


def _upload(registry: RegistryClient, reference: ImageReference, content: bytes) -> None:
    registry.upload_blob(reference, digest_of(content), len(content), lambda: io.BytesIO(content))


def _described(blob: oci.Descriptor) -> dict[str, object]:
    return {"mediaType": oci.DOCKER_LAYER, "size": blob.size, "digest": blob.digest}


@cache
def docker_command() -> str:
    """Return a docker command that has BuildKit, or end."""
    for folder in os.get_exec_path():
        program = str(Path(folder, "docker"))
        if not os.access(program, os.X_OK):
            continue
        version = [program, "version", "--format", "{{.Client.Version}}"]
        said = subprocess.run(version, capture_output=True, text=True, check=False).stdout
        plugin = subprocess.run([program, "buildx", "version"], capture_output=True, check=False)
        # From 23 on, BuildKit is a plugin.
        if plugin.returncode == 0 or int(said.partition(".")[0] or 99) < 23:
            return program
    return sys.exit("there is no docker command with BuildKit")


def docker(*arguments: str) -> None:
    """Run Docker's command line with BuildKit."""
    command = [docker_command(), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "DOCKER_BUILDKIT": "1"}
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")


def build_and_push(base: str, image: str, requirement: str, *, ca_bundle: str | None, folder: Path) -> None:
    """Do what people do by hand: a Dockerfile with one ``pip install``, ``docker build``, ``docker push``."""
    secret = "--mount=type=secret,id=ca " if ca_bundle else ""
    setting = "PIP_CERT=/run/secrets/ca " if ca_bundle else ""
    text = f"FROM {base}\nRUN {secret}{setting}pip install --no-cache-dir {requirement}\n"
    folder.joinpath("Dockerfile").write_text(text, encoding="utf-8")
    secrets_given = [f"--secret=id=ca,src={ca_bundle}"] if ca_bundle else []
    command = ["build", "--quiet", "--no-cache", "--network=host", *secrets_given, "--tag", image, str(folder)]
    docker(*command)
    docker("push", "--quiet", image)


def forget(*images: str) -> None:
    """Remove images, and what BuildKit keeps of them, from the engine."""
    subprocess.run([docker_command(), "rmi", "--force", *images], capture_output=True, check=False)


def plan_for(parts: Parts, *extras: str) -> BuildPlan:
    """Return the plan for PyTorch 2.3 with some extras, for training on CPUs."""
    from sagemaker_custom.image_uris import image_spec

    spec = image_spec("pytorch", version="2.3", py_version="py311", instance_type="ml.m5.xlarge", extras=extras)
    return parts.plan(spec)
