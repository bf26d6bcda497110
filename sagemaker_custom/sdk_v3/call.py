"""The call of a class here, by the SDK v2's names → its arguments by name; and what cannot be done, with what can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from sagemaker.core.training.configs import Tag

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.calls import Call

_SAME_AS_ABSENT: tuple[object, ...] = (None, False, {}, [], ())


def named_call(
    owner: str, order: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any], named: Sequence[str]
) -> Call:
    """Name the arguments of a call.

    Args:
        owner: The class, for messages.
        order: Names of those that may be given by place.
        args: Those given by place.
        kwargs: Those given by name.
        named: Names of those about the framework.

    Raises:
        TypeError: Too many, or one twice: as any function of Python would.
    """
    if len(args) > len(order):
        raise TypeError(f"{owner}() takes {len(order)} positional arguments but {len(args)} were given")
    placed = dict(zip(order, args, strict=False))
    twice = placed.keys() & kwargs.keys()
    if twice:
        raise TypeError(f"{owner}() got multiple values for argument {min(twice)!r}")
    given = {**placed, **kwargs}
    return Call(given=given, defaults={}, takes=frozenset({*order, *named, *given}))


def refuse_others(
    given: Mapping[str, Any], known: Iterable[str], instead: Mapping[str, str], also: Iterable[str] = ()
) -> None:
    """Make sure that nothing is asked for which would then not be done.

    Args:
        given: The arguments of a call.
        known: Names of those that are read.
        instead: Those that the SDK v3 has no place for → what does the same.
        also: Names that somebody else reads, for what a misspelt one may have meant.

    Raises:
        UsageError: The SDK v3 cannot do it, or no SDK has such an argument.
    """
    names = set(known)
    for name in sorted(given.keys() - names):
        if name not in instead:
            near = get_close_matches(name, names.union(also), n=1)
            raise UsageError(
                f"there is no argument {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else "see docs/reference/estimator.md",
            )
        if given[name] not in _SAME_AS_ABSENT:
            raise UsageError(f"{name}={given[name]!r} cannot be done with the SDK v3", hint=f"use {instead[name]}")


def tags_of(tags: Any) -> list[Tag] | None:
    """Read tags as the SDK v2 takes them: a mapping, or a list of ``{"Key": …, "Value": …}``."""
    if tags is None:
        return None
    pairs = tags.items() if isinstance(tags, Mapping) else [(tag["Key"], tag["Value"]) for tag in tags]
    return [Tag(key=key, value=value) for key, value in pairs]


def tags_as_api(tags: Any) -> list[dict[str, str]] | None:
    """Read tags, and write them as boto3 takes them."""
    read = tags_of(tags)
    return None if read is None else [{"Key": tag.key, "Value": tag.value} for tag in read]
