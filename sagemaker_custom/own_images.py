"""What a user says of an image of their own → :class:`OwnImage`, and the base image that a plan takes it for. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from packaging.version import Version

from sagemaker_custom.catalog import BaseImage
from sagemaker_custom.dockerfile_folder import DockerContext, DockerfileFolder, dockerfile_folder
from sagemaker_custom.errors import UsageError
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.spec import normalise_cuda, normalise_python

Toolkit: TypeAlias = Literal["none", "add"]

ANY_PACKAGE_MANAGER = "any"
"""Which one an own image has is found out while it is built."""
_TOOLKITS: dict[str, Toolkit] = {"none": "none", "add": "add"}
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST_NAME = 64
_LONGEST_VERSION = 40
_DIGEST_SHOWN = 12
_PYTHON = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./+-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnImage:
    """An image of the user's own: one that exists, or a folder that one is built from."""

    name: str
    """Last word of the repository: ``sagemaker-custom-<name>``."""
    base_image: ImageReference | None = None
    """An image that exists; without a host one of the local Docker Engine or of Docker Hub."""
    dockerfile: DockerfileFolder | None = None
    """Built on demand, and known by its content."""
    toolkit: Toolkit = "none"
    """``add``: SageMaker's training or inference toolkit is installed where the image has no ``train`` or ``serve``."""
    python: str = "python3"
    """Interpreter that extras are installed for: a path in the image, or a name on its ``PATH``."""
    py_version: str | None = None
    """Which Python that is, for recipes that differ by it: ``py311``."""
    cuda_version: str | None = None
    """Which CUDA is in it, likewise: ``cu121``."""
    held: tuple[str, ...] = ()
    """Packages of the image that no extra may change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnBase(BaseImage):
    """An own image in the place of one of AWS's: little is known of it, and no framework is."""

    interpreter: str = "python3"
    held: tuple[str, ...] = ()
    """Packages that no extra may change."""

    @property
    def python(self) -> str:
        """Path of the interpreter in the image, or a name to look for on ``PATH``."""
        return self.interpreter

    @property
    def package_manager(self) -> str:
        """Not known before it is built."""
        return ANY_PACKAGE_MANAGER

    @property
    def has_conda(self) -> bool:
        """Not known before it is built; the step says so where there is none."""
        return True

    @property
    def release(self) -> Version:
        """No order: tags of own images need not be versions."""
        return Version("0")

    def version_of(self, framework: str) -> Version | None:
        """Return ``None``: nobody says which frameworks are in it."""
        del framework
        return None


def own_image(
    *,
    name: str | None = None,
    base_image: str | None = None,
    dockerfile: str | os.PathLike[str] | None = None,
    dockerfile_name: str = "Dockerfile",
    build_args: Mapping[str, str] | None = None,
    target: str | None = None,
    toolkit: str = "none",
    python: str = "python3",
    py_version: str | None = None,
    cuda_version: str | None = None,
    held: tuple[str, ...] = (),
) -> OwnImage:
    """Read what a user says of an own image. Neither the folder nor any registry is looked at.

    Args:
        name: Last word of the repository; default: that of the base image, or the folder's.
        base_image: Reference of an image that exists; either this or ``dockerfile``.
        dockerfile: Folder with a Dockerfile, or a Dockerfile in one.
        dockerfile_name: Path of the Dockerfile in the folder.
        build_args: Values of ``ARG``; no secrets, since labels and history show them.
        target: Stage of the Dockerfile that is built.
        toolkit: ``none`` or ``add``.
        python: Interpreter that extras are installed for.
        py_version: Which Python that is.
        cuda_version: Which CUDA is in it.
        held: Packages that no extra may change.

    Raises:
        UsageError: They contradict each other, or one of them cannot be read.
    """
    if (base_image is None) == (dockerfile is None):
        raise UsageError(
            "an image of your own is either a base_image or a dockerfile"
            + (", and neither is named" if base_image is None else ", not both"),
            hint="name an image with base_image=, or a folder that holds a Dockerfile with dockerfile=",
        )
    if base_image is not None and (build_args or target):
        raise UsageError("build_args and target are for a dockerfile, not for a base_image", hint="leave them out")
    folder = (
        dockerfile_folder(dockerfile, dockerfile=dockerfile_name, build_args=build_args, target=target)
        if dockerfile is not None
        else None
    )
    reference = ImageReference.parse(base_image) if base_image is not None else None
    return OwnImage(
        name=_checked_name(name) if name is not None else _derived_name(reference, folder),
        base_image=reference,
        dockerfile=folder,
        toolkit=_checked_toolkit(toolkit),
        python=_checked_python(python),
        py_version=normalise_python(py_version),
        cuda_version=normalise_cuda(cuda_version),
        held=tuple(sorted(set(held))),
    )


