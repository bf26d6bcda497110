"""Wheels that are made to do harm: each is refused with a reason, before any byte of it is in an image."""

from __future__ import annotations

import io
import struct
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fakes.tiny_wheels import SITE, installed, inventory, lock_of, make_wheel

from sagemaker_custom.errors import BuildError, DigestMismatchError, UsageError, VerificationError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wheels.archive import open_wheel
from sagemaker_custom.wheels.base_metadata import write_base_metadata
from sagemaker_custom.wheels.contents import read_contents
from sagemaker_custom.wheels.download import Content
from sagemaker_custom.wheels.layout import Layout
from sagemaker_custom.wheels.lock import read_lock
from sagemaker_custom.wheels.pylock import read_pylock
from sagemaker_custom.wheels.static_check import check_metadata
from sagemaker_custom.wheels.store import WheelStore

LAYOUT = Layout.of(inventory())
INFO = "demo-1.0.dist-info"


def rewritten(wheel, change):
    """The same wheel, with other bytes."""
    wheel.path.write_bytes(change(wheel.path.read_bytes()))
    return wheel


def added(folder, *members):
    """A wheel with more entries than :func:`make_wheel` would write."""
    wheel = make_wheel(folder)
    with zipfile.ZipFile(wheel.path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name) if isinstance(name, str) else name, content)
    return wheel


def refusal(wheel, layout=LAYOUT):
    with pytest.raises(BuildError) as caught:
        read_contents(wheel, layout)
    return caught.value


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "../../etc/cron.d/evil",
            "demo/../../evil",
            "/etc/evil",
            "//evil",
            "./evil",
            "demo//evil",
            "demo-1.0.data/data/../../../etc/evil",
            "demo-1.0.data/scripts/../../evil",
            "demo-1.0.data/scripts//etc/evil",
            "demo-1.0.data/headers/../../x.h",
            "./demo-1.0.data/scripts/x",
            "demo-1.0.data",
            "demo-1.0.data\0/scripts/x",
            "demo-1.0.data/nowhere/x",
            "demo-1.0.data/data",
            "demo-1.0.data/x",
            "demo\\..\\..\\evil",
            "C:/Windows/evil",
            "C:\\Windows\\evil",
            "demo/line\nend",
            "demo/\x1b[2J",
            "demo/.wh.numpy",
            "demo/.wh..wh..opq",
            "demo/" + "x" * 256,
            "/".join(["demo"] + ["deep"] * 1000),
        ],
    )  # fmt: skip
    def test_a_path_that_leaves_its_place_is_refused(self, tmp_path, name):
        wheel = added(tmp_path, (name, b"x"))

        error = refusal(wheel)

        assert "demo-1.0" in error.message or "wheel of demo" in error.message
        assert error.hint
        assert error.message.isprintable()

    @pytest.mark.parametrize(
        "line",
        ["../evil = a:b", "/bin/sh = a:b", "a/../../sh = a:b", "evil\x00 = a:b", "e\\vil = a:b", ".wh.sh = a:b"],
    )
    def test_a_program_that_would_stand_elsewhere_is_refused(self, tmp_path, line):
        wheel = make_wheel(tmp_path, entry_points=f"[console_scripts]\n{line}\n")

        assert "entry" in refusal(wheel).message or "cannot stand in an image" in refusal(wheel).message

    @pytest.mark.parametrize(
        "target",
        ["os:system\n import evil", "os;evil:main", "os:main()", "os:main;evil()", "__import__('os'):x", "a b:c"],
    )
    def test_code_in_an_entry_point_is_refused(self, tmp_path, target):
        wheel = make_wheel(tmp_path, entry_points=f"[console_scripts]\nrun = {target}\n")

        assert refusal(wheel).hint

    def test_a_second_file_of_one_name_is_refused(self, tmp_path):
        with pytest.warns(UserWarning, match="Duplicate name"):
            wheel = added(tmp_path, ("demo/__init__.py", b"evil"))

        assert "'demo/__init__.py' twice" in refusal(wheel).message

    def test_record_places_nothing(self, tmp_path):
        """Only files of the archive are installed, whatever RECORD lists."""
        wheel = make_wheel(tmp_path, record={"../../../etc/passwd": "sha256=abc,5", "/etc/shadow": ",", "a\nb": ","})

        contents = read_contents(wheel, LAYOUT)

        assert all(file.path.startswith(f"{SITE}/") for file in contents.marked_files)

    @pytest.mark.parametrize("line", ["x" * 200_000, '"' + "x" * 200_000, "a,b,c,d,e", "a,sha256=x,many"])
    def test_a_record_that_cannot_be_read_is_refused(self, tmp_path, line):
        wheel = make_wheel(tmp_path)
        content = wheel.path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(wheel.path, "w") as new:
            for info in old.infolist():
                new.writestr(info, line.encode() if info.filename.endswith("RECORD") else old.read(info))

        if line == "a,sha256=x,many":  # about a file that is not there
            assert read_contents(wheel, LAYOUT).files
        else:
            refusal(wheel)


