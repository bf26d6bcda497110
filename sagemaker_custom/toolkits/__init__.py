"""Package data → the files that steps on images of the user's own run: scripts, and the handler that serves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

FOLDER = "/opt/sagemaker-custom"
"""Where they are in the image."""
PACKAGES_SCRIPT = "packages.sh"
"""Installs packages of the distribution, whichever that is."""
PIP_SCRIPT = "ensure_pip.sh"
"""Makes sure that an interpreter is there and has pip."""
TRAINING_SCRIPT = "add_training.sh"
INFERENCE_SCRIPT = "add_inference.sh"
SERVING_FILES = ("serve.py", "serving_handler.py")
"""What stays in an image that serves."""
_ALL = (PACKAGES_SCRIPT, PIP_SCRIPT, TRAINING_SCRIPT, INFERENCE_SCRIPT, *SERVING_FILES)

TRAINING_PACKAGES = ("sagemaker-training==5.1.4",)
INFERENCE_PACKAGES = ("sagemaker-inference==1.10.1", "multi-model-server==1.1.11", "setuptools<82")
"""The first imports pkg_resources, which setuptools has no more from release 82 on."""


@cache
def toolkit_files() -> Mapping[str, bytes]:
    """Return all files, by their name."""
    folder = resources.files(__name__)
    return MappingProxyType({name: folder.joinpath(name).read_bytes() for name in _ALL})


@cache
def files_digest() -> str:
    """Return 64 hexadecimal digits that change when one of the files does."""
    digest = hashlib.sha256()
    for name, content in sorted(toolkit_files().items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
