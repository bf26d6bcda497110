"""The search that other tests rely on finds a secret however it is written down."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import zipfile
from urllib.parse import quote

import pytest
from fakes.canary import Canary, files_below

CANARY = Canary()


def tarred(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("a")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
    return buffer.getvalue()


@pytest.mark.parametrize("before", ["", "a", "ab", "index-user:", "aws:", "x" * 10])
@pytest.mark.parametrize("after", ["", "\n", "@host"])
def test_in_base64_wherever_it_begins(before, after):
    text = f"{before}{CANARY.text}{after}".encode()
    assert CANARY.found_in({"header": b"Basic " + base64.b64encode(text)})


@pytest.mark.parametrize("spell", [str, quote, lambda text: quote(text, safe="")])
@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, tarred, zipped, lambda data: gzip.compress(tarred(zipped(data)))]
)
def test_in_archives(spell, pack):
    assert CANARY.found_in({"place": pack(b"x" * 600 + spell(CANARY.text).encode())})


def test_other_texts_are_none(tmp_path):
    (tmp_path / "log").write_text("c4n%ry/ of another test")
    assert not CANARY.found_in(files_below(tmp_path))
    (tmp_path / quote(CANARY.text, safe="")).touch()
    assert CANARY.found_in(files_below(tmp_path))
