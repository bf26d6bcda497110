"""A framework by name and what to add → the URI of an image that exists, for code that is given a URI itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.locks import OneLock
from sagemaker_custom.sdk.rules import PlainRules
from sagemaker_custom.settings import Settings


def training_image(
    framework: str,
    *,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str = "ml.m5.xlarge",
    base_framework_version: str | None = None,
    cuda_version: str | None = None,
    extras: Extras = (),
    replace: Sequence[str] | str = (),
    lock: OneLock | None = None,
    image: str | None = None,
    build: str = "if-missing",
    builder: str = "auto",
    catalog: Locations = (),
    sagemaker_session: Any = None,
    settings: Settings | None = None,
) -> str:
    """Make sure that a training image exists, and return its URI: for ``ModelTrainer(training_image=…)`` and its like.

    :func:`sagemaker_custom.image_uris.retrieve` returns the same URI and builds nothing.

    Args:
        framework: For example ``pytorch``.
        version: ``2.3`` or ``2.3.0``; default: the newest that both training and inference have.
        py_version: ``py311`` or ``3.11``; default: the newest of the version.
        instance_type: Says CPU or GPU; ``local`` and ``local_gpu`` mean an image of the local Docker Engine alone.
        base_framework_version: What ``huggingface`` runs on: ``pytorch2.0.0``.
        cuda_version: As the estimators take it.
        extras: As the estimators take them.
        replace: As the estimators take it.
        lock: As the estimators take it.
        image: As the estimators take it.
        build: What to do about a missing image: build it (``if-missing``), build it afresh (``always``), or raise.
        builder: As the estimators take it.
        catalog: As the estimators take it.
        sagemaker_session: The SDK's, of either version; default: what boto3 finds.
        settings: As the estimators take them.

    Raises:
        ImageNotInCatalogError: The catalog has no such image; names the nearest.
        ImageMissingError: The image does not exist, and ``build="never"``.
        BuildError: It could not be built.
    """
    return _provided("training", locals())


def inference_image(
    framework: str,
    *,
    version: str | None = None,
    py_version: str | None = None,
    instance_type: str = "ml.m5.xlarge",
    base_framework_version: str | None = None,
    cuda_version: str | None = None,
    extras: Extras = (),
    replace: Sequence[str] | str = (),
    lock: OneLock | None = None,
    image: str | None = None,
    build: str = "if-missing",
    builder: str = "auto",
    catalog: Locations = (),
    sagemaker_session: Any = None,
    settings: Settings | None = None,
) -> str:
    """Make sure that an inference image exists, and return its URI: for ``ModelBuilder(image_uri=…)`` and its like.

    Takes the arguments of :func:`training_image`, and raises the same.
    """
    return _provided("inference", locals())


def remote_image(framework: str, *, python: tuple[int, int] = sys.version_info[:2], **arguments: Any) -> str:
    """Make sure that an image for ``@remote`` or ``@step`` exists, and return its URI: ``@remote(image_uri=…)``.

    Functions travel as pickles of the caller's Python, which can be read by the same minor version alone.

    Args:
        framework: For example ``pytorch``.
        python: Of the caller; default: the one that runs now.
        **arguments: Every other argument of :func:`training_image` but ``py_version``.

    Raises:
        ImageNotInCatalogError: AWS has no image with this Python; names those that there are.
    """
    return training_image(framework, py_version=f"py{python[0]}{python[1]}", **arguments)


def _provided(image_scope: str, given: dict[str, Any]) -> str:
    session, instance_type = given["sagemaker_session"], given["instance_type"]
    names = {"version": "framework_version", "sagemaker_session": "session"}
    arguments = {names.get(name, name): value for name, value in given.items() if name != "instance_type"}
    images = Images(ImageArguments(**arguments, image_uri=None, rules=PlainRules()), image_scope)
    images.fill_in(instance_type)
    return images.provide(image_scope, instance_type, session)
