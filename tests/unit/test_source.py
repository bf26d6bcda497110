from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass, field, replace

import pytest
from fakes.fake_object_store import FakeObjectStore

from sagemaker_custom.archive import collect, content_digest
from sagemaker_custom.contents import FileDigest
from sagemaker_custom.digest_cache import DigestCache
from sagemaker_custom.errors import SourceError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.source import SourceDestination, bundle, stage, upload

KEY_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234"


@dataclass
class RecordingProgress:
    """Keeps what it is told; is its own only task."""

    said: list[str] = field(default_factory=list)
    total: int | None = None
    advanced: int = 0

    def step(self, text: str) -> None:
        self.said.append(text)

    def log(self, line: str) -> None:
        self.said.append(line)

    def task(self, text: str, *, total: int | None = None, unit: str = "bytes"):
        self.total = total
        return self

    def advance(self, amount: int) -> None:
        self.advanced += amount

    def set_total(self, total: int) -> None:
        self.total = total

    def finish(self) -> None:
        self.said.append("finished")


@pytest.fixture
def code(tmp_path):
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "src/train.py").write_text("print('hello')")
    (tmp_path / "src/pkg/model.py").write_text("x = 1\n")
    return bundle("train.py", tmp_path / "src")


@pytest.fixture
def destination():
    return SourceDestination(bucket="code", prefix="team/jobs/")


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


class TestBundle:
    def test_says_what_will_be_packed(self, code, tmp_path):
        assert code.script_name == "train.py"
        assert code.files == 2
        assert code.size == len("print('hello')") + len("x = 1\n")
        assert code.digest == content_digest(collect("train.py", tmp_path / "src"))

    def test_without_a_script_has_no_script_name(self, tmp_path, code):
        assert bundle(None, tmp_path / "src").script_name is None

    def test_refuses_code_that_cannot_be_packed(self, tmp_path):
        with pytest.raises(SourceError, match="does not exist"):
            bundle("train.py", tmp_path / "missing")

    def test_two_scripts_of_one_folder_have_addresses_of_their_own(self, code, tmp_path):
        other = bundle("pkg/model.py", tmp_path / "src")
        assert other.digest == code.digest
        assert other.address != code.address


