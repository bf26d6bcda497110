"""A proxy on loopback before a real registry, which breaks a share of the requests in ways that networks do."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_CHUNK = 128 * 1024
_HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to a registry; which requests fail, and how, follows from the seed and their order.

    Args:
        upstream: ``host:port`` of the registry.
        seed: Of the faults.
        share: Of requests that fail.
        kinds: ``cut`` (the connection ends in the middle), ``500``, ``429`` (with ``Retry-After: 0``), ``wrong``
            (another byte in a blob that is read).
        in_a_row: How many requests of one method to one path may fail before one has to pass.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream, *, seed, share, kinds=("cut", "500", "429"), in_a_row=3):
        self.upstream = upstream
        self.happened = Counter()
        self._chance = random.Random(seed)
        self._share = share
        self._kinds = kinds
        self._in_a_row = in_a_row
        self._failed = defaultdict(int)
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def fault(self, method, path):
        """Choose what happens to a request; ``None`` lets it pass."""
        key = method, path.partition("?")[0]
        with self._lock:
            kinds = [kind for kind in self._kinds if kind != "wrong" or (method == "GET" and "/blobs/" in path)]
            if not kinds or self._failed[key] >= self._in_a_row or self._chance.random() >= self._share:
                self._failed[key] = 0
                return None
            self._failed[key] += 1
            kind = self._chance.choice(kinds)
            self.happened[kind] += 1
            return kind

    def somewhere(self, length):
        """Choose a byte of ``length`` bytes."""
        with self._lock:
            return self._chance.randrange(max(length, 1))

    def handle_error(self, request, client_address):
        """Keep quiet about clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def handle_one(self):
        fault = self.server.fault(self.command, self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if fault in {"500", "429"}:
            self._refuse(int(fault), length)
        elif fault == "cut" and length:
            # Some of the body is read, so that the client is in the middle of sending it.
            self._read(self.server.somewhere(length))
            self._hang_up()
        else:
            self._forward(length, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

    def log_message(self, *arguments):
        """Say nothing."""

    def _refuse(self, status, length):
        self._read(length)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _read(self, length):
        while length > 0:
            chunk = self.rfile.read(min(_CHUNK, length))
            if not chunk:
                return
            length -= len(chunk)

    def _hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _forward(self, length, fault):
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            # The registry makes its addresses of the Host that the client has asked for.
            upstream.request(self.command, self.path, body=self._body(length) if length else None, headers=self._sent())
            self._answer(upstream.getresponse(), fault)
        finally:
            upstream.close()

    def _sent(self):
        return {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}

    def _body(self, length):
        while length > 0:
            chunk = self.rfile.read(min(_CHUNK, length))
            if not chunk:
                return
            length -= len(chunk)
            yield chunk

    def _answer(self, answer, fault):
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP_BY_HOP, "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        length = int(answer.getheader("Content-Length") or 0)
        spot = self.server.somewhere(length) if fault else None
        position = 0
        while chunk := answer.read(_CHUNK):
            if fault == "cut" and position + len(chunk) > spot:
                self.wfile.write(chunk[: spot - position])
                self._hang_up()
                return
            if fault == "wrong" and position <= spot < position + len(chunk):
                chunk = bytearray(chunk)
                chunk[spot - position] ^= 1
            self.wfile.write(chunk)
            position += len(chunk)
        if fault == "cut":
            self._hang_up()


@contextmanager
def faulty(upstream, **faults) -> Iterator[FaultyProxy]:
    """Run a proxy before ``upstream``; see :class:`FaultyProxy`."""
    proxy = FaultyProxy(upstream, **faults)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
