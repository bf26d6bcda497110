"""Layers upon one another, against the plainest file system that does what an engine does."""

from __future__ import annotations

import itertools
import posixpath

from fakes.base_images import Folder, Hard, Link, layer
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.inventories import scan_layer
from sagemaker_custom.inventories.overlay import ImageTree, overlay

PARTS = ("a", "b", "pyvenv.cfg")
PATHS = tuple("/" + "/".join(parts) for depth in (1, 2, 3) for parts in itertools.product(PARTS, repeat=depth))


def tree_of(*layers: dict) -> ImageTree:
    return overlay([scan_layer([layer(entries)]) for entries in layers])


class PlainFileSystem:
    """A dict of paths."""

    def __init__(self):
        self.nodes = {}

    def remove(self, path, *, itself=True):
        prefix = path.rstrip("/") + "/"
        self.nodes = {
            known: node
            for known, node in self.nodes.items()
            if not (known.startswith(prefix) or (itself and known == path))
        }

    def apply(self, entries):
        for path in entries:
            folder, name = posixpath.split(path)
            if name == ".wh..wh..opq":
                self.remove(folder, itself=False)
            elif name.startswith(".wh."):
                self.remove(posixpath.join(folder, name[4:]))
        for path, node in entries.items():
            if not posixpath.basename(path).startswith(".wh."):
                if node is not Folder or self.nodes.get(path) is not Folder:
                    self.remove(path)
                self.nodes[path] = node


@st.composite
def layers(draw):
    """Draw a layer as engines write them: each folder on the way to something has an entry."""
    entries = {}
    for number in range(draw(st.integers(0, 5))):
        path = draw(st.sampled_from(PATHS))
        kind = draw(st.sampled_from(["file", "file", "folder", "link", "removed", "emptied"]))
        folder = path if kind in {"folder", "emptied"} else posixpath.dirname(path)
        on_the_way = [folder[:end] for end in range(1, len(folder) + 1) if folder[end : end + 1] in {"", "/"}]
        if any(entries.get(part, Folder) is not Folder for part in on_the_way if part != "/") or (
            kind not in {"folder", "emptied"} and path in entries
        ):
            continue
        entries.update(dict.fromkeys((part for part in on_the_way if part != "/"), Folder))
        folder, name = posixpath.split(path)
        if kind == "file":
            entries[path] = str(draw(st.integers(0, 10**6)))
        elif kind == "link":
            entries[path] = Link(f"/nowhere-{number}")
        elif kind == "removed":
            entries[posixpath.join(folder, f".wh.{name}")] = b""
        elif kind == "emptied":
            entries[f"{path}/.wh..wh..opq"] = b""
    # Whiteouts count for the layers below, wherever they stand.
    marks_first = draw(st.booleans())
    return dict(sorted(entries.items(), key=lambda item: ((".wh." in item[0]) != marks_first, item[0])))


@given(st.lists(layers(), max_size=5))
def test_tree_is_that_of_a_plain_file_system(stack):
    plain = PlainFileSystem()
    for entries in stack:
        plain.apply(entries)
    tree = tree_of(*stack)
    for path in PATHS:
        node = plain.nodes.get(path)
        is_kept = path.endswith("pyvenv.cfg") and isinstance(node, str)
        assert tree.text(path) == (node if is_kept else None), path
        assert tree.real_path(path).startswith("/nowhere") == (
            any(isinstance(plain.nodes.get(path[:end]), Link) for end in range(1, len(path) + 1))
        ), path


class TestLinks:
    def test_chain_is_followed_also_by_folders_and_upwards(self):
        tree = tree_of(
            {
                "/usr/bin/python": Link("../local/bin/python3"),
                "/usr/local/bin": Link("/opt/current/bin"),
                "/opt/current": Link("./versions/../v1"),
                "/opt/v1/bin/python3": Link("python3.11"),
                "/opt/v1/bin/python3.11": b"elf",
            }
        )
        assert tree.real_path("/usr/bin/python") == "/opt/v1/bin/python3.11"
        assert tree.names_in("/usr/local/bin") == ("python3", "python3.11")

    def test_link_to_itself_comes_to_an_end(self):
        tree = tree_of({"/a": Link("a"), "/b": Link("c"), "/c": Link("b/x")})
        assert tree.text("/a/pyvenv.cfg") is None
        assert tree.names_in("/b") == ()

    def test_file_that_is_written_through_a_link_lies_where_the_link_leads(self):
        tree = tree_of({"/lib": Link("usr/lib"), "/usr/lib": Folder}, {"/lib/v/pyvenv.cfg": "x"})
        assert tree.text("/usr/lib/v/pyvenv.cfg") == "x"
        assert tree.text("/lib/v/pyvenv.cfg") == "x"

    def test_whiteout_through_a_link_removes_what_is_there(self):
        below = {"/lib": Link("usr/lib"), "/usr/lib/v/pyvenv.cfg": "x"}
        assert tree_of(below, {"/lib/v/.wh.pyvenv.cfg": b""}).text("/usr/lib/v/pyvenv.cfg") is None

    def test_folder_takes_the_place_of_a_link(self):
        below = {"/v": Link("w"), "/w/pyvenv.cfg": "old"}
        tree = tree_of(below, {"/v": Folder, "/v/pyvenv.cfg": "new"})
        assert (tree.text("/v/pyvenv.cfg"), tree.text("/w/pyvenv.cfg")) == ("new", "old")

    def test_hard_link_reaches_a_layer_below_but_not_what_this_layer_removed_before(self):
        below = {"/a/pyvenv.cfg": "x"}
        link = {"/b/pyvenv.cfg": Hard("/a/pyvenv.cfg")}
        assert tree_of(below, link).text("/b/pyvenv.cfg") == "x"
        assert tree_of(below, {"/.wh.a": b"", **link}).text("/b/pyvenv.cfg") == ""

    def test_hard_link_to_what_was_not_kept_is_a_file_of_which_nothing_is_known(self):
        assert tree_of({"/b/pyvenv.cfg": Hard("/elsewhere")}).text("/b/pyvenv.cfg") == ""


def test_layer_that_a_file_is_from_is_known():
    tree = tree_of({"/a/pyvenv.cfg": "x", "/b/pyvenv.cfg": "x"}, {}, {"/b/pyvenv.cfg": "x"})
    assert [tree.layer_of(f"/{name}/pyvenv.cfg") for name in "abc"] == [0, 2, -1]
