"""Registries, and hosts that look like them: what they are sent, and what of their answers is believed."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.reference import ImageReference, RegistryCredentials
from sagemaker_custom.registry import HttpRequest, HttpResponse, RegistryClient, RequestsTransport
from sagemaker_custom.registry.auth import parse_challenges
from sagemaker_custom.registry.docker_login import docker_login
from sagemaker_custom.registry.retries import retry_after
from sagemaker_custom.wheels.download import HttpDownload
from sagemaker_custom.wheels.sources import Sources

HOST = "registry.example.com"
LOGIN = RegistryCredentials(username="ada", password="hunter2")
IMAGE = ImageReference.parse(f"{HOST}/a:1")


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example",
        "123456789012.dkr.ecr.us-east-1.amazonaws.co",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com.cn.evil.example",
        "123456789012.dkr.ecr.us-east-1.evil.example",
        "123456789012.dkr.ecr.us-east-1.xamazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws-com.example",
        "123456789012.dkr.ecr.us-east-1.on.aws.evil.example",
        "123456789012.dkr.ecr.evil.example.us-east-1.amazonaws.com",
        "evil.example.123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com:8443",
        "x123456789012.dkr.ecr.us-east-1.amazonaws.com",
    ],
)
def test_a_host_that_looks_like_ecr_gets_no_token_of_it(host):
    assert ImageReference(registry=host, repository="a").ecr is None


@pytest.mark.parametrize(
    "host",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com",
        "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
        "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
        "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
        "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
        "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
        "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
        "123456789012.dkr-ecr.us-east-1.on.aws",
    ],
)
def test_ecr_of_every_partition_does(host):
    assert ImageReference(registry=host, repository="a").ecr.account == "123456789012"


class Recording:
    """A transport that answers by a script, and remembers who was sent what."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []

    def send(self, request):
        self.sent.append((request.url, request.headers.get("Authorization")))
        status, headers, body = self.answers.pop(0)
        return HttpResponse(request=request, status=status, headers=headers, chunks=iter([body]))


def client(transport, *, origin=f"https://{HOST}", credentials=LOGIN):
    return RegistryClient(
        transport=transport,
        credentials=lambda host: credentials,
        endpoint_for=lambda host: origin,
        attempts=1,
        sleep=lambda seconds: None,
    )


def challenged(realm):
    return 401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}, b""


class TestRealms:
    @pytest.mark.parametrize(
        "realm",
        [
            "http://evil.example/token",
            f"http://{HOST}/token",
            "ftp://evil.example/",
            "file:///etc/passwd",
            "//evil.example",
            "evil.example/token",
            "https://",
            "https:///token",
            "https://[::1",
            "javascript:x",
            "",
        ],
    )
    def test_credentials_are_sent_by_tls_alone(self, realm):
        transport = Recording(challenged(realm))

        with pytest.raises(RegistryError, match="for a token"):
            client(transport).find(IMAGE)

        assert len(transport.sent) == 1

    def test_a_registry_without_tls_sends_them_to_no_other_host_without_it(self):
        transport = Recording(challenged("http://evil.example/token"))

        with pytest.raises(RegistryError, match=r"sends to 'http://evil\.example/token' for a token"):
            client(transport, origin="http://localhost:5000").find(IMAGE)

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"token": 5}', b"[" * 100_000, b"\xff", b'{"token": ""}'])
    def test_an_answer_without_a_token_is_refused(self, body):
        transport = Recording(challenged("https://auth.example/t"), (200, {}, body))

        with pytest.raises(RegistryError, match=r"with(out)? a token") as caught:
            client(transport).find(IMAGE)
        assert "hunter2" not in str(caught.value)

    def test_a_token_of_gigabytes_is_not_read(self):
        transport = Recording(challenged("https://auth.example/t"), (200, {}, b"x" * 2_000_000))

        with pytest.raises(RegistryError, match="more than 1048576 bytes"):
            client(transport).find(IMAGE)


class TestRedirects:
    @pytest.mark.parametrize(
        "target", ["https://evil.example/x", f"https://{HOST}.evil.example/", f"https://{HOST}:1/"]
    )
    def test_another_host_gets_no_credentials(self, target):
        basic = {"WWW-Authenticate": 'Basic realm="x"'}
        transport = Recording((401, basic, b""), (307, {"Location": target}, b""), (200, {}, b"x"))

        client(transport).manifest(IMAGE)

        assert transport.sent[1][1].startswith("Basic ")
        assert transport.sent[2] == (target, None)

    @pytest.mark.parametrize(
        "target", ["http://evil.example/", f"http://{HOST}/", "ftp://x/", "", "https://[", "file:///etc/passwd"]
    )
    def test_none_leads_away_from_tls(self, target):
        transport = Recording((302, {"Location": target}, b""))

        with pytest.raises(RegistryError):
            client(transport).manifest(IMAGE)
        assert len(transport.sent) == 1

    def test_the_next_page_is_on_the_same_host(self):
        link = {"Link": '<https://evil.example/v2/a/tags/list?last=x>; rel="next"'}
        transport = Recording((200, link, b'{"tags": ["1"]}'))

        assert client(transport).tags(IMAGE) == ("1",)
        assert len(transport.sent) == 1

    def test_circles_end(self):
        transport = Recording(*[(302, {"Location": f"https://{HOST}/x"}, b"")] * 20)

        with pytest.raises(RegistryError, match="redirected more than"):
            client(transport).manifest(IMAGE)


