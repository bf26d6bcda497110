"""What the installation of a wheel consists of."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import pytest
from fakes.tiny_wheels import SITE, encoded, inventory, make_wheel

from sagemaker_custom.errors import BuildError
from sagemaker_custom.wheels.contents import read_contents
from sagemaker_custom.wheels.layout import Layout

CONDA = Layout.of(inventory())


def read(wheel, layout=CONDA, **asked):
    return {file.path: file for file in read_contents(wheel, layout, **asked).marked_files}


def rows_of(files):
    record = next(file for path, file in files.items() if path.endswith("/RECORD"))
    return {row[0]: row[1:] for row in csv.reader(record.content.decode().splitlines())}


class TestPlaces:
    @pytest.mark.parametrize(
        ("changes", "places"),
        [
            ({}, ("/opt/conda/share/x", "/opt/conda/include/python3.11/demo/x.h")),
            (
                {"scripts": "/usr/local/bin", "site_packages": "/usr/local/lib/python3.10/dist-packages",
                 "python_version": "3.10"},
                ("/usr/local/share/x", "/usr/local/include/python3.10/demo/x.h"),
            ),
            (
                {"scripts": "/opt/venv/bin", "site_packages": "/opt/venv/lib/python3.12/site-packages",
                 "python_version": "3.12.1"},
                ("/opt/venv/share/x", "/opt/venv/include/python3.12/demo/x.h"),
            ),
        ],
    )  # fmt: skip
    def test_every_scheme_goes_to_its_place(self, tmp_path, changes, places):
        base = inventory(**changes)
        data = "demo-1.0.data"
        wheel = make_wheel(
            tmp_path,
            files={
                f"{data}/purelib/pure.py": b"",
                f"{data}/platlib/plat.so": b"",
                f"{data}/scripts/run": b"#!/bin/sh\n",
                f"{data}/data/share/x": b"",
                f"{data}/headers/x.h": b"",
                "root.py": b"",
            },
        )
        site = base.site_packages
        expected = {f"{site}/pure.py", f"{site}/plat.so", f"{base.scripts}/run", *places, f"{site}/root.py"}
        files = read(wheel, Layout.of(base))
        assert expected <= files.keys()
        assert not any(".data" in path for path in files)

    def test_data_folder_may_be_spelled_unlike_the_file_name(self, tmp_path):
        wheel = make_wheel(tmp_path, "my_demo", files={"My.Demo-1.0.data/scripts/run": b"#!/bin/sh\n"})
        assert "/opt/conda/bin/run" in read(wheel)

    @pytest.mark.parametrize(
        "name", ["../evil.py", "a/../../evil", "demo-1.0.data/data/../../etc/passwd", "a//b", "./a"]
    )
    def test_file_that_leaves_its_folder_is_refused(self, tmp_path, name):
        with pytest.raises(BuildError, match="cannot stand in an image"):
            read(make_wheel(tmp_path, files={name: b""}))

    def test_absolute_name_is_refused(self, tmp_path):
        with pytest.raises(BuildError, match=r"demo-1\.0-py3-none-any\.whl"):
            read(make_wheel(tmp_path, files={"/etc/passwd": b""}))

    @pytest.mark.parametrize("name", ["demo/.wh.numpy", ".wh..wh..opq", ".wh.x/a.py"])
    def test_file_that_would_delete_others_is_refused(self, tmp_path, name):
        with pytest.raises(BuildError, match=r"\.wh\."):
            read(make_wheel(tmp_path, files={name: b""}))

    def test_unknown_scheme_is_refused(self, tmp_path):
        with pytest.raises(BuildError, match=r"not contained in a valid \.data"):
            read(make_wheel(tmp_path, files={"demo-1.0.data/etc/x": b""}))


class TestScripts:
    def test_entry_points_become_scripts_of_the_base_python(self, tmp_path):
        text = "[console_scripts]\nrun = demo.cli:main\nsub = demo.cli:App.run [extra]\n[gui_scripts]\nwin = demo:gui\n"
        files = read(make_wheel(tmp_path, entry_points=text))
        assert {path for path in files if path.startswith("/opt/conda/bin/")} == {
            f"/opt/conda/bin/{name}" for name in ("run", "sub", "win")
        }
        assert files["/opt/conda/bin/sub"].content == (
            b"#!/opt/conda/bin/python\nimport sys\nfrom demo.cli import App\n"
            b'if __name__ == "__main__":\n    sys.exit(App.run())\n'
        )
        assert files["/opt/conda/bin/win"].executable

    @pytest.mark.parametrize("folder", ["a" * 200, "with a space", "it's"])
    def test_interpreter_that_no_shebang_can_name_is_started_by_sh(self, tmp_path, folder):
        python = tmp_path / folder / "python"
        python.parent.mkdir()
        python.symlink_to(sys.executable)
        layout = Layout.of(inventory(python=str(python)))
        script = tmp_path / "script"
        script.write_bytes(layout.script("os.path", "basename") + b"")
        script.write_bytes(layout.shebang + b"import sys; print(sys.argv[1:])\n")
        script.chmod(0o755)
        done = subprocess.run([str(script), "one two"], capture_output=True, text=True, check=True)
        assert done.stdout == "['one two']\n"

    def test_only_scripts_for_any_python_get_another_first_line(self, tmp_path):
        data = "demo-1.0.data/scripts"
        wheel = make_wheel(
            tmp_path,
            files={
                f"{data}/py": b"#!python\nprint(1)\n",
                f"{data}/pyw": b"#!pythonw -u\r\nprint(2)\n",
                f"{data}/env": b"#!/usr/bin/env python\nprint(3)\n",
                f"{data}/binary": b"\x7fELF\0",
                "demo/py": b"#!python\n",
            },
        )
        files = read(wheel)
        assert files["/opt/conda/bin/py"].content == b"#!/opt/conda/bin/python\nprint(1)\n"
        assert files["/opt/conda/bin/pyw"].content == b"#!/opt/conda/bin/python\nprint(2)\n"
        assert files["/opt/conda/bin/env"].member
        assert files[f"{SITE}/demo/py"].member
        assert all(file.executable for path, file in files.items() if path.startswith("/opt/conda/bin"))

    def test_entry_point_wins_over_a_script_of_the_same_name(self, tmp_path):
        wheel = make_wheel(
            tmp_path, files={"demo-1.0.data/scripts/run": b"old"}, entry_points="[console_scripts]\nrun = demo:main\n"
        )
        assert b"from demo import main" in read(wheel)["/opt/conda/bin/run"].content

    def test_entry_point_that_is_none_is_refused(self, tmp_path):
        with pytest.raises(BuildError, match=r"demo-1\.0-py3-none-any\.whl cannot be installed"):
            read(make_wheel(tmp_path, entry_points="[console_scripts]\nrun = demo\n"))


class TestRecord:
    def test_record_lists_all_that_is_installed_with_its_hash(self, tmp_path):
        wheel = make_wheel(
            tmp_path,
            files={"demo/__init__.py": b"x = 1\n", "demo/a,b.txt": b"", "demo/__pycache__/x.pyc": b""},
            entry_points="[console_scripts]\nrun = demo:main\n",
        )
        files = read(wheel)
        rows = rows_of(files)
        assert rows["demo/__init__.py"] == [f"sha256={encoded(b'x = 1' + bytes([10]))}", "6"]
        assert rows["demo-1.0.dist-info/RECORD"] == ["", ""]
        script = files["/opt/conda/bin/run"]
        assert rows["../../../bin/run"] == [f"sha256={encoded(script.content)}", str(script.size)]
        assert {"demo/a,b.txt", "demo-1.0.dist-info/INSTALLER"} < rows.keys()
        assert len(rows) == len(files)
        assert files[f"{SITE}/demo-1.0.dist-info/INSTALLER"].content == b"sagemaker-custom\n"

    def test_byte_code_of_a_wheel_is_left_out(self, tmp_path):
        wheel = make_wheel(tmp_path, files={"demo/__pycache__/x.cpython-311.pyc": b"", "demo/legacy.pyc": b""})
        assert {path for path in read(wheel) if path.endswith("pyc")} == {f"{SITE}/demo/legacy.pyc"}

    def test_symlink_is_a_file_as_pip_makes_it(self, tmp_path):
        wheel = make_wheel(
            tmp_path, files={"demo/lib.so": b"lib.so.1"}, symlinks={"demo/lib.so"}, executable={"demo/lib.so"}
        )
        file = read(wheel)[f"{SITE}/demo/lib.so"]
        assert (file.size, file.executable) == (8, False)

    @pytest.mark.parametrize("said", [None, ",", "sha512=abc,1"])
    def test_file_of_which_the_wheel_has_no_sha256_is_hashed(self, tmp_path, said):
        wheel = make_wheel(tmp_path, files={"demo/x": b"content"}, record={"demo/x": said})
        assert rows_of(read(wheel))["demo/x"] == [f"sha256={encoded(b'content')}", "7"]

    def test_only_what_was_asked_for_is_marked(self, tmp_path):
        wheel = make_wheel(tmp_path, "My_Demo")
        assert not read_contents(wheel, CONDA, requested={"other"}).marks
        contents = read_contents(wheel, CONDA, requested={"my-demo"})
        info = f"{SITE}/My_Demo-1.0.dist-info"
        assert [file.path for file in contents.marks] == [f"{info}/RECORD", f"{info}/REQUESTED"]
        assert "My_Demo-1.0.dist-info/REQUESTED" in rows_of({file.path: file for file in contents.marks})
        assert contents.files == read_contents(wheel, CONDA).files

    def test_wheel_of_a_url_says_where_it_is_from(self, tmp_path):
        wheel = make_wheel(tmp_path)
        files = read(wheel, direct={"demo"})
        assert json.loads(files[f"{SITE}/demo-1.0.dist-info/direct_url.json"].content) == {
            "url": "https://files.example.com/demo-1.0-py3-none-any.whl",
            "archive_info": {"hash": f"sha256={wheel.wheel.sha256}", "hashes": {"sha256": wheel.wheel.sha256}},
        }
        assert f"{SITE}/demo-1.0.dist-info/REQUESTED" in files

    def test_path_on_somebodys_machine_stays_out_of_the_image(self, tmp_path):
        files = read(make_wheel(tmp_path, url="file:///home/somebody/"), direct={"demo"})
        assert f"{SITE}/demo-1.0.dist-info/REQUESTED" in files
        assert f"{SITE}/demo-1.0.dist-info/direct_url.json" not in files


class TestMalformedWheels:
    def test_file_that_is_no_archive(self, tmp_path):
        wheel = make_wheel(tmp_path)
        wheel.path.write_bytes(b"<html>")
        with pytest.raises(BuildError, match="File is not a zip file"):
            read(wheel)

    def test_unknown_format(self, tmp_path):
        with pytest.raises(BuildError, match=r"only support version 1\.x"):
            read(make_wheel(tmp_path, wheel_version="2.0"))

    def test_wheel_that_names_another_distribution(self, tmp_path):
        wheel = make_wheel(tmp_path, files={"other-1.0.dist-info/x": b""})
        with pytest.raises(BuildError, match=r"exactly one \.dist-info"):
            read(wheel)

    def test_two_files_for_one_place(self, tmp_path):
        wheel = make_wheel(tmp_path, files={"x.py": b"1", "demo-1.0.data/purelib/x.py": b"2"})
        with pytest.raises(BuildError, match=r"it has two files for .*/x\.py"):
            read(wheel)