class TestUpload:
    def test_goes_to_a_key_named_after_the_content(self, code, destination):
        store = FakeObjectStore()

        uploaded = upload(code, destination, store=store, progress=NoProgress())

        key = f"team/jobs/{code.address}/sourcedir.tar.gz"
        assert uploaded.uri == f"s3://code/{key}"
        assert uploaded.script_name == "train.py"
        assert uploaded.uploaded_bytes == store.objects["code", key].size
        with tarfile.open(fileobj=io.BytesIO(store.objects["code", key].content), mode="r:gz") as tar:
            assert tar.getnames() == ["pkg", "pkg/model.py", "train.py"]

    def test_without_a_prefix_the_key_begins_with_the_address(self, code):
        uploaded = upload(
            code, SourceDestination(bucket="code", prefix=""), store=FakeObjectStore(), progress=NoProgress()
        )

        assert uploaded.uri == f"s3://code/{code.address}/sourcedir.tar.gz"

    def test_what_is_there_is_not_sent_again(self, code, destination):
        store, progress = FakeObjectStore(), RecordingProgress()
        first = upload(code, destination, store=store, progress=NoProgress())

        second = upload(code, destination, store=store, progress=progress)

        assert (second.uri, second.uploaded_bytes) == (first.uri, 0)
        assert len(store.uploads) == 1
        assert progress.said == [f"source (2 files, {first.uploaded_bytes} bytes packed) already at {first.uri}"]

    def test_changed_code_is_sent_to_another_key(self, code, destination, tmp_path):
        store = FakeObjectStore()
        first = upload(code, destination, store=store, progress=NoProgress())
        (tmp_path / "src/train.py").write_text("print('bye')")

        second = upload(bundle("train.py", tmp_path / "src"), destination, store=store, progress=NoProgress())

        assert second.uri != first.uri
        assert second.uploaded_bytes > 0

    def test_tells_what_it_sends_and_how_far_it_is(self, code, destination):
        progress = RecordingProgress()

        uploaded = upload(code, destination, store=FakeObjectStore(), progress=progress)

        assert progress.said == [
            "packing source: 2 files, 20 bytes",
            f"uploading source ({uploaded.uploaded_bytes} bytes) to {uploaded.uri}",
            "finished",
        ]
        assert progress.advanced == progress.total == uploaded.uploaded_bytes

    @pytest.mark.parametrize("asked", [KEY_ARN, "1234"])
    def test_an_object_under_the_asked_key_is_kept(self, code, asked):
        store = FakeObjectStore()
        destination = SourceDestination(bucket="code", prefix="p", kms_key=asked)
        upload(code, destination, store=store, progress=NoProgress())

        assert upload(code, destination, store=store, progress=NoProgress()).uploaded_bytes == 0
        assert [found.kms_key for found in store.objects.values()] == [KEY_ARN]

    @pytest.mark.parametrize("encrypt", [True, False])
    def test_an_object_under_another_key_is_sent_again(self, code, encrypt):
        store = FakeObjectStore()
        upload(
            code,
            SourceDestination(bucket="code", prefix="p", encrypt=encrypt),
            store=store,
            progress=NoProgress(),
        )

        again = upload(
            code,
            SourceDestination(bucket="code", prefix="p", kms_key="1234"),
            store=store,
            progress=NoProgress(),
        )

        assert again.uploaded_bytes > 0
        assert [found.kms_key for found in store.objects.values()] == [KEY_ARN]

    def test_encryption_can_be_left_to_the_bucket(self, code):
        store = FakeObjectStore()

        upload(code, SourceDestination(bucket="code", prefix="p", encrypt=False), store=store, progress=NoProgress())

        assert [found.kms_key for found in store.objects.values()] == [None]

    def test_the_owner_of_the_bucket_is_checked_before_anything_is_read(self, code):
        store = FakeObjectStore(owners={"code": "999999999999"})
        destination = SourceDestination(bucket="code", prefix="p", expected_owner="111122223333")

        with pytest.raises(PermissionError, match="belongs to 999999999999"):
            upload(code, destination, store=store, progress=NoProgress())

        assert store.uploads == []

    @pytest.mark.parametrize("failure", [KeyboardInterrupt(), ConnectionError("broken pipe")])
    def test_an_interrupted_upload_leaves_no_file_behind(self, code, destination, workspace, failure):
        store = FakeObjectStore(failure=failure)

        with pytest.raises(type(failure)):
            upload(code, destination, store=store, progress=NoProgress(), workspace=workspace)

        assert [path.is_relative_to(workspace) for path in store.uploads] == [True]
        assert list(workspace.iterdir()) == []

    def test_code_that_changed_since_it_was_bundled_is_not_sent(self, code, destination, tmp_path, workspace):
        store = FakeObjectStore()
        (tmp_path / "src/train.py").write_text("print('hullo')")

        with pytest.raises(SourceError, match="a source file changed while it was packed"):
            upload(code, destination, store=store, progress=NoProgress(), workspace=workspace)

        assert store.objects == {}
        assert list(workspace.iterdir()) == []

    def test_a_workspace_that_cannot_be_written_is_named(self, code, destination, tmp_path):
        with pytest.raises(SourceError, match=r"cannot write the source archive to .*/gone: No such file.*\n.*TMPDIR"):
            upload(code, destination, store=FakeObjectStore(), progress=NoProgress(), workspace=tmp_path / "gone")


