from __future__ import annotations

import hashlib
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_custom.archive import collect, content_digest
from sagemaker_custom.contents import FileDigest
from sagemaker_custom.digest_cache import DigestCache

MINUTE_NS = 60 * 10**9


def in_a_minute() -> int:
    """Nobody writes within the tick of a clock that is this far ahead."""
    return time.time_ns() + MINUTE_NS


def digest(root: Path, path: Path, clock=in_a_minute) -> str:
    return content_digest(collect(None, root), cache=DigestCache(path.parent, path.name, clock=clock))


def known(root: Path, path: Path) -> set[str]:
    """Return the names of the files that need not be read."""
    cache = DigestCache(path.parent, path.name)
    return {entry.name for entry in collect(None, root) if cache.get(entry)}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/train.py").write_text("lr = 1")
    (tmp_path / "src/pkg/model.py").write_text("x = 1")
    return tmp_path / "src"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache/sources/tree.digests"


class TestWhatIsKnown:
    def test_a_file_that_did_not_change_is_not_read_again(self, root, path):
        entries = collect(None, root)
        (model,) = (entry for entry in entries if entry.name == "pkg/model.py")
        elsewhere = FileDigest(sha256=hashlib.sha256(b"something else").digest(), stamp=model.stamp)
        DigestCache(path.parent, path.name, clock=in_a_minute).keep(entries, {model.name: elsewhere})

        assert DigestCache(path.parent, path.name).get(model) == elsewhere.sha256
        assert digest(root, path) != content_digest(entries)

    def test_the_digest_is_that_of_a_tree_that_was_read(self, root, path):
        fresh = content_digest(collect(None, root))

        assert [digest(root, path) for _ in range(3)] == [fresh] * 3
        assert known(root, path) == {"train.py", "pkg/model.py"}

    @pytest.mark.parametrize("change", ["content", "same size and time", "exchanged", "permissions"])
    def test_a_file_that_changed_is_read_again(self, root, path, change):
        before, info = digest(root, path), (root / "train.py").stat()
        match change:
            case "content":
                (root / "train.py").write_text("lr = 1000")
            case "same size and time":
                (root / "train.py").write_text("lr = 2")
                os.utime(root / "train.py", ns=(info.st_atime_ns, info.st_mtime_ns))
            case "exchanged":
                (root / "new").write_text("lr = 3")
                os.utime(root / "new", ns=(info.st_atime_ns, info.st_mtime_ns))
                (root / "new").rename(root / "train.py")
            case "permissions":
                (root / "train.py").chmod(0o755)

        assert known(root, path) == {"pkg/model.py"}
        assert digest(root, path) == content_digest(collect(None, root)) != before

    @pytest.mark.parametrize("part", ["size", "mtime_ns", "ctime_ns", "inode", "device"])
    def test_each_part_of_the_stamp_counts(self, root, path, part):
        digest(root, path)
        (train,) = (entry for entry in collect(None, root) if entry.name == "train.py")
        other = train.stamp._replace(**{part: getattr(train.stamp, part) + 1})

        assert DigestCache(path.parent, path.name).get(train)
        assert DigestCache(path.parent, path.name).get(replace(train, stamp=other)) is None
        assert DigestCache(path.parent, path.name).get(replace(train, stamp=None)) is None

    @pytest.mark.parametrize(("seconds", "remembered"), [(1, False), (3, True), (-3600, False)])
    def test_what_was_written_a_moment_ago_is_not_remembered(self, root, path, seconds, remembered):
        (root / "pkg/model.py").unlink()
        written = (root / "train.py").stat().st_ctime_ns

        digest(root, path, clock=lambda: written + seconds * 10**9)

        assert bool(known(root, path)) is remembered

    def test_a_time_of_modification_in_the_future_is_not_trusted(self, root, path):
        later = time.time_ns() + 2 * MINUTE_NS
        os.utime(root / "train.py", ns=(later, later))

        digest(root, path)

        assert known(root, path) == {"pkg/model.py"}

    def test_a_file_that_is_written_while_it_is_read_is_not_remembered(self, root, path):
        entries = collect(None, root)
        DigestCache(path.parent, path.name, clock=in_a_minute).keep(
            entries, {"train.py": FileDigest(sha256=b"x" * 32, stamp=None)}
        )

        assert known(root, path) == set()

    def test_what_left_the_tree_is_forgotten(self, root, path):
        digest(root, path)
        (root / "pkg/model.py").unlink()

        digest(root, path)

        assert b"model.py" not in path.read_bytes()

    def test_a_name_that_is_not_utf8_is_remembered(self, root, path):
        name = os.fsdecode(b"caf\xe9.py")
        (root / name).write_text("x")

        assert digest(root, path) == digest(root, path)
        assert name in known(root, path)