class TestIdentity:
    @pytest.mark.parametrize(
        ("name", "version"), [("numpy", "1.0"), ("demo", "2.0"), ("demo", "no version"), ("\x1b[31mdemo", "1.0")]
    )
    def test_metadata_of_another_package_is_refused(self, tmp_path, name, version):
        honest = make_wheel(tmp_path)
        wheel = replaced_member(honest, "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

        with pytest.raises(VerificationError, match=r"says of itself that it is") as caught:
            check_metadata(inventory(), lock_of(wheel), [wheel])

        assert caught.value.message.isprintable()

    def test_a_wheel_without_metadata_is_refused(self, tmp_path):
        wheel = replaced_member(make_wheel(tmp_path), "METADATA", "")

        with pytest.raises(VerificationError, match="says of itself"):
            check_metadata(inventory(), lock_of(wheel), [wheel])

    def test_what_is_no_archive_is_refused(self, tmp_path):
        wheel = rewritten(make_wheel(tmp_path), lambda content: b"#!/bin/sh\n" + bytes(reversed(content)))

        with pytest.raises(BuildError, match="is not a zip archive"):
            check_metadata(inventory(), lock_of(wheel), [wheel])


def replaced_member(wheel, ending, text):
    content = wheel.path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(wheel.path, "w") as new:
        for info in old.infolist():
            new.writestr(info, text.encode() if info.filename.endswith(ending) else old.read(info))
    return wheel


class TestBombs:
    def test_a_few_bytes_that_unpack_to_gigabytes_are_refused(self, tmp_path):
        wheel = added(tmp_path, *((packed(f"demo/{number}"), b"\0" * 30_000_000) for number in range(10)))

        assert wheel.path.stat().st_size < 1_000_000
        assert "bytes unpack to 300000" in refusal(wheel).message

    def test_files_that_share_their_bytes_are_refused(self, tmp_path):
        """Every entry of the listing leads to the same packed bytes."""
        wheel = rewritten(added(tmp_path, (packed("demo/a"), b"a" * 5000)), listed_again)

        assert "overlap each other" in refusal(wheel).message

    def test_a_size_that_is_a_lie_is_refused(self, tmp_path):
        def claims_more(content):
            at = content.rindex(b"PK\x01\x02")
            return content[: at + 24] + struct.pack("<I", 0xF0000000) + content[at + 28 :]

        wheel = rewritten(added(tmp_path, (packed("demo/a"), b"a" * 5000)), claims_more)

        assert "unpack to" in refusal(wheel).message

    @pytest.mark.parametrize("ending", ["METADATA", "RECORD"])
    def test_metadata_too_large_to_be_read_whole_is_refused(self, tmp_path, ending):
        wheel = make_wheel(tmp_path, entry_points="[x]\na = b:c\n")
        content = wheel.path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(wheel.path, "w") as new:
            for info in old.infolist():
                new.writestr(info, b"\n" * 69_000_000 if info.filename.endswith(ending) else old.read(info))

        assert f"{ending}' has 69000000 bytes" in refusal(wheel).message

    @pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
    def test_other_compressions_are_refused(self, tmp_path, method):
        entry = zipfile.ZipInfo("demo/a")
        entry.compress_type = method

        assert "compressed in a way" in refusal(added(tmp_path, (entry, b"a" * 100))).message

    def test_an_encrypted_wheel_is_refused(self, tmp_path):
        def flagged(content):
            at = content.rindex(b"PK\x01\x02")
            return content[: at + 8] + b"\x01" + content[at + 9 :]

        assert "encrypted" in refusal(rewritten(added(tmp_path, ("demo/a", b"a")), flagged)).message

    def test_an_honest_wheel_is_opened(self, tmp_path):
        with open_wheel(make_wheel(tmp_path).path) as archive:
            assert f"{INFO}/METADATA" in archive.namelist()


def packed(name):
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def listed_again(content):
    """Repeat the last entry of the listing under other names."""
    end = content.rindex(b"PK\x05\x06")
    last = content.rindex(b"PK\x01\x02")
    entry = content[last:end]
    copies = b"".join(entry.replace(b"demo/a", b"demo/" + letter) for letter in (b"b", b"c", b"d"))
    disk, start, here, total, size, offset, comment = struct.unpack("<HHHHIIH", content[end + 4 : end + 22])
    tail = struct.pack("<HHHHIIH", disk, start, here + 3, total + 3, size + len(copies), offset, comment)
    return content[:end] + copies + b"PK\x05\x06" + tail


class TestNamesOfTheBase:
    """What is installed in a base becomes files for the resolver: its names are a stranger's."""

    @pytest.mark.parametrize(
        "name", ["/etc/cron.d/evil", "../../evil", "evil\nRequires-Dist: worse", "a b", "", "\x1b[2J", "-r"]
    )
    def test_no_file_is_written_elsewhere(self, tmp_path, name):
        packages = (replace(installed("fine", "1.0"), name=name), installed("other", "2.0"))

        made = write_base_metadata(inventory(packages=packages), tmp_path / "inner")

        assert made.filenames == {"other-2.0-py3-none-any.whl"}
        assert {path.name for path in tmp_path.iterdir()} == {"inner"}

    def test_no_line_is_added_to_metadata(self, tmp_path):
        package = replace(
            installed("fine", "1.0", "a; extra == 'x\nRequires-Dist: evil'", "evil; " + "(" * 5000),
            provides_extra=("x\nRequires-Dist: evil", "y"),
        )

        write_base_metadata(inventory(packages=(package,)), tmp_path)

        (wheel,) = tmp_path.rglob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            assert "evil" not in archive.read("fine-1.0.dist-info/METADATA").decode()


class TestLocks:
    @pytest.mark.parametrize("text", ["[" * 100_000, '{"format": 1, "format": 1}', "9" * 5000, "\0", '{"format": NaN}'])
    def test_what_is_no_lock_is_refused(self, text):
        with pytest.raises(UsageError, match="the lock"):
            read_lock(text)

    @pytest.mark.parametrize("filename", ["../../a-1-py3-none-any.whl", "/etc/a-1-py3-none-any.whl", "a\\b.whl", "x"])
    def test_a_file_name_that_leads_elsewhere_is_refused(self, tmp_path, filename):
        wheel = make_wheel(tmp_path)
        text = lock_of(wheel).to_json().replace(f'"filename":"{wheel.wheel.filename}"', f'"filename":{filename!r}')
        text = text.replace("'", '"')

        with pytest.raises(UsageError):
            read_lock(text)

    @pytest.mark.parametrize(
        "text",
        ["packages=" + "[" * 100_000, 'packages=[{name="x",wheels=[{url="http://["}]}]', "packages=5", "\0"],
    )
    def test_an_answer_of_the_resolver_that_cannot_be_read_is_refused(self, text):
        with pytest.raises(BuildError, match="uv's answer cannot be read"):
            read_pylock(text)


class Endless:
    """An index that sends more than it said."""

    sent = 0

    @contextmanager
    def open(self, url, *, start=0):
        yield Content(start=start, chunks=self.chunks())

    def chunks(self):
        for _ in range(100):
            self.sent += 1
            yield bytes(1000)


def test_a_download_without_end_is_cut_off(tmp_path):
    index = Endless()
    wheel = make_wheel(tmp_path)

    with pytest.raises(DigestMismatchError, match=r"has more than \d+ bytes"):
        WheelStore(tmp_path / "cache", download=index).fetch(lock_of(wheel), NoProgress())

    assert index.sent < 5
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
