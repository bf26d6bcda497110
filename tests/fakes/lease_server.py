"""A small S3 over HTTP for leases: whole objects, conditional writes that are atomic, and refusals on demand.

moto's conditions are checked and met in two steps, between which another of its threads may write.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LeaseServer(ThreadingHTTPServer):
    """Every bucket exists; ``refusal`` is a status and an S3 error code that every request gets."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        self.objects = {}
        self.asked = Counter()
        self.refusal = None
        self.is_silent = False
        self.closed = threading.Event()
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self):
        """Return what leads boto here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIASANDBOXSANDBOX00",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
        }

    def handle_error(self, request, client_address):
        """Keep quiet about clients that are killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LeaseServer

    def do_GET(self):
        if self._refused():
            return
        found = self.server.objects.get(self.path)
        if found is None:
            self._error(404, "NoSuchKey")
        else:
            self._answer(200, found[0], found[1])

    def do_PUT(self):
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._refused():
            return
        with self.server.lock:
            found = self.server.objects.get(self.path)
            wanted = self.headers.get("If-Match")
            if self.headers.get("If-None-Match") == "*" and found:
                self._error(412, "PreconditionFailed")
            elif wanted and not found:
                self._error(404, "NoSuchKey")
            elif wanted and found[1] != wanted:
                self._error(412, "PreconditionFailed")
            else:
                etag = f'"{next(self.server.numbers):032x}"'
                self.server.objects[self.path] = (content, etag)
                self._answer(200, b"", etag)

    def _refused(self):
        self.server.asked[self.command] += 1
        if self.server.is_silent:
            self.server.closed.wait()
        if self.server.refusal:
            self._error(*self.server.refusal)
        return bool(self.server.refusal)

    def _error(self, status, code):
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode(), None)

    def _answer(self, status, content, etag):
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Say nothing."""


@contextmanager
def lease_server():
    """Run one."""
    server = LeaseServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.closed.set()
        server.shutdown()
        thread.join()
        server.server_close()
