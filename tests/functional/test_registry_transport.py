"""What really happens on connections: losses, time-outs, TLS, and what must not be sent."""

from __future__ import annotations

import io
import os
import ssl
import threading
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from registry_process import free_port

from sagemaker_custom.errors import RegistryError, RegistryUnavailableError
from sagemaker_custom.reference import ImageReference, RegistryCredentials, digest_of
from sagemaker_custom.registry import HttpRequest, RegistryClient, RequestsTransport

CONTENT = os.urandom(3 * 1024 * 1024)
DIGEST = digest_of(CONTENT)


class Server(ThreadingHTTPServer):
    """Runs a function for each request and remembers what arrived."""

    daemon_threads = True

    def __init__(self, respond):
        self.respond = respond
        self.arrived = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), Handler)

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        """Keep quiet about clients that hang up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one(self):
        self.server.arrived.append((self.command, self.path, dict(self.headers)))
        self.server.respond(self)

    do_GET = do_HEAD = do_PUT = do_POST = handle_one  # noqa: N815

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextmanager
def serving(respond, context=None):
    server = Server(respond)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def transport():
    with RequestsTransport(timeout_s=5) as transport:
        yield transport


def address(server, scheme="http"):
    return f"{scheme}://127.0.0.1:{server.server_port}"


def client_of(transport, url, **changes):
    arguments = {
        "transport": transport,
        "credentials": lambda host: None,
        "endpoint_for": lambda host: url,
        "sleep": lambda seconds: None,
    }
    return RegistryClient(**arguments | changes)


IMAGE = ImageReference.parse("registry.example.com/x:1")


class TestLosses:
    def test_a_download_that_is_cut_off_goes_on_where_it_ended(self, transport):
        ranges = []

        def respond(handler):
            ranges.append(handler.headers.get("Range"))
            start = int((ranges[-1] or "bytes=0-")[6:-1])
            handler.send_response(206 if start else 200)
            handler.send_header("Content-Length", str(len(CONTENT) - start))
            handler.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
            handler.end_headers()
            handler.wfile.write(CONTENT[start : start + 1_500_000])
            handler.close_connection = True

        with serving(respond) as server:
            read = b"".join(client_of(transport, address(server)).read_blob(IMAGE, DIGEST))
        assert read == CONTENT
        assert len(ranges) >= 2

    def test_an_upload_whose_connection_dies_is_sent_again_from_its_start(self, transport):
        received = []

        def respond(handler):
            if handler.command == "HEAD":
                handler.answer(404)
            elif handler.command == "POST":
                handler.answer(202, Location="/v2/x/blobs/uploads/1")
            elif not received:
                received.append(handler.rfile.read(1000))
                handler.close_connection = True
                handler.connection.close()
            else:
                received.append(handler.rfile.read(int(handler.headers["Content-Length"])))
                handler.answer(201)

        with serving(respond) as server:
            client = client_of(transport, address(server))
            assert client.upload_blob(IMAGE, DIGEST, len(CONTENT), lambda: io.BytesIO(CONTENT)) is True
            puts = [headers for method, _, headers in server.arrived if method == "PUT"]
        assert received[-1] == CONTENT
        assert all("Transfer-Encoding" not in headers for headers in puts)

    def test_a_refused_connection_is_unavailable_and_not_absent(self, transport):
        client = client_of(transport, f"http://127.0.0.1:{free_port()}", attempts=2)
        with pytest.raises(RegistryUnavailableError) as caught:
            client.find(IMAGE)
        assert "ConnectionRefusedError" in str(caught.value)
        assert "(tried 2 times)\n  -> check the network, the proxy settings" in str(caught.value)

    def test_silence_ends_after_the_timeout(self):
        done = threading.Event()
        with serving(lambda handler: done.wait(20)) as server, RequestsTransport(timeout_s=0.2) as transport:
            with pytest.raises(RegistryUnavailableError, match=r"did not answer within 0\.2 s") as caught:
                client_of(transport, address(server), attempts=1).find(IMAGE)
            done.set()
        assert "registry_timeout_s" in str(caught.value)

    def test_an_address_that_is_none_is_not_tried_again(self, transport):
        with pytest.raises(RegistryError, match="cannot be asked: InvalidURL") as caught:
            transport.send(HttpRequest(method="GET", url="http://.x./v2?signature=secret"))
        assert not isinstance(caught.value, RegistryUnavailableError)
        assert "secret" not in str(caught.value)


class TestConnections:
    def test_a_connection_is_used_for_many_requests(self, transport):
        def respond(handler):
            handler.answer(200, b"" if handler.command == "HEAD" else b"{}", Docker_Content_Digest=digest_of(b"{}"))

        with serving(respond) as server:
            client = client_of(transport, address(server))
            for _ in range(3):
                assert client.find(IMAGE) == digest_of(b"{}")
                client.manifest(IMAGE)
            assert server.connections == 1

    def test_a_redirect_is_returned_and_not_followed(self, transport):
        with serving(lambda handler: handler.answer(307, Location="/elsewhere")) as server:
            with transport.send(HttpRequest(method="GET", url=f"{address(server)}/here")) as response:
                assert response.status == 307
            assert [path for _, path, _ in server.arrived] == ["/here"]

    def test_an_empty_blob_is_sent_with_its_length(self, transport):
        def respond(handler):
            statuses = {"HEAD": 404, "POST": 202, "PUT": 201}
            handler.answer(statuses[handler.command], Location="/v2/x/blobs/uploads/1")

        with serving(respond) as server:
            client_of(transport, address(server)).upload_blob(IMAGE, digest_of(b""), 0, io.BytesIO)
        sent = [headers for method, _, headers in server.arrived if method == "PUT"]
        assert [(headers.get("Content-Length"), "Transfer-Encoding" in headers) for headers in sent] == [("0", False)]

    def test_content_that_is_marked_as_gzip_is_not_unpacked(self, transport):
        with serving(lambda handler: handler.answer(200, CONTENT, Content_Encoding="gzip")) as server:
            read = b"".join(client_of(transport, address(server)).read_blob(IMAGE, DIGEST, size=len(CONTENT)))
        assert read == CONTENT


class TestWhatIsNotSent:
    def test_netrc_and_cookies_reach_nobody(self, transport, tmp_path, monkeypatch):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password from-netrc\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        with serving(lambda handler: handler.answer(200, b"{}", Set_Cookie="session=1; Path=/")) as server:
            client = client_of(transport, address(server))
            client.manifest(IMAGE)
            client.manifest(IMAGE)
        assert len(server.arrived) == 2
        assert all({"Authorization", "Cookie"}.isdisjoint(headers) for _, _, headers in server.arrived)

    def test_a_password_does_not_follow_a_redirect_to_another_port(self, transport):
        def registry(handler):
            if "Authorization" in handler.headers:
                handler.answer(307, Location=f"{address(storage)}/blob")
            else:
                handler.answer(401, WWW_Authenticate='Basic realm="x"')

        login = RegistryCredentials(username="a", password="b")
        with serving(lambda handler: handler.answer(200, CONTENT)) as storage, serving(registry) as server:
            client = client_of(transport, address(server), credentials=lambda host: login)
            assert b"".join(client.read_blob(IMAGE, DIGEST)) == CONTENT
        assert [("Authorization" in headers) for _, _, headers in storage.arrived] == [False]


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path):
        """A certificate for 127.0.0.1 that nobody trusts, with its key."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(timezone.utc)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_loopback())]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        path, key_path = tmp_path / "cert.pem", tmp_path / "key.pem"
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path, key_path

    @pytest.fixture
    def server(self, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        with serving(lambda handler: handler.answer(200, Docker_Content_Digest=DIGEST), context) as server:
            yield server

    def test_an_unknown_authority_is_refused_and_ca_bundle_is_named(self, server, transport):
        waits = []
        with pytest.raises(RegistryError) as caught:
            client_of(transport, address(server, "https"), sleep=waits.append).find(IMAGE)
        assert "no trusted TLS connection to 127.0.0.1" in caught.value.message
        assert "set ca_bundle to the PEM file of the authority" in str(caught.value)
        assert not isinstance(caught.value, RegistryUnavailableError)
        assert waits == []

    def test_an_authority_in_ca_bundle_is_trusted(self, server, certificate):
        with RequestsTransport(ca_bundle=str(certificate[0]), timeout_s=5) as transport:
            assert client_of(transport, address(server, "https")).find(IMAGE) == DIGEST

    def test_ca_bundle_counts_for_more_than_the_environment(self, server, certificate, monkeypatch, tmp_path):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing"))
        with RequestsTransport(ca_bundle=str(certificate[0]), timeout_s=5) as transport:
            assert client_of(transport, address(server, "https")).find(IMAGE) == DIGEST

    def test_a_registry_without_tls_is_told_apart(self, transport):
        with serving(lambda handler: handler.answer(200)) as server, pytest.raises(RegistryError) as caught:
            client_of(transport, address(server, "https")).find(IMAGE)
        assert "give it an http:// address in registry_endpoints" in str(caught.value)


def _loopback():
    from ipaddress import ip_address

    return ip_address("127.0.0.1")
