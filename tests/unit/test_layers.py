"""Wheels as layers: what an engine unpacks, which layer a wheel gets, what is kept on disk."""

from __future__ import annotations

import csv
import errno
import gzip
import hashlib
import io
import json
import os
import posixpath
import string
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.tiny_wheels import SITE, entries_of, inventory, lock_of, make_wheel, unpacked
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

from sagemaker_custom.errors import BuildError, DiskFullError
from sagemaker_custom.partial_files import replacing
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wheels.layer_choice import large_wheels
from sagemaker_custom.wheels.layers import LayerStore
from sagemaker_custom.wheels.static_check import check_statically
from sagemaker_custom.wheels.tar_layer import Folder

LARGE = 5 << 20


class Lines(NoProgress):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []
        self.tasks = []

    def log(self, line):
        self.lines.append(line)

    def task(self, text, *, total=None, unit="bytes"):
        self.tasks.append((text, total))
        return super().task(text, total=total, unit=unit)


def make(folder, *wheels, base=None, removed=None, progress=None, **asked):
    return LayerStore(folder / "layers").layers(
        wheels, base or inventory(), removed=removed or {}, progress=progress or NoProgress(), **asked
    )


def large_wheel(folder, name="large", seed=b"x"):
    content = hashlib.shake_256(seed).digest(LARGE)
    return make_wheel(folder, name, files={f"{name}/__init__.py": b"", f"{name}/data.bin": content})


class TestArchive:
    def test_entries_are_roots_without_times_and_every_folder_comes_once_before_its_content(self, tmp_path):
        wheels = [
            make_wheel(tmp_path, "b", files={"b/x.py": b"", "b/run.sh": b""}, executable={"b/run.sh"}),
            make_wheel(tmp_path, "a", entry_points="[console_scripts]\na = a:main\n"),
        ]
        (layer,) = make(tmp_path, *wheels)
        entries = [entry for entry, _ in entries_of(layer)]
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname) for entry in entries} == {
            (0, 0, 0, "", "")
        }
        modes = {f"/{entry.name}": oct(entry.mode) for entry in entries}
        assert modes[f"{SITE}/b/run.sh"] == modes["/opt/conda/bin/a"] == modes["/opt"] == modes[SITE] == "0o755"
        assert modes[f"{SITE}/b/x.py"] == "0o644"
        names = [entry.name for entry in entries]
        assert len(names) == len(set(names))
        for name in names:
            parent = name.rpartition("/")[0]
            assert not parent or names.index(parent) < names.index(name)

    def test_names_that_do_not_fit_the_old_header_survive(self, tmp_path):
        names = [f"{'d' * 90}/{'e' * 120}.py", "/".join(["f" * 60] * 6) + ".py", "naïve/日本語.txt"]
        (layer,) = make(tmp_path, make_wheel(tmp_path, files={name: name.encode() for name in names}))
        files = unpacked([layer])
        assert [files[f"{SITE}/{name}"][0].decode() for name in names] == names

    def test_folders_of_the_base_keep_owner_and_permissions(self, tmp_path):
        (layer,) = make(
            tmp_path, make_wheel(tmp_path), folders=[Folder(path="/opt/conda", mode=0o2775, uid=1000, gid=50)]
        )
        entry = next(entry for entry, _ in entries_of(layer) if entry.name == "opt/conda")
        assert (entry.mode, entry.uid, entry.gid) == (0o2775, 1000, 50)
        (plain,) = make(tmp_path, make_wheel(tmp_path))
        assert plain.digest != layer.digest

    def test_digests_are_those_of_the_bytes(self, tmp_path):
        (layer,) = make(tmp_path, make_wheel(tmp_path))
        packed = layer.path.read_bytes()
        assert layer.size == len(packed)
        assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
        assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
        assert layer.created_by == "sagemaker-custom: add demo==1.0"

    def test_archive_has_the_bytes_that_it_had_in_every_release(self, tmp_path):
        wheel = make_wheel(
            tmp_path,
            files={"demo/__init__.py": b"x = 1\n", "naïve/" + "n" * 120: b"", "demo-1.0.data/scripts/s": b"#!python\n"},
            entry_points="[console_scripts]\nrun = demo:main\n",
        )
        (layer,) = make(tmp_path, wheel, requested={"demo"})
        assert layer.diff_id == "sha256:c75ed979c21c57d948e4cd47cddf1390807e2b89fe833e65b11caff7f7aac586"

    def test_file_that_is_not_what_record_says_ends_it_and_leaves_nothing(self, tmp_path):
        wheel = make_wheel(tmp_path, files={"demo/x.py": b"evil"}, record={"demo/x.py": f"sha256={'A' * 43},4"})
        with pytest.raises(
            BuildError, match=r"demo/x\.py in demo-1\.0-py3-none-any\.whl is not what the wheel's RECORD"
        ):
            make(tmp_path, wheel)
        assert list((tmp_path / "layers").iterdir()) == []


