"""A registry's challenge and somebody's credentials → the ``Authorization`` header that meets it."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit
from urllib.request import parse_http_list

from pydantic import BaseModel, ValidationError

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.reference import ImageReference, RegistryCredentials
from sagemaker_custom.registry.answers import Operation, problem
from sagemaker_custom.registry.transport import HttpRequest, HttpResponse, Transport

CredentialSource = Callable[[str], RegistryCredentials | None]
"""Host of a registry, as references write it → what to log in with; ``None`` for anonymous access."""

# What `docker login` stores as user name when the password is an OAuth2 refresh token.
_IDENTITY_TOKEN = "<token>"  # noqa: S105
_CHALLENGE = re.compile(r"(?:^|,)\s*(Basic|Bearer)\b", re.IGNORECASE)
_TOKEN_LIMIT = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What one header is good for."""

    origin: str
    """Scheme, host and port of the registry."""
    credentials_host: str
    """What the credential source is asked for."""
    scopes: tuple[str, ...]
    """For example ``repository:x:pull``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Challenge:
    """One offer in ``WWW-Authenticate``."""

    scheme: str
    """Lower case: ``basic`` or ``bearer``."""
    realm: str = ""
    service: str = ""
    scope: str = ""


class _TokenAnswer(BaseModel):
    token: str | None = None
    access_token: str | None = None


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read the Basic and Bearer challenges of a ``WWW-Authenticate`` header; others are left out."""
    matches = list(_CHALLENGE.finditer(header))
    ends = [*(match.start() for match in matches), len(header)][1:]
    challenges = []
    for match, end in zip(matches, ends, strict=True):
        pairs = [item.partition("=") for item in parse_http_list(header[match.end() : end])]
        values = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
        texts = {name: values.get(name, "") for name in ("realm", "service", "scope")}
        challenges.append(Challenge(scheme=match[1].lower(), **texts))
    return tuple(challenges)


class Authorizer:
    """Keeps the headers that registries accepted, and makes new ones when they no longer do.

    Safe to share between threads: a header that several of them lack is made once, and the credential source is never
    asked by two of them at a time.
    """

    def __init__(self, *, transport: Transport, credentials: CredentialSource) -> None:
        self._transport = transport
        self._credentials = credentials
        self._headers: dict[Access, str] = {}
        self._lock = threading.Lock()

    def header(self, access: Access) -> str | None:
        """Return the header that was last good for ``access``; for ECR also one that was not tried yet."""
        known = self._headers.get(access)
        if known is not None or not _always_wants_basic(access):
            return known
        with self._lock:
            if access not in self._headers and (credentials := self._credentials(access.credentials_host)):
                self._headers[access] = _basic(credentials)
            return self._headers.get(access)

    def meet(self, access: Access, response: HttpResponse, operation: Operation) -> str | None:
        """Make a new header after a refusal; ``None`` when there is nothing else to say than what was refused.

        Raises:
            RegistryAccessDeniedError: The token server refuses the credentials.
            RegistryUnavailableError: The token server gives no answer.
            RegistryError: Its answer, or its address, cannot be used.
        """
        refused = response.request.headers.get("Authorization")
        with self._lock:
            # Another thread, refused at the same time, may have made it meanwhile.
            known = self._headers.get(access)
            if known not in {None, refused}:
                return known
            header = self._new_header(access, response, refused, operation)
            if header is None or header == refused:
                return None
            self._headers[access] = header
            return header

    def _new_header(
        self, access: Access, response: HttpResponse, refused: str | None, operation: Operation
    ) -> str | None:
        challenges = {item.scheme: item for item in parse_challenges(response.headers.get("WWW-Authenticate", ""))}
        # ECR says 403, without a challenge, to a token that has expired.
        expired = response.status == HTTPStatus.FORBIDDEN and (refused or "").startswith("Basic ")
        if response.status != HTTPStatus.UNAUTHORIZED and not expired:
            return None
        credentials = self._credentials(access.credentials_host)
        if "bearer" in challenges:
            return f"Bearer {self._token(access, challenges['bearer'], credentials, operation)}"
        return _basic(credentials) if credentials and ("basic" in challenges or expired) else None

    def _token(
        self, access: Access, challenge: Challenge, credentials: RegistryCredentials | None, operation: Operation
    ) -> str:
        _check_realm(access, challenge)
        with self._transport.send(_token_request(access, challenge, credentials)) as response:
            if response.status != HTTPStatus.OK:
                raise problem(response, operation)
            content = response.read(_TOKEN_LIMIT)
        try:
            answer = _TokenAnswer.model_validate_json(content)
        except ValidationError:
            # Without the cause, which quotes the answer.
            raise RegistryError(f"{operation}: {challenge.realm} did not answer with a token") from None
        token = answer.token or answer.access_token
        if not token:
            raise RegistryError(f"{operation}: {challenge.realm} answered without a token")
        return token


def _always_wants_basic(access: Access) -> bool:
    # Without a header ECR answers 401 to everything: asking it for its challenge first would double each first request.
    host = ImageReference(registry=access.credentials_host, repository="any")
    return access.origin == f"https://{access.credentials_host}" and host.ecr is not None


def _basic(credentials: RegistryCredentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def _check_realm(access: Access, challenge: Challenge) -> None:
    try:
        realm, origin = urlsplit(challenge.realm), urlsplit(access.origin)
        # A registry that is itself without TLS has no more to lose, to its own host.
        is_as_open = realm.scheme == origin.scheme == "http" and realm.hostname == origin.hostname
        is_safe = bool(realm.hostname) and (realm.scheme == "https" or is_as_open)
    except ValueError:
        is_safe = False
    if not is_safe:
        raise RegistryError(
            f"{access.origin} sends to {challenge.realm!r} for a token",
            hint="credentials are only sent by https; check the configuration of the registry",
        )


def _token_request(access: Access, challenge: Challenge, credentials: RegistryCredentials | None) -> HttpRequest:
    # The registry may want more than we know, for example 'delete', or another name behind a proxy.
    scopes = list(dict.fromkeys([*access.scopes, *challenge.scope.split()]))
    service = [("service", challenge.service)] if challenge.service else []
    if credentials and credentials.username == _IDENTITY_TOKEN:
        form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", credentials.password),
            ("client_id", "sagemaker-custom"),
            ("scope", " ".join(scopes)),
            *service,
        ]
        return HttpRequest(
            method="POST",
            url=challenge.realm,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
        )
    query = urlencode([*service, *(("scope", scope) for scope in scopes)])
    return HttpRequest(
        method="GET",
        url=f"{challenge.realm}{'&' if '?' in challenge.realm else '?'}{query}",
        headers={"Authorization": _basic(credentials)} if credentials else {},
    )
