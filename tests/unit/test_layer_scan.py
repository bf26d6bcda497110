"""Layers in all forms that tar and gzip have → what is kept of them."""

from __future__ import annotations

import gzip
import io
import itertools
import tarfile
import tracemalloc
import zlib

import pytest
from fakes.base_images import LIBC, Folder, Hard, Link, archive, layer
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.inventories import scan_layer
from sagemaker_custom.inventories.decompression import PIECE, Gunzip
from sagemaker_custom.inventories.layer_scan import HardLink, LayerFacts, Symlink
from sagemaker_custom.inventories.tar_entries import TarEntries
from sagemaker_custom.inventories.wanted import KeptFile

LONG = "/opt/" + "a-long-folder/" * 20 + "pyvenv.cfg"


def text_at(facts: LayerFacts, path: str) -> str:
    found = facts.kept[path]
    assert isinstance(found, KeptFile)
    return found.text


def cut(content: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[begin:end] for begin, end in itertools.pairwise(edges)]


def entries_of(content: bytes) -> list[tuple[str, str, str, bytes]]:
    reader = TarEntries(lambda entry: True)
    found = [(entry.path, entry.kind, entry.target, body) for entry, body in reader.feed(content)]
    reader.finish()
    return found


names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=160).filter(
    lambda name: name.strip(".") != ""
)
trees = st.dictionaries(
    names,
    st.one_of(st.binary(max_size=1500), names.map(Link), names.map(Hard), st.just(Folder)),
    max_size=6,
)