class TestStoredLogins:
    @pytest.mark.parametrize(
        "text",
        [
            '{"auths": 5}',
            '{"auths": {"registry.example.com": 5}}',
            '{"auths": {"registry.example.com": {"auth": "!!"}}}',
            '{"auths": {"registry.example.com": {"auth": "YWRh"}}}',
            '{"auths": {"registry.example.com": {"auth": 5}}}',
            '{"credHelpers": 5}',
            '{"credsStore": 5}',
            "[]",
            "[" * 100_000,
            "{",
        ],
    )
    def test_a_file_of_another_shape_has_no_login(self, tmp_path, monkeypatch, text):
        (tmp_path / "config.json").write_text(text)
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

        assert docker_login(HOST) is None


class Files(BaseHTTPRequestHandler):
    """Answers by redirecting to another name of this machine, and remembers who was told what."""

    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self):
        host, port = self.headers["Host"], self.server.server_port
        self.seen.append((host, self.headers.get("Authorization")))
        self.send_response(302 if host.startswith("127.0.0.1") else 200)
        if host.startswith("127.0.0.1"):
            self.send_header("Location", f"http://localhost:{port}/elsewhere.whl")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        del arguments


def test_an_index_that_redirects_a_download_does_not_hand_its_login_on():
    Files.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_port}"
        download = HttpDownload(Sources(index_url=f"http://ada:hunter2@{place}/simple"))
        with download.open(f"http://{place}/a.whl") as content:
            assert b"".join(content.chunks) == b""
        server.shutdown()

    assert [host.partition(":")[0] for host, _ in Files.seen] == ["127.0.0.1", "localhost"]
    assert Files.seen[0][1].startswith("Basic ")
    assert Files.seen[1][1] is None


class TestAnswers:
    def test_a_manifest_of_a_hundred_megabytes_is_not_read(self):
        read = []

        def endless():
            for _ in range(100):
                read.append(1)
                yield bytes(1024 * 1024)

        class Large(Recording):
            def send(self, request):
                return HttpResponse(request=request, status=200, headers={}, chunks=endless())

        with pytest.raises(RegistryError, match="answered with more than 4194304 bytes"):
            client(Large()).manifest(IMAGE)
        assert len(read) < 10

    def test_what_a_registry_says_of_an_error_is_shown_and_not_obeyed(self):
        body = b'{"errors": [{"code": "X\\u001b[2J", "message": "a\\u009b2Jb\\u202e\\r\\n' + b"y" * 5000 + b'"}]}'
        transport = Recording((400, {}, body))

        with pytest.raises(RegistryError) as caught:
            client(transport).find(IMAGE)
        assert str(caught.value).isprintable() or "\n  -> " in str(caught.value)
        assert len(caught.value.message) < 600

    @pytest.mark.parametrize("length", ["9" * 5000, "-5", "1e9", "²", "0x10"])
    def test_a_length_that_is_none_is_left_out(self, length):
        request = HttpRequest(method="GET", url=f"https://{HOST}/")
        answer = HttpResponse(request=request, status=200, headers={"Content-Length": length}, chunks=iter([b"x"]))

        assert answer.length is None
        assert answer.read(10) == b"x"

    @pytest.mark.parametrize("said", ["9" * 5000, "-1", "nan", "Mon, 99 Foo 99999 99:99:99 +999999", "x" * 60_000])
    def test_a_wait_that_is_none_is_left_out_or_finite_work(self, said):
        seconds = retry_after({"Retry-After": said, "Date": "Mon, 01 Jan 2024 00:00:00 GMT"})

        assert seconds is None or seconds >= 0

    @pytest.mark.parametrize("header", ["Bearer", "Bearer realm", 'Bearer realm="', "Basic," * 5000, '"' * 5000, "\0"])
    def test_a_challenge_that_is_none_is_read_over(self, header):
        assert all(challenge.realm in {"", '"'} for challenge in parse_challenges(header))

    @pytest.mark.parametrize(
        "url", ["https://a..b/", f"https://{'a' * 70}.example/", "https://%zz/", "https://x:999999/"]
    )
    def test_a_host_that_is_none_is_an_error_of_ours(self, url):
        with RequestsTransport() as transport, pytest.raises(RegistryError, match="cannot be asked"):
            transport.send(HttpRequest(method="GET", url=url))
