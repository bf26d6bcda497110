"""Logs, logins, locks, transfers and the words of failures."""

from __future__ import annotations

import os

import docker.errors
import pytest
import requests

from sagemaker_custom.builders import failures, index_logins
from sagemaker_custom.builders.commands import SubprocessRunner
from sagemaker_custom.builders.lock import lock_text, read_listing
from sagemaker_custom.builders.log import BuildLog, LineSplitter, prune
from sagemaker_custom.builders.transfers import follow
from sagemaker_custom.errors import (
    BaseImageError,
    BuildError,
    DiskFullError,
    EngineUnavailableError,
    RegistryAccessDeniedError,
    RegistryError,
    RegistryUnavailableError,
)
from sagemaker_custom.reference import ImageReference

_SOCKET = "unix:///var/run/docker.sock"
_BASE = ImageReference.parse("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.3.0")


class TestLog:
    def test_lines_are_clean_in_the_file_and_on_the_screen(self, tmp_path):
        shown = []
        with BuildLog(tmp_path / "logs" / "x.log", show=shown.append, secrets=["hunter2"]) as log:
            log.line("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain")
            log.line(" 10%\r 50%\r100% done\r")
            log.line("password hunter2, https://u:other@host/simple\x08")

        assert shown == ["red and plain", "100% done", "password ***, https://***@host/simple"]
        assert log.path.read_text(encoding="utf-8").splitlines() == shown
        assert log.tail.endswith("host/simple")

    def test_a_line_too_long_for_a_message_is_whole_in_the_file(self, tmp_path):
        path = tmp_path / "logs" / "a.log"
        with BuildLog(path, show=lambda _: None) as log:
            log.line("RUN " + "x" * 5000)
        assert log.tail == "RUN " + "x" * 196 + "…"
        assert path.read_text() == "RUN " + "x" * 5000 + "\n"

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()

        with (
            pytest.raises(BuildError, match=r"the build log .*x\.log cannot be written") as caught,
            BuildLog(tmp_path / "file" / "x.log", show=print),
        ):
            pass

        assert "cache_dir" in caught.value.hint

    def test_only_the_newest_logs_are_kept(self, tmp_path):
        for age in range(5):
            (tmp_path / f"{age}.log").touch()
            os.utime(tmp_path / f"{age}.log", (1000 - age, 1000 - age))

        prune(tmp_path, keep=2)

        assert sorted(path.name for path in tmp_path.iterdir()) == ["0.log", "1.log"]

    def test_pieces_end_anywhere(self):
        lines = []
        splitter = LineSplitter(lines.append)
        for piece in (b"a\nb", "ü".encode()[:1], "ü".encode()[1:], b"\r\n", b"rest"):
            splitter.feed(piece)
        splitter.close()

        assert lines == ["a", "bü", "rest"]


class TestIndexLogins:
    def test_credentials_are_decoded(self):
        entries = index_logins.logins(["https://a%40b:p%2Fw@one.example.com/simple", "https://two.example.com/simple"])

        assert index_logins.netrc(entries) == "machine one.example.com login a@b password p/w\n"
        assert set(index_logins.secrets(entries)) == {"p/w", "p%2Fw"}
        assert "p/w" not in repr(entries)

    def test_a_bare_token_is_a_secret(self):
        entries = index_logins.logins(["https://token@one.example.com/simple"])

        assert index_logins.netrc(entries) == 'machine one.example.com login token password ""\n'
        assert index_logins.secrets(entries) == ("token",)

    def test_no_credentials_need_no_file(self):
        assert index_logins.netrc(index_logins.logins(["https://one.example.com/simple"])) == ""

    def test_two_logins_for_one_host(self):
        with pytest.raises(BuildError, match=r"two package indexes on h\.example\.com have different credentials"):
            index_logins.logins(["https://a:b@h.example.com/x", "https://a:c@h.example.com/y"])

    @pytest.mark.parametrize("password", ["a%20b", "a%22b", "a%5Cb", "a%0Amachine"])
    def test_a_password_that_netrc_cannot_hold(self, password):
        with pytest.raises(BuildError, match=r"the package index on h\.example\.com") as caught:
            index_logins.netrc(index_logins.logins([f"https://u:{password}@h.example.com/x"]))

        assert "without spaces" in caught.value.hint


class TestLock:
    def test_only_the_difference_is_recorded(self):
        base = {"torch": "2.3.0", "numpy": "1.0", "gone": "1"}
        built = {"torch": "2.3.0", "numpy": "1.1", "faiss-cpu": "1.8.0"}

        assert lock_text(base, built) == '{"installed":{"faiss-cpu":"1.8.0","numpy":"1.1"},"removed":["gone"]}'

    def test_python_that_says_nothing(self):
        with pytest.raises(BuildError, match="Python in pytorch:1 did not list") as caught:
            read_listing(["/opt/conda/bin/python: not found"], image="pytorch:1")

        assert "layout" in caught.value.hint