class TestChoiceOfLayers:
    def test_large_wheels_stand_alone_below_and_the_small_ones_share(self, tmp_path):
        small = [make_wheel(tmp_path, name) for name in ("b", "a")]
        layers = make(tmp_path, *small, large_wheel(tmp_path))
        assert [layer.created_by for layer in layers] == [
            "sagemaker-custom: add large==1.0",
            "sagemaker-custom: add a==1.0 b==1.0",
        ]

    def test_layer_of_a_large_wheel_is_the_same_whoever_asked_for_it(self, tmp_path):
        wheel, other = large_wheel(tmp_path), make_wheel(tmp_path, "other")
        alone = make(tmp_path, wheel)
        marked = make(tmp_path, wheel, other, requested={"Large"})
        assert alone[0].digest == marked[0].digest
        info = f"{SITE}/large-1.0.dist-info"
        assert f"{info}/REQUESTED" not in unpacked(alone)
        files = unpacked(marked)
        assert files[f"{info}/REQUESTED"] == (b"", False)
        assert b"REQUESTED" in files[f"{info}/RECORD"][0]
        check_statically(inventory(), lock_of(wheel, other), [wheel, other], marked)

    def test_number_of_layers_is_limited_in_favour_of_the_largest(self):
        sizes = {"a": 5 << 20, "b": 9 << 20, "c": 7 << 20, "d": 1}
        assert large_wheels(sizes, most=9) == ("b", "c", "a")
        assert large_wheels(sizes, most=2) == ("b", "c")
        assert large_wheels(sizes, most=-1) == ()

    def test_two_layers_at_most_are_deletions_and_all_wheels(self, tmp_path):
        layers = make(tmp_path, large_wheel(tmp_path), make_wheel(tmp_path), removed={"x": (f"{SITE}/x.py",)}, most=2)
        assert [layer.created_by for layer in layers] == [
            "sagemaker-custom: remove x",
            "sagemaker-custom: add demo==1.0 large==1.0",
        ]

    def test_history_of_many_wheels_stays_short(self, tmp_path):
        (layer,) = make(tmp_path, *(make_wheel(tmp_path, f"w{number:02}") for number in range(14)))
        assert layer.created_by.endswith("w09==1.0 and 4 more")

    def test_no_wheels_no_layers(self, tmp_path):
        assert make(tmp_path) == ()


class TestClashes:
    def test_same_content_is_fine_and_stands_in_the_layer_once(self, tmp_path):
        shared = {"space/__init__.py": b"# namespace\n"}
        wheels = [make_wheel(tmp_path, name, files={**shared, f"space/{name}.py": b""}) for name in ("a", "b")]
        (layer,) = make(tmp_path, *wheels)
        names = [entry.name for entry, _ in entries_of(layer)]
        assert names.count(f"{SITE[1:]}/space/__init__.py") == 1
        check_statically(inventory(), lock_of(*wheels), wheels, [layer])

    def test_all_other_files_of_two_wheels_are_listed(self, tmp_path):
        script = "[console_scripts]\nrun = {}:main\n"
        wheels = [
            make_wheel(tmp_path, "a", files={"cv2.py": b"1", "x": b""}, entry_points=script.format("a")),
            make_wheel(tmp_path, "b", files={"cv2.py": b"2", "x/y": b""}, entry_points=script.format("b")),
        ]
        with pytest.raises(BuildError) as caught:
            make(tmp_path, *wheels)
        assert caught.value.message == (
            "wheels overwrite each other's files:\n"
            "    /opt/conda/bin/run is in a and in b, with another content\n"
            f"    {SITE}/cv2.py is in a and in b, with another content\n"
            f"    {SITE}/x is a file of a and a folder of b"
        )

    def test_overwritten_files_of_the_base_are_told(self, tmp_path):
        said = Lines()
        wheel = make_wheel(tmp_path, files={"cv2.py": b""}, entry_points="[console_scripts]\nrun = demo:main\n")
        records = {"opencv": (f"{SITE}/cv2.py",), "tool": ("/opt/conda/bin/run",), "demo": (f"{SITE}/cv2.py",)}
        make(tmp_path, wheel, progress=said, records=records, removed={"demo": records["demo"]})
        assert said.lines == [
            "/opt/conda/bin/run of tool is overwritten by demo",
            f"{SITE}/cv2.py of opencv is overwritten by demo",
        ]


