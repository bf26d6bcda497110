"""A package index on a free port of the loopback interface, which may want a password."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

LOGIN = ("me", "p@ss:word")


@dataclass
class PackageIndex:
    """A running index."""

    folder: Path
    """Its files."""
    port: int
    address: str = "127.0.0.1"
    scheme: str = "http"
    login: tuple[str, str] = LOGIN
    path: str = ""
    """What stands before all of its paths."""
    has_login: bool = False
    has_hashes: bool = True
    yanked: set[str] = field(default_factory=set)
    """Names of files."""
    requires_python: dict[str, str] = field(default_factory=dict)
    """How names of files begin → the specifier that the index has for them."""
    cut_after: int | None = None
    """Bytes after which the next file breaks off; once."""
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""

    @property
    def host(self):
        return f"{self.address}:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.host}{self.path}/simple"

    @property
    def url_with_login(self):
        login = f"{quote(self.login[0])}:{quote(self.login[1], safe='')}"
        return self.url.replace("://", f"://{login}@")

    @property
    def links(self):
        """One page of all files."""
        return f"{self.scheme}://{self.host}/links.html"

    def page(self, prefix):
        return "".join(map(self._link, sorted(path for path in self.folder.iterdir() if path.name.startswith(prefix))))

    def _link(self, path):
        fragment = f"#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}" if self.has_hashes else ""
        yanked = ' data-yanked="broken"' if path.name in self.yanked else ""
        pythons = [spec for start, spec in self.requires_python.items() if path.name.startswith(start)]
        python = "".join(f' data-requires-python="{escape(spec)}"' for spec in pythons)
        return f'<a href="/files/{quote(path.name)}{fragment}"{yanked}{python}>{path.name}</a>\n'


def _handler(index):  # noqa: C901
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            index.asked.append(self.path)
            login = base64.b64encode(":".join(index.login).encode()).decode()
            if index.has_login and self.headers.get("Authorization") != f"Basic {login}":
                self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="index"'})
                return
            parts = unquote(self.path.removeprefix(index.path)).strip("/").split("/")
            if parts[0] == "links.html":
                self._answer(200, index.page("").encode(), {"Content-Type": "text/html"})
            elif parts[0] == "simple":
                page = index.page(parts[1].replace("-", "_") + "-")
                self._answer(200 if page else 404, page.encode(), {"Content-Type": "text/html"})
            else:
                self._file(index.folder / parts[1])

        def _file(self, path):
            if not path.is_file():
                self._answer(404, b"")
                return
            content, wanted = path.read_bytes(), self.headers.get("Range", "")
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            if not start:
                self._answer(200, content, {"Accept-Ranges": "bytes"})
                return
            last = int(end) if end else len(content) - 1
            span = {"Content-Range": f"bytes {start}-{last}/{len(content)}", "Accept-Ranges": "bytes"}
            self._answer(206, content[int(start) : last + 1], span)

        def _answer(self, status, content, headers=None):
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if index.cut_after is not None and self.path.startswith("/files/"):
                self.wfile.write(content[: index.cut_after])
                index.cut_after, self.close_connection = None, True
                return
            self.wfile.write(content)

        def log_message(self, format, *args):  # noqa: A002
            pass

    return Handler


@contextmanager
def running_index(folder, *, address="127.0.0.1", certificate=None, **options):
    """Serve the files of ``folder``.

    Args:
        folder: Of wheels.
        address: Of this machine.
        certificate: PEM file with a key, for TLS.
        options: Fields of :class:`PackageIndex`.
    """
    folder.mkdir(exist_ok=True)
    index = PackageIndex(folder=folder, port=0, address=address, scheme="https" if certificate else "http", **options)
    server = ThreadingHTTPServer((address, 0), _handler(index))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    index.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
