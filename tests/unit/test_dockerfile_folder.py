"""What is read of a folder with a Dockerfile: which files, and when two folders count as the same."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sagemaker_custom.dockerfile_folder import copy_context, dockerfile_folder, read_context
from sagemaker_custom.dockerignore import read_dockerignore
from sagemaker_custom.errors import SourceError

names = st.text(alphabet="abxy.-_é ", min_size=1, max_size=4).filter(lambda name: name.strip(". ") == name)
files = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join),
    st.tuples(st.binary(max_size=4), st.booleans()),
    max_size=5,
).filter(lambda tree: not any(other.startswith(f"{name}/") for name in tree for other in tree))


def lay_out(root, tree):
    (root / "Dockerfile").write_text("FROM scratch\n")
    for name, (content, executable) in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)
    return read_context(dockerfile_folder(root))


def sent(root, **options):
    return [entry.name for entry in read_context(dockerfile_folder(root, **options)).entries]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    (root / "src").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\n")
    (root / "src" / "train.py").write_text("print()\n")
    (root / "src" / "notes.md").write_text("notes\n")
    return root


class TestDigest:
    @given(files, files)
    @settings(max_examples=60)
    def test_unequal_trees_have_unequal_digests_and_equal_ones_equal(self, tree, other):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            first, second = lay_out(Path(one), tree), lay_out(Path(two), other)

        assert (first.digest == second.digest) == (tree == other)

    @given(files)
    @settings(max_examples=30)
    def test_copy_of_a_folder_has_its_digest(self, tree):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            context = lay_out(Path(one), tree)
            copy_context(context, Path(two))
            assert read_context(dockerfile_folder(two)).digest == context.digest

    @given(st.dictionaries(st.text(min_size=1, max_size=2), st.text(max_size=2), max_size=3), st.data())
    def test_build_args_and_target_count(self, build_args, data):
        other = data.draw(st.dictionaries(st.text(min_size=1, max_size=2), st.text(max_size=2), max_size=3))
        assume(build_args != other)
        with tempfile.TemporaryDirectory() as root:
            lay_out(Path(root), {})
            digests = {
                read_context(dockerfile_folder(root, build_args=args, target=target)).digest
                for args in (build_args, other)
                for target in (None, "stage")
            }

        assert len(digests) == 4

    def test_owner_times_and_permissions_of_others_do_not_count(self, folder):
        before = read_context(dockerfile_folder(folder))
        os.utime(folder / "src" / "train.py", (1, 1))
        (folder / "src" / "train.py").chmod(0o600)
        (folder / "src").chmod(0o700)

        assert read_context(dockerfile_folder(folder)) == before

    def test_place_of_the_folder_does_not_count(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "elsewhere")

        assert read_context(dockerfile_folder(folder)) == read_context(dockerfile_folder(tmp_path / "elsewhere"))

    @pytest.mark.parametrize(
        "change",
        [
            lambda root: (root / "src" / "train.py").chmod(0o755),
            lambda root: (root / "empty").mkdir(),
            lambda root: (root / "link").symlink_to("src"),
            lambda root: (root / "Dockerfile").write_text("FROM scratch\nUSER me\n"),
            lambda root: (root / "src" / "train.py").rename(root / "src" / "train2.py"),
        ],
    )
    def test_what_the_build_would_see_counts(self, folder, change):
        before = read_context(dockerfile_folder(folder)).digest
        change(folder)

        assert read_context(dockerfile_folder(folder)).digest != before

    def test_where_a_symlink_points_to_counts_and_what_is_there_does_not(self, folder, tmp_path):
        outside = tmp_path / "outside.txt"
        (folder / "link").symlink_to(outside)
        before = read_context(dockerfile_folder(folder)).digest
        outside.write_text("docker sends the link alone")
        assert read_context(dockerfile_folder(folder)).digest == before

        (folder / "link").unlink()
        (folder / "link").symlink_to(tmp_path / "other.txt")

        assert read_context(dockerfile_folder(folder)).digest != before

    def test_ignored_dockerfile_counts(self, folder):
        (folder / ".dockerignore").write_text("Dockerfile\n")
        before = read_context(dockerfile_folder(folder))
        (folder / "Dockerfile").write_text("FROM other\n")

        assert not before.has_dockerfile
        assert read_context(dockerfile_folder(folder)).digest != before.digest

    def test_copy_of_what_changed_meanwhile_is_refused(self, folder, tmp_path):
        context = read_context(dockerfile_folder(folder))
        (folder / "src" / "train.py").chmod(0o755)
        (tmp_path / "copy").mkdir()

        with pytest.raises(SourceError, match="changed while it was being built"):
            copy_context(context, tmp_path / "copy")

    def test_copy_of_what_is_gone_is_refused(self, folder, tmp_path):
        context = read_context(dockerfile_folder(folder))
        (folder / "src" / "train.py").unlink()
        (tmp_path / "copy").mkdir()

        with pytest.raises(SourceError, match="changed while it was being built"):
            copy_context(context, tmp_path / "copy")


class TestIgnored:
    def test_without_an_ignore_file_everything_is_sent(self, folder):
        assert sent(folder) == ["Dockerfile", "src", "src/notes.md", "src/train.py"]

    def test_ignored_files_are_neither_sent_nor_read(self, folder):
        (folder / "secret.txt").write_text("x")
        (folder / "secret.txt").chmod(0)
        os.mkfifo(folder / "pipe")
        (folder / ".dockerignore").write_text("*.txt\npipe\nsrc/*.md\n.dockerignore\n")

        assert sent(folder) == ["Dockerfile", "src", "src/train.py"]

    def test_what_is_kept_below_an_ignored_folder_brings_its_folders(self, folder):
        (folder / ".dockerignore").write_text("*\n!**/*.py\n")

        assert sent(folder) == ["src", "src/train.py"]

    def test_ignore_file_of_the_dockerfile_counts_more(self, folder):
        (folder / ".dockerignore").write_text("src\n")
        (folder / "gpu.Dockerfile").write_text("FROM scratch\n")
        (folder / "gpu.Dockerfile.dockerignore").write_text("*ocker*\n")

        assert sent(folder, dockerfile="gpu.Dockerfile") == ["src", "src/notes.md", "src/train.py"]

    @pytest.mark.parametrize(
        ("text", "path", "excluded"),
        [
            ("*/temp*", "somedir/temporary.txt", True),
            ("*/temp*", "somedir/sub/temporary.txt", False),
            ("*/*/temp*", "somedir/sub/temporary.txt", True),
            ("temp?", "tempa", True),
            ("temp?", "temp", False),
            ("**/*.go", "a/b/c.go", True),
            ("**/*.go", "c.go", True),
            ("**/node_modules", "a/node_modules/b/c.js", True),
            ("**/node_modules\n!a/keep.js", "a/node_modules/c.js", True),
            ("a/**", "a/b/c", True),
            ("a/**/c", "a/c", True),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
            ("*.md\nREADME-secret.md\n!README*.md", "README-secret.md", False),
            ("/foo/bar", "foo/bar", True),
            ("foo//bar/", "foo/bar/x", True),
            ("./foo/../bar", "bar", True),
            ("../bar", "bar", False),
            (".", "a", False),
            ("# a", "# a", False),
            (" # a", "# a", True),
            ("a[bc]d", "acd", True),
            ("a[^b]d", "acd", True),
            ("a[^b]d", "abd", False),
            (r"a\*", "a*", True),
            (r"a\*", "ab", False),
            ("a.c", "abc", False),
            ("a+(b)", "a+(b)", True),
            ("! a\nb", "b", True),
            ("\ufeffa\r\nb", "a", True),
            ("dir\n!dir/kept", "dir/kept/x", False),
        ],
    )
    def test_patterns_mean_what_they_mean_to_docker(self, text, path, excluded):
        assert read_dockerignore(text, origin=".dockerignore").excludes(path) is excluded

    @pytest.mark.parametrize("line", ["a[", "a\\", "!", "[b-a]"])
    def test_line_that_is_no_pattern_is_named(self, line):
        with pytest.raises(SourceError) as caught:
            read_dockerignore(f"ok\n{line}\n", origin="mine/.dockerignore")

        assert f"mine/.dockerignore:2: {line!r} is not a pattern" in str(caught.value)


class TestErrors:
    def test_no_folder(self, tmp_path):
        with pytest.raises(SourceError, match=r"there is no folder '.*gone' to build"):
            read_context(dockerfile_folder(tmp_path / "gone"))

    def test_no_dockerfile_names_what_looks_like_one(self, folder):
        (folder / "Dockerfile").rename(folder / "gpu.dockerfile")

        with pytest.raises(SourceError, match="there is no 'Dockerfile' in") as caught:
            read_context(dockerfile_folder(folder))

        assert caught.value.hint == "it has gpu.dockerfile: name one with dockerfile_name="

    def test_dockerfile_itself_may_be_named(self, folder):
        (folder / "gpu.dockerfile").write_text("FROM scratch\n")

        named = dockerfile_folder(folder / "gpu.dockerfile")

        assert (named.path, named.dockerfile) == (str(folder), "gpu.dockerfile")

    def test_pipe_in_the_folder(self, folder):
        os.mkfifo(folder / "pipe")

        with pytest.raises(SourceError, match="pipe is a named pipe, which no image can hold") as caught:
            read_context(dockerfile_folder(folder))

        assert ".dockerignore" in caught.value.hint

    def test_dockerfile_in_another_encoding(self, folder):
        (folder / "Dockerfile").write_bytes(b"FROM scratch\n# \xff\n")

        with pytest.raises(SourceError, match="Dockerfile is not UTF-8"):
            read_context(dockerfile_folder(folder))

    def test_file_that_may_not_be_read(self, folder):
        context = read_context(dockerfile_folder(folder))
        loop = replace(context.folder, dockerfile="loop")
        (folder / "loop").symlink_to("loop")

        with pytest.raises(SourceError, match=r"cannot read .*loop: Too many levels of symbolic links"):
            read_context(loop)
