"""One request to a repository → one answer with a wanted status: authenticated, and redirected where that is safe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit, urlunsplit

from sagemaker_custom.errors import InvalidReferenceError, RegistryError
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry.answers import Operation, Verb, problem
from sagemaker_custom.registry.auth import Access, Authorizer
from sagemaker_custom.registry.transport import HttpRequest, HttpResponse, Transport

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """Where a repository is reached."""

    reference: ImageReference
    origin: str
    """Scheme, host and port."""
    prefix: str
    """Path before the repository's name, with a slash at its end, or empty."""
    credentials_host: str
    """Whose credentials go there."""

    @classmethod
    def at(cls, reference: ImageReference, endpoint: str) -> Repository:
        """Combine a reference with the address at which its registry is reached.

        Args:
            reference: Of anything in the repository.
            endpoint: ``https://host[:port][/path prefix]``, or the same with ``http``.

        Raises:
            InvalidReferenceError: ``reference`` names no registry.
        """
        parts = urlsplit(endpoint)
        prefix = parts.path.strip("/")
        return cls(
            reference=reference,
            origin=f"{parts.scheme}://{parts.netloc}",
            prefix=f"{prefix}/" if prefix else "",
            # Never those of the host that the reference names: an ECR token is not for a proxy to see.
            credentials_host=parts.netloc,
        )

    def url(self, path: str) -> str:
        """Return the URL of ``path``, for example ``manifests/1.0``, in this repository."""
        return f"{self.origin}/v2/{self.prefix}{self.reference.repository}/{path}"

    def access(self, verb: Verb, *, source_repository: str | None = None) -> Access:
        """Return what a token for ``verb`` has to allow; ``source_repository`` is one to mount from."""
        scopes = [f"repository:{self.prefix}{self.reference.repository}:{verb.actions}"]
        if source_repository:
            scopes.append(f"repository:{self.prefix}{source_repository}:pull")
        return Access(origin=self.origin, credentials_host=self.credentials_host, scopes=tuple(scopes))


def registry_of(reference: ImageReference) -> str:
    """Return the host in ``reference``.

    Raises:
        InvalidReferenceError: It has none.
    """
    if reference.registry is None:
        raise InvalidReferenceError(f"{reference} names no registry", hint="write host/repository:tag")
    return reference.registry


class Exchange:
    """Sends requests; what it raises says whether trying again makes sense."""

    def __init__(self, *, transport: Transport, authorizer: Authorizer) -> None:
        self._transport = transport
        self._authorizer = authorizer

    def send(
        self, request: HttpRequest, access: Access, operation: Operation, *, expect: Collection[int]
    ) -> HttpResponse:
        """Send ``request``; the caller closes the answer.

        Args:
            request: Without ``Authorization``.
            access: What it needs to be allowed to do.
            operation: What error messages call it.
            expect: Statuses that are answers; every other one is an error.

        Raises:
            RegistryAccessDeniedError: Refused, also after a new login.
            RegistryUnavailableError: No answer, or one that says "later".
            RegistryError: Any other unwanted answer.
        """
        response = self._authorized(request, access, operation)
        if request.method in {"GET", "HEAD"}:
            response = self._redirected(response, access, operation)
        if response.status in expect:
            return response
        with response:
            raise problem(response, operation)

    def _authorized(self, request: HttpRequest, access: Access, operation: Operation) -> HttpResponse:
        if origin_of(request.url) != access.origin:
            return self._transport.send(request)
        response = self._transport.send(_with_header(request, self._authorizer.header(access)))
        if response.status not in {401, 403}:
            return response
        try:
            header = self._authorizer.meet(access, response, operation)
        except BaseException:
            response.close()
            raise
        if header is None:
            return response
        response.close()
        return self._transport.send(_with_header(request, header))

    def _redirected(self, response: HttpResponse, access: Access, operation: Operation) -> HttpResponse:
        for _ in range(_MAX_REDIRECTS):
            if response.status not in _REDIRECTS:
                return response
            with response:
                target = _target(response, operation)
                request = replace(response.request, url=target, headers=_without_authorization(response.request))
            response = self._authorized(request, access, operation)
        with response:
            raise RegistryError(f"{operation}: redirected more than {_MAX_REDIRECTS} times")


def upload_location(response: HttpResponse, operation: Operation) -> str:
    """Return where the content of an upload goes, after the registry opened one.

    Raises:
        RegistryError: The registry names no place, or one without TLS at another host.
    """
    url = _joined(response, operation)
    here, there = urlsplit(response.request.url), urlsplit(url)
    if here.scheme == "https" and there.scheme == "http" and there.netloc == here.netloc:
        # A registry behind a proxy that ends TLS does not know that it is reached by https.
        return urlunsplit(there._replace(scheme="https"))
    if origin_of(url) != origin_of(response.request.url) and there.scheme != "https":
        raise RegistryError(
            f"{operation}: {here.netloc} sends the upload to {there.scheme}://{there.netloc}, which is refused",
            hint="the registry has to know its own public address; check its configuration",
        )
    return url


def origin_of(url: str) -> str:
    """Return scheme, host and port of ``url``."""
    return "://".join(urlsplit(url)[:2])


def _target(response: HttpResponse, operation: Operation) -> str:
    url = _joined(response, operation)
    if response.request.url.startswith("https://") and not url.startswith("https://"):
        raise RegistryError(
            f"{operation}: {response.request.host} redirects from https to {origin_of(url)}, which is refused",
            hint="check the configuration of the registry",
        )
    return url


def _joined(response: HttpResponse, operation: Operation) -> str:
    location = response.headers.get("Location", "")
    try:
        url = urljoin(response.request.url, location)
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if not location or parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RegistryError(
            f"{operation}: {response.request.host} answered {response.status} without a usable Location"
        )
    return url


def _with_header(request: HttpRequest, header: str | None) -> HttpRequest:
    return replace(request, headers={**request.headers, "Authorization": header}) if header else request


def _without_authorization(request: HttpRequest) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name != "Authorization"}
