"""BuildPlan → what a build in CodeBuild needs: the archive of its context, the same bytes for the same plan. No AWS."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname
from typing import Any

from sagemaker_custom.builders import codebuild_job, script_start
from sagemaker_custom.builders.context_archive import context_archive
from sagemaker_custom.builders.engine import BuildContext
from sagemaker_custom.builders.lock import LISTING_MARK, listing_command
from sagemaker_custom.dockerfile import BuildEnvironment, render, step_files
from sagemaker_custom.dockerfile_folder import copy_context
from sagemaker_custom.partial_files import TemporaryFolder
from sagemaker_custom.plan import LABEL_PREFIX, STARTS_SCRIPTS_LABEL, VERIFIED_LABEL, BuildPlan
from sagemaker_custom.toolkits import toolkit_files

CONTEXT_VARIABLE = "SAGEMAKER_CUSTOM_CONTEXT"
DIGEST_VARIABLE = "SAGEMAKER_CUSTOM_CONTEXT_SHA256"
FINGERPRINT_VARIABLE = "SAGEMAKER_CUSTOM_FINGERPRINT"
IMAGE_VARIABLE = "SAGEMAKER_CUSTOM_IMAGE"
REGISTRY_VARIABLE = "SAGEMAKER_CUSTOM_REGISTRY"
REGION_VARIABLE = "SAGEMAKER_CUSTOM_REGION_OF_REGISTRY"
BASE_REGISTRY_VARIABLE = "SAGEMAKER_CUSTOM_BASE_REGISTRY"
BASE_REGION_VARIABLE = "SAGEMAKER_CUSTOM_REGION_OF_BASE_REGISTRY"

BUILDSPEC = f"""\
version: 0.2
phases:
  pre_build:
    on-failure: ABORT
    commands:
      - aws s3 cp --only-show-errors "${CONTEXT_VARIABLE}" sagemaker-custom.tar.gz
      - gzip -dc sagemaker-custom.tar.gz > sagemaker-custom.tar
      - echo "${DIGEST_VARIABLE}  sagemaker-custom.tar" | sha256sum -c -
      - mkdir sagemaker-custom && tar -xf sagemaker-custom.tar -C sagemaker-custom
      - >-
        aws ecr get-login-password --region "${REGION_VARIABLE}"
        | docker login --username AWS --password-stdin "${REGISTRY_VARIABLE}"
      - >-
        if [ -n "${BASE_REGION_VARIABLE}" ]; then
        aws ecr get-login-password --region "${BASE_REGION_VARIABLE}"
        | docker login --username AWS --password-stdin "${BASE_REGISTRY_VARIABLE}"; fi
  build:
    on-failure: ABORT
    commands:
      - python3 sagemaker-custom/codebuild_job.py
"""
"""The same for every image: what differs comes in variables and in the context, so that it can be read and approved."""

_JOB = "codebuild_job.py"
# What stands for the image of a folder, whose name only the build itself knows.
_FOLDER_BASE = "sagemaker-custom-folder"
_VERIFY_TIMEOUT_S = 900.0
_GZIP_LEVEL = 6
_HEX = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteBase:
    """The base image, as the build pulls it."""

    reached: str
    """Where it is pulled from, with its digest."""
    digest: str
    """Of its manifest; empty where it is not known."""
    name: str
    """Its true name, which stands in the Dockerfile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextOptions:
    """What the context holds besides the plan."""

    base: RemoteBase | None
    """``None`` where a folder is built first."""
    repository: str
    """Where the build pushes to, as it reaches it."""
    version: str
    """Of this package, for the image's label."""
    ca_bundle: bytes | None = None
    netrc: bool = False
    """Whether the secret of package indexes is handed in."""
    fresh: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextFile:
    """The archive of a context."""

    path: Path
    digest: str
    """sha256 of the archive before compression, which no version of zlib changes."""


def staging_prefix(plan: BuildPlan) -> str:
    """Return what the staging tag of ``plan`` begins with; it ends in the build's own number."""
    return f"staging-{plan.fingerprint[:_HEX]}-"


def staging_tag(plan: BuildPlan, build_id: str) -> str:
    """Return the tag that a build pushes under."""
    return staging_prefix(plan) + build_id.rpartition(":")[2]


