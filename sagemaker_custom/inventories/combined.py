"""Facts of all layers and the image's config → the inventory of the image, and the files of its packages."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sagemaker_custom.inventories.distributions import installed, records, search_path
from sagemaker_custom.inventories.interpreter import find_interpreter
from sagemaker_custom.inventories.layer_scan import LayerFacts
from sagemaker_custom.inventories.overlay import ImageTree, overlay
from sagemaker_custom.inventory import Inventory, Records
from sagemaker_custom.reference import Digest

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_LIBC_NAME = re.compile(r"libc-(\d+\.\d+)\.so")


def combine(
    layers: Iterable[LayerFacts], config: Mapping[str, Any], *, base: Digest, platform: str, python: str
) -> tuple[Inventory, Records]:
    """Lay the layers upon one another and look what is there.

    Args:
        layers: Bottom to top.
        config: Of the image.
        base: Digest of its manifest.
        platform: Of the image, for example ``linux/amd64``.
        python: Absolute path, or a name to look up in the image's ``PATH``.

    Raises:
        BaseImageError: The image does not have that Python.
    """
    tree = overlay(layers)
    interpreter = find_interpreter(tree, _environment(config), python)
    packages = installed(tree, search_path(tree, interpreter.folders, interpreter.site_folders))
    inventory = Inventory(
        base=base,
        platform=platform,
        python=interpreter.executable,
        python_version=interpreter.version,
        site_packages=tree.real_path(interpreter.site_packages),
        scripts=tree.real_path(interpreter.scripts),
        glibc=_glibc(tree, platform),
        packages=packages,
    )
    return inventory, records(tree, packages)


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    inner = config.get("config")
    lines = (inner.get("Env") if isinstance(inner, dict) else None) or ()
    return dict(str(line).partition("=")[::2] for line in lines)


def _glibc(tree: ImageTree, platform: str) -> str | None:
    machine = _MACHINES.get(platform.partition("/")[2], "")
    for folder in (f"lib/{machine}-linux-gnu", "lib64", "lib"):
        for root in ("/", "/usr/"):
            path = f"{root}{folder}/libc.so.6"
            named = _LIBC_NAME.fullmatch(posixpath.basename(tree.real_path(path)))
            version = tree.text(path) or (named[1] if named else "")
            if version:
                return version
    return None
