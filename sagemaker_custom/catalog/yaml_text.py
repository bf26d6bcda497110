"""The text of a YAML document → plain values; a key that is there twice is an error and not the end of the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable

LARGEST_CHARACTERS = 1_000_000
"""Of a document: the largest that is shipped has a fiftieth of it, and yaml takes seconds for so many."""

_MOST_VALUES = 100_000


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
        yaml.YAMLError: It is no YAML, has a key twice, or is out of all proportion.
        RecursionError: It is too deep.
    """
    if len(text) > LARGEST_CHARACTERS:
        raise yaml.YAMLError(f"it has more than {LARGEST_CHARACTERS} characters")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _size(node, {})
        return _constructed(loader, node)
    finally:
        loader.dispose()


def _constructed(loader: _Loader, node: yaml.Node) -> object:
    try:
        return loader.construct_document(node)
    except (yaml.YAMLError, RecursionError):
        raise
    except Exception as error:
        # yaml's own constructors stumble in many ways over a value that is not what its tag says: "!!int ''".
        raise yaml.YAMLError(f"a value cannot be read: {type(error).__name__}: {error}") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values below a node, those of an alias each time that it is used."""
    if id(node) in known:
        if not known[id(node)]:
            raise yaml.YAMLError("an alias stands within what it is the name of")
        return known[id(node)]
    known[id(node)] = 0
    children = node.value if isinstance(node.value, list) else ()
    nodes = (item for child in children for item in (child if isinstance(child, tuple) else (child,)))
    size = 1 + sum(_size(child, known) for child in nodes)
    if size > _MOST_VALUES:
        raise yaml.YAMLError(f"its aliases stand for more than {_MOST_VALUES} values")
    known[id(node)] = size
    return size
