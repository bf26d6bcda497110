"""The call of a constructor of the SDK → its arguments by name; and what a class here shows as its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagemaker.deprecations import renamed_kwargs

_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """The arguments of one call."""

    given: dict[str, Any]
    """What the caller wrote, by name."""
    defaults: Mapping[str, Any]
    """What the constructor takes where the caller wrote nothing."""
    takes: frozenset[str]
    """Names of all that it takes."""

    def get(self, name: str) -> Any:
        """Return what the constructor would see as ``name``."""
        return self.given.get(name, self.defaults.get(name))


def read_call(constructor: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """Name the arguments that ``constructor``, a bound one, would be called with.

    Raises:
        TypeError: It does not take them.
    """
    signature = inspect.signature(constructor)
    given = dict(signature.bind_partial(*args, **kwargs).arguments)
    rest = next((name for name, item in signature.parameters.items() if item.kind is item.VAR_KEYWORD), None)
    given |= given.pop(rest, {}) if rest else {}
    # The SDK still takes these names of its version 1.
    image_uri = renamed_kwargs("image_name", "image_uri", given.get("image_uri"), given)
    given.pop("image_name", None)
    if image_uri is not None:
        given["image_uri"] = image_uri
    renamed_kwargs("train_instance_type", "instance_type", given.get("instance_type"), given)
    defaults = {name: item.default for name, item in signature.parameters.items() if item.default is not _EMPTY}
    return Call(given=given, defaults=defaults, takes=frozenset(signature.parameters))


def shown_signature(own: Callable[..., Any], of_the_sdk: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a constructor that takes what the SDK's does, and the keywords of ``own`` besides."""
    theirs = list(inspect.signature(of_the_sdk).parameters.values())[1:]
    rest = [item for item in theirs if item.kind is item.VAR_KEYWORD]
    ours = [item for item in inspect.signature(own).parameters.values() if item.kind is item.KEYWORD_ONLY]
    names = {item.name for item in ours}
    kept = [item for item in theirs if item.name not in names and item not in rest]
    return inspect.Signature([*kept, *ours, *rest])
