"""A Docker Engine is found, or installed and started, or the error says what to do."""

from __future__ import annotations

import pytest
from docker.errors import DockerException

from sagemaker_custom.errors import EngineUnavailableError
from sagemaker_custom.sandbox.engine import DAEMON, PROGRAMS, ensure_engine, ensure_programs


class FakeHost:
    """A machine of which the test decides what it has."""

    def __init__(self, *, installable=(), root=True, failure=None, programs=()):
        self.root = root
        self.programs = set(programs)
        self.installable = set(installable)
        self.failure = failure
        self.installed = []
        self.daemons = 0
        self.slept = 0.0

    def can_install(self):
        return self.root

    def has(self, program):
        return program in self.programs

    def install(self, programs):
        self.installed += [program.name for program in programs]
        self.programs |= {program.name for program in programs} & self.installable

    def start_daemon(self):
        self.daemons += 1
        return "/var/log/daemon.log"

    def daemon_failure(self):
        return self.failure

    def sleep(self, seconds):
        self.slept += seconds


class FakeClient:
    def __init__(self):
        self.closed = False

    def ping(self):
        return True

    def close(self):
        self.closed = True


def no_engine():
    raise DockerException("Error while fetching server API version: connection refused")


class Answers:
    """A client factory that fails some times before the engine answers."""

    def __init__(self, failures, client):
        self.failures = failures
        self.client = client

    def __call__(self):
        self.failures -= 1
        return no_engine() if self.failures >= 0 else self.client


class TestEngine:
    def test_running_engine_is_used_and_nothing_is_installed(self):
        host, client = FakeHost(), FakeClient()
        assert ensure_engine(client_factory=lambda: client, host=host) is client
        assert (host.installed, host.daemons) == ([], 0)

    def test_without_engine_and_without_root_the_error_says_what_to_install(self):
        with pytest.raises(EngineUnavailableError) as caught:
            ensure_engine(client_factory=no_engine, host=FakeHost(root=False))
        assert "no Docker Engine answers: Error while fetching" in str(caught.value)
        assert "apt-get install docker.io docker-compose docker-registry mmdebstrap" in str(caught.value)

    def test_engine_is_installed_and_started_and_awaited(self):
        host, client = FakeHost(installable={"dockerd"}), FakeClient()
        found = ensure_engine(client_factory=Answers(4, client), host=host)
        assert found is client
        assert (host.installed, host.daemons, host.slept) == (["dockerd"], 1, 1.0)

    def test_installed_daemon_is_only_started(self):
        host, client = FakeHost(programs={DAEMON.name}), FakeClient()
        ensure_engine(client_factory=Answers(2, client), host=host)
        assert (host.installed, host.daemons) == ([], 1)

    def test_daemon_that_ends_at_once_is_reported_with_its_last_words(self):
        host = FakeHost(programs={DAEMON.name}, failure="failed to mount cgroup: permission denied")
        with pytest.raises(EngineUnavailableError) as caught:
            ensure_engine(client_factory=no_engine, host=host)
        assert "failed to mount cgroup: permission denied" in str(caught.value)
        assert caught.value.log_path == "/var/log/daemon.log"

    def test_daemon_that_never_answers_is_given_up_after_a_minute(self):
        host = FakeHost(programs={DAEMON.name})
        with pytest.raises(EngineUnavailableError, match="does not answer after 60 s: Error while fetching"):
            ensure_engine(client_factory=no_engine, host=host)
        assert host.slept == 60.0

    def test_only_missing_programs_are_installed(self):
        host = FakeHost(programs={"docker", "docker-compose"}, installable={"docker-registry", "mmdebstrap"})
        ensure_programs(host=host)
        assert host.installed == ["docker-registry", "mmdebstrap"]

    def test_missing_programs_without_root_are_named_with_their_packages(self):
        host = FakeHost(root=False, programs={program.name for program in PROGRAMS[:2]})
        with pytest.raises(EngineUnavailableError) as caught:
            ensure_programs(host=host)
        assert "the sandbox needs docker-registry, mmdebstrap" in str(caught.value)
        assert "sudo apt-get install docker-registry mmdebstrap" in str(caught.value)

    def test_program_that_its_package_does_not_bring_is_an_error(self):
        with pytest.raises(EngineUnavailableError, match="docker-registry cannot be run"):
            ensure_programs(PROGRAMS[2:3], host=FakeHost())