class TestDeletions:
    def test_replaced_package_vanishes_and_the_new_one_is_whole(self, tmp_path):
        old = tuple(f"{SITE}/{path}" for path in ("demo/__init__.py", "demo/old.py", "demo-0.9.dist-info/METADATA"))
        records = {"demo": old, "other": (f"{SITE}/other.py",)}
        wheel = make_wheel(tmp_path, files={"demo/__init__.py": b"new"})
        layers = make(tmp_path, wheel, removed={"demo": old}, records=records)
        names = [entry.name for entry, _ in entries_of(layers[0]) if entry.isfile()]
        assert names == [f"{SITE[1:]}/.wh.demo", f"{SITE[1:]}/.wh.demo-0.9.dist-info"]
        assert unpacked(layers)[f"{SITE}/demo/__init__.py"] == (b"new", False)

    def test_the_same_deletions_are_the_same_layer(self, tmp_path):
        removed = {"x": (f"{SITE}/x.py", f"{SITE}/x-1.dist-info/RECORD")}
        first, again = (make(tmp_path / name, removed=removed)[0] for name in ("a", "b"))
        assert first.digest == again.digest


def broken(kind, layer):
    document = layer.path.with_suffix("").with_suffix(".json")
    if kind == "blob missing":
        layer.path.unlink()
    elif kind == "blob short":
        layer.path.write_bytes(layer.path.read_bytes()[:-1])
    elif kind == "blob changed":
        content = bytearray(layer.path.read_bytes())
        content[-1] ^= 1
        layer.path.write_bytes(content)
    elif kind == "document missing":
        document.unlink()
    elif kind == "document empty":
        document.write_bytes(b"")
    elif kind == "document of another kind":
        document.write_bytes(b"[]")
    else:
        document.write_text(json.dumps({**json.loads(document.read_bytes()), "digest": "sha256:1"}))


class TestKeptLayers:
    def test_second_time_nothing_is_made(self, tmp_path):
        wheel, said = make_wheel(tmp_path), Lines()
        first = make(tmp_path, wheel, progress=said)
        again = make(tmp_path, wheel, progress=said)
        assert first == again
        assert len(said.tasks) == 1

    @pytest.mark.parametrize(
        "kind",
        [
            "blob missing",
            "blob short",
            "blob changed",
            "document missing",
            "document empty",
            "document of another kind",
            "document wrong",
        ],
    )
    def test_damaged_layer_is_made_again(self, tmp_path, kind):
        wheel, said = make_wheel(tmp_path), Lines()
        (layer,) = make(tmp_path, wheel)
        packed = layer.path.read_bytes()
        broken(kind, layer)
        assert make(tmp_path, wheel, progress=said) == (layer,)
        assert layer.path.read_bytes() == packed
        assert len(said.tasks) == 1

    def test_copied_cache_is_used_when_its_bytes_are_right(self, tmp_path):
        wheel, said = make_wheel(tmp_path), Lines()
        (layer,) = make(tmp_path, wheel)
        os.utime(layer.path, (1, 1))
        assert make(tmp_path, wheel, progress=said) == (layer,)
        assert said.tasks == []

    def test_discarded_layer_is_made_again(self, tmp_path):
        wheel, said = make_wheel(tmp_path), Lines()
        (layer,) = make(tmp_path, wheel)
        LayerStore(tmp_path / "layers").discard(layer)
        assert make(tmp_path, wheel, progress=said) == (layer,)
        assert len(said.tasks) == 1

    def test_other_content_under_the_same_name_is_another_layer(self, tmp_path):
        digests = set()
        for content in (b"1", b"2"):
            (tmp_path / content.decode()).mkdir()
            digests.add(make(tmp_path, make_wheel(tmp_path / content.decode(), files={"x.py": content}))[0].digest)
        assert len(digests) == 2

    def test_other_places_are_another_layer(self, tmp_path):
        wheel = make_wheel(tmp_path)
        other = inventory(site_packages="/opt/venv/lib/python3.11/site-packages", scripts="/opt/venv/bin")
        assert make(tmp_path, wheel)[0].digest != make(tmp_path, wheel, base=other)[0].digest

    def test_folder_that_is_a_file_is_an_error_with_its_name(self, tmp_path):
        (tmp_path / "layers").write_text("")
        with pytest.raises(BuildError, match=r"cannot keep a layer in .*layers"):
            make(tmp_path, make_wheel(tmp_path))

    def test_failure_while_writing_leaves_nothing(self, tmp_path):
        def fail():
            with replacing(tmp_path / "layer") as file:
                file.write(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OSError, match="No space left"):
            fail()
        assert list(tmp_path.iterdir()) == []


