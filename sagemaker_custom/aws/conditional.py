"""Small objects of S3 that are written only if nobody else has: the verbs that a lease needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagemaker_custom.aws.connection import Connection
from sagemaker_custom.aws.failures import Call

if TYPE_CHECKING:
    import boto3

# S3 answers 409 to one of two who write at the same moment, and 404 to a replacement of what is gone.
_OTHERS_FIRST = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404"})
_TIMEOUT_S = 10.0
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectVersion:
    """An object as it was when it was read."""

    content: bytes
    etag: str
    """As S3 writes it, with its quotes."""


class ConditionalObjects:
    """Objects that are written only if they are what the caller takes them for.

    Its client gives up soon: who asks has something to do that does not depend on the answer. Every method may raise
    what those of :class:`~sagemaker_custom.aws.Aws` do.

    Args:
        open_session: Opens the session whose credentials are used, when something is first asked.
        region: Default: the session's.
        largest: Bytes of an object that are read at most.
    """

    def __init__(
        self, open_session: Callable[[], boto3.Session], *, region: str | None = None, largest: int = 65536
    ) -> None:
        self._open_session = open_session
        self._region = region
        self._largest = largest
        self._connection: Connection | None = None

    def read(self, bucket: str, key: str) -> ObjectVersion | None:
        """Return an object; ``None`` when there is none, which S3 says only to who may list the bucket."""

        def request() -> ObjectVersion:
            answer = self._s3().get_object(Bucket=bucket, Key=key)
            # Not the body's own "with", which gives the stream of urllib3, with its exceptions.
            with closing(answer["Body"]) as body:
                return ObjectVersion(content=body.read(self._largest), etag=answer["ETag"])

        found: ObjectVersion | None = self._ask("s3:GetObject", bucket, key, request, frozenset({"NoSuchKey", "404"}))
        return found

    def create(self, bucket: str, key: str, content: bytes) -> str | None:
        """Write an object that is not there; return its ETag, or ``None`` when another one was first."""
        return self._put(bucket, key, content, {"IfNoneMatch": "*"})

    def replace(self, bucket: str, key: str, content: bytes, *, etag: str) -> str | None:
        """Write an object that still has ``etag``; return its new one, or ``None`` when another one was first."""
        return self._put(bucket, key, content, {"IfMatch": etag})

    def _put(self, bucket: str, key: str, content: bytes, condition: dict[str, str]) -> str | None:
        def request() -> Any:
            return self._s3().put_object(Bucket=bucket, Key=key, Body=content, **condition)

        answer = self._ask("s3:PutObject", bucket, key, request, _OTHERS_FIRST)
        return str(answer["ETag"]) if answer else None

    def _ask(self, action: str, bucket: str, key: str, request: Callable[[], Any], absent: frozenset[str]) -> Any:
        connection = self._opened()
        call = Call(
            action=action,
            resource=f"s3://{bucket}/{key}",
            region=connection.region,
            denied_hint="allow s3:PutObject and s3:GetObject on the leases",
        )
        return connection.ask(call, request, absent=absent)

    def _s3(self) -> Any:
        connection = self._opened()
        return connection.client("s3", connection.region)

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(
                self._open_session(), region=self._region, timeout_s=_TIMEOUT_S, attempts=_ATTEMPTS
            )
        return self._connection
