"""What a processing job reads and writes, by the SDK v2's names or in the SDK v3's shapes → the SDK v3's shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker.core import shapes

from sagemaker_custom.errors import UsageError


@dataclass(frozen=True, slots=True)
class ProcessingInput:
    """An input of a processing job, with the arguments that the SDK v2's class has."""

    source: Any = None
    """Where it lies: ``s3://…``, or on this machine."""
    destination: Any = None
    """Where the script finds it: a folder below ``/opt/ml/processing``."""
    input_name: Any = None
    s3_data_type: Any = "S3Prefix"
    s3_input_mode: Any = "File"
    s3_data_distribution_type: Any = "FullyReplicated"
    s3_compression_type: Any = "None"
    s3_input: Any = None
    """All of the above but the name in one: the SDK v3's ``ProcessingS3Input``."""
    dataset_definition: Any = None
    """In place of a source: the SDK v3's ``DatasetDefinition``."""
    app_managed: Any = False

    @classmethod
    def of_shape(cls, shape: shapes.ProcessingInput) -> ProcessingInput:
        """Read the SDK v3's.

        Args:
            shape: The SDK v3's.
        """
        given = shape.s3_input or None
        return cls(
            source=given and given.s3_uri,
            destination=given and given.local_path,
            input_name=shape.input_name,
            s3_input=given,
            dataset_definition=shape.dataset_definition or None,
            app_managed=shape.app_managed or False,
        )

    def shape(self, name: str) -> shapes.ProcessingInput:
        """Return a new one of the SDK v3's, which that changes while it uploads.

        Args:
            name: Where none was given.
        """
        described: dict[str, Any] = {}
        if self.dataset_definition is not None:
            described = {"dataset_definition": self.dataset_definition}
        elif self.s3_input is not None:
            described = {"s3_input": self.s3_input.model_copy()}
        elif self.source is not None and self.destination is not None:
            described = {"s3_input": self._s3_input()}
        return shapes.ProcessingInput(input_name=self.input_name or name, app_managed=self.app_managed, **described)

    def _s3_input(self) -> shapes.ProcessingS3Input:
        return shapes.ProcessingS3Input(
            s3_uri=_text(self.source),
            local_path=_text(self.destination),
            s3_data_type=self.s3_data_type,
            s3_input_mode=self.s3_input_mode,
            s3_data_distribution_type=self.s3_data_distribution_type,
            s3_compression_type=self.s3_compression_type,
        )


@dataclass(frozen=True, slots=True)
class ProcessingOutput:
    """An output of a processing job, with the arguments that the SDK v2's class has."""

    source: Any = None
    """Where the script leaves it: a folder below ``/opt/ml/processing``."""
    destination: Any = None
    """Where it goes; default: a place of the job's own."""
    output_name: Any = None
    s3_upload_mode: Any = "EndOfJob"
    app_managed: Any = False
    feature_store_output: Any = None
    """Has a ``feature_group_name``."""

    @classmethod
    def of_shape(cls, shape: shapes.ProcessingOutput) -> ProcessingOutput:
        """Read the SDK v3's.

        Args:
            shape: The SDK v3's.
        """
        given = shape.s3_output or None
        return cls(
            source=given and given.local_path,
            destination=given and given.s3_uri,
            output_name=shape.output_name,
            s3_upload_mode=given.s3_upload_mode if given else "EndOfJob",
            app_managed=shape.app_managed or False,
            feature_store_output=shape.feature_store_output or None,
        )

    def shape(self, name: str) -> shapes.ProcessingOutput:
        """Return a new one of the SDK v3's; without a destination it has an empty address.

        Args:
            name: Where none was given.
        """
        described: dict[str, Any] = {}
        if self.source is not None:
            described["s3_output"] = shapes.ProcessingS3Output(
                s3_uri=_text(self.destination or ""), local_path=_text(self.source), s3_upload_mode=self.s3_upload_mode
            )
        if self.feature_store_output is not None:
            described["feature_store_output"] = shapes.ProcessingFeatureStoreOutput(
                feature_group_name=self.feature_store_output.feature_group_name
            )
        return shapes.ProcessingOutput(output_name=self.output_name or name, app_managed=self.app_managed, **described)


def input_shapes(inputs: Sequence[Any] | None) -> list[shapes.ProcessingInput]:
    """Read the inputs of a job, and name those that have no name.

    Raises:
        UsageError: One is neither of the SDK v3 nor of this package.
    """
    return [
        _read(item, ProcessingInput, shapes.ProcessingInput).shape(f"input-{number}")
        for number, item in enumerate(inputs or (), 1)
    ]


def output_shapes(outputs: Sequence[Any] | None) -> list[shapes.ProcessingOutput]:
    """Read the outputs of a job, and name those that have no name.

    Raises:
        UsageError: One is neither of the SDK v3 nor of this package.
    """
    return [
        _read(item, ProcessingOutput, shapes.ProcessingOutput).shape(f"output-{number}")
        for number, item in enumerate(outputs or (), 1)
    ]


def _read(item: Any, own: Any, of_the_sdk: Any) -> Any:
    if isinstance(item, own):
        return item
    if isinstance(item, of_the_sdk):
        return own.of_shape(item)
    raise UsageError(
        f"{item!r} is no {own.__name__}",
        hint=f"use sagemaker_custom.{own.__name__}(source, destination), or that of sagemaker.core.shapes",
    )


def _text(place: Any) -> Any:
    # A folder may be a Path; what is known only when a pipeline runs stays as it is.
    return str(place) if hasattr(place, "__fspath__") else place
