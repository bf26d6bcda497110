"""An answer that is not the wanted one → the error that says so, and proof that a 404 is a registry's."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from sagemaker_custom.errors import (
    DigestMismatchError,
    InvalidReferenceError,
    RegistryAccessDeniedError,
    RegistryError,
    TagConflictError,
)
from sagemaker_custom.reference import Digest, ImageReference, parse_digest
from sagemaker_custom.registry.retries import RetryLaterError, retry_after
from sagemaker_custom.registry.transport import HttpResponse

# Codes of the OCI distribution specification that decide something here.
BLOB_UNKNOWN = "BLOB_UNKNOWN"
DIGEST_INVALID = "DIGEST_INVALID"
MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
NAME_UNKNOWN = "NAME_UNKNOWN"
TAG_INVALID = "TAG_INVALID"
TOO_MANY_REQUESTS = "TOOMANYREQUESTS"

_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LATER = frozenset({408, 429, 500, 502, 503, 504})
_CONFLICT = frozenset({409, 412})
_ERROR_LIMIT = 64 * 1024
_SHOWN = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """A kind of request: how messages call it and what it takes."""

    text: str
    """Follows "cannot", for example ``push``."""
    actions: str
    """Of a bearer token's scope, for example ``pull,push``."""
    iam: tuple[str, ...]
    """Actions that Amazon ECR asks the caller's policy for."""


LOOK_UP = Verb(text="look up", actions="pull", iam=("ecr:BatchGetImage",))
LIST_TAGS = Verb(text="list the tags of", actions="pull", iam=("ecr:ListImages",))
LOOK_UP_BLOB = Verb(text="look up", actions="pull", iam=("ecr:BatchCheckLayerAvailability",))
READ_BLOB = Verb(text="read", actions="pull", iam=("ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"))
UPLOAD_BLOB = Verb(
    text="upload",
    actions="pull,push",
    iam=(
        "ecr:BatchCheckLayerAvailability",
        "ecr:InitiateLayerUpload",
        "ecr:UploadLayerPart",
        "ecr:CompleteLayerUpload",
    ),
)
MOUNT_BLOB = Verb(text="mount", actions="pull,push", iam=(*UPLOAD_BLOB.iam, "ecr:GetDownloadUrlForLayer"))
PUSH = Verb(text="push", actions="pull,push", iam=("ecr:PutImage",))
REMOVE = Verb(text="remove", actions="pull,push", iam=("ecr:BatchDeleteImage",))


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One verb on one thing, for messages."""

    verb: Verb
    subject: str
    """The reference, with the digest of the blob where there is one."""
    reference: ImageReference

    def __str__(self) -> str:
        return f"cannot {self.verb.text} {self.subject}"


class _Error(BaseModel):
    code: str = ""
    message: str | None = None


class _Errors(BaseModel):
    errors: list[_Error]


def problem(response: HttpResponse, operation: Operation) -> RegistryError:
    """Return the error for an answer with an unwanted status; reads its body."""
    errors = _read_errors(response) or ()
    message = f"{operation}: {response.request.host} answered {response.status}{_shown(errors)}"
    codes = {error.code for error in errors}
    if response.status in _DENIED:
        return RegistryAccessDeniedError(message, hint=_access_hint(operation))
    if response.status in _LATER or TOO_MANY_REQUESTS in codes:
        return RetryLaterError(message, hint="try again later", delay_s=retry_after(response.headers))
    if DIGEST_INVALID in codes:
        return DigestMismatchError(message, hint="the content changed while it was read or sent; try again")
    if _is_tag_conflict(response.status, errors):
        return TagConflictError(message, hint="tags of this repository are immutable; push under another tag")
    return RegistryError(message, hint=_hint(response.status, codes, operation))


def require_absence(response: HttpResponse, operation: Operation) -> None:
    """Accept a 404 only from a registry: any web server that is reached by mistake says 404 as well.

    Raises:
        RegistryError: Nothing in the answer shows that a registry gave it.
    """
    if "Docker-Distribution-Api-Version" in response.headers or _read_errors(response) is not None:
        return
    parts = urlsplit(response.request.url)
    raise RegistryError(
        f"{operation}: {parts.scheme}://{parts.netloc} answered 404, but not as a registry does",
        hint="check the name of the registry, the setting registry_endpoints and the proxy",
    )


def says_absent(response: HttpResponse) -> bool:
    """Tell whether a 404 to HEAD, which has no body, is known to come from a registry."""
    return "Docker-Distribution-Api-Version" in response.headers


def announced_digest(response: HttpResponse) -> Digest | None:
    """Return the digest that the registry says it answers with; ``None`` where it says none that can be read."""
    try:
        return parse_digest(response.headers.get("Docker-Content-Digest", ""))
    except InvalidReferenceError:
        return None


def _read_errors(response: HttpResponse) -> tuple[_Error, ...] | None:
    if response.request.method == "HEAD":
        return None
    try:
        return tuple(_Errors.model_validate_json(response.read(_ERROR_LIMIT)).errors)
    except (ValidationError, RegistryError):
        # The status has arrived and counts for more than a body that has not, or that nobody understands.
        return None


def _shown(errors: tuple[_Error, ...]) -> str:
    text = "; ".join(": ".join(filter(None, (error.code, error.message))) for error in errors)
    printable = "".join(letter if letter.isprintable() else " " for letter in text)[:_SHOWN]
    return f" ({printable})" if printable else ""


def _is_tag_conflict(status: int, errors: tuple[_Error, ...]) -> bool:
    # The specification has no code for it: ECR says TAG_INVALID, Harbor 412, others 409.
    messages = " ".join(error.message or "" for error in errors).lower()
    tag_invalid = any(error.code == TAG_INVALID for error in errors)
    return status in _CONFLICT or "immutable" in messages or (tag_invalid and "already exists" in messages)


def _access_hint(operation: Operation) -> str:
    actions = ", ".join(operation.verb.iam)
    host = operation.reference.registry
    if operation.reference.ecr:
        return f"allow {actions} on the repository, and ecr:GetAuthorizationToken, to the caller"
    return f"run 'docker login {host}' as someone who may do it; on Amazon ECR it takes {actions}"


def _hint(status: int, codes: set[str], operation: Operation) -> str | None:
    if NAME_UNKNOWN in codes:
        return f"create the repository {operation.reference.name} first"
    if codes & {BLOB_UNKNOWN, MANIFEST_BLOB_UNKNOWN}:
        return "the registry does not have all layers of the image; push it again"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return "a proxy or the registry limits the size of uploads; raise that limit"
    return None
