"""The text of a YAML document → plain values; a key that is there twice is an error and not the end of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable


# Not the loader made of C, although it is faster: a document that is deep enough ends the process there.
class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # as yaml has it
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_yaml(text: str) -> object:
    """Parse a document.

    Raises:
        yaml.YAMLError: It is no YAML, or a key is there twice.
        ValueError: A value is not what it looks like, for example a date that does not exist.
        RecursionError: It is too deep.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # derived from the safe one