class Full(NoProgress):
    """Fails as a full disk does, in the middle of the work."""

    class Task:
        def advance(self, amount):
            raise OSError(errno.ENOSPC, "No space left on device")

        def finish(self):
            """The bar goes."""

    def task(self, text, *, total=None, unit="bytes"):
        return self.Task()


def test_full_disk_is_told_and_leaves_nothing(tmp_path):
    with pytest.raises(DiskFullError, match=r"no space left in .*layers for a layer of") as caught:
        make(tmp_path, make_wheel(tmp_path), progress=Full())
    assert "cache_dir" in caught.value.hint
    assert list((tmp_path / "layers").iterdir()) == []


NAMES = st.text(string.ascii_letters + "éß日_-. ,\"'", min_size=1, max_size=130).filter(
    lambda name: name.strip(".") and not name.startswith(".wh.") and len(name.encode()) < 250
)
SCHEMES = ["", "purelib/", "platlib/", "data/", "headers/", "scripts/"]
CONTENTS = st.one_of(st.binary(max_size=40), st.just(b"#!python\nprint()\n"), st.just(b"x" * 70_000))


@st.composite
def wheel_arguments(draw):
    """Some wheels whose files do not overwrite each other."""
    made = []
    for number in range(draw(st.integers(1, 4))):
        name = f"w{number}"
        files = {}
        for leaf in draw(st.lists(NAMES, unique_by=str.casefold, max_size=4)):
            scheme = draw(st.sampled_from(SCHEMES))
            folder = f"{name}-1.0.data/{scheme}" if scheme else ""
            inner = "" if scheme == "scripts/" else f"pkg{number}/"
            files[f"{folder}{inner}{name}{leaf}"] = draw(CONTENTS)
        executable = set(draw(st.lists(st.sampled_from(sorted(files)), max_size=2))) if files else set()
        entry = f"[console_scripts]\nrun-{number} = pkg{number}.cli:main\n" if draw(st.booleans()) else None
        made.append({"name": name, "files": files, "executable": executable, "entry_points": entry})
    return made


class TestLikeTheInstallerLibrary:
    @given(arguments=wheel_arguments())
    @hypothesis_settings(max_examples=60)
    def test_layers_unpack_to_what_the_library_installs(self, arguments, tmp_path_factory):
        folder = tmp_path_factory.mktemp("like")
        wheels = [make_wheel(folder, **values) for values in arguments]
        layers = make(folder, *wheels)
        files, expected = unpacked(layers), {}
        for wheel in wheels:
            expected |= installed_by_the_library(wheel, folder / "root")
        assert files.keys() == expected.keys()
        for path, (content, executable) in expected.items():
            if path.endswith("/RECORD"):
                assert paths_in(files[path][0]) == paths_in(content)
            elif not path.startswith("/opt/conda/bin/run-"):
                assert files[path][0] == content
            # All scripts can be run, also those of wheels that were made on Windows.
            assert files[path][1] == (executable or path.startswith("/opt/conda/bin/"))
        check_statically(inventory(), lock_of(*wheels), wheels, layers)


def installed_by_the_library(wheel, root):
    places = {
        "purelib": SITE,
        "platlib": SITE,
        "scripts": "/opt/conda/bin",
        "data": "/opt/conda",
        "headers": f"/opt/conda/include/python3.11/{wheel.wheel.name}",
    }
    destination = SchemeDictionaryDestination(
        places, interpreter="/opt/conda/bin/python", script_kind="posix", destdir=str(root)
    )
    with WheelFile.open(wheel.path) as source:
        install(source, destination, {"INSTALLER": b"sagemaker-custom\n"})
    return {
        f"/{path.relative_to(root).as_posix()}": (path.read_bytes(), bool(path.stat().st_mode & 0o111))
        for path in Path(root).rglob("*")
        if path.is_file()
    }


def paths_in(record):
    # The library writes "./x" for a file of the other kind of site-packages.
    return sorted(posixpath.normpath(row[0]) for row in csv.reader(io.StringIO(record.decode(), newline="")))


def test_wheel_whose_name_on_disk_is_its_own(tmp_path):
    wheel = make_wheel(tmp_path)
    moved = wheel.path.rename(tmp_path / "something.bin")
    with pytest.raises(BuildError, match="Not a valid wheel filename"):
        make(tmp_path, replace(wheel, path=moved))
