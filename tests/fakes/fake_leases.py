"""An object store in memory with the conditional writes of S3, and a clock that moves when somebody sleeps."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True)
class Version:
    content: bytes
    etag: str


class FakeVersionedStore:
    """Implements ``VersionedStore``; ``failure`` is raised instead of an answer."""

    def __init__(self):
        self.objects = {}
        self.failure = None
        self.lost_answers = 0
        self._numbers = itertools.count(1)
        self._lock = Lock()

    def read(self, bucket, key):
        self._enter()
        return self.objects.get((bucket, key))

    def create(self, bucket, key, content):
        return self._write((bucket, key), content, None)

    def replace(self, bucket, key, content, *, etag):
        return self._write((bucket, key), content, etag)

    def _write(self, place, content, etag):
        self._enter()
        with self._lock:
            known = self.objects.get(place)
            if (known.etag if known else None) != etag:
                return None
            self.objects[place] = Version(content, f'"{next(self._numbers)}"')
            if self.lost_answers:
                # boto tries again, and then meets what its first attempt wrote.
                self.lost_answers -= 1
                return None
            return self.objects[place].etag

    def _enter(self):
        if self.failure:
            raise self.failure


class FakeClock:
    """Time that passes while somebody sleeps; ``then`` holds what happens at which second."""

    def __init__(self):
        self.now = 0.0
        self.then = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for due in [item for item in self.then if item[0] <= self.now]:
            self.then.remove(due)
            due[1]()