class TestTar:
    @given(trees, st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), st.lists(st.integers(0), max_size=5))
    def test_entries_are_those_that_pythons_own_reader_finds_wherever_the_chunks_end(self, tree, form, places):
        content = archive(tree, form=form)
        reader = TarEntries(lambda entry: True)
        found = [pair for chunk in cut(content, places) for pair in reader.feed(chunk)]
        reader.finish()
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for (entry, body), member in zip(found, tar, strict=True):
                assert entry.path.rstrip("/") == member.name
                kinds = {"folder": member.isdir(), "symlink": member.issym(), "hard link": member.islnk()}
                assert kinds.get(entry.kind, member.isreg())
                assert entry.target == member.linkname
                content_of = tar.extractfile(member) if member.isreg() else None
                assert body == (content_of.read() if content_of else b"")

    @pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    def test_long_names_and_targets(self, form):
        facts = scan_layer([gzip.compress(archive({LONG: "home = /usr/bin", "/l": Link(LONG)}, form=form))])
        assert text_at(facts, LONG) == "home = /usr/bin"
        assert facts.kept["/l"] == Symlink(LONG)

    def test_posix_prefix_of_a_name(self):
        path = "opt/" + "b" * 90 + "/" + "c" * 80 + "/pyvenv.cfg"
        content = archive({path: "x"}, form=tarfile.USTAR_FORMAT)
        assert entries_of(content) == [(path, "file", "", b"x")]

    def test_times_of_gnu_are_no_part_of_a_name(self):
        block = bytearray(tarfile.TarInfo("name").tobuf(tarfile.GNU_FORMAT))
        block[345:369] = b"14370000000\0" * 2
        block[148:156] = f"{sum(block) - sum(block[148:156]) + 256:06o}\0 ".encode()
        assert entries_of(bytes(block)) == [("name", "file", "", b"")]

    def test_target_in_a_global_header(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", pax_headers={"comment": "x", "linkpath": "elsewhere"}) as tar:
            entry = tarfile.TarInfo("l")
            entry.type = tarfile.SYMTYPE
            tar.addfile(entry)
        assert entries_of(buffer.getvalue()) == [("l", "symlink", "elsewhere", b"")]

    def test_size_in_a_pax_header_counts(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo("big")
            entry.pax_headers = {"size": "3"}
            tar.addfile(entry)
            buffer.write(b"abc".ljust(512, b"\0"))
            tar.offset += 512
            tar.addfile(tarfile.TarInfo("next"))
        assert [(path, body) for path, _, _, body in entries_of(buffer.getvalue())] == [("big", b"abc"), ("next", b"")]

    def test_binary_size_of_gnu(self):
        block = bytearray(tarfile.TarInfo("big").tobuf(tarfile.GNU_FORMAT))
        block[124:136] = b"\x80" + (3).to_bytes(11, "big")
        block[148:156] = f"{sum(block) - sum(block[148:156]) + 256:06o}\0 ".encode()
        assert entries_of(bytes(block) + b"abc".ljust(512, b"\0")) == [("big", "file", "", b"abc")]

    def test_sparse_file_of_gnu_is_passed_over_with_its_maps(self):
        block = bytearray(tarfile.TarInfo("sparse/pyvenv.cfg").tobuf(tarfile.GNU_FORMAT))
        block[156:157], block[124:136], block[482] = b"S", b"00000000003\0", 1
        block[148:156] = f"{sum(block) - sum(block[148:156]) + 256:06o}\0 ".encode()
        maps = bytes(504) + b"\1" + bytes(7) + bytes(512)
        rest = archive({"next": b"x"})
        found = entries_of(bytes(block) + maps + b"abc".ljust(512, b"\0") + rest)
        assert found == [("sparse/pyvenv.cfg", "file", "", b""), ("next", "file", "", b"x")]

    def test_sparse_file_of_pax_has_its_own_name(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry, content = tarfile.TarInfo("GNUSparseFile.0/x"), b"1\n0\n3\nabc"
            entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        assert entries_of(buffer.getvalue()) == [("x", "file", "", b"")]

    def test_folder_of_the_oldest_form(self):
        block = bytearray(tarfile.TarInfo("old/").tobuf(tarfile.USTAR_FORMAT))
        block[156:157] = b"\0"
        block[148:156] = f"{sum(block) - sum(block[148:156]) + 256:06o}\0 ".encode()
        assert entries_of(bytes(block)) == [("old/", "folder", "", b"")]

    def test_device_is_neither_file_nor_folder(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo("null")
            entry.type = tarfile.CHRTYPE
            tar.addfile(entry)
        assert entries_of(buffer.getvalue()) == [("null", "device", "", b"")]


class TestWhatIsKept:
    def test_of_metadata_only_the_headers(self):
        path = "/x/a-1.dist-info/METADATA"
        assert text_at(scan_layer([layer({path: "Name: a\r\n\r\nLong text"})]), path) == "Name: a"

    def test_of_a_record_only_the_paths(self):
        path = "/x/a-1.dist-info/RECORD"
        facts = scan_layer([layer({path: 'a.py,sha256=x,1\n"b,c.py",,\n'})])
        assert text_at(facts, path) == "a.py\nb,c.py"

    def test_of_the_c_library_only_its_version(self):
        path = "/lib/x86_64-linux-gnu/libc.so.6"
        assert text_at(scan_layer([layer({path: bytes(3_000_000) + LIBC})]), path) == "2.31"

    def test_c_library_of_a_compilers_sysroot_is_not_that_of_the_image(self):
        facts = scan_layer([layer({"/opt/conda/x86_64-conda-linux-gnu/sysroot/lib64/libc.so.6": LIBC})])
        assert not facts.kept

    def test_paths_are_absolute_however_they_are_written(self):
        facts = scan_layer([layer({"./a/./pyvenv.cfg": "", "b//pyvenv.cfg": "", "../../c/pyvenv.cfg": ""})])
        assert set(facts.kept) == {"/a/pyvenv.cfg", "/b/pyvenv.cfg", "/c/pyvenv.cfg"}

    def test_hard_link_is_what_it_links_to(self):
        info = "a-1.dist-info/METADATA"
        facts = scan_layer([layer({f"/pkgs/{info}": "Name: a\n\n", f"/site/{info}": Hard(f"/pkgs/{info}")})])
        assert text_at(facts, f"/site/{info}") == "Name: a"

    def test_hard_link_to_what_another_layer_has_is_remembered(self):
        facts = scan_layer([layer({"/a/pyvenv.cfg": Hard("/b/pyvenv.cfg")})])
        assert facts.kept == {"/a/pyvenv.cfg": HardLink("/b/pyvenv.cfg")}

    def test_last_of_two_entries_of_one_path_counts(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for text in (b"old", b"new"):
                entry = tarfile.TarInfo("pyvenv.cfg")
                entry.size = 3
                tar.addfile(entry, io.BytesIO(text))
            entry = tarfile.TarInfo("link")
            entry.type, entry.linkname = tarfile.SYMTYPE, "x"
            tar.addfile(entry)
            tar.addfile(tarfile.TarInfo("link"))
        facts = scan_layer([gzip.compress(buffer.getvalue())])
        assert text_at(facts, "/pyvenv.cfg") == "new"
        assert "/link" not in facts.kept

    def test_whiteouts(self):
        marks = ("/a/.wh.b", "/c/.wh..wh..opq", "/.wh..wh..opq", "/.wh.d", "/.wh..wh.plnk", "/.wh..wh.aufs")
        facts = scan_layer([layer(dict.fromkeys(marks, b""))])
        assert facts.removed == ("/a/b", "/d")
        assert facts.emptied == ("/c", "/")
        assert not facts.kept

    def test_all_paths_are_remembered_by_kind(self):
        facts = scan_layer([layer({"/a": Folder, "/a/b": b"", "/c": Link("a")})])
        assert (len(facts.folders), len(facts.others)) == (1, 2)
        assert "/a" in facts.folders
        assert "/a/b" in facts.others
        assert "/c" in facts.others
        assert "/a" not in facts.others

    def test_empty_layer(self):
        facts = scan_layer([gzip.compress(bytes(1024))])
        assert (facts.kept, facts.removed, len(facts.others)) == ({}, (), 0)


class TestGzip:
    @given(st.lists(st.binary(max_size=100), min_size=1, max_size=4), st.integers(0, 20), st.lists(st.integers(0)))
    def test_members_after_one_another_are_one_file_wherever_the_chunks_end(self, members, zeros, places):
        content = b"".join(gzip.compress(member) for member in members) + bytes(zeros)
        reader = Gunzip()
        found = b"".join(piece for chunk in cut(content, places) for piece in reader.feed(chunk))
        reader.finish()
        assert found == b"".join(members)

    def test_pieces_are_small_however_much_a_chunk_stands_for(self):
        reader = Gunzip()
        sizes = [len(piece) for piece in reader.feed(gzip.compress(bytes(20 * PIECE)))]
        assert sum(sizes) == 20 * PIECE
        assert max(sizes) <= PIECE

    def test_memory_does_not_grow_with_the_files(self):
        content = gzip.compress(archive({"/big": bytes(48_000_000), "/pyvenv.cfg": "x"}), compresslevel=1)
        tracemalloc.start()
        try:
            facts = scan_layer([content[place : place + 65536] for place in range(0, len(content), 65536)])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert text_at(facts, "/pyvenv.cfg") == "x"
        assert peak < 4_000_000

    @pytest.mark.parametrize("content", [b"PK\3\4 this is no gzip", b"\x28\xb5\x2f\xfd this is zstd"])
    def test_what_is_not_gzip_is_refused(self, content):
        with pytest.raises(RegistryError, match=r"^this is not a gzip file: "):
            scan_layer([content])

    def test_damage_is_told(self):
        content = bytearray(layer({"/a": b"x" * 5000}))
        content[-8:-4] = b"\0\0\0\0"
        with pytest.raises(RegistryError, match=r"^this is not a gzip file: "):
            scan_layer([bytes(content)])

    def test_file_that_was_cut_off_is_told(self):
        with pytest.raises(RegistryError, match=r"^this is not a gzip file, or not all of one$"):
            scan_layer([layer({"/a": b"x" * 5000})[:-5]])


class TestBadArchives:
    def test_content_that_is_no_tar(self):
        with pytest.raises(RegistryError, match=r"^this is not a tar file: a header has the wrong checksum$"):
            scan_layer([gzip.compress(b"1" * 512)])

    def test_header_with_letters_for_numbers(self):
        with pytest.raises(RegistryError, match=r"^this is not a tar file: a number in a header cannot be read$"):
            scan_layer([gzip.compress(b"x" * 512)])

    @pytest.mark.parametrize("end", [100, 600, 1000])
    def test_archive_that_ends_within_an_entry(self, end):
        with pytest.raises(RegistryError, match=r"^the tar file is not complete$"):
            scan_layer([gzip.compress(archive({"/pyvenv.cfg": b"x" * 600})[:end])])

    def test_archive_may_lack_its_end(self):
        assert "/pyvenv.cfg" in scan_layer([gzip.compress(archive({"/pyvenv.cfg": b"x" * 600})[:1536])]).kept

    def test_extended_header_out_of_all_proportion(self):
        block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
        block[156:157], block[124:136] = b"L", b"77777777777\0"
        block[148:156] = f"{sum(block) - sum(block[148:156]) + 256:06o}\0 ".encode()
        with pytest.raises(RegistryError, match=r"an extended header has 8589934591 bytes$"):
            scan_layer([gzip.compress(bytes(block))])

    def test_size_that_is_no_number(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo("x")
            entry.pax_headers = {"size": "-3"}
            tar.addfile(entry)
        with pytest.raises(RegistryError, match=r"^this is not a tar file: an entry has the size '-3'$"):
            scan_layer([gzip.compress(buffer.getvalue())])

    def test_kept_text_is_packed(self):
        path, lines = "/a-1.dist-info/RECORD", "".join(f"torch/include/file{number}.h,,\n" for number in range(5000))
        found = scan_layer([layer({path: lines})]).kept[path]
        assert isinstance(found, KeptFile)
        assert len(found.packed) < len(lines) / 5
        assert zlib.decompress(found.packed) == found.content