class _Task:
    def __init__(self):
        self.done = 0
        self.total = 0

    def advance(self, amount):
        self.done += amount

    def finish(self):
        self.finished = True

    def set_total(self, total):
        self.total = total


class TestTransfers:
    def test_bytes_of_all_layers_make_one_bar(self):
        task = _Task()
        events = [
            {"id": "a", "status": "Downloading", "progressDetail": {"current": 10, "total": 100}},
            {"id": "b", "status": "Downloading", "progressDetail": {"current": 5, "total": 50}},
            {"id": "c", "status": "Already exists", "progressDetail": {}},
            {"id": "b", "status": "Extracting", "progressDetail": {"current": 1, "total": 50}},
            {"id": "a", "status": "Download complete", "progressDetail": {}},
            {"status": "Digest: sha256:x"},
        ]

        assert follow(events, task) is None
        assert (task.done, task.total) == (105, 150)

    def test_a_push_never_passes_its_total(self):
        task = _Task()

        follow([{"id": "a", "status": "Pushing", "progressDetail": {"current": 120, "total": 100}}], task)

        assert (task.done, task.total) == (100, 100)

    def test_the_error_in_the_stream_is_returned(self):
        assert follow([{"error": "denied", "errorDetail": {}}, {"status": "x"}], _Task()) == "denied"


class TestUnavailable:
    def test_no_permission_on_the_socket(self):
        cause = requests.ConnectionError("Connection aborted.", PermissionError(13, "Permission denied"))

        error = failures.unavailable(docker.errors.DockerException("x", cause), _SOCKET)

        assert "this user may not speak to the Docker Engine" in error.message
        assert "usermod -aG docker" in error.hint

    def test_not_running(self):
        error = failures.unavailable(ConnectionRefusedError(111, "Connection refused"), _SOCKET)

        assert "docker.sock is not running: [Errno 111] Connection refused" in error.message
        assert "systemctl start docker" in error.hint

    def test_not_installed(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))

        error = failures.unavailable(FileNotFoundError(2, "No such file"), _SOCKET)

        assert "Docker is not installed" in error.message
        assert "install Docker" in error.hint

    def test_another_machine(self):
        error = failures.unavailable(OSError("timed out"), "tcp://build.example.com:2376")

        assert "tcp://build.example.com:2376 cannot be reached: timed out" in error.message
        assert "DOCKER_HOST" in error.hint

    def test_only_our_errors_leave(self):
        with (
            pytest.raises(EngineUnavailableError),
            failures.translated("pulling", address=_SOCKET, place=str),
        ):
            raise requests.ConnectionError("gone")
        with (
            pytest.raises(DiskFullError, match=r"while building \(/data, 3 MiB free\)"),
            failures.translated("building", address=_SOCKET, place=lambda: "/data, 3 MiB free"),
        ):
            raise docker.errors.APIError("x", explanation="write /a: no space left on device")


class TestWords:
    @pytest.mark.parametrize(
        ("text", "kind", "part"),
        [
            ("manifest for x not found: manifest unknown: Requested image not found", BaseImageError, "does not exist"),
            ("repository x not found: name unknown", BaseImageError, "does not exist"),
            (
                "pull access denied for x, repository does not exist or may require 'docker login'",
                BaseImageError,
                "no access",
            ),
            ("Head https://x: no basic auth credentials", BaseImageError, "no access"),
            ("dial tcp: lookup x: no such host", RegistryUnavailableError, "could not pull"),
            ("http: server gave HTTP response to HTTPS client", RegistryUnavailableError, "could not pull"),
            ("something else", BaseImageError, "something else"),
        ],
    )
    def test_a_pull_that_failed(self, text, kind, part):
        error = failures.pull_failure(text, _BASE)

        assert type(error) is kind
        assert part in error.message

    def test_denied_names_account_region_and_actions(self):
        error = failures.pull_failure("denied: User is not authorized", _BASE)

        assert "account 763104351884, region eu-west-1" in error.message
        assert "ecr:BatchGetImage" in error.hint

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("denied: not authorized to perform: ecr:InitiateLayerUpload", RegistryAccessDeniedError),
            ("write: broken pipe", RegistryUnavailableError),
            ("x509: certificate signed by unknown authority", RegistryUnavailableError),
            ("something else", RegistryError),
        ],
    )
    def test_a_push_that_failed(self, text, kind):
        error = failures.push_failure(text, _BASE)

        assert type(error) is kind
        assert text in error.message


class TestSubprocessRunner:
    def test_output_and_exit_code(self):
        lines = []

        code = SubprocessRunner().run(
            ["/bin/sh", "-c", "echo $NAME; echo two >&2; exit 3"], environment={"NAME": "one"}, on_line=lines.append
        )

        assert (code, lines) == (3, ["one", "two"])

    def test_ctrl_c_stops_the_process(self, tmp_path):
        def interrupt(line):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            SubprocessRunner().run(["/bin/sh", "-c", "echo $$; exec sleep 60"], environment={}, on_line=interrupt)
