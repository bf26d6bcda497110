"""A local endpoint: ready at once, its failures told at once, its port looked at, asked where it is."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from sagemaker_custom.errors import LocalContainerError, UsageError
from sagemaker_custom.sdk.local_endpoints import LocalRuntimeClient
from sagemaker_custom.sdk.serving import choose_port, host_of, wait_until_healthy


class Machine:
    """A clock that sleeping moves, and containers that become healthy or end at a time."""

    def __init__(self, *, healthy_at=None, ends_at=None, last_lines="  loading the model"):
        self.now = 0.0
        self.healthy_at = healthy_at
        self.ends_at = ends_at
        self.last_lines = last_lines

    @property
    def ended(self):
        return self.ends_at is not None and self.now >= self.ends_at

    def ping(self):
        return self.healthy_at is not None and self.now >= self.healthy_at

    def sleep(self, seconds):
        self.now += seconds

    def wait(self, timeout_s=600):
        wait_until_healthy(self, self.ping, timeout_s=timeout_s, clock=lambda: self.now, sleep=self.sleep)


class TestWaiting:
    @pytest.mark.parametrize("healthy_at", [0, 0.1, 7.3, 400])
    def test_ends_within_a_second_of_the_first_good_ping(self, healthy_at):
        machine = Machine(healthy_at=healthy_at)
        machine.wait()
        assert healthy_at <= machine.now < healthy_at + 1

    def test_container_that_dies_is_told_at_once_with_its_last_lines(self):
        machine = Machine(ends_at=3, last_lines="  ModuleNotFoundError: No module named 'faiss'")
        with pytest.raises(LocalContainerError) as caught:
            machine.wait()
        assert machine.now < 4
        assert str(caught.value) == (
            "the serving container ended before it answered /ping; its last lines were\n"
            "  ModuleNotFoundError: No module named 'faiss'\n"
            "  -> mend what these lines tell; the whole output stands above"
        )

    def test_lost_race_for_a_port_is_told_as_that(self):
        machine = Machine(ends_at=0, last_lines="  Bind for 0.0.0.0:8080 failed: port is already allocated")
        with pytest.raises(LocalContainerError, match=r"CustomLocalSession\(serving_port=0\)"):
            machine.wait()

    def test_time_is_the_users_to_give(self):
        machine = Machine()
        with pytest.raises(LocalContainerError) as caught:
            machine.wait(timeout_s=30)
        assert 30 <= machine.now < 31
        assert str(caught.value) == (
            "the serving container did not answer /ping within 30 s; its last lines were\n  loading the model\n"
            "  -> if it needs longer to load the model: CustomLocalSession(endpoint_timeout_s=…)"
        )

    def test_errors_are_the_sdks_too(self):
        assert issubclass(LocalContainerError, RuntimeError)


class TestPort:
    def test_that_is_taken_is_told_with_who_has_it(self):
        with closing(socket.socket()) as taken:
            taken.bind(("", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(UsageError) as caught:
                choose_port(port, "localhost")
        message = str(caught.value)
        assert message.startswith(f"port {port} is taken by process ")
        assert "serving_port=8081" in message

    def test_that_is_taken_only_on_the_loopback_is_taken(self):
        with closing(socket.socket()) as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(UsageError, match="is taken"):
                choose_port(taken.getsockname()[1], "localhost")

    def test_zero_is_any_that_is_free(self):
        port = choose_port(0, "localhost")
        assert port > 1023
        assert choose_port(port, "localhost") == port

    def test_of_another_machine_is_not_looked_at(self):
        with closing(socket.socket()) as taken:
            taken.bind(("", 0))
            taken.listen()
            assert choose_port(taken.getsockname()[1], "engine.example.com") == taken.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "info", "host"),
    [
        ("unix:///var/run/docker.sock", {"CgroupDriver": "systemd"}, "localhost"),
        ("tcp://10.0.0.5:2376", {}, "10.0.0.5"),
        ("ssh://me@build.example.com", {}, "build.example.com"),
        ("unix:///run/user/1000/docker.sock", {"CgroupDriver": "none"}, "172.17.0.1"),
    ],
)
def test_host_is_where_the_engine_publishes(address, info, host):
    assert host_of(SimpleNamespace(address=address, info=lambda: info)) == host


class _Model(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = json.dumps({"path": self.path, "body": body, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def model():
    with HTTPServer(("127.0.0.1", 0), _Model) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_client_asks_the_endpoint_that_is_named(model):
    client = LocalRuntimeClient(None, {"digits": model}.__getitem__)
    answer = client.invoke_endpoint("grüße", "digits", ContentType="text/plain", Accept="*/*", InferenceId="7")
    with closing(answer["Body"]) as body:
        said = json.loads(body.read())
    client.http.clear()
    assert said["path"] == "/invocations"
    assert said["body"] == "grüße"
    assert said["headers"]["X-Amzn-SageMaker-Inference-Id"] == "7"
    assert "X-Amzn-SageMaker-Target-Model" not in said["headers"]
    assert answer["ContentType"] == "application/json"
