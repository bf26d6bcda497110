"""A URL → the bytes behind it, from where they are wanted; the only place of this package that speaks HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import requests
import urllib3

from sagemaker_custom._version import __version__
from sagemaker_custom.errors import BuildError
from sagemaker_custom.spec import redacted
from sagemaker_custom.wheels.sources import Sources

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadInterruptedError(BuildError):
    """The connection broke, or the server asked for patience: it may work the next time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """An open file."""

    start: int
    """Where in the file the chunks begin: what was asked for, or 0 where the server cannot do that."""
    chunks: Iterator[bytes]


class Download(Protocol):
    """Gets files."""

    def open(self, url: str, *, start: int = 0) -> AbstractContextManager[Content]:
        """Open a file.

        Args:
            url: ``https:``, ``http:`` or ``file:``, without credentials.
            start: How many bytes are there already.

        Raises:
            DownloadInterruptedError: Another try may help; also while chunks are read.
            BuildError: It may not.
        """


class HttpDownload:
    """Gets files from indexes and from this machine.

    Args:
        sources: Have the credentials of hosts; a netrc file is looked into besides.
        ca_bundle: PEM file that is trusted.
    """

    def __init__(self, sources: Sources, *, ca_bundle: str | None = None) -> None:
        self._sources = sources
        self._ca_bundle = ca_bundle

    @contextmanager
    def open(self, url: str, *, start: int = 0) -> Iterator[Content]:
        """Open a file; see :meth:`Download.open`."""
        if urlsplit(url).scheme == "file":
            with self._local(url, start) as content:
                yield content
            return
        try:
            with requests.Session() as session, self._get(session, url, start) as response:
                _check(response, url)
                yield Content(
                    start=start if response.status_code == requests.codes.partial_content else 0,
                    chunks=response.raw.stream(_CHUNK_BYTES, decode_content=False),
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _interrupted(url, error) from error

    def _get(self, session: requests.Session, url: str, start: int) -> requests.Response:
        login = self._sources.login_for(url)
        parts = urlsplit(url)
        headers = {"User-Agent": f"sagemaker-custom/{__version__}", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        is_trusted = {parts.netloc, parts.hostname} & set(self._sources.trusted_hosts)
        return session.get(
            url,
            headers=headers,
            auth=(login.username, login.password) if login else None,
            stream=True,
            timeout=_TIMEOUT_S,
            verify=False if is_trusted else self._ca_bundle or True,
        )

    @staticmethod
    @contextmanager
    def _local(url: str, start: int) -> Iterator[Content]:
        path = Path(url2pathname(urlsplit(url).path))
        try:
            file = path.open("rb")
        except OSError as error:
            raise BuildError(
                f"the wheel {path} cannot be read: {error.strerror}",
                hint="put it back, or resolve again on this machine: a lock names files where they were",
            ) from error
        with file:
            file.seek(start)
            yield Content(start=start, chunks=iter(lambda: file.read(_CHUNK_BYTES), b""))


def _check(response: requests.Response, url: str) -> None:
    status, where = response.status_code, redacted(url)
    if status in (requests.codes.ok, requests.codes.partial_content):
        return
    if status in _MAY_PASS:
        raise DownloadInterruptedError(
            f"{where} answers {status}", hint="try again later: what is there already is kept"
        )
    host = urlsplit(url).hostname
    if status in (requests.codes.unauthorized, requests.codes.forbidden):
        raise BuildError(
            f"{host} refuses {unquote(where)}: {status}",
            hint="put the credentials into the setting pip_index_url, pip's configuration or a netrc file",
        )
    raise BuildError(f"{host} does not have {unquote(where)}: {status}", hint="resolve again: it may have been removed")


def _interrupted(url: str, error: Exception) -> DownloadInterruptedError:
    return DownloadInterruptedError(
        f"{redacted(url)} could not be downloaded: {type(error).__name__}",
        hint="check the network, and ca_bundle where a proxy opens TLS; then try again",
    )