def own_base(
    own: OwnImage,
    context: DockerContext | None,
    *,
    image_scope: str,
    processor: str,
    architecture: str,
    image_id: Digest | None = None,
) -> OwnBase:
    """Return what a plan takes an own image for.

    Args:
        own: The image.
        context: What its folder holds, when it has one.
        image_scope: What it is used for.
        processor: Of the instance.
        architecture: Of the instance.
        image_id: Of the Docker Engine's image, where the base image has no host: names there say little.
    """
    repository, tag, digest = _identity(own, context, image_id)
    return OwnBase(
        framework=own.name,
        version=re.sub(r"[^A-Za-z0-9_.]", "_", tag)[:_LONGEST_VERSION],
        image_scope=image_scope,
        processor=processor,
        architecture=architecture,
        py_version=own.py_version,
        cuda_version=own.cuda_version if processor == "gpu" else None,
        repository=repository,
        tag=tag,
        accounts="",
        digest=digest,
        interpreter=own.python,
        held=own.held,
    )


def _identity(own: OwnImage, context: DockerContext | None, image_id: Digest | None) -> tuple[str, str, Digest | None]:
    """Return repository, tag and digest of what is built on."""
    if own.base_image is None:
        digest = context.digest if context else ""
        return "dockerfile", f"dockerfile-{digest[:_DIGEST_SHOWN]}", None
    reference = own.base_image
    if reference.tag:
        tag = reference.tag
    elif reference.digest:
        tag = f"sha256-{reference.digest.partition(':')[2][:_DIGEST_SHOWN]}"
    else:
        tag = "latest"
    return reference.name, tag, reference.digest or image_id


def check_own_name(name: str, frameworks: Mapping[str, object]) -> None:
    """Refuse the name of a framework of the catalog, whose repository it would share.

    Raises:
        UsageError: It is one.
    """
    if name in frameworks:
        raise UsageError(
            f"name={name!r} is the name of a framework of AWS, whose images are kept under it",
            hint=f"choose another name, for example 'my-{name}'",
        )


def _derived_name(reference: ImageReference | None, folder: DockerfileFolder | None) -> str:
    text = reference.repository if reference else Path(os.path.abspath(folder.path if folder else "")).name  # noqa: PTH100
    words = re.sub(r"[^a-z0-9]+", "-", text.rpartition("/")[2].lower()).strip("-")[:_LONGEST_NAME].strip("-")
    if not words:
        raise UsageError(f"no name can be made of {text!r}", hint="choose one with name=")
    return words


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"name={name!r} cannot be the name of an image",
            hint=f"use lower case letters, digits and single '-' between them, at most {_LONGEST_NAME} in all",
        )
    return name


def _checked_toolkit(toolkit: str) -> Toolkit:
    if toolkit not in _TOOLKITS:
        raise UsageError(f"toolkit={toolkit!r} is not known", hint="write 'none' or 'add'")
    return _TOOLKITS[toolkit]


def _checked_python(python: str) -> str:
    if not _PYTHON.fullmatch(python):
        raise UsageError(
            f"python={python!r} is not an interpreter", hint="write for example 'python3' or '/opt/venv/bin/python'"
        )
    return python
