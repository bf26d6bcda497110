from __future__ import annotations

import io
import os
import random
import stat
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_custom.archive import Entry, collect, content_digest, copy_tree, script_name, write_tar_gz
from sagemaker_custom.errors import SourceError
from sagemaker_custom.ignore import DEFAULT_IGNORES


def plant(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write the files, in the order they are named."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def packed(root: Path, *patterns: str) -> set[str]:
    """Return the files that remain of a source folder with these patterns."""
    if patterns:
        (root / ".sagemakerignore").write_text("\n".join(patterns))
    return {entry.name for entry in collect(None, root) if entry.kind == "file"}


def archive(entries) -> bytes:
    target = io.BytesIO()
    written = write_tar_gz(entries, target)
    assert written == len(target.getvalue())
    return target.getvalue()


def members(entries) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive(entries)), mode="r:gz") as tar:
        return {member.name: member for member in tar.getmembers()}


FILES = {"train.py": "print()", "lib/a.py": "a" * 700, "lib/b.bin": os.urandom(70_000), "z/empty": ""}


class TestReproducibility:
    def test_copies_made_elsewhere_later_and_in_another_order_give_the_same_bytes(self, tmp_path):
        first = plant(tmp_path / "first", FILES)
        second = plant(tmp_path / "deeper/second", dict(reversed(FILES.items())))
        for number, path in enumerate(sorted(second.rglob("*"))):
            os.utime(path, (number, 10**9 + number))
            path.chmod(0o700 if path.is_dir() else 0o600)
            if os.geteuid() == 0:
                os.chown(path, 1234, 5678)

        assert archive(collect("train.py", first)) == archive(collect("train.py", second))
        assert content_digest(collect("train.py", first)) == content_digest(collect("train.py", second))

    def test_headers_tell_nothing_about_who_packed_when(self, tmp_path):
        root = plant(tmp_path / "src", FILES)
        (root / "train.py").chmod(0o740)

        found = members(collect("train.py", root))

        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in found.values()} == {(0, 0, "", "", 0)}
        assert {name: oct(member.mode) for name, member in found.items()} == {
            "lib": "0o755",
            "lib/a.py": "0o644",
            "lib/b.bin": "0o644",
            "train.py": "0o755",
            "z": "0o755",
            "z/empty": "0o644",
        }
        assert list(found) == sorted(found)

    def test_the_gzip_header_has_neither_name_nor_time(self, tmp_path):
        header = archive(collect("train.py", plant(tmp_path, FILES)))[:9]

        assert header == b"\x1f\x8b\x08" + b"\0" + b"\0\0\0\0" + b"\0"

    def test_the_digest_is_the_same_on_every_machine_and_in_every_release(self, tmp_path):
        """Another one would have everybody's code uploaded again."""
        root = plant(tmp_path, {"train.py": "print()", "lib/é.py": "x = 1\n"})
        (root / "train.py").chmod(0o755)

        assert content_digest(collect("train.py", root)) == (
            "ae2c3c6cc2fb0586d4254285dc30ac20444655ffb6c149db38befe77d6045d59"
        )

    def test_the_digest_does_not_depend_on_how_files_are_read(self, tmp_path):
        sizes = [0, 1, 2**18 - 1, 2**18, 2**18 + 1, 2**20, 3 * 2**20 + 5, 2, 2]
        files = {f"{number}.bin": random.Random(number).randbytes(size) for number, size in enumerate(sizes)}
        entries = collect(None, plant(tmp_path, files))

        with tarfile.open(fileobj=io.BytesIO(archive(entries)), mode="r:gz") as tar:
            found = {member.name: tar.extractfile(member).read() for member in tar}

        assert found == files
        assert write_tar_gz(entries, io.BytesIO(), digest=content_digest(entries))

    def test_names_and_contents_cannot_stand_in_for_each_other(self, tmp_path):
        lines = "a.py\n755  9 b/c\n644"
        trees = [{"a.py": "", "b/c": "x"}, {"a.py": "x", "b/c": ""}, {lines: "x"}, {"a.py\n": "", "b/c": "x"}]

        digests = {content_digest(collect(None, plant(tmp_path / str(n), tree))) for n, tree in enumerate(trees)}

        assert len(digests) == len(trees)

    def test_the_order_of_the_entries_does_not_matter(self, tmp_path):
        entries = collect("train.py", plant(tmp_path, FILES))

        assert content_digest(reversed(entries)) == content_digest(entries)

    @pytest.mark.parametrize("change", ["content", "name", "executable", "empty folder"])
    def test_whatever_a_container_could_notice_changes_the_digest(self, tmp_path, change):
        root = plant(tmp_path, FILES)
        before = content_digest(collect("train.py", root))
        match change:
            case "content":
                (root / "lib/a.py").write_text("b" * 700)
            case "name":
                (root / "lib/a.py").rename(root / "lib/c.py")
            case "executable":
                (root / "lib/a.py").chmod(0o755)
            case "empty folder":
                (root / "checkpoints").mkdir()

        assert content_digest(collect("train.py", root)) != before


