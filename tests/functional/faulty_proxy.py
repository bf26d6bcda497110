"""A proxy on loopback before a real registry, which breaks a share of the requests in ways that networks do."""

from __future__ import annotations

import http.client
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

NETWORK_FAULTS = ("cut", "truncated", "lost", "500", "503", "429")
"""What a client gets over by trying again:

``cut``        the connection is reset in the middle of the body, of the answer or of an upload
``truncated``  the same, but closed in good order, as if the body ended there
``lost``       the registry does what it is asked, and its answer gets lost
``500``        instead of an answer, after the whole request was read
``503``        the same, but said at once and without reading an upload
``429``        with ``Retry-After`` of 0 or 1
"""
WRONG_BYTES = "wrong"
"""Another bit in the content of a blob that is read or uploaded."""

_CHUNK = 128 * 1024
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}
_SESSION = re.compile(r"/blobs/uploads/[^/?]+")
_DIGEST = re.compile(r"[?&]digest=sha256(?::|%3A)([0-9a-f]{64})")


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to a registry; which requests fail, and how, follows from the seed alone.

    That is, from the seed, the request and how often it was made before; not from the order of unlike requests, which
    is another one each time when several threads make them.

    Args:
        upstream: ``host:port`` of the registry.
        seed: Of the faults.
        share: Of requests that fail.
        kinds: Of the faults; :data:`NETWORK_FAULTS`, :data:`WRONG_BYTES` or ``stall``: the answer, or the upload,
            stops halfway until the proxy is closed.
        most: How often one request fails at most; ``None`` without end. A blob takes a HEAD, a POST that all blobs of a
            repository share, and a PUT: a client that tries a blob more often than three times this always gets there.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream, *, seed, share, kinds=NETWORK_FAULTS, most=3):
        self.upstream = upstream
        self.happened = Counter()
        self.stalled = threading.Event()
        self.closed = threading.Event()
        self._seed = seed
        self._share = share
        self._kinds = kinds
        self._most = most
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
            chance = random.Random(f"{self._seed} {request} {self._made[request]}")
            self._made[request] += 1
            kinds = [kind for kind in self._kinds if kind in NETWORK_FAULTS or _has_blob(method, path)]
            may_fail = kinds and (self._most is None or self._failed[request] < self._most)
            if not may_fail or chance.random() >= self._share:
                return None
            fault = _Fault(chance.choice(kinds), chance.random())
            self._failed[request] += 1
            self.happened[fault.kind] += 1
            return fault

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


def _has_blob(method, path):
    return (method == "GET" and "/blobs/" in path) or (method == "PUT" and "/blobs/uploads/" in path)


class _BrokenError(Exception):
    """The connection to the client is over."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def handle_one(self):
        fault = self.server.fault(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        try:
            if fault and fault.kind in {"500", "503", "429"}:
                self._refuse(fault, length)
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
            for _ in self._body(length):
                pass
        self.send_response(int(fault.kind))
        if fault.kind == "429":
            self.send_header("Retry-After", str(fault.spot(2)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _forward(self, fault, length):
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = self._body(length)
        if length and fault and fault.kind != "lost":
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
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP_BY_HOP, "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        chunks = iter(lambda: answer.read(_CHUNK), b"")
        length = int(answer.getheader("Content-Length") or 0) if self.command != "HEAD" else 0
        for chunk in self._broken(chunks, length, fault) if fault else chunks:
            self.wfile.write(chunk)

    def _broken(self, chunks, length, fault):
        """Yield what comes before the fault, let it happen, and yield the rest where there is one."""
        spot, position = fault.spot(length), 0
        for chunk in chunks:
            here = spot - position
            if 0 <= here < len(chunk):
                yield chunk[:here]
                if fault.kind == WRONG_BYTES:
                    yield bytes([chunk[here] ^ 1])
                    yield chunk[here + 1 :]
                else:
                    self._end(fault)
            else:
                yield chunk
            position += len(chunk)
        if not length:
            self._end(fault)

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
