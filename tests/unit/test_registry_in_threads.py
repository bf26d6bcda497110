"""One registry client in the hands of several threads, and work of it that is called off."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.errors import RegistryAccessDeniedError, RegistryUnavailableError
from sagemaker_custom.reference import ImageReference, RegistryCredentials

IMAGE = ImageReference.parse("registry.example.com/team/image:1.0")
REPOSITORY = "team/image"
LOGIN = RegistryCredentials(username="AWS", password="s3cret")
THREADS = 8


class Together(FakeRegistry):
    """Refuses a number of requests only when all of them have arrived."""

    def __init__(self):
        super().__init__()
        self.credentials = LOGIN
        self._arrivals = threading.Barrier(THREADS)

    def send(self, request):
        if "Authorization" not in request.headers:
            self._arrivals.wait(30)
        return super().send(request)


class Source:
    """Gives credentials, and notices when it is asked by two threads at a time."""

    def __init__(self, credentials=LOGIN):
        self.asked = 0
        self.asked_at_once = False
        self._credentials = credentials
        self._lock = threading.Lock()

    def __call__(self, host):
        if not self._lock.acquire(blocking=False):
            self.asked_at_once = True
            return None
        try:
            self.asked += 1
            # Gives the other threads their chance to come in.
            threading.Event().wait(0.01)
            return self._credentials
        finally:
            self._lock.release()


def ask_in_all_threads(call):
    with ThreadPoolExecutor(THREADS) as pool:
        return [pool.submit(call) for _ in range(THREADS)]


class TestLogin:
    def test_threads_that_are_refused_at_once_log_in_once(self):
        registry, source = Together(), Source()
        digest = registry.put_image(REPOSITORY, "1.0")
        client = registry.client(credentials=source)
        found = ask_in_all_threads(lambda: client.find(IMAGE))
        assert [future.result() for future in found] == [digest] * THREADS
        assert (source.asked, source.asked_at_once) == (1, False)

    def test_wrong_credentials_are_denied_in_every_thread(self):
        registry, source = Together(), Source(RegistryCredentials(username="AWS", password="other"))
        client = registry.client(credentials=source)
        for future in ask_in_all_threads(lambda: client.find(IMAGE)):
            with pytest.raises(RegistryAccessDeniedError, match="cannot look up"):
                future.result()
        assert not source.asked_at_once


class CalledOffError(Exception):
    """What a check says."""


class TestCalledOff:
    def test_no_attempt_is_made_for_work_that_is_called_off(self):
        registry = FakeRegistry()

        def check():
            raise CalledOffError

        with pytest.raises(CalledOffError):
            registry.client().checked(check).find(IMAGE)
        assert registry.calls == []

    def test_a_long_wait_ends_when_the_work_is_called_off(self):
        registry, waits = FakeRegistry(), []
        registry.fail(429, times=5, headers={"Retry-After": "100"})

        def check():
            if len(waits) == 3:
                raise CalledOffError

        with pytest.raises(CalledOffError):
            registry.client(sleep=waits.append).checked(check).find(IMAGE)
        assert waits == [0.2] * 3
        assert len(registry.calls) == 1

    def test_a_wait_that_is_not_called_off_is_as_long_as_ever(self):
        registry, waits = FakeRegistry(), []
        registry.fail(429, times=1, headers={"Retry-After": "7"})
        registry.client(sleep=waits.append).checked(lambda: None).find(IMAGE)
        assert sum(waits) == pytest.approx(7)

    def test_the_client_itself_stays_as_it_was(self):
        registry, waits = FakeRegistry(), []
        registry.fail(503, times=99)
        client = registry.client(sleep=waits.append, attempts=2)
        client.checked(lambda: None)
        with pytest.raises(RegistryUnavailableError):
            client.find(IMAGE)
        assert waits == [0.5]


class TestLossesOfALargeBlob:
    def test_many_losses_are_got_over_when_much_arrives_between_them(self):
        registry = FakeRegistry()
        content = bytes(40 * 1024 * 1024)
        digest = registry.put_blob(REPOSITORY, content)
        registry.cut(8 * 1024 * 1024, times=4)
        read = sum(map(len, registry.client(attempts=2).read_blob(IMAGE, digest)))
        assert read == len(content)

    def test_losses_with_little_between_them_count(self):
        registry = FakeRegistry()
        digest = registry.put_blob(REPOSITORY, bytes(1024 * 1024))
        registry.cut(1024, times=4)
        with pytest.raises(RegistryUnavailableError, match="closed the connection"):
            list(registry.client(attempts=2).read_blob(IMAGE, digest))