class TestUnpacking:
    def test_extraction_gives_the_tree_back(self, tmp_path):
        long_name = "/".join(["package" * 8] * 5) + "/mod.py"
        files = {"train.py": "x", "lib/é.py": "ü", long_name: "deep", "big": os.urandom(3_000_000)}
        entries = collect("train.py", plant(tmp_path / "src", files))

        with tarfile.open(fileobj=io.BytesIO(archive(entries)), mode="r:gz") as tar:
            tar.extractall(tmp_path / "out", filter="data")

        assert content_digest(collect("train.py", tmp_path / "out")) == content_digest(entries)
        assert (tmp_path / "out" / long_name).read_text() == "deep"

    def test_a_name_that_is_not_utf8_survives(self, tmp_path):
        name = os.fsdecode(b"caf\xe9.txt")
        entries = collect(None, plant(tmp_path, {name: "x"}))

        assert b"caf\xe9.txt\0" in zlib.decompress(archive(entries), wbits=31)

    def test_folders_without_files_are_kept(self, tmp_path):
        root = plant(tmp_path, {"train.py": ""})
        (root / "checkpoints").mkdir()

        assert members(collect("train.py", root))["checkpoints"].isdir()

    def test_a_copied_tree_equals_the_archive(self, tmp_path):
        root = plant(tmp_path / "src", {"train.py": "x", "lib/run.sh": "#!/bin/sh"})
        (root / "lib/run.sh").chmod(0o755)
        entries = collect("train.py", root)

        copy_tree(entries, tmp_path / "deep/out", digest=content_digest(entries))

        assert content_digest(collect("train.py", tmp_path / "deep/out")) == content_digest(entries)
        assert stat.S_IMODE((tmp_path / "deep/out").stat().st_mode) == 0o755
        assert stat.S_IMODE((tmp_path / "deep/out/lib/run.sh").stat().st_mode) == 0o755

    def test_a_copy_that_fails_leaves_nothing_behind(self, tmp_path):
        entries = collect("train.py", plant(tmp_path / "src", {"a.py": "", "train.py": ""}))
        (tmp_path / "src/train.py").unlink()

        with pytest.raises(SourceError):
            copy_tree(entries, tmp_path / "cache/out")

        assert list((tmp_path / "cache").iterdir()) == []

    def test_a_copy_never_mixes_with_what_is_there(self, tmp_path):
        entries = collect("train.py", plant(tmp_path / "src", {"train.py": "new"}))
        plant(tmp_path / "cache/out", {"train.py": "old"})

        with pytest.raises(FileExistsError, match="is there already"):
            copy_tree(entries, tmp_path / "cache/out")

        assert (tmp_path / "cache/out/train.py").read_text() == "old"
        assert [path.name for path in (tmp_path / "cache").iterdir()] == ["out"]


