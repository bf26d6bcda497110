"""What a job is told → how the SDK v3's starting script hands it to the user's script, or why it cannot.

That script reads a file of ``export NAME='value'`` lines, in which nothing is escaped: a job with any other value would
run, and fail before the first line of the user's code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sagemaker.core.workflow import is_pipeline_variable
from sagemaker.train.utils import safe_serialize

from sagemaker_custom.errors import UsageError

_HYPERPARAMETER = re.compile(r"[A-Za-z0-9_-]+")
_CHANNEL = re.compile(r"[A-Za-z0-9_]+")


def encoded_parameters(parameters: Mapping[str, Any], *, for_script: bool) -> dict[str, Any]:
    """Encode hyperparameters as the SDK v2 does, so that a script finds text as text in ``SM_HPS``, and ``"1"`` no 1.

    Args:
        parameters: As the user gave them.
        for_script: Whether a script of the user's gets them, and not a program of the image, which reads plain text.
    """
    encode = _for_script if for_script else str
    # A parameter of a pipeline has its value later.
    return {str(name): value if is_pipeline_variable(value) else encode(value) for name, value in parameters.items()}


def _for_script(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, str) else value


def check_script_values(hyperparameters: Mapping[str, Any], channels: Iterable[Any]) -> None:
    """See that a script can be started with them.

    Args:
        hyperparameters: By name.
        channels: Of the SDK v3.

    Raises:
        UsageError: One cannot be carried; says how to write it.
    """
    for name, value in hyperparameters.items():
        if not _HYPERPARAMETER.fullmatch(name):
            raise UsageError(
                f"no script gets the hyperparameter {name!r} with the SDK v3, which makes a shell variable of its name",
                hint="name it with letters of English, digits, '_' and '-'",
            )
        if not is_pipeline_variable(value) and "'" in safe_serialize(value):
            raise UsageError(
                f"no script gets the hyperparameter {name!r} with the SDK v3: its value has an apostrophe, which ends "
                "the text in the SDK's own start script",
                hint="give it by environment=, or in a file of source_dir",
            )
    for channel in channels:
        if not _CHANNEL.fullmatch(channel.channel_name):
            raise UsageError(
                f"no script gets the channel {channel.channel_name!r} with the SDK v3, which makes a shell variable of "
                "its name",
                hint="name it with letters of English, digits and '_'",
            )
