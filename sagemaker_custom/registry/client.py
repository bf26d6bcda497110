"""Image references and blobs → what the registry holds, and the other way round; absent and unknown stay apart."""

from __future__ import annotations

import copy
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import urlencode

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    RegistryError,
    RegistryUnavailableError,
    TagConflictError,
)
from sagemaker_custom.progress import Task
from sagemaker_custom.reference import Digest, ImageReference, digest_of
from sagemaker_custom.registry import answers
from sagemaker_custom.registry.answers import Operation, Verb
from sagemaker_custom.registry.auth import Authorizer, CredentialSource
from sagemaker_custom.registry.blobs import BlobBody, read_verified
from sagemaker_custom.registry.exchange import Exchange, Repository, registry_of, upload_location
from sagemaker_custom.registry.retries import Retries
from sagemaker_custom.registry.tag_list import FIRST_PAGE, Page, read_page
from sagemaker_custom.registry.transport import HttpRequest, HttpResponse, StreamedBody, Transport

logger = logging.getLogger(__name__)

_ACCEPT = {"Accept": ", ".join((*oci.MANIFEST_TYPES, *oci.INDEX_TYPES))}
_CREATED = (200, 201, 204)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A manifest or an index, byte for byte."""

    media_type: str
    content: bytes

    @property
    def digest(self) -> Digest:
        """What the registry calls it by."""
        return digest_of(self.content)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """What one method does: to which repository, and what it is called and allowed to do."""

    repository: Repository
    operation: Operation
    source_repository: str | None = None


class RegistryClient:
    """Speaks the OCI distribution protocol; safe to share between threads if the transport is.

    Every method raises :class:`~sagemaker_custom.errors.RegistryUnavailableError` when the registry gives no usable
    answer after all attempts, and :class:`~sagemaker_custom.errors.RegistryAccessDeniedError` when it refuses.

    Args:
        transport: Reaches the network.
        credentials: Asked with the host that is reached, so a proxy never sees those of the registry behind it.
        endpoint_for: Host in a reference → ``https://host[:port][/path prefix]``.
        attempts: How often a request is tried.
        sleep: Waits between attempts.
        random: Spreads the waits.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        credentials: CredentialSource,
        endpoint_for: Callable[[str], str],
        attempts: int = 6,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._exchange = Exchange(
            transport=transport, authorizer=Authorizer(transport=transport, credentials=credentials)
        )
        self._endpoint_for = endpoint_for
        self._retries = Retries(attempts=attempts, sleep=sleep, random=random)

    def checked(self, check: Callable[[], None]) -> RegistryClient:
        """Return this client, with its connections and logins, for work that may be called off.

        What ``check`` raises ends it; it is called before each attempt and while a wait lasts.
        """
        client = copy.copy(self)
        client._retries = self._retries.checked(check)  # noqa: SLF001
        return client

    def find(self, reference: ImageReference) -> Digest | None:
        """Return the digest of an image, or ``None`` when the registry says that it, or its repository, is absent.

        Raises:
            RegistryError: Any other answer: nothing is known about the image then.
        """
        call = self._call(answers.LOOK_UP, reference)
        return self._retries.run_verified(lambda: self._find(call))

    def manifest(self, reference: ImageReference) -> Manifest | None:
        """Return a manifest or index; ``None`` when it is absent.

        Raises:
            DigestMismatchError: It is not what the digest in ``reference`` says.
            RegistryError: Any other answer.
        """
        call = self._call(answers.LOOK_UP, reference)
        return self._retries.run_verified(lambda: self._manifest(call))

    def image_config(self, reference: ImageReference, *, architecture: str = "amd64") -> Mapping[str, Any] | None:
        """Return the config of an image for Linux; ``None`` when the image is absent.

        Args:
            reference: Of a manifest or an index.
            architecture: Chosen from an index.

        Raises:
            RegistryError: The index has no such platform, or something is malformed or missing.
        """
        manifest = self.manifest(reference)
        if manifest is None:
            return None
        name = str(reference)
        if oci.is_index(manifest.media_type):
            index = oci.parse_index(manifest.media_type, manifest.content, name=name)
            chosen = oci.select_platform(index, architecture=architecture, name=name)
            manifest = self.manifest(reference.with_digest(chosen.digest))
            if manifest is None:
                raise RegistryError(f"{name} is incomplete: its registry has no {chosen.digest}", hint="push it again")
        config = oci.parse_manifest(manifest.media_type, manifest.content, name=name).config
        if config.size > oci.MANIFEST_LIMIT:
            raise RegistryError(f"the config of {name} has {config.size} bytes, more than {oci.MANIFEST_LIMIT}")
        content = b"".join(self.read_blob(reference, config.digest, size=config.size))
        return oci.parse_config(content, name=name)

    def put_manifest(self, reference: ImageReference, manifest: Manifest) -> Digest:
        """Push a manifest, whose blobs have to be there already, and return its digest.

        Args:
            reference: With the tag to set, or else the digest.
            manifest: What to push.

        Raises:
            TagConflictError: The tag is immutable and holds another image.
            DigestMismatchError: The registry stored something else, or ``reference`` asks for another digest.
            RegistryError: Any other refusal.
        """
        call = self._call(answers.PUSH, reference)
        if reference.digest not in {None, manifest.digest}:
            raise DigestMismatchError(f"{call.operation}: the manifest has the digest {manifest.digest}")
        try:
            return self._retries.run_verified(lambda: self._put_manifest(call, manifest))
        except TagConflictError:
            # Ours, when the answer to an earlier attempt was lost.
            if reference.tag and self.find(reference.with_tag(reference.tag)) == manifest.digest:
                return manifest.digest
            raise

    def tags(self, repository: ImageReference) -> tuple[str, ...]:
        """List the tags of a repository, sorted; none when the repository is absent."""
        call = self._call(answers.LIST_TAGS, repository)
        url: str | None = call.repository.url(FIRST_PAGE)
        tags: list[str] = []
        while url:
            page = self._retries.run(partial(self._tags, call, url))
            tags, url = [*tags, *page.tags], page.following
        return tuple(sorted(tags))

    def has_blob(self, reference: ImageReference, digest: Digest) -> bool:
        """Tell whether the repository of ``reference`` has a blob."""
        call = self._call(answers.LOOK_UP_BLOB, reference, digest)
        return self._retries.run(lambda: self._has_blob(call, digest))

    def read_blob(self, reference: ImageReference, digest: Digest, *, size: int | None = None) -> Iterator[bytes]:
        """Yield a blob in chunks; it is verified only when the iterator has ended without an error.

        Args:
            reference: Of anything in the repository.
            digest: Of the blob.
            size: Bytes that it has, where known; more are not accepted.

        Raises:
            DigestMismatchError: What was sent is not the blob.
            RegistryUnavailableError: The connection was lost too often, or cannot be taken up where it ended.
            RegistryError: The blob is absent, or any other answer.
        """
        call = self._call(answers.READ_BLOB, reference, digest)
        return read_verified(
            lambda offset: self._retries.run(lambda: self._open_blob(call, digest, offset)),
            digest,
            size=size,
            attempts=self._retries.attempts,
            pause=self._retries.pause,
        )

    def upload_blob(
        self,
        reference: ImageReference,
        digest: Digest,
        size: int,
        open_content: Callable[[], BinaryIO],
        *,
        task: Task | None = None,
    ) -> bool:
        """Upload a blob unless the repository has it.

        Args:
            reference: Of anything in the repository.
            digest: Of the content.
            size: Of the content in bytes.
            open_content: Opens the content at its first byte; called again for every attempt.
            task: Told about the bytes sent.

        Returns:
            Whether it was sent; ``False`` when it was there.

        Raises:
            DigestMismatchError: The content does not hash to ``digest``.
            RegistryError: Any other refusal, or content that cannot be read.
        """
        call = self._call(answers.UPLOAD_BLOB, reference, digest)
        body = BlobBody(digest=digest, size=size, open_content=open_content, task=task)
        sent = False

        def attempt() -> bool:
            nonlocal sent
            if self._has_blob(call, digest):
                return sent
            sent = True
            self._upload(call, digest, body)
            return True

        return self._retries.run(attempt)

    def mount_blob(self, reference: ImageReference, digest: Digest, *, source_repository: str) -> bool:
        """Take a blob over from another repository of the same registry, without sending it.

        Args:
            reference: Of anything in the repository that gets it.
            digest: Of the blob.
            source_repository: Which has it.

        Returns:
            Whether that worked; ``False`` for every refusal, since :meth:`upload_blob` does the same at more cost.
        """
        call = self._call(answers.MOUNT_BLOB, reference, digest, source_repository=source_repository)
        try:
            return self._retries.run(lambda: self._mount(call, digest))
        except RegistryUnavailableError:
            raise
        except RegistryError as error:
            logger.debug("%s", error.message)
            return False

    def remove_tag(self, reference: ImageReference) -> bool:
        """Remove a tag; what it points at stays.

        Many registries, distribution before 3.0 among them, only delete by digest, which would take all other tags
        of the image along; that is never done here.

        Returns:
            Whether the tag is gone; ``False`` when the registry cannot remove tags.

        Raises:
            InvalidReferenceError: ``reference`` has no tag.
        """
        if not reference.tag:
            raise InvalidReferenceError(f"{reference} has no tag to remove", hint="add ':tag'")
        call = self._call(answers.REMOVE, reference)
        return self._retries.run(lambda: self._remove_tag(call, reference.tag or ""))

    def _call(
        self,
        verb: Verb,
        reference: ImageReference,
        digest: Digest | None = None,
        *,
        source_repository: str | None = None,
    ) -> _Call:
        host = registry_of(reference)
        subject = f"{digest} in {reference.name}" if digest else str(reference)
        return _Call(
            repository=Repository.at(reference, self._endpoint_for(host)),
            operation=Operation(verb=verb, subject=subject, reference=reference),
            source_repository=source_repository,
        )

    def _send(
        self,
        call: _Call,
        method: str,
        url: str,
        *,
        expect: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        body: bytes | StreamedBody | None = None,
    ) -> HttpResponse:
        request = HttpRequest(method=method, url=url, headers=headers or {}, body=body)
        access = call.repository.access(call.operation.verb, source_repository=call.source_repository)
        return self._exchange.send(request, access, call.operation, expect=expect)

    def _find(self, call: _Call) -> Digest | None:
        reference = call.repository.reference
        url = call.repository.url(f"manifests/{reference.locator}")
        with self._send(call, "HEAD", url, expect=(200, 403, 404, 405), headers=_ACCEPT) as response:
            if response.status == HTTPStatus.NOT_FOUND and answers.says_absent(response):
                return None
            digest = answers.announced_digest(response) if response.status == HTTPStatus.OK else None
        if digest is None:
            # HEAD has no body: only GET shows whose 404 it is, why it is refused, or what to hash.
            manifest = self._manifest(call)
            return manifest.digest if manifest else None
        if reference.digest not in {None, digest}:
            raise DigestMismatchError(f"{call.operation}: the registry answers with {digest}")
        return digest

    def _manifest(self, call: _Call) -> Manifest | None:
        reference = call.repository.reference
        url = call.repository.url(f"manifests/{reference.locator}")
        with self._send(call, "GET", url, expect=(200, 404), headers=_ACCEPT) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                answers.require_absence(response, call.operation)
                return None
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            manifest = Manifest(media_type=media_type, content=response.read(oci.MANIFEST_LIMIT))
        if {reference.digest, answers.announced_digest(response)} - {None, manifest.digest}:
            raise DigestMismatchError(
                f"{call.operation}: the registry sent a manifest with the digest {manifest.digest}",
                hint="a proxy or the registry's storage damages content",
            )
        return manifest

    def _put_manifest(self, call: _Call, manifest: Manifest) -> Digest:
        url = call.repository.url(f"manifests/{call.repository.reference.tag or manifest.digest}")
        headers = {"Content-Type": manifest.media_type}
        with self._send(call, "PUT", url, expect=_CREATED, headers=headers, body=manifest.content) as response:
            stored = answers.announced_digest(response)
        if stored not in {None, manifest.digest}:
            raise DigestMismatchError(f"{call.operation}: the registry stored {stored} instead of {manifest.digest}")
        return manifest.digest

    def _tags(self, call: _Call, url: str) -> Page:
        with self._send(call, "GET", url, expect=(200, 404)) as response:
            return read_page(response, call.operation)

    def _has_blob(self, call: _Call, digest: Digest) -> bool:
        with self._send(call, "HEAD", call.repository.url(f"blobs/{digest}"), expect=(200, 404)) as response:
            return response.status == HTTPStatus.OK

    def _open_blob(self, call: _Call, digest: Digest, offset: int) -> HttpResponse:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        expect = (200, 206) if offset else (200,)
        response = self._send(call, "GET", call.repository.url(f"blobs/{digest}"), expect=expect, headers=headers)
        if offset and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            with response:
                raise RegistryError(
                    f"{call.operation}: the connection was lost after {offset} bytes, and "
                    f"{response.request.host} cannot continue there",
                    hint="try again",
                )
        return response

    def _upload(self, call: _Call, digest: Digest, body: StreamedBody) -> None:
        with self._send(call, "POST", call.repository.url("blobs/uploads/"), expect=(201, 202), body=b"") as response:
            location = upload_location(response, call.operation)
        url = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        # One PUT with all of it: ECR keeps only the first PATCH of a chunked upload.
        headers = {"Content-Type": "application/octet-stream"}
        with self._send(call, "PUT", url, expect=_CREATED, headers=headers, body=body):
            pass

    def _mount(self, call: _Call, digest: Digest) -> bool:
        query = urlencode({"mount": digest, "from": f"{call.repository.prefix}{call.source_repository}"})
        url = call.repository.url(f"blobs/uploads/?{query}")
        with self._send(call, "POST", url, expect=(201, 202), body=b"") as response:
            if response.status == HTTPStatus.CREATED:
                return True
            location = upload_location(response, call.operation)
        try:
            self._send(call, "DELETE", location, expect=(200, 202, 204, 404)).close()
        except RegistryError as error:
            logger.debug("an upload that is not needed stays open: %s", error.message)
        return False

    def _remove_tag(self, call: _Call, tag: str) -> bool:
        url = call.repository.url(f"manifests/{tag}")
        with self._send(call, "DELETE", url, expect=(200, 202, 204, 400, 404, 405)) as response:
            return response.status not in {400, 405}
