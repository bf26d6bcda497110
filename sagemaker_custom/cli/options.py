"""The options that name an image, shared by commands → one :class:`ImageOptions`; imports nothing that is slow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import click

from sagemaker_custom.cli.completions import complete_extras, complete_names, complete_regions, complete_versions

SCOPES = ("training", "inference", "processing")
PROCESSORS = ("cpu", "gpu", "neuron", "neuronx", "hpu", "eia")
ARCHITECTURES = ("x86_64", "arm64")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOptions:
    """What the options say; ``None`` where they say nothing."""

    name: str
    """Of a framework or of a named image."""
    version: str | None = None
    py_version: str | None = None
    cuda_version: str | None = None
    image_scope: str | None = None
    processor: str | None = None
    architecture: str | None = None
    instance_type: str | None = None
    base_framework_version: str | None = None
    container_version: str | None = None
    sdk_version: str | None = None
    extras: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    region: str | None = None
    account: str | None = None
    local: bool = False
    catalog: tuple[str, ...] = ()
    folder: str | None = None
    """With a Dockerfile: an image of the user's own."""
    base_image: str | None = None
    """Of the user's own, likewise."""
    dockerfile_name: str | None = None
    build_args: tuple[str, ...] = ()
    target: str | None = None
    own_name: str | None = None
    toolkit: str | None = None
    python: str | None = None
    held: tuple[str, ...] = ()

    @property
    def is_own(self) -> bool:
        """Whether an image of the user's own is meant."""
        return self.folder is not None or self.base_image is not None

    @property
    def is_local(self) -> bool:
        """Whether the image is for local mode."""
        return self.local or self.instance_type in ("local", "local_gpu")

    @property
    def selects(self) -> bool:
        """Whether any option says which image of a framework, or of a named image, is meant."""
        return any(getattr(self, name) for name in _SELECTING)


_SELECTING = (
    *("version", "py_version", "cuda_version", "image_scope", "processor", "architecture", "instance_type"),
    *("base_framework_version", "container_version", "sdk_version", "extras", "replace"),
)

region_option = click.option(
    "--region", metavar="REGION", shell_complete=complete_regions, help="Default: the one configured for AWS."
)
account_option = click.option(
    "--account", metavar="ACCOUNT", help="Whose registry; default: the configured one, else yours."
)
catalog_option = click.option(
    "--catalog",
    multiple=True,
    metavar="FOLDER",
    help="Folder or s3:// prefix of a further catalog; may be given more than once.",
)

_WHICH = (
    click.option(
        "--version",
        metavar="VERSION",
        shell_complete=complete_versions,
        help="For example 2.3; default: the newest for training and inference.",
    ),
    click.option("--py-version", metavar="PYTHON", help="For example py311; default: the newest of the version."),
    click.option("--cuda-version", metavar="CUDA", help="For example cu121; alone it means a GPU image."),
    click.option(
        "--image-scope", type=click.Choice(SCOPES), help="Default: training, if the framework has such images."
    ),
    click.option(
        "--processor",
        type=click.Choice(PROCESSORS),
        help="Default: the instance type's, else gpu with a CUDA version, else cpu.",
    ),
    click.option("--architecture", type=click.Choice(ARCHITECTURES), help="Default: the instance type's, else x86_64."),
    click.option("--instance-type", metavar="TYPE", help="Says processor and architecture; local means --local."),
    click.option("--base-framework-version", metavar="BASE", help="What huggingface runs on: pytorch2.0.0."),
    click.option(
        "--container-version",
        metavar="ENDING",
        help="Ending of the tag, where images differ in nothing else: ubuntu18.04.",
    ),
    click.option("--sdk-version", metavar="VERSION", help="Of the AWS Neuron SDK; default: the newest."),
)
_EXTRA = click.option(
    "--extra",
    "extras",
    multiple=True,
    metavar="EXTRA",
    shell_complete=complete_extras,
    help="Recipe, pip:…, conda:…, apt:… or a requirements file; may be given more than once.",
)
_REPLACE = click.option(
    "--replace", multiple=True, metavar="PKG", help="Package of the base that extras may replace; may be repeated."
)
_OWN = (
    click.option("--folder", metavar="FOLDER", help="Instead of IMAGE: a folder with a Dockerfile, or a Dockerfile."),
    click.option("--base-image", metavar="REF", help="Instead of IMAGE: an image of your own that exists."),
    click.option("--dockerfile-name", metavar="PATH", help="In the --folder; default: Dockerfile."),
    click.option(
        "--build-arg", "build_args", multiple=True, metavar="NAME=VALUE", help="For --folder; no secrets, it is shown."
    ),
    click.option("--target", metavar="STAGE", help="For --folder: stage of the Dockerfile; default: the last."),
    click.option(
        "--name", "own_name", metavar="NAME", help="Of an image of your own; default: the folder's or image's."
    ),
    click.option(
        "--toolkit",
        type=click.Choice(("none", "add")),
        help="Whether an image of your own gets SageMaker's toolkit where it has no train or serve; default: none.",
    ),
    click.option("--python", metavar="PYTHON", help="Interpreter of an image of your own; default: python3."),
    click.option("--hold", "held", multiple=True, metavar="PKG", help="Package of an image of your own that stays."),
)
_WHERE = (
    region_option,
    account_option,
    click.option("--local", is_flag=True, help="For local mode: stays in the Docker Engine."),
    catalog_option,
)


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument and the options that name an image; the command takes them as ``image``, with a name."""
    return _taking_image(command, [_image_argument(), *_WHICH, _EXTRA, _REPLACE, *_WHERE])


def selecting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--framework`` and the options that say which image of it; the command takes them as ``image``."""
    framework = click.option(
        "--framework",
        "name",
        metavar="IMAGE",
        default="",
        shell_complete=complete_names,
        help="Framework or named image on which things shall be installed.",
    )
    return _taking_image(command, [framework, *_WHICH, region_option, catalog_option])


def optional_image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what :func:`image_options` adds, and what names an image of the user's own; the name may be empty."""
    return _taking_image(command, [_image_argument(required=False), *_WHICH, _EXTRA, _REPLACE, *_OWN, *_WHERE])


def _image_argument(*, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    metavar = "IMAGE" if required else "[IMAGE]"
    return click.argument("name", metavar=metavar, required=required, shell_complete=complete_names)


def _taking_image(command: Callable[..., Any], options: Sequence[Any]) -> Callable[..., Any]:
    @wraps(command)
    def taking_image(**given: Any) -> Any:
        said = {item.name: given.pop(item.name) for item in fields(ImageOptions) if item.name in given}
        return command(image=ImageOptions(**{**said, "name": said["name"] or ""}), **given)

    decorated: Callable[..., Any] = taking_image
    for option in reversed(options):
        decorated = option(decorated)
    return decorated