class TestWhatIsPacked:
    def test_without_source_dir_only_the_script(self, tmp_path):
        plant(tmp_path, {"code/train.py": "", "code/secret.txt": ""})

        entries = collect(str(tmp_path / "code/train.py"), None)

        assert [entry.name for entry in entries] == ["train.py"]

    def test_dependencies_stand_at_the_top_under_their_own_name(self, tmp_path):
        plant(tmp_path, {"src/train.py": "", "shared/lib/a/b.py": "", "one.py": ""})

        entries = collect("train.py", tmp_path / "src", [str(tmp_path / "shared/lib"), tmp_path / "one.py"])

        assert [entry.name for entry in entries] == ["lib", "lib/a", "lib/a/b.py", "one.py", "train.py"]

    def test_dependencies_join_a_single_script(self, tmp_path):
        plant(tmp_path, {"train.py": "", "lib/b.py": ""})

        entries = collect(str(tmp_path / "train.py"), None, [f"{tmp_path}/lib/"])

        assert [entry.name for entry in entries] == ["lib", "lib/b.py", "train.py"]

    def test_a_dependency_keeps_the_name_of_the_link_that_leads_to_it(self, tmp_path):
        plant(tmp_path, {"train.py": "", "lib-1.2/b.py": ""})
        (tmp_path / "lib").symlink_to("lib-1.2")

        assert {"lib/b.py"} < {entry.name for entry in collect(str(tmp_path / "train.py"), None, [tmp_path / "lib"])}

    def test_the_parent_folder_as_a_dependency_has_a_name(self, tmp_path, monkeypatch):
        plant(tmp_path, {"project/tools/train.py": "", "project/lib.py": ""})
        monkeypatch.chdir(tmp_path / "project/tools")

        assert "project/lib.py" in {entry.name for entry in collect("train.py", None, [".."])}

    def test_one_thing_named_twice_is_packed_once(self, tmp_path):
        root = plant(tmp_path / "src", {"train.py": "", "lib/a.py": "same"})
        plant(tmp_path / "copy", {"lib/a.py": "same"})

        entries = collect("train.py", root, [root / "lib", tmp_path / "copy/lib"])

        assert [entry.name for entry in entries] == ["lib", "lib/a.py", "train.py"]

    def test_symlinks_are_followed_even_out_of_the_tree(self, tmp_path):
        root = plant(tmp_path / "src", {"train.py": "", "real/a.py": "inside"})
        plant(tmp_path / "elsewhere", {"data.csv": "outside"})
        (root / "link.csv").symlink_to("../elsewhere/data.csv")
        (root / "linked").symlink_to("real")

        found = members(collect("train.py", root))

        assert found["link.csv"].isreg()
        assert found["link.csv"].size == len("outside")
        assert found["linked"].isdir()
        assert found["linked/a.py"].isreg()

    @pytest.mark.parametrize(
        ("entry_point", "name"), [("pkg/train.py", "pkg/train.py"), ("./pkg/../train.py", "train.py")]
    )
    def test_the_script_is_named_relative_to_source_dir(self, tmp_path, entry_point, name):
        plant(tmp_path, {"train.py": "", "pkg/train.py": ""})

        assert name in {entry.name for entry in collect(entry_point, tmp_path)}
        assert script_name(entry_point, tmp_path) == name

    def test_an_absolute_entry_point_inside_source_dir_becomes_relative(self, tmp_path, monkeypatch):
        plant(tmp_path, {"src/pkg/train.py": ""})
        monkeypatch.chdir(tmp_path)

        collect(str(tmp_path / "src/pkg/train.py"), "src")

        assert script_name(str(tmp_path / "src/pkg/train.py"), "src") == "pkg/train.py"

    def test_without_source_dir_the_script_is_named_by_its_basename(self):
        assert script_name("some/where/train.py", None) == "train.py"


