"""The call of a constructor → its arguments by name; and what a class here shows as its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sagemaker_custom.errors import UsageError

_EMPTY = inspect.Parameter.empty
# extra is as near to extras as 0.91, and image_uri to image as 0.71.
_NEAR = 0.8


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


def name_arguments(constructor: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """Name the arguments that ``constructor``, a bound one, would be called with.

    Raises:
        TypeError: It does not take them.
    """
    signature = inspect.signature(constructor)
    given = dict(signature.bind_partial(*args, **kwargs).arguments)
    rest = next((name for name, item in signature.parameters.items() if item.kind is item.VAR_KEYWORD), None)
    given |= given.pop(rest, {}) if rest else {}
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


def refuse_misspelt(cls: type, own: type, given: Mapping[str, Any]) -> None:
    """Tell of ``extra=``: the SDK's estimators take every keyword, so that nobody would miss what it was to do.

    Args:
        cls: Whose constructor is called.
        own: The class among its bases whose keywords are not the SDK's.
        given: The arguments of the call.

    Raises:
        UsageError: A name that no constructor has is nearly one of ours.
    """
    ours = {name for name, item in _parameters(own).items() if item.kind is item.KEYWORD_ONLY}
    known = ours.union(*(_parameters(base) for base in cls.__mro__ if base is not object))
    for name in given.keys() - known:
        if meant := get_close_matches(name, ours, n=1, cutoff=_NEAR):
            raise UsageError(f"{cls.__name__} has no argument {name!r}", hint=f"did you mean {meant[0]!r}?")


def _parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    constructor: Callable[..., Any] = vars(cls).get("__init__", object)
    return inspect.signature(constructor).parameters
