"""What git says of a folder, as it may say it on any machine."""

from __future__ import annotations

import pytest

from sagemaker_custom.errors import UsageError
from sagemaker_custom.prebuild.git_tree import Answer, Checkout, is_no_revision

BLOB = "a" * 40


class FakeGit:
    """Answers by the word of the command."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked = []

    def __call__(self, arguments, text):
        self.asked.append((arguments, text))
        return self.answers.get(arguments[2].replace("-", "_"), Answer(exit_code=0, out=b"true\n"))


def tree(*names, mode="100644"):
    return Answer(exit_code=0, out=b"".join(f"{mode} blob {BLOB}\t{name}\0".encode() for name in names))


def batch(*contents):
    return Answer(exit_code=0, out=b"".join(b"%s blob %d\n%s\n" % (BLOB.encode(), len(c), c) for c in contents))


def test_files_are_written_as_they_were_byte_by_byte(tmp_path):
    git = FakeGit(ls_tree=tree("images/a.yaml", "extras/ü b.yaml"), cat_file=batch(b"x: 1\r\n\n", b"\0blob 3\n"))
    assert Checkout(folder=tmp_path, git=git).write("c0ffee", tmp_path / "then")
    assert (tmp_path / "then/images/a.yaml").read_bytes() == b"x: 1\r\n\n"
    assert (tmp_path / "then/extras/ü b.yaml").read_bytes() == b"\0blob 3\n"
    assert git.asked[1] == (["-C", str(tmp_path), "cat-file", "--batch"], f"{BLOB}\n{BLOB}\n".encode())


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_links_and_submodules_are_left_out(tmp_path, mode):
    git = FakeGit(ls_tree=tree("images/a.yaml", mode=mode), cat_file=batch())
    assert not Checkout(folder=tmp_path, git=git).write("c0ffee", tmp_path / "then")
    assert not (tmp_path / "then").exists()


@pytest.mark.parametrize("name", ["../out.yaml", "images/../../out.yaml", "/out.yaml"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    git = FakeGit(ls_tree=tree(name), cat_file=batch(b"x"))
    with pytest.raises(UsageError, match="leads out of its folder"):
        Checkout(folder=tmp_path, git=git).write("c0ffee", tmp_path / "then")
    assert not list(tmp_path.rglob("out.yaml"))


def test_a_commit_that_cannot_be_read_is_told_in_gits_words(tmp_path):
    git = FakeGit(ls_tree=Answer(exit_code=128, out=b"", error="fatal: bad object"))
    with pytest.raises(UsageError, match=r"git ls-tree failed in .*: fatal: bad object"):
        Checkout(folder=tmp_path, git=git).write("c0ffee", tmp_path / "then")


def test_a_folder_of_another_user_is_told_with_the_way_out(tmp_path):
    git = FakeGit(rev_parse=Answer(exit_code=128, out=b"", error="fatal: detected dubious ownership\nmore"))
    with pytest.raises(UsageError) as caught:
        Checkout.of(tmp_path, git)
    assert caught.value.message == f"git cannot look at {tmp_path}: fatal: detected dubious ownership"
    assert f"safe.directory {tmp_path}" in caught.value.hint


@pytest.mark.parametrize(
    "answer",
    [
        Answer(exit_code=128, out=b"", error="fatal: not a git repository (or any of the parent directories): .git"),
        Answer(exit_code=0, out=b"false\n"),
    ],
)
def test_a_folder_outside_of_a_checkout_has_none(tmp_path, answer):
    assert Checkout.of(tmp_path, FakeGit(rev_parse=answer)) is None


@pytest.mark.parametrize(("revision", "none"), [("0" * 40, True), ("0", True), ("", False), ("0a", False)])
def test_nothing_but_zeros_is_no_revision(revision, none):
    assert is_no_revision(revision) is none
