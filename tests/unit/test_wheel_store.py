"""Wheels come to this machine once, and only as the lock has them."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fakes.tiny_wheels import lock_of, make_wheel

from sagemaker_custom.errors import BuildError, DigestMismatchError, DiskFullError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wheels.download import Content, DownloadInterruptedError
from sagemaker_custom.wheels.store import WheelStore


class FakeDownload:
    """Serves bytes; breaks off after ``breaks_after`` bytes as often as it is told."""

    def __init__(self, files, *, breaks=0, breaks_after=10, resumes=True, error=None):
        self.files = files
        self.breaks = breaks
        self.breaks_after = breaks_after
        self.resumes = resumes
        self.error = error
        self.opened = []

    @contextmanager
    def open(self, url, *, start=0):
        self.opened.append((url, start))
        if self.error:
            raise self.error
        begin = start if self.resumes else 0
        yield Content(start=begin, chunks=self._chunks(self.files[url], begin))

    def _chunks(self, content, begin):
        if self.breaks:
            self.breaks -= 1
            yield content[begin : begin + self.breaks_after]
            raise DownloadInterruptedError("the connection broke")
        yield content[begin:]


@pytest.fixture
def wheels(tmp_path):
    (tmp_path / "index").mkdir()
    return [make_wheel(tmp_path / "index", name) for name in ("one", "two")]


def served(wheels):
    return {fetched.wheel.url: fetched.path.read_bytes() for fetched in wheels}


def store(tmp_path, download, **options):
    return WheelStore(tmp_path / "wheels", download=download, sleep=lambda _: None, **options)


def test_wheels_are_kept_under_their_hash(tmp_path, wheels):
    download = FakeDownload(served(wheels))
    found = store(tmp_path, download).fetch(lock_of(*wheels), NoProgress())
    assert [fetched.wheel for fetched in found] == [fetched.wheel for fetched in wheels]
    assert [fetched.path for fetched in found] == [
        tmp_path / "wheels" / fetched.wheel.sha256 / fetched.wheel.filename for fetched in wheels
    ]
    assert [fetched.path.read_bytes() for fetched in found] == [fetched.path.read_bytes() for fetched in wheels]


def test_what_is_there_is_not_asked_for_again(tmp_path, wheels):
    lock = lock_of(*wheels)
    store(tmp_path, FakeDownload(served(wheels))).fetch(lock, NoProgress())
    again = FakeDownload({})
    store(tmp_path, again).fetch(lock, NoProgress())
    assert again.opened == []


def test_a_file_of_another_size_is_fetched_again(tmp_path, wheels):
    download = FakeDownload(served(wheels))
    found = store(tmp_path, download).fetch(lock_of(wheels[0]), NoProgress())
    found[0].path.write_bytes(b"cut off")
    store(tmp_path, download).fetch(lock_of(wheels[0]), NoProgress())
    assert found[0].path.read_bytes() == wheels[0].path.read_bytes()


@pytest.mark.parametrize("resumes", [True, False])
def test_a_broken_connection_is_taken_up_again(tmp_path, wheels, resumes):
    download = FakeDownload(served(wheels), breaks=2, resumes=resumes)
    found = store(tmp_path, download).fetch(lock_of(wheels[0]), NoProgress())
    assert found[0].path.read_bytes() == wheels[0].path.read_bytes()
    assert [start for _, start in download.opened] == ([0, 10, 20] if resumes else [0, 10, 10])


def test_it_is_given_up_after_some_tries(tmp_path, wheels):
    download = FakeDownload(served(wheels), breaks=99, breaks_after=0)
    with pytest.raises(DownloadInterruptedError, match="the connection broke"):
        store(tmp_path, download, attempts=3).fetch(lock_of(wheels[0]), NoProgress())
    assert len(download.opened) == 3


def test_other_bytes_are_refused_and_not_kept(tmp_path, wheels):
    files = {url: content[:-1] + b"!" for url, content in served(wheels).items()}
    with pytest.raises(DigestMismatchError, match=rf"instead of {wheels[0].wheel.sha256}"):
        store(tmp_path, FakeDownload(files)).fetch(lock_of(wheels[0]), NoProgress())
    assert [path for path in (tmp_path / "wheels").rglob("*") if path.is_file()] == []


def test_an_error_leaves_nothing_behind(tmp_path, wheels):
    download = FakeDownload({}, error=BuildError("the index does not have it"))
    with pytest.raises(BuildError, match="does not have it"):
        store(tmp_path, download).fetch(lock_of(*wheels), NoProgress())
    assert [path for path in (tmp_path / "wheels").rglob("*") if path.is_file()] == []


def test_a_full_disk_is_said_plainly(tmp_path, wheels):
    download = FakeDownload({}, error=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(DiskFullError, match=r"no space left for one-1.0-py3-none-any.whl"):
        store(tmp_path, download).fetch(lock_of(wheels[0]), NoProgress())


def test_no_wheels_need_no_bar(tmp_path):
    assert store(tmp_path, FakeDownload({})).fetch(lock_of(), NoProgress()) == ()


def test_sizes_need_not_be_known(tmp_path, wheels):
    unknown = replace(wheels[0], wheel=replace(wheels[0].wheel, size=None))
    found = store(tmp_path, FakeDownload(served(wheels))).fetch(lock_of(unknown), NoProgress())
    assert found[0].path.is_file()
