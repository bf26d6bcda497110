"""The classes of the SDK v2 that ours stand on → ``tests/data/sdk_v2_arguments.json``: what each of them takes.

Needs the SDK v2 in the environment. The classes over the SDK v3 are compared with it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sagemaker_custom

TABLE = Path(__file__).parent.parent / "tests" / "data" / "sdk_v2_arguments.json"
METHODS = (
    *("fit", "deploy", "create_model", "transformer", "register", "attach", "hyperparameters", "set_hyperparameters"),
    *("predict", "delete_endpoint", "delete_model", "update_endpoint", "run"),
)
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def table() -> dict[str, Any]:
    """Return class → its arguments by place, all of them, and its methods' by place."""
    names = (name for name in sagemaker_custom.__all__ if name.startswith("Custom") and name != "CustomLocalSession")
    return {name: _described(getattr(sagemaker_custom, name)) for name in sorted(names)}


def text() -> str:
    """Return the file's content."""
    lines = (f"{json.dumps(name)}: {json.dumps(described)}" for name, described in table().items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _described(cls: type) -> dict[str, Any]:
    constructors = list(_constructors(cls))
    known = {item.name for constructor in constructors for item in _parameters(constructor)}
    methods = {}
    for name in METHODS:
        base = next((base for base in _of_the_sdk(cls) if name in vars(base)), None)
        if base is not None:
            methods[name] = _placed(getattr(vars(base)[name], "__func__", vars(base)[name]))
    return {
        # Those of the SDK's, where ours hands on all that it is given by place.
        "order": _by_place(inspect.signature(cls)) or _placed(constructors[0]),
        "names": sorted(known),
        "methods": methods,
    }


def _constructors(cls: type) -> Iterator[Any]:
    """Yield the constructors that see the arguments of a call."""
    for base in _of_the_sdk(cls):
        if "__init__" in vars(base):
            constructor = inspect.unwrap(vars(base)["__init__"])
            yield constructor
            if all(item.kind is not item.VAR_KEYWORD for item in inspect.signature(constructor).parameters.values()):
                return


def _of_the_sdk(cls: type) -> Iterator[type]:
    return (base for base in cls.__mro__ if base.__module__.startswith("sagemaker."))


def _placed(function: Any) -> list[str]:
    return [item.name for item in _parameters(function) if item.kind in _PLACED]


def _by_place(signature: inspect.Signature) -> list[str]:
    return [item.name for item in signature.parameters.values() if item.kind in _PLACED]


def _parameters(function: Any) -> Iterator[inspect.Parameter]:
    parameters = list(inspect.signature(inspect.unwrap(function)).parameters.values())[1:]
    return (item for item in parameters if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD))


def main() -> None:
    """Write the file."""
    TABLE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
