"""The inputs of ``fit()``, as either SDK takes them → channels of the SDK v3's ``ModelTrainer``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sagemaker.core.inputs import FileSystemInput, TrainingInput
from sagemaker.core.shapes import Channel, DataSource, FileSystemDataSource, S3DataSource
from sagemaker.core.training.configs import InputData
from sagemaker.core.utils.code_injection.codec import pascal_to_snake

from sagemaker_custom.errors import UsageError

DEFAULT_CHANNEL = "training"
"""Of inputs that have no name, as in the SDK v2."""


def channels_of(inputs: Any) -> list[Channel | InputData]:
    """Read the inputs.

    Args:
        inputs: ``None``, an address (``s3://…``, ``file://…``, a local path), a ``TrainingInput``, a
            ``FileSystemInput``, any of them by the channel's name, or the SDK v3's own list of channels.

    Raises:
        UsageError: One is nothing of these.
    """
    if inputs is None:
        return []
    if isinstance(inputs, Mapping):
        return [_channel(name, source) for name, source in inputs.items()]
    if isinstance(inputs, Sequence) and not isinstance(inputs, str):
        return list(inputs)
    return [_channel(DEFAULT_CHANNEL, inputs)]


def model_channel(name: str, model: Any) -> Channel | InputData:
    """Describe the channel with a model to start from.

    Args:
        name: Of the channel.
        model: As any other input is given.
    """
    channel = _channel(name, model)
    if isinstance(model, str) and isinstance(channel, Channel):
        channel.content_type, channel.input_mode = "application/x-sagemaker-model", "File"
    return channel


def _channel(name: str, source: Any) -> Channel | InputData:
    if isinstance(source, Channel | InputData):
        return source
    if isinstance(source, TrainingInput | FileSystemInput):
        return _described(name, source.config)
    if hasattr(source, "expr") or (isinstance(source, str) and source.startswith("s3://")):
        return _s3_channel(name, source)
    if isinstance(source, str | Path):
        return InputData(channel_name=name, data_source=_address(str(source)))
    if isinstance(source, S3DataSource | FileSystemDataSource):
        return InputData(channel_name=name, data_source=source)
    raise UsageError(
        f"the input {name!r} cannot be read: {source!r}",
        hint="give an s3:// or file:// address, or a TrainingInput of the SDK v3 (sagemaker.core.inputs)",
    )


def _s3_channel(name: str, uri: Any) -> Channel:
    # The SDK would have files copied, whatever input_mode= says about the job.
    place = S3DataSource(s3_data_type="S3Prefix", s3_uri=uri, s3_data_distribution_type="FullyReplicated")
    return Channel(channel_name=name, data_source=DataSource(s3_data_source=place))


def _address(text: str) -> str:
    return url2pathname(urlsplit(text).path) if text.startswith("file://") else text


def _described(name: str, config: Mapping[str, Any]) -> Channel:
    # The API's names, which the SDK v3's shapes have in snake case.
    described = _in_snake_case({key: value for key, value in config.items() if value is not None})
    return Channel(channel_name=name, **described)


def _in_snake_case(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {pascal_to_snake(key): _in_snake_case(item) for key, item in value.items()}
