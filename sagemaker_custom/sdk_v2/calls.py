"""The call of a constructor of the SDK v2 → its arguments by name, those of the SDK v1 under their names of today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sagemaker.deprecations import renamed_kwargs

from sagemaker_custom.sdk.calls import Call, name_arguments


def read_call(constructor: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """Name the arguments that ``constructor``, a bound one, would be called with.

    Raises:
        TypeError: It does not take them.
    """
    call = name_arguments(constructor, args, kwargs)
    given = call.given
    # The SDK still takes these names of its version 1.
    image_uri = renamed_kwargs("image_name", "image_uri", given.get("image_uri"), given)
    given.pop("image_name", None)
    if image_uri is not None:
        given["image_uri"] = image_uri
    renamed_kwargs("train_instance_type", "instance_type", given.get("instance_type"), given)
    return call
