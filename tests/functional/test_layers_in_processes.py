"""Layers made by processes of their own: the same bytes everywhere, at once, and in little memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from fakes.tiny_wheels import make_wheel

PROGRAM = Path(__file__).with_name("layers_process.py")
MEBIBYTE = 1 << 20


def start(folder, *wheels, cwd=None, **environment):
    tests = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), *(str(path) for path in wheels)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": tests, **environment},
    )


def result_of(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(output)


@pytest.fixture
def wheels(tmp_path):
    """A large one and some small ones."""
    large = {f"large/{n}.bin": hashlib.shake_256(bytes([n])).digest(MEBIBYTE) for n in range(6)}
    names = [make_wheel(tmp_path, "large", files=large), *(make_wheel(tmp_path, f"w{n}") for n in range(5))]
    return [fetched.path for fetched in names]


def test_same_bytes_with_another_umask_folder_hash_seed_locale_and_order(tmp_path, wheels):
    first = result_of(start(tmp_path / "a", *wheels, PYTHONHASHSEED="1", UMASK="022"))
    other = result_of(
        start(tmp_path / "b", *reversed(wheels), cwd="/", PYTHONHASHSEED="2", UMASK="077", LC_ALL="C", TZ="Asia/Tokyo")
    )
    assert first["layers"] == other["layers"]
    assert len(first["layers"]) == 3


def test_processes_that_make_the_same_layers_at_once_do_not_disturb_each_other(tmp_path, wheels):
    running = [start(tmp_path / "layers", *wheels) for _ in range(3)]
    results = [result_of(process)["layers"] for process in running]
    assert results[0] == results[1] == results[2]
    kept = sorted(path.name for path in (tmp_path / "layers").iterdir())
    assert [name for name in kept if name.startswith(".")] == []
    for path in (tmp_path / "layers").glob("*.tar.gz"):
        document = json.loads(path.with_suffix("").with_suffix(".json").read_bytes())
        assert document["digest"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_killed_process_leaves_nothing_that_is_taken_for_a_layer(tmp_path, wheels):
    process = start(tmp_path / "layers", *wheels)
    while not list((tmp_path / "layers").glob(".partial-*")):
        assert process.poll() is None or list((tmp_path / "layers").glob("*.tar.gz"))
        if process.poll() is not None:
            break
    process.kill()
    process.communicate()
    again = result_of(start(tmp_path / "layers", *wheels))
    assert again["layers"] == result_of(start(tmp_path / "other", *wheels))["layers"]


def test_memory_does_not_grow_with_the_wheel(tmp_path):
    path = tmp_path / "torch-2.3.0-py3-none-any.whl"
    block = hashlib.shake_256(b"library").digest(MEBIBYTE)
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("torch/lib/libtorch.so", "w", force_zip64=True) as file:
            for number in range(200):
                file.write(number.to_bytes(8, "big") + block[8:])
        for number in range(12_000):
            archive.writestr(f"torch/include/ATen/ops/operator_{number}_native.h", b"#pragma once\n" * 40)
        archive.writestr("torch-2.3.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.3.0\n")
        archive.writestr("torch-2.3.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr("torch-2.3.0.dist-info/RECORD", "")
    assert path.stat().st_size > 200 * MEBIBYTE
    done = result_of(start(tmp_path / "layers", path))
    assert done["memory"] < 64 * MEBIBYTE
