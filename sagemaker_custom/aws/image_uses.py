"""An account's SageMaker → every image that something there names: what runs, what can be run, and what lately ran."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sagemaker_custom.aws.connection import Connection
from sagemaker_custom.aws.failures import Call
from sagemaker_custom.errors import AwsError
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest

_WORKERS = 8
# An answer is searched as text: wherever an image may stand in it, today or after the next release of SageMaker.
_URI = re.compile(
    r"(?P<host>[0-9]{12}\.dkr[.-]ecr[a-z0-9.-]*)/(?P<repository>[a-z0-9][a-z0-9._/-]*[a-z0-9])"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
# SageMaker has one code for all that is wrong with a request, also for what is not there any more.
_GONE = ("could not find", "does not exist", "not found")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageUse:
    """One image that something names."""

    host: str
    repository: str
    tag: str | None
    digest: Digest | None
    by: str
    """What names it, for example ``endpoint shop``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """A kind of thing that names images."""

    what: str
    operation: str
    """What lists and describes them ends in this: ``ListModels``, ``DescribeModel``."""
    listed: str
    """Key of the list."""
    key: str
    """Name of one, in the list."""
    argument: str
    """What describing takes that name as."""
    is_dated: bool = False
    """Whether only those that changed lately matter."""
    arguments: tuple[tuple[str, str], ...] = ()


_SOURCES = (
    _Source(what="endpoint", operation="endpoint", listed="Endpoints", key="EndpointName", argument="EndpointName"),
    _Source(
        what="inference component",
        operation="inference_component",
        listed="InferenceComponents",
        key="InferenceComponentName",
        argument="InferenceComponentName",
    ),
    _Source(what="model", operation="model", listed="Models", key="ModelName", argument="ModelName"),
    _Source(
        what="model package",
        operation="model_package",
        listed="ModelPackageSummaryList",
        key="ModelPackageArn",
        argument="ModelPackageName",
        arguments=(("ModelPackageType", "Both"),),
    ),
    _Source(
        what="pipeline",
        operation="pipeline",
        listed="PipelineSummaries",
        key="PipelineName",
        argument="PipelineName",
    ),
    _Source(
        what="monitoring schedule",
        operation="monitoring_schedule",
        listed="MonitoringScheduleSummaries",
        key="MonitoringScheduleName",
        argument="MonitoringScheduleName",
    ),
    _Source(
        what="training job",
        operation="training_job",
        listed="TrainingJobSummaries",
        key="TrainingJobName",
        argument="TrainingJobName",
        is_dated=True,
    ),
    _Source(
        what="processing job",
        operation="processing_job",
        listed="ProcessingJobSummaries",
        key="ProcessingJobName",
        argument="ProcessingJobName",
        is_dated=True,
    ),
    _Source(
        what="tuning job",
        operation="hyper_parameter_tuning_job",
        listed="HyperParameterTuningJobSummaries",
        key="HyperParameterTuningJobName",
        argument="HyperParameterTuningJobName",
        is_dated=True,
    ),
)
OPERATIONS = (
    *(operation for source in _SOURCES for operation in (f"list_{source.operation}s", f"describe_{source.operation}")),
    "list_images",
    "list_image_versions",
    "describe_image_version",
)
"""Everything that is asked of SageMaker."""


class ImageUses:
    """SageMaker in one region, as far as it names images.

    Args:
        connection: Whose clients are used.
        region: Where.
        progress: Told how far it is.
    """

    def __init__(self, connection: Connection, *, region: str, progress: Progress) -> None:
        self._connection = connection
        self._region = region
        self._progress = progress

    def since(self, moment: datetime) -> tuple[ImageUse, ...]:
        """Return every image that is named, by jobs as far as they have changed since a moment.

        Raises:
            AccessDeniedError: A question may not be asked; it is named.
            AwsError: A question has no answer. Then nothing is known of what is in use.
        """
        uses: list[ImageUse] = []
        with ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="uses") as pool:
            for source in _SOURCES:
                names = self._listed(source, moment)
                task = self._progress.task(f"looking at {len(names)} {source.what}s", total=len(names), unit="steps")
                describe = partial(self._described, source)
                for name, answer in zip(names, pool.map(describe, names), strict=True):
                    uses += _named(answer, f"{source.what} {name.rpartition('/')[2]}")
                    task.advance(1)
                task.finish()
        return (*uses, *self._studio())

    def _listed(self, source: _Source, moment: datetime) -> list[str]:
        arguments: dict[str, Any] = dict(source.arguments)
        if source.is_dated:
            arguments["LastModifiedTimeAfter"] = moment
        return [str(item[source.key]) for item in self._pages(f"list_{source.operation}s", source.listed, **arguments)]

    def _described(self, source: _Source, name: str) -> Mapping[str, Any]:
        return self._ask(f"describe_{source.operation}", name, **{source.argument: name})

    def _studio(self) -> Iterator[ImageUse]:
        for image in self._pages("list_images", "Images"):
            name = str(image["ImageName"])
            for version in self._pages("list_image_versions", "ImageVersions", ImageName=name):
                number = version["Version"]
                answer = self._ask("describe_image_version", name, ImageName=name, Version=number)
                yield from _named(answer, f"Studio image {name} version {number}")

    def _pages(self, method: str, listed: str, **arguments: Any) -> list[Mapping[str, Any]]:
        call = Call(action=_action(method), resource="all of them", region=self._region)
        answer = self._connection.ask(
            call,
            lambda: (
                self._connection.client("sagemaker", self._region)
                .get_paginator(method)
                .paginate(**arguments)
                .build_full_result()
            ),
        )
        items: list[Mapping[str, Any]] = answer.get(listed, [])
        return items

    def _ask(self, method: str, name: str, **arguments: Any) -> Mapping[str, Any]:
        call = Call(action=_action(method), resource=name, region=self._region)
        client = self._connection.client("sagemaker", self._region)
        try:
            answer: Mapping[str, Any] = self._connection.ask(
                call, lambda: getattr(client, method)(**arguments), absent=frozenset({"ResourceNotFound"})
            )
        except AwsError as error:
            # It was deleted since it was listed.
            if type(error) is AwsError and any(words in error.message.lower() for words in _GONE):
                return {}
            raise
        return answer or {}


def _action(method: str) -> str:
    return "sagemaker:" + "".join(word.capitalize() for word in method.split("_"))


def _named(answer: Mapping[str, Any], by: str) -> Iterator[ImageUse]:
    for match in _URI.finditer(json.dumps(answer, default=str)):
        digest = match["digest"]
        yield ImageUse(
            host=match["host"],
            repository=match["repository"],
            tag=match["tag"] or (None if digest else "latest"),
            digest=Digest(digest) if digest else None,
            by=by,
        )