class TestRememberedDigests:
    @pytest.fixture
    def large(self, tmp_path):
        (tmp_path / "src").mkdir()
        for number in range(100):
            (tmp_path / f"src/{number}.py").write_text(str(number))
        return tmp_path / "src"

    def later(self):
        return time.time_ns() + 10**11

    def wrong_cache(self, large, folder):
        """Remember another content of one of the files, as no file system should have it."""
        code = bundle(None, large, cache_dir=folder)
        (entry,) = (entry for entry in code.entries if entry.name == "7.py")
        name = "tree.digests"
        cache = DigestCache(folder, name, clock=self.later)
        cache.keep(code.entries, {entry.name: FileDigest(sha256=b"x" * 32, stamp=entry.stamp)})
        wrong = DigestCache(folder, name)
        return replace(code, digest=content_digest(code.entries, cache=wrong), cache=wrong)

    def test_digest_and_archive_are_the_same_with_and_without(self, large, tmp_path):
        assert bundle(None, large, cache_dir=tmp_path / "cache") == bundle(None, large)

    def test_few_small_files_are_not_remembered(self, large, tmp_path):
        (large / "1.py").unlink()
        assert bundle(None, large, cache_dir=tmp_path / "cache").cache is None

    @pytest.mark.parametrize("work", ["upload", "stage"])
    def test_a_cache_that_was_wrong_is_told_of_once(self, large, tmp_path, destination, work):
        wrong, store = self.wrong_cache(large, tmp_path / "cache"), FakeObjectStore()
        works = {
            "upload": lambda: upload(wrong, destination, store=store, progress=NoProgress()),
            "stage": lambda: stage(wrong, tmp_path / "work"),
        }
        with pytest.raises(SourceError, match="a source file changed while it was packed"):
            works[work]()

        assert store.objects == {}
        again = DigestCache(tmp_path / "cache", "tree.digests")
        assert content_digest(wrong.entries, cache=again) == bundle(None, large).digest


class TestStage:
    def test_lays_the_code_out_under_its_digest(self, code, tmp_path):
        folder = stage(code, tmp_path / "cache")

        assert folder == tmp_path / "cache/source" / code.digest
        assert (folder / "pkg/model.py").read_text() == "x = 1\n"
        assert content_digest(collect("train.py", folder)) == code.digest

    def test_uses_again_what_is_laid_out(self, code, tmp_path):
        folder = stage(code, tmp_path / "cache")
        inode = (folder / "train.py").stat().st_ino

        assert stage(code, tmp_path / "cache") == folder
        assert (folder / "train.py").stat().st_ino == inode

    def test_two_processes_at_once_end_with_one_complete_folder(self, code, tmp_path):
        class Overtaken(tuple):
            """Entries that, while they are being copied, somebody else has copied already."""

            __slots__ = ()

            def __iter__(self):
                folder = stage(code, tmp_path / "cache")
                (folder / "train.py").chmod(0o600)
                return super().__iter__()

        folder = stage(replace(code, entries=Overtaken(code.entries)), tmp_path / "cache")

        assert content_digest(collect("train.py", folder)) == code.digest
        assert (folder / "train.py").stat().st_mode & 0o777 == 0o600
        assert list(folder.parent.iterdir()) == [folder]

    def test_leaves_nothing_else_in_the_cache(self, code, tmp_path):
        folder = stage(code, tmp_path / "cache")

        assert list(folder.parent.iterdir()) == [folder]

    def test_code_that_changed_since_it_was_bundled_is_not_laid_out(self, code, tmp_path):
        (tmp_path / "src/train.py").write_text("print('hullo')")

        with pytest.raises(SourceError, match="a source file changed while it was packed"):
            stage(code, tmp_path / "cache")

        assert list((tmp_path / "cache/source").iterdir()) == []

    def test_a_cache_that_cannot_be_written_is_named(self, code, tmp_path):
        (tmp_path / "cache").write_text("a file")

        with pytest.raises(SourceError, match=r"cannot lay the source out in .*/cache: .+\n.*free some space"):
            stage(code, tmp_path / "cache")