class TestTheFile:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: content[:-7],
            lambda content: content[:-9] + b"0" + content[-8:],
            lambda content: content.replace(b"digests 2 ", b"digests 1 "),
            lambda content: b"\x00\xff" * 400,
            lambda content: b"[" * 100_000,
        ],
        ids=["empty", "truncated", "one byte", "another format", "bytes", "brackets"],
    )
    def test_a_damaged_cache_is_ignored_and_replaced(self, root, path, damage):
        fresh = digest(root, path)
        path.write_bytes(damage(path.read_bytes()))

        assert known(root, path) == set()
        assert digest(root, path) == fresh
        assert known(root, path) == {"train.py", "pkg/model.py"}

    @pytest.mark.parametrize("mode", [0o620, 0o602])
    def test_a_cache_that_others_can_write_is_not_believed(self, root, path, mode):
        digest(root, path)
        path.chmod(mode)

        assert known(root, path) == set()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_a_cache_of_somebody_else_is_not_believed(self, root, path):
        digest(root, path)
        os.chown(path, 1234, 1234)

        assert known(root, path) == set()

    def test_nobody_else_can_read_or_write_it(self, root, path):
        digest(root, path)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("obstacle", ["cache", "cache/sources", "cache/sources/tree.digests/folder"])
    def test_where_it_cannot_be_kept_files_are_read_each_time(self, root, path, tmp_path, obstacle):
        place = tmp_path / obstacle
        if obstacle.endswith("folder"):
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("a file")

        assert digest(root, path) == digest(root, path) == content_digest(collect(None, root))
        assert known(root, path) == set()
        assert not list(tmp_path.rglob(".partial-*"))

    def test_it_is_not_written_again_when_nothing_changed(self, root, path):
        digest(root, path)
        inode = path.stat().st_ino

        digest(root, path)

        assert path.stat().st_ino == inode

    def test_many_at_once_leave_one_whole_file(self, root, path):
        for number in range(200):
            (root / f"{number}.py").write_text(str(number))
        fresh = content_digest(collect(None, root))

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: digest(root, path), range(24)))

        assert set(found) == {fresh}
        assert len(known(root, path)) == 202
        assert list(path.parent.iterdir()) == [path]

    def test_the_oldest_caches_go(self, root, path):
        path.parent.mkdir(parents=True)
        for number in range(70):
            other = path.parent / f"{number}.digests"
            other.touch()
            os.utime(other, (number, number))

        digest(root, path)

        assert len(list(path.parent.iterdir())) == 64
        assert path.exists()
        assert not (path.parent / "6.digests").exists()
        assert (path.parent / "7.digests").exists()


NAMES = st.sampled_from(["a.py", "b.py", "sub/a.py", "sub/c.py"])
STEPS = st.one_of(
    st.tuples(st.just("write"), NAMES, st.sampled_from(["1", "2", "long"])),
    st.tuples(st.just("exchange"), NAMES, NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("look")),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(STEPS, max_size=12))
def test_whatever_happens_between_two_looks_the_digest_is_that_of_the_tree(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("steps")
    root, path = folder / "src", folder / "cache"
    (root / "sub").mkdir(parents=True)
    (root / "one").write_text("1")
    for kind, *details in [*steps, ("look",)]:
        match kind, *(root / detail if "." in detail else detail for detail in details):
            case "write", file, text:
                # The file system's clock has to tick between two contents; a real user waits for its two seconds.
                time.sleep(0.012)
                file.write_text(text)
            case "exchange", one, other if one.exists() and other.exists() and one != other:
                one.rename(root / "third")
                other.rename(one)
                (root / "third").rename(other)
            case "remove", file:
                file.unlink(missing_ok=True)
            case ("look",):
                assert digest(root, path) == content_digest(collect(None, root))
