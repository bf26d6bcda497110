"""Packing in processes of their own: bounded memory, and the same bytes and cache for all of them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sagemaker_custom.archive import collect, content_digest, write_tar_gz

PROCESS = str(Path(__file__).with_name("packing_process.py"))
MB = 1_000_000


def start(source, cache, *options):
    return subprocess.Popen(
        [sys.executable, PROCESS, str(source), str(cache), *options], stdout=subprocess.PIPE, text=True
    )


def result(process):
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(output)


@pytest.fixture
def source(tmp_path):
    chance = random.Random(5)
    for number in range(1500):
        path = tmp_path / f"src/pkg{number % 30}/{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chance.randbytes(chance.randrange(40_000)))
    return tmp_path / "src"


def test_memory_does_not_grow_with_the_source(source, tmp_path):
    (source / "middle.bin").write_bytes(os.urandom(40 * MB))
    with (source / "zeros.bin").open("wb") as file:
        file.truncate(200 * MB)

    found = result(start(source, tmp_path / "cache"))

    assert found["size"] > 40 * MB
    assert found["memory"] < 48 * MB


def test_processes_at_once_and_with_other_cores_agree(source, tmp_path):
    time.sleep(2.1)
    cache = tmp_path / "cache"
    processes = [start(source, cache, *options) for options in (["one core"], [], [])]
    found = [result(process) for process in processes]

    assert len({(one["digest"], one["sha256"], one["size"]) for one in found}) == 1
    assert len(list((cache / "sources").iterdir())) == 1


def test_what_one_process_read_the_next_one_knows(source, tmp_path):
    time.sleep(2.1)
    cache = tmp_path / "cache"
    first = result(start(source, cache))
    (kept,) = (cache / "sources").iterdir()
    (source / "pkg1/1.bin").write_bytes(b"changed")
    second = result(start(source, cache))

    assert kept.stat().st_size > 1400 * 64
    assert second["digest"] != first["digest"]
    assert second["digest"] == result(start(source, tmp_path / "another"))["digest"]


@pytest.mark.parametrize("command", [["tar", "-xzf"], ["sh", "-c", 'gzip -dc "$0" | tar -xf -']], ids=["tar", "gzip"])
def test_what_the_containers_have_unpacks_it(source, tmp_path, command):
    entries = collect(None, source)
    with (tmp_path / "sourcedir.tar.gz").open("wb") as file:
        assert write_tar_gz(entries, file) > 20 * MB
    (tmp_path / "out").mkdir()

    subprocess.run([*command, tmp_path / "sourcedir.tar.gz"], cwd=tmp_path / "out", check=True)

    assert content_digest(collect(None, tmp_path / "out")) == content_digest(entries)
