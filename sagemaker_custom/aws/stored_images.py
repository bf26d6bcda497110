"""A repository of Amazon ECR → the images in it, when they were pushed and pulled; and images that are gone again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sagemaker_custom.aws.connection import Connection
from sagemaker_custom.aws.failures import Call
from sagemaker_custom.reference import Digest

_AT_ONCE = 100
"""Images in one request, the most that ECR takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredImage:
    """One manifest in a repository."""

    repository: str
    digest: Digest
    tags: tuple[str, ...]
    pushed: datetime
    pulled: datetime | None
    """To the day; ``None`` when it never was."""
    size: int
    """Bytes, compressed; layers that other images have too are counted with each."""


class StoredImages:
    """The images of one registry; every method may raise as those of :class:`~sagemaker_custom.aws.Aws` do.

    Args:
        connection: Whose clients are used.
        region: Of the registry.
        account: Whose registry.
    """

    def __init__(self, connection: Connection, *, region: str, account: str) -> None:
        self._connection = connection
        self._region = region
        self._account = account

    def of(self, repository: str) -> tuple[StoredImage, ...]:
        """Return all images of a repository, with and without tags."""
        pages = self._ask(
            "ecr:DescribeImages",
            repository,
            lambda client: list(
                client.get_paginator("describe_images").paginate(registryId=self._account, repositoryName=repository)
            ),
        )
        return tuple(
            StoredImage(
                repository=repository,
                digest=Digest(image["imageDigest"]),
                tags=tuple(sorted(image.get("imageTags") or ())),
                pushed=image["imagePushedAt"],
                pulled=image.get("lastRecordedPullTime"),
                size=int(image.get("imageSizeInBytes") or 0),
            )
            for page in pages
            for image in page.get("imageDetails", ())
        )

    def remove(self, repository: str, digests: Sequence[Digest]) -> dict[Digest, str]:
        """Remove images with all their tags, and return why which of them are still there."""
        refused: dict[Digest, str] = {}
        for start in range(0, len(digests), _AT_ONCE):
            some = [{"imageDigest": str(digest)} for digest in digests[start : start + _AT_ONCE]]
            refused |= self._remove(repository, some)
        return refused

    def _remove(self, repository: str, some: list[dict[str, str]]) -> dict[Digest, str]:
        answer = self._ask(
            "ecr:BatchDeleteImage",
            repository,
            lambda client: client.batch_delete_image(
                registryId=self._account, repositoryName=repository, imageIds=some
            ),
        )
        return {
            Digest(failure["imageId"]["imageDigest"]): f"{failure['failureCode']}: {failure.get('failureReason', '')}"
            for failure in answer.get("failures", ())
            if failure["failureCode"] != "ImageNotFound"
        }

    def lifecycle_policy(self, repository: str) -> Any:
        """Return the lifecycle policy of a repository, ``None`` when it has none."""
        answer = self._ask(
            "ecr:GetLifecyclePolicy",
            repository,
            lambda client: client.get_lifecycle_policy(registryId=self._account, repositoryName=repository),
            absent=frozenset({"LifecyclePolicyNotFoundException"}),
        )
        return None if answer is None else json.loads(answer["lifecyclePolicyText"])

    def put_lifecycle_policy(self, repository: str, policy: dict[str, Any]) -> None:
        """Set the lifecycle policy of a repository; what it selects is gone within a day."""
        self._ask(
            "ecr:PutLifecyclePolicy",
            repository,
            lambda client: client.put_lifecycle_policy(
                registryId=self._account, repositoryName=repository, lifecyclePolicyText=json.dumps(policy)
            ),
        )

    def _ask(
        self,
        action: str,
        repository: str,
        request: Callable[[Any], Any],
        *,
        absent: frozenset[str] = frozenset(),
    ) -> Any:
        call = Call(action=action, resource=f"repository {repository}", region=self._region)
        return self._connection.ask(call, lambda: request(self._connection.client("ecr", self._region)), absent=absent)
