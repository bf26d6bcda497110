"""One HTTP request → one streamed answer; redirects, authentication and retries are decided above."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from sagemaker_custom._version import __version__
from sagemaker_custom.errors import RegistryError, RegistryUnavailableError

if TYPE_CHECKING:
    from typing_extensions import Self

CHUNK_SIZE = 256 * 1024
"""Bytes that are in memory at a time while a blob streams."""


_MOST_DIGITS = 18
"""Of a size in bytes: more are no size, and Python does not read thousands of them."""

_POOL_SIZE = 32
"""Idle connections that are kept for a host: whoever mirrors has two for each blob that is on its way."""


class StreamedBody(Protocol):
    """A request body of known size that can be sent again: every iteration starts at its first byte."""

    @property
    def size(self) -> int:
        """Bytes that an iteration yields."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in chunks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """What is sent; only the method is in ``repr``, since signed URLs and headers are secrets."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | StreamedBody | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """Scheme, host and path: what may be shown of the URL."""
        return self.url.partition("?")[0]

    @property
    def host(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc


class HttpResponse:
    """An answer whose body has not been read yet; use as a context manager.

    Args:
        request: What it answers.
        status: HTTP status code.
        headers: Looked up without regard to case.
        chunks: The body, as it comes from the connection.
        close: Gives the connection back.
    """

    def __init__(
        self,
        *,
        request: HttpRequest,
        status: int,
        headers: Mapping[str, str],
        chunks: Iterator[bytes],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.request = request
        self.status = status
        self.headers: Mapping[str, str] = CaseInsensitiveDict(headers)
        self.close = close
        self._chunks = chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def length(self) -> int | None:
        """Bytes that the body has by its header; ``None`` where it is unknown or there is no body."""
        text = self.headers.get("Content-Length", "")
        is_number = text.isdecimal() and len(text) <= _MOST_DIGITS
        return int(text) if is_number and self.request.method != "HEAD" else None

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield the body.

        Raises:
            RegistryUnavailableError: The connection was lost before its end.
        """
        received = 0
        for chunk in self._chunks:
            received += len(chunk)
            yield chunk
        # urllib3 1.x takes a connection that closes early for the end of the body.
        if self.length is not None and received < self.length:
            raise RegistryUnavailableError(
                f"{self.request.host} closed the connection after {received} of {self.length} bytes"
            )

    def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            RegistryError: It is larger than ``limit`` bytes.
            RegistryUnavailableError: The connection was lost before its end.
        """
        content = bytearray()
        for chunk in self.iter_bytes():
            content += chunk
            if len(content) > limit:
                raise RegistryError(f"{self.request.where} answered with more than {limit} bytes")
        return bytes(content)


class Transport(Protocol):
    """The one seam through which the client reaches a network."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send ``request`` once, as it is, and return the answer, whatever its status; follow no redirect.

        Raises:
            RegistryUnavailableError: No answer; trying again may help.
            RegistryError: The request cannot be sent; trying again does not help.
        """


class _NoAuth(requests.auth.AuthBase):
    """Keeps requests from adding what ``~/.netrc`` has for a host, also for the host of a redirect."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _SizedIterable:
    """What makes requests stream with Content-Length instead of chunked, which ECR does not take."""

    def __init__(self, body: StreamedBody) -> None:
        self.len = body.size
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)


class RequestsTransport:
    """HTTP by :mod:`requests`; safe to share between threads. Proxies come from the environment, as everywhere.

    Args:
        ca_bundle: PEM file of the authorities to trust; ``None`` trusts those of requests.
        timeout_s: Seconds without a byte after which a request is given up.
    """

    def __init__(self, *, ca_bundle: str | None = None, timeout_s: float = 60.0) -> None:
        self._verify: str | bool = ca_bundle or True
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.headers.clear()
        self._session.auth = _NoAuth()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=_POOL_SIZE))
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept open for further requests."""
        self._session.close()

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send ``request``; see :meth:`Transport.send`."""
        answer = self._sent(request)
        return HttpResponse(
            request=request,
            status=answer.status_code,
            headers=answer.headers,
            chunks=_chunks(answer, request),
            close=lambda: _give_back(answer, request),
        )

    def _sent(self, request: HttpRequest) -> requests.Response:
        # Causes are dropped (`from None`): requests writes whole URLs into its messages, signatures included.
        try:
            return self._session.request(
                request.method,
                request.url,
                headers={
                    "User-Agent": f"sagemaker-custom/{__version__}",
                    "Accept-Encoding": "identity",
                    **request.headers,
                },
                data=_data(request.body),
                timeout=self._timeout_s,
                verify=self._verify,
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise _tls_problem(error, request) from None
        except requests.exceptions.Timeout:
            raise RegistryUnavailableError(
                f"{request.host} did not answer within {self._timeout_s:g} s",
                hint="check the network, or raise the setting registry_timeout_s",
            ) from None
        except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _lost(error, request) from None
        except (OSError, ValueError) as error:
            # urllib3's own error for a host that is none, which requests lets out, is a ValueError.
            raise RegistryError(f"{request.where} cannot be asked: {type(error).__name__}") from None


def _data(body: bytes | StreamedBody | None) -> bytes | _SizedIterable | None:
    if body is None or isinstance(body, bytes):
        return body
    # requests would send a stream of no bytes chunked.
    return _SizedIterable(body) if body.size else b""


def _chunks(answer: requests.Response, request: HttpRequest) -> Iterator[bytes]:
    try:
        # Undecoded: what storage marks as Content-Encoding: gzip is the blob itself, and hashes as such.
        yield from answer.raw.stream(CHUNK_SIZE, decode_content=False)
    except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise _lost(error, request) from None


def _give_back(answer: requests.Response, request: HttpRequest) -> None:
    if request.method == "HEAD" or answer.headers.get("Content-Length") == "0":
        # Only a body that was read, even if it is empty, leaves the connection fit for the next request.
        answer.raw.read()
    answer.close()


def _root(error: BaseException) -> BaseException:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def _lost(error: BaseException, request: HttpRequest) -> RegistryUnavailableError:
    root = _root(error)
    return RegistryUnavailableError(
        f"the connection to {request.host} failed: {type(root).__name__}: {root}",
        hint="check the network, the proxy settings and the name of the registry",
    )


def _tls_problem(error: BaseException, request: HttpRequest) -> RegistryError:
    root = _root(error)
    if isinstance(root, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _lost(error, request)
    return RegistryError(
        f"no trusted TLS connection to {request.host}: {root}",
        hint="set ca_bundle to the PEM file of the authority that signed the registry's certificate; "
        "for a registry without TLS, give it an http:// address in registry_endpoints",
    )