@contextmanager
def packed_context(plan: BuildPlan, options: ContextOptions) -> Iterator[ContextFile]:
    """Yield the archive of the context; it is gone afterwards.

    Raises:
        SourceError: The user's folder changed since the plan was made.
    """
    with TemporaryFolder() as name:
        root = Path(name, "root")
        root.mkdir()
        if plan.context:
            (root / "context").mkdir()
            copy_context(plan.context, root / "context")
        target = Path(name, "context.tar.gz")
        context = BuildContext(files=_files(plan, options), platform=_platform(plan), folder=root)
        yield ContextFile(path=target, digest=_write(context, target))


def _write(context: BuildContext, target: Path) -> str:
    digest = hashlib.sha256()
    with context_archive(context) as archive:
        while chunk := archive.read(1 << 20):
            digest.update(chunk)
        archive.seek(0)
        # Neither a name nor a time, so that equal contexts are equal objects.
        with (
            target.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=_GZIP_LEVEL) as packed,
        ):
            shutil.copyfileobj(archive, packed)
    return digest.hexdigest()


def _files(plan: BuildPlan, options: ContextOptions) -> dict[str, bytes]:
    files = {
        _JOB: Path(codebuild_job.__file__).read_bytes(),
        "build.json": json.dumps(_document(plan, options), sort_keys=True, indent=1).encode(),
    }
    if plan.context:
        files["own/Dockerfile"] = plan.context.dockerfile.encode()
    if plan.steps:
        files["Dockerfile"] = _dockerfile(plan, options, user="")
        if plan.own:
            files["Dockerfile.user"] = _dockerfile(plan, options, user=codebuild_job.USER_PLACEHOLDER)
        files |= {f"files/{name}": toolkit_files()[name] for name in step_files(plan)}
        if options.ca_bundle:
            files["ca-bundle.pem"] = options.ca_bundle
    return files


def _dockerfile(plan: BuildPlan, options: ContextOptions, *, user: str) -> bytes:
    environment = BuildEnvironment(
        secret_mounts=True,
        ca_bundle=options.ca_bundle is not None,
        netrc=options.netrc or _codeartifact(plan) is not None,
        user=user,
    )
    return render(plan, options.base.name if options.base else _FOLDER_BASE, environment).encode()


def _document(plan: BuildPlan, options: ContextOptions) -> dict[str, Any]:
    base, folder = options.base, None
    if plan.context:
        folder = {"build_args": [list(pair) for pair in plan.context.build_args], "target": plan.context.target}
    return {
        "image": str(plan.reference),
        "platform": _platform(plan),
        "base": base.reached if base else "",
        "base_name": base.name if base else _FOLDER_BASE,
        "base_digest": base.digest if base else "",
        "folder": folder,
        "own": plan.own is not None,
        "has_steps": bool(plan.steps),
        "netrc": options.netrc,
        "codeartifact": _codeartifact(plan),
        "no_cache": options.fresh,
        "verify": list(plan.verify),
        "verify_timeout": _VERIFY_TIMEOUT_S,
        "path": dirname(plan.base.python),
        "script_start": _script_start(plan),
        "listing": list(listing_command(plan.base.python)),
        "listing_mark": LISTING_MARK,
        "repository": options.repository,
        "staging_prefix": staging_prefix(plan),
        "base_digest_label": f"{LABEL_PREFIX}base-digest",
        "lock_label": f"{LABEL_PREFIX}lock",
        "labels": {
            **plan.labels,
            f"{LABEL_PREFIX}builder": "codebuild",
            f"{LABEL_PREFIX}version": options.version,
            VERIFIED_LABEL: "run",
        },
    }


def _script_start(plan: BuildPlan) -> dict[str, Any] | None:
    """Return how the build finds out whether the SDK v3 can start scripts in the image."""
    if not script_start.is_asked(plan):
        return None
    return {
        "command": list(script_start.QUESTION),
        "mark": script_start.ANSWER_MARK,
        "end": script_start.ANSWER_END,
        "no_answer": script_start.NO_SHELL,
        "required": plan.starts_script,
        "label": STARTS_SCRIPTS_LABEL,
        "yes": script_start.label_value(()),
        "lacks": script_start.LACKS,
    }


def _codeartifact(plan: BuildPlan) -> dict[str, str] | None:
    """Return what the build asks for the URL and the token of the index, as its own role."""
    repository = plan.pip_indexes.codeartifact
    if repository is None or not plan.needs_index:
        return None
    return {
        "placeholder": str(repository),
        "domain": repository.domain,
        "domain_owner": repository.domain_owner or "",
        "repository": repository.repository,
        "region": repository.region,
    }


def _platform(plan: BuildPlan) -> str:
    return str(plan.document["platform"])