class TestIgnoring:
    def test_caches_and_version_control_stay_out(self, tmp_path):
        plant(tmp_path, {f"{where}{name}/x": "" for where in ("", "pkg/") for name in DEFAULT_IGNORES})
        plant(tmp_path, {"train.py": "", "pkg/.env": ""})

        assert packed(tmp_path) == {"train.py", "pkg/.env"}

    def test_the_ignore_files_are_not_packed(self, tmp_path):
        plant(tmp_path, {"train.py": "", "pkg/.sagemakerignore": "", "pkg/a": ""})

        assert packed(tmp_path, "# nothing") == {"train.py", "pkg/a"}

    def test_a_negated_pattern_brings_a_default_back(self, tmp_path):
        plant(tmp_path, {"train.py": "", ".venv/bin/python": "", "sub/.venv/x": "", ".git/HEAD": ""})

        assert packed(tmp_path, "!/.venv/") == {"train.py", ".venv/bin/python"}

    def test_a_list_of_what_to_keep_does_not_bring_the_defaults_back(self, tmp_path):
        plant(tmp_path, {"train.py": "", "data.csv": "", "pkg/a.py": "", ".venv/lib/b.py": "", ".git/hooks/c.py": ""})

        assert packed(tmp_path, "*", "!*/", "!*.py") == {"train.py", "pkg/a.py"}

    @pytest.mark.parametrize(
        ("patterns", "kept"),
        [
            (["*.csv"], {"train.py", "doc/a.md", "pkg/doc/b.md", "pkg/c.py"}),
            (["*.csv", "!keep.csv"], {"train.py", "keep.csv", "doc/a.md", "pkg/doc/b.md", "pkg/c.py"}),
            (["!keep.csv", "*.csv"], {"train.py", "doc/a.md", "pkg/doc/b.md", "pkg/c.py"}),
            (["/doc"], {"train.py", "data.csv", "keep.csv", "pkg/doc/b.md", "pkg/c.py", "pkg/d.csv"}),
            (["doc"], {"train.py", "data.csv", "keep.csv", "pkg/c.py", "pkg/d.csv"}),
            (["pkg/*"], {"train.py", "data.csv", "keep.csv", "doc/a.md"}),
            (["pkg/**/*.md"], {"train.py", "data.csv", "keep.csv", "doc/a.md", "pkg/c.py", "pkg/d.csv"}),
            (["**/doc/"], {"train.py", "data.csv", "keep.csv", "pkg/c.py", "pkg/d.csv"}),
            (["train.py/", "*.csv"], {"train.py", "doc/a.md", "pkg/doc/b.md", "pkg/c.py"}),
            (["*.csv", "!pkg"], {"train.py", "doc/a.md", "pkg/doc/b.md", "pkg/c.py"}),
            (["*", "!*/", "!*.py"], {"train.py", "pkg/c.py"}),
            (["pkg/", "!pkg/c.py"], {"train.py", "data.csv", "keep.csv", "doc/a.md"}),
            (["pkg/*", "!pkg/c.py"], {"train.py", "data.csv", "keep.csv", "doc/a.md", "pkg/c.py"}),
            (["# *.csv", "", "[dk]*.csv  ", "\\#x"], {"train.py", "doc/a.md", "pkg/doc/b.md", "pkg/c.py"}),
            (["*.csv\r", "doc/\r"], {"train.py", "pkg/c.py"}),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_patterns_mean_what_they_mean_to_git(self, tmp_path, patterns, kept):
        files = ["train.py", "data.csv", "keep.csv", "doc/a.md", "pkg/doc/b.md", "pkg/c.py", "pkg/d.csv"]

        assert packed(plant(tmp_path, dict.fromkeys(files, "")), *patterns) == kept

    def test_an_ignore_file_further_down_wins_below_it(self, tmp_path):
        plant(
            tmp_path, {"a.csv": "", "sub/a.csv": "", "sub/b.csv": "", "sub/x/b.csv": "", "x/c.py": "", "sub/x/c.py": ""}
        )
        plant(tmp_path, {"sub/.sagemakerignore": "!b.csv\n/x/*.py\n"})

        assert packed(tmp_path, "*.csv") == {"sub/b.csv", "sub/x/b.csv", "x/c.py"}

    def test_the_rules_of_one_folder_do_not_reach_its_neighbour(self, tmp_path):
        plant(tmp_path, {"left/.sagemakerignore": "*.csv", "left/a.csv": "", "right/a.csv": ""})

        assert packed(tmp_path) == {"right/a.csv"}

    def test_dependencies_follow_their_own_rules(self, tmp_path):
        root = plant(tmp_path / "src", {"train.py": "", ".sagemakerignore": "*.txt"})
        plant(
            tmp_path / "lib", {"a.py": "", "b.md": "", "c.txt": "", "__pycache__/a.pyc": "", ".sagemakerignore": "*.md"}
        )

        names = {entry.name for entry in collect("train.py", root, [tmp_path / "lib"])}

        assert names == {"train.py", "lib", "lib/a.py", "lib/c.txt"}

    def test_what_is_ignored_is_not_looked_at(self, tmp_path):
        plant(tmp_path, {"train.py": "", "data/.sagemakerignore": b"\xff"})
        (tmp_path / "dangling").symlink_to("nowhere")
        (tmp_path / "old-data").symlink_to("unmounted")
        (tmp_path / "self").symlink_to("self")
        (tmp_path / "data/up").symlink_to("..")
        os.mkfifo(tmp_path / "pipe")

        assert packed(tmp_path, "dangling", "old-data/", "self", "data/", "pipe") == {"train.py"}

    def test_a_byte_order_mark_is_no_part_of_the_first_pattern(self, tmp_path):
        plant(tmp_path, {"a.csv": "", "a.py": "", ".sagemakerignore": b"\xef\xbb\xbf*.csv\n"})

        assert packed(tmp_path) == {"a.py"}


class TestErrors:
    def test_a_missing_entry_point_names_the_nearest_files(self, tmp_path):
        root = plant(tmp_path / "src", {"train.py": "", "pkg/trian.py": "", "other.txt": ""})

        with pytest.raises(SourceError) as caught:
            collect("trian.py", root)

        assert str(caught.value) == (
            f"entry point 'trian.py' is not in source_dir '{root}'\n  -> nearest in {root}: pkg/trian.py, train.py"
        )

    def test_an_entry_point_that_repeats_source_dir_is_led_to_the_file(self, tmp_path, monkeypatch):
        plant(tmp_path, {"src/train.py": ""})
        monkeypatch.chdir(tmp_path)

        with pytest.raises(
            SourceError, match=r"'src/train.py' is not in source_dir 'src'\n.*nearest in src: train\.py"
        ):
            collect("src/train.py", "src")

    def test_a_missing_script_without_source_dir_names_its_neighbours(self, tmp_path):
        plant(tmp_path, {"train.py": ""})

        with pytest.raises(SourceError, match=r"entry point '.*/tain.py' does not exist\n.*nearest in .*: train\.py"):
            collect(str(tmp_path / "tain.py"), None)

    def test_nothing_similar_is_said_as_such(self, tmp_path):
        with pytest.raises(SourceError, match=f"nothing in {tmp_path} has a similar name"):
            collect(str(tmp_path / "train.py"), None)

    @pytest.mark.parametrize("entry_point", ["../train.py", "/opt/train.py", "sub/../../src2/train.py"])
    def test_an_entry_point_outside_source_dir_is_refused(self, tmp_path, entry_point):
        plant(tmp_path, {"train.py": "", "src/a.py": ""})

        with pytest.raises(
            SourceError, match=rf"entry point '{entry_point}' is outside source_dir '.*/src'\n.*relative"
        ):
            collect(entry_point, tmp_path / "src")

    def test_an_ignored_entry_point_is_not_called_missing(self, tmp_path):
        plant(tmp_path, {"train.py": "", "a.md": "", ".sagemakerignore": "*.py"})

        with pytest.raises(SourceError, match=r"'train.py' is left out by the ignore rules .*\n.*\.sagemakerignore"):
            collect("train.py", tmp_path)

    def test_a_folder_is_no_entry_point(self, tmp_path):
        plant(tmp_path, {"pkg/train.py": ""})

        with pytest.raises(SourceError, match=r"entry point 'pkg' in '.*' is a folder\n.*name the script"):
            collect("pkg", tmp_path)
        with pytest.raises(SourceError, match=r"entry point '.*/pkg' is a folder\n.*regular file"):
            collect(str(tmp_path / "pkg"), None)

    def test_a_missing_source_dir_names_its_neighbours(self, tmp_path):
        plant(tmp_path, {"source/train.py": ""})

        with pytest.raises(SourceError, match=r"source_dir '.*/sourc' does not exist\n.*nearest in .*: source"):
            collect("train.py", tmp_path / "sourc")

    def test_a_file_is_no_source_dir(self, tmp_path):
        plant(tmp_path, {"train.py": ""})

        with pytest.raises(SourceError, match=r"source_dir '.*/train.py' is not a folder\n.*entry_point alone"):
            collect("train.py", tmp_path / "train.py")

    def test_a_missing_dependency_is_named(self, tmp_path):
        plant(tmp_path, {"train.py": "", "libs/a.py": ""})

        with pytest.raises(SourceError, match=r"dependency '.*/lib' does not exist\n.*nearest in .*: libs"):
            collect(str(tmp_path / "train.py"), None, [tmp_path / "lib"])

    def test_the_root_folder_is_no_dependency(self, tmp_path):
        plant(tmp_path, {"train.py": ""})

        with pytest.raises(SourceError, match=r"'' cannot be a name in an archive"):
            collect(str(tmp_path / "train.py"), None, ["/"])

    @pytest.mark.parametrize("first", ["src/lib/a.py", "one/lib/a.py", "one/lib/b.py"])
    def test_two_things_of_one_name_are_both_named(self, tmp_path, first):
        plant(tmp_path, {"src/train.py": "", first: "first", "two/lib/a.py": "second"})
        dependencies = [tmp_path / "one/lib"] if first.startswith("one") else []

        with pytest.raises(
            SourceError, match=r"/(src|one)/lib and .*/two/lib differ, and both would be 'lib'.*\n.*rename"
        ):
            collect("train.py", tmp_path / "src", [*dependencies, tmp_path / "two/lib"])

    def test_a_dependency_never_replaces_the_entry_point(self, tmp_path):
        plant(tmp_path, {"a/train.py": "a", "b/train.py": "b"})

        with pytest.raises(SourceError, match=r"/a/train.py and .*/b/train.py differ, and both would be 'train.py'"):
            collect(str(tmp_path / "a/train.py"), None, [tmp_path / "b/train.py"])

    def test_a_dangling_symlink_is_named_with_its_target(self, tmp_path):
        plant(tmp_path, {"train.py": ""})
        (tmp_path / "data").symlink_to("/mnt/gone")

        with pytest.raises(SourceError) as caught:
            collect("train.py", tmp_path)

        assert str(caught.value) == (
            f"cannot pack dangling symlink {tmp_path}/data -> /mnt/gone\n"
            f"  -> repair or remove what is named, or add it to {tmp_path}/.sagemakerignore"
        )

    @pytest.mark.parametrize(("link", "target"), [("self", "self"), ("pkg/up", ".."), ("pkg/here", ".")])
    def test_a_symlink_loop_is_named_with_its_target(self, tmp_path, link, target):
        plant(tmp_path, {"train.py": "", "pkg/a.py": ""})
        (tmp_path / link).symlink_to(target)

        with pytest.raises(SourceError, match=rf"cannot pack symlink loop .*/{link} -> {target}\n.*\.sagemakerignore"):
            collect("train.py", tmp_path)

    def test_pipes_and_sockets_are_named_together(self, tmp_path, monkeypatch):
        plant(tmp_path, {"train.py": ""})
        os.mkfifo(tmp_path / "pipe")
        os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)

        with pytest.raises(SourceError, match=r"cannot pack \n    named pipe .*/pipe\n    socket .*/socket\n"):
            collect("train.py", tmp_path)

    def test_a_pipe_is_no_entry_point(self, tmp_path):
        os.mkfifo(tmp_path / "train.py")

        with pytest.raises(SourceError, match=r"entry point '.*/train.py' is a named pipe"):
            collect(str(tmp_path / "train.py"), None)

    def test_many_problems_are_counted_not_listed(self, tmp_path):
        plant(tmp_path, {"train.py": ""})
        for number in range(25):
            (tmp_path / f"link{number:02}").symlink_to("nowhere")

        with pytest.raises(SourceError, match="and 15 more") as caught:
            collect("train.py", tmp_path)

        assert str(caught.value).count("dangling symlink") == 10

    def test_an_unreadable_file_is_named(self, tmp_path):
        root = plant(tmp_path, {"train.py": "", "data.bin": "x"})
        (root / "data.bin").chmod(0)
        if os.access(root / "data.bin", os.R_OK):
            # Nothing is closed to root but what the kernel refuses to read.
            (root / "data.bin").unlink()
            (root / "data.bin").symlink_to("/proc/self/mem")

        with pytest.raises(SourceError, match=rf"cannot read {root}/data\.bin: .+\n.*make it readable"):
            content_digest(collect("train.py", root))

    def test_a_file_that_vanishes_is_named(self, tmp_path):
        entries = collect("train.py", plant(tmp_path, {"train.py": "", "log.txt": "x"}))
        (tmp_path / "log.txt").unlink()

        with pytest.raises(SourceError, match=r"cannot read .*/log\.txt: No such file"):
            archive(entries)

    @pytest.mark.parametrize("now", ["", "shor", "longer than before"])
    def test_a_file_that_shrinks_or_grows_is_named(self, tmp_path, now):
        entries = collect("train.py", plant(tmp_path, {"train.py": "", "log.txt": "short"}))
        (tmp_path / "log.txt").write_text(now)

        with pytest.raises(SourceError, match=r"/log\.txt changed while it was packed\n.*nothing writes to it"):
            archive(entries)

    def test_a_change_that_keeps_the_size_is_noticed_by_the_digest(self, tmp_path):
        entries = collect("train.py", plant(tmp_path / "src", {"train.py": "lr = 1"}))
        digest = content_digest(entries)
        (tmp_path / "src/train.py").write_text("lr = 2")

        with pytest.raises(SourceError, match="a source file changed while it was packed"):
            write_tar_gz(entries, io.BytesIO(), digest=digest)
        with pytest.raises(SourceError, match="a source file changed while it was packed"):
            copy_tree(entries, tmp_path / "out", digest=digest)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("patterns", ["", "*"])
    def test_an_archive_of_nothing_is_refused(self, tmp_path, patterns):
        plant(tmp_path, {"pkg/.sagemakerignore": "", ".sagemakerignore": patterns})

        with pytest.raises(SourceError, match=rf"there is no file to pack in source_dir '{tmp_path}'\n.*patterns"):
            collect(None, tmp_path)

    def test_an_ignore_file_in_another_encoding_is_named(self, tmp_path):
        plant(tmp_path, {"train.py": "", ".sagemakerignore": "größe".encode("latin-1")})

        with pytest.raises(SourceError, match=r"\.sagemakerignore is not UTF-8: .* at byte 2\n.*save it as UTF-8"):
            collect("train.py", tmp_path)

    def test_an_ignore_file_that_is_a_folder_is_named(self, tmp_path):
        plant(tmp_path, {"train.py": "", ".sagemakerignore/x": ""})

        with pytest.raises(SourceError, match=r"cannot read .*/\.sagemakerignore: Is a directory"):
            collect("train.py", tmp_path)

    @pytest.mark.parametrize("line", ["docs\\", "[z-a].csv"])
    def test_a_line_that_is_no_pattern_is_named_with_its_number(self, tmp_path, line):
        plant(tmp_path, {"train.py": "", ".sagemakerignore": f"*.csv\n\n{line}\n"})

        with pytest.raises(SourceError) as caught:
            collect("train.py", tmp_path)

        assert str(caught.value) == (
            f"{tmp_path}/.sagemakerignore:3: {line!r} is not a pattern\n"
            "  -> patterns are written as in a .gitignore file, and a backslash needs something to escape"
        )

    @pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", ".."])
    def test_a_name_that_leaves_the_archive_is_refused(self, name):
        with pytest.raises(SourceError, match=r"cannot be a name in an archive\n.*relative"):
            Entry(name=name, path=Path("x"))


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(st.from_regex(r"[a-c]{1,3}(/[d-f]{1,2}){0,2}", fullmatch=True), st.binary(max_size=1500)),
    st.randoms(),
)
def test_any_tree_comes_back_as_it_was(tmp_path_factory, files, shuffler: random.Random):
    root = tmp_path_factory.mktemp("tree")
    kept = {
        name: content for name, content in files.items() if not any(other.startswith(f"{name}/") for other in files)
    }
    names = list(kept)
    shuffler.shuffle(names)
    plant(root, {"one": b"1", **{name: kept[name] for name in names}})

    with tarfile.open(fileobj=io.BytesIO(archive(collect(None, root))), mode="r:gz") as tar:
        found = {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}

    assert found == {"one": b"1", **kept}
