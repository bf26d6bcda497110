"""A proxy on loopback before a real server, which breaks a share of the requests in ways that networks do."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

NETWORK_FAULTS = ("cut", "truncated", "lost", "500", "503", "429")
"""What a client gets over by trying again:

``cut``        the connection is reset in the middle of the body, of the answer or of an upload
``truncated``  the same, but closed in good order, as if the body ended there
``lost``       the registry does what it is asked, and its answer gets lost
``500``        instead of an answer, after the whole request was read
``503``        the same, but said at once and without reading an upload
``429``        with ``Retry-After`` of 0 or 1
"""
TRANSIENT_FAULTS = (*NETWORK_FAULTS, "502", "trickle")
"""The same, and:

``502``      with a page of HTML, which is no answer of the server behind
``trickle``  the answer comes in eight pieces, some milliseconds apart
"""
WRONG_BYTES = "wrong"
"""Another bit in the content of a blob that is read or uploaded."""
DAMAGE = (WRONG_BYTES, "manifest", "short", "digest")
"""What no retry on the level of HTTP sees:

``wrong``     as above
``manifest``  another bit in a manifest that is read or put
``short``     a blob without its end, and a Content-Length that fits
``digest``    another ``Docker-Content-Digest`` than that of the content
"""
SILENCE = "silent"
"""No byte for :attr:`FaultyProxy.silence_s`, then the end of the connection."""
REFUSALS = ("401", "403")
S3_ANSWERS = {
    "SlowDown": 503,
    "InternalError": 500,
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "PermanentRedirect": 301,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
}
"""Faults that S3 has, and their statuses."""

_CHUNK = 128 * 1024
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive", "expect"}
_SESSION = re.compile(r"/blobs/uploads/[^/?]+")
_DIGEST = re.compile(r"[?&]digest=sha256(?::|%3A)([0-9a-f]{64})")
_STATUS = re.compile(r"\d{3}")
_TOKEN_PATH = "/token"
# More than what the other threads of a client can ask for while one has a new token and did not use it yet.
_TOKEN_LASTS = (20, 40)
_PIECES = 8


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to a server; which requests fail, and how, follows from the seed alone.

    That is, from the seed, the request and how often it was made before; not from the order of unlike requests, which
    is another one each time when several threads make them.

    Args:
        upstream: ``host:port`` of the registry.
        seed: Of the faults.
        share: Of requests that fail.
        kinds: Of the faults; of those above, or ``stall``: the answer, or the upload, stops halfway until the proxy is
            closed.
        most: How often one request fails at most; ``None`` without end. A blob takes a HEAD, a POST that all blobs of a
            repository share, and a PUT: a client that tries a blob more often than three times this always gets there.
        begins_at: The number of the request before which all goes well.
        tokens: Whether each request needs a token, which is got at a realm of the proxy's own, and expires after some
            20 to 40 requests.
        concerns: Tells by method and path which requests may fail; default: all.
    """

    silence_s = 2.0
    headers: ClassVar[dict[str, str]] = {}
    """Of answers that stand for S3's."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        upstream,
        *,
        seed,
        share,
        kinds=NETWORK_FAULTS,
        most=3,
        begins_at=0,
        tokens=False,
        concerns=lambda method, path: True,
    ):
        self.upstream = upstream
        self.happened = Counter()
        self.stalled = threading.Event()
        self.closed = threading.Event()
        self._seed = seed
        self._share = share
        self._kinds = kinds
        self._most = most
        self._begins_at = begins_at
        self._tokens = tokens
        self._concerns = concerns
        self._token_uses = Counter()
        self._made = Counter()
        self._failed = Counter()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, method, path):
        """Choose what happens to a request; ``None`` lets it pass."""
        request = f"{method} {_stable(path)}"
        with self._lock:
            if self._made.total() < self._begins_at or not self._concerns(method, path):
                self._made[request] += 1
                return None
            chance = random.Random(f"{self._seed} {request} {self._made[request]}")
            self._made[request] += 1
            kinds = [kind for kind in self._kinds if _fits(kind, method, path)]
            may_fail = kinds and (self._most is None or self._failed[request] < self._most)
            if not may_fail or chance.random() >= self._share:
                return None
            fault = _Fault(chance.choice(kinds), chance.random())
            self._failed[request] += 1
            self.happened[fault.kind] += 1
            return fault

    def new_token(self):
        """Make a token."""
        with self._lock:
            token = f"token-{len(self._token_uses)}"
            self._token_uses[token] = random.Random(f"{self._seed} {token}").randint(*_TOKEN_LASTS)
            return token

    def lets_in(self, authorization):
        """Tell whether a request has a token that is still good."""
        if not self._tokens:
            return True
        token = (authorization or "").removeprefix("Bearer ")
        with self._lock:
            if self._token_uses[token] > 0:
                self._token_uses[token] -= 1
                return True
            self.happened["expired"] += token in self._token_uses and bool(token)
            return False

    def handle_error(self, request, client_address):
        """Keep quiet about clients that hang up."""


class _Fault:
    def __init__(self, kind, part):
        self.kind = kind
        self._part = part

    def spot(self, length):
        """Choose one of ``length`` bytes."""
        return int(self._part * length)


def _stable(path):
    # A session has a random name, and its state is in the query.
    digest = _DIGEST.search(path)
    return _SESSION.sub(f"/blobs/uploads/{digest[1] if digest else ''}", path.partition("?")[0])


def _fits(kind, method, path):
    if kind in {"digest", "manifest"}:
        return "/manifests/" in path and (kind == "digest" or method in {"GET", "PUT"})
    return kind not in {WRONG_BYTES, "short", "stall"} or _has_blob(method, path)


def _has_blob(method, path):
    return (method == "GET" and "/blobs/" in path) or (method == "PUT" and "/blobs/uploads/" in path)


class _BrokenError(Exception):
    """The connection to the client is over."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body of an answer are two writes.
    disable_nagle_algorithm = True
    server: FaultyProxy

    def handle_one(self):
        fault = self.server.fault(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        try:
            if fault and fault.kind == SILENCE:
                self.server.closed.wait(self.server.silence_s)
                self._reset()
            elif fault and fault.kind in S3_ANSWERS:
                self._drop(length)
                text = f"<Error><Code>{fault.kind}</Code><Message>it is so</Message></Error>"
                self._say(S3_ANSWERS[fault.kind], text.encode(), **self.server.headers)
            elif fault and _STATUS.fullmatch(fault.kind):
                self._refuse(fault, length)
            elif self.path.partition("?")[0] == _TOKEN_PATH:
                self._say(200, json.dumps({"token": self.server.new_token()}).encode())
            elif not self.server.lets_in(self.headers.get("Authorization")):
                self._drop(length)
                challenge = f'Bearer realm="{self.server.url}{_TOKEN_PATH}",service="proxy"'
                self._say(401, b'{"errors": [{"code": "UNAUTHORIZED"}]}', **{"WWW-Authenticate": challenge})
            else:
                self._forward(fault, length)
        except _BrokenError:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

    def log_message(self, *arguments):
        """Say nothing."""

    def _refuse(self, fault, length):
        if fault.kind == "503":
            self.close_connection = length > 0
        else:
            self._drop(length)
        headers = {"Retry-After": str(fault.spot(2))} if fault.kind == "429" else {}
        self._say(int(fault.kind), b"<html>bad gateway</html>" if fault.kind == "502" else b"", **headers)

    def _drop(self, length):
        for _ in self._body(length):
            pass

    def _say(self, status, body, **headers):
        # One that comes with a Date gets no other one.
        (self.send_response_only if "Date" in headers else self.send_response)(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _forward(self, fault, length):
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = self._body(length)
        if length and fault and fault.kind == "short":
            headers["Content-Length"] = str(fault.spot(length))
            body = self._shortened(body, fault.spot(length))
            fault = None
        elif length and fault and fault.kind not in {"lost", "digest"}:
            body = self._broken(body, length, fault)
            fault = None
        try:
            # The registry makes its addresses of the Host that the client has asked for.
            upstream.request(self.command, self.path, body=body if length else None, headers=headers)
            self._answer(upstream.getresponse(), fault)
        finally:
            upstream.close()

    def _body(self, length):
        while length > 0:
            chunk = self.rfile.read(min(_CHUNK, length))
            if not chunk:
                raise _BrokenError
            length -= len(chunk)
            yield chunk

    def _answer(self, answer, fault):
        if fault and fault.kind == "lost":
            self._reset()
        chunks = iter(lambda: answer.read(_CHUNK), b"")
        length = int(answer.getheader("Content-Length") or 0) if self.command != "HEAD" else 0
        changed = {}
        if fault and fault.kind == "short":
            changed["content-length"] = str(fault.spot(length))
            chunks, fault = self._shortened(chunks, fault.spot(length)), None
        elif fault and fault.kind == "digest":
            changed["docker-content-digest"] = f"sha256:{fault.spot(16**64):064x}"
            fault = None
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP_BY_HOP, "date", "server"}:
                self.send_header(name, changed.get(name.lower(), value))
        self.end_headers()
        for chunk in self._broken(chunks, length, fault) if fault else chunks:
            self.wfile.write(chunk)

    @staticmethod
    def _shortened(chunks, length):
        # Read to the end, so that neither side is left in the middle of a request.
        for chunk in chunks:
            yield chunk[:length]
            length -= min(length, len(chunk))

    def _broken(self, chunks, length, fault):
        """Yield what comes before the fault, let it happen, and yield the rest where there is one."""
        if fault.kind == "trickle":
            yield from self._slowly(chunks)
            return
        spot, position = fault.spot(length), 0
        for chunk in chunks:
            here = spot - position
            if 0 <= here < len(chunk):
                yield chunk[:here]
                if fault.kind in {WRONG_BYTES, "manifest"}:
                    yield bytes([chunk[here] ^ 1])
                    yield chunk[here + 1 :]
                else:
                    self._end(fault)
            else:
                yield chunk
            position += len(chunk)
        if not length:
            self._end(fault)

    def _slowly(self, chunks):
        for chunk in chunks:
            size = len(chunk) // _PIECES + 1
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]
                self.server.closed.wait(0.005)

    def _end(self, fault):
        if fault.kind == "stall":
            self.server.stalled.set()
            self.server.closed.wait()
        if fault.kind == "truncated":
            self.connection.shutdown(socket.SHUT_RDWR)
            raise _BrokenError
        self._reset()

    def _reset(self):
        # A linger time of 0 makes the kernel say RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        raise _BrokenError


@contextmanager
def faulty(upstream, **faults) -> Iterator[FaultyProxy]:
    """Run a proxy before ``upstream``; see :class:`FaultyProxy`."""
    proxy = FaultyProxy(upstream, **faults)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closed.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()
