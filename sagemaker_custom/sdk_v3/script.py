"""What a job is told → what the SDK v3's starting script hands to the user's script, or why it cannot."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sagemaker_custom.errors import UsageError

_VARIABLE = re.compile(r"[A-Za-z0-9_]*")


def encoded_parameters(parameters: Mapping[str, Any], *, for_script: bool) -> dict[str, Any]:
    """Encode hyperparameters as the SDK v2 does, so that a script finds text as text in ``SM_HPS``, and ``"1"`` no 1.

    Args:
        parameters: As the user gave them.
        for_script: Whether a script of the user's gets them, and not a program of the image, which reads plain text.

    Raises:
        UsageError: The starting script would fail on one.
    """
    if not for_script:
        return {str(name): _or_variable(value, str) for name, value in parameters.items()}
    for name, value in parameters.items():
        _check_parameter(str(name), value)
    return {str(name): json.dumps(value) if isinstance(value, str) else value for name, value in parameters.items()}


def check_channels(names: Iterable[str]) -> None:
    """See that each channel can have a variable of the shell.

    Args:
        names: Of the channels.

    Raises:
        UsageError: One cannot.
    """
    for name in names:
        if not _VARIABLE.fullmatch(name):
            raise UsageError(
                f"the channel {name!r} cannot be had with the SDK v3, whose starting script makes a variable of it",
                hint="call it by letters, digits and underscores",
            )


def _check_parameter(name: str, value: Any) -> None:
    if not _VARIABLE.fullmatch(name.replace("-", "_")):
        raise UsageError(
            f"the hyperparameter {name!r} cannot be had with the SDK v3, whose starting script makes a variable of it",
            hint="call it by letters, digits, hyphens and underscores",
        )
    if "'" in json.dumps(value, default=str):
        raise UsageError(
            f"the hyperparameter {name!r} has an apostrophe, at which the SDK v3's starting script fails",
            hint="hand it over by environment=, or in a file of the code",
        )


def _or_variable(value: Any, encode: Any) -> Any:
    # One of a pipeline has its value later.
    return value if hasattr(value, "expr") else encode(value)
