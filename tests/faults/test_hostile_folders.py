"""Source folders and build contexts with links, pipes and devices, and entry points that lead out of them."""

from __future__ import annotations

import io
import os
import socket
import tarfile

import pytest

from sagemaker_custom.archive import collect, write_tar_gz
from sagemaker_custom.builders.context_archive import context_archive
from sagemaker_custom.builders.engine import BuildContext
from sagemaker_custom.dockerfile_folder import copy_context, dockerfile_folder, read_context
from sagemaker_custom.errors import SourceError


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "elsewhere" / "secret"
    path.parent.mkdir()
    path.write_text("hunter2")
    return path


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text("")
    return folder


def packed(entries):
    stream = io.BytesIO()
    write_tar_gz(entries, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        return {entry.name: entry for entry in archive}


class TestSource:
    @pytest.mark.parametrize("entry_point", ["../x.py", "/etc/passwd", "a/../../x.py", "..", "train.py/../../x"])
    def test_an_entry_point_outside_is_refused(self, source, entry_point):
        with pytest.raises(SourceError, match=r"is outside source_dir|is not in source_dir"):
            collect(entry_point, source)

    @pytest.mark.parametrize("name", ["pipe", ".sagemakerignore"])
    def test_a_pipe_is_refused_and_not_waited_for(self, source, name):
        os.mkfifo(source / name)

        with pytest.raises(SourceError, match="named pipe"):
            collect("train.py", source)

    @pytest.mark.parametrize("name", ["zeros", ".sagemakerignore"])
    def test_a_device_is_refused_and_not_read(self, source, name):
        (source / name).symlink_to("/dev/zero")

        with pytest.raises(SourceError, match="device"):
            collect("train.py", source)

    def test_a_socket_is_refused(self, source):
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(source / "s"))
            with pytest.raises(SourceError, match="socket"):
                collect("train.py", source)

    @pytest.mark.parametrize("target", ["nowhere", ".", "..", "loop"])
    def test_a_link_that_leads_nowhere_or_round_is_refused(self, source, target):
        (source / "loop").symlink_to(target)
        if target == "..":
            (source.parent / "elsewhere").mkdir(exist_ok=True)

        with pytest.raises(SourceError, match="symlink"):
            collect("train.py", source)

    def test_no_archive_holds_a_link_or_leads_out(self, source, secret):
        """Links are followed, as the SDK does: what they lead to is in the archive, under a name inside."""
        (source / "link").symlink_to(secret)
        os.link(secret, source / "hard")
        (source / "new\nline \x1b[2J").write_text("x")

        found = packed(collect("train.py", source))

        assert all(entry.isfile() or entry.isdir() for entry in found.values())
        assert not any(name.startswith("/") or ".." in name.split("/") for name in found)
        assert {"link", "hard"} < found.keys()


class TestContext:
    @pytest.fixture
    def folder(self, source):
        (source / "Dockerfile").write_text("FROM scratch\n")
        return source

    def test_a_link_out_of_the_folder_stays_a_link(self, folder, secret, tmp_path):
        (folder / "link").symlink_to(secret)
        (folder / "folder").symlink_to(secret.parent)
        context = read_context(dockerfile_folder(folder))
        copy = tmp_path / "copy"
        copy.mkdir()
        copy_context(context, copy)

        with context_archive(
            BuildContext(dockerfile="Dockerfile", folder=copy, files={}, platform="linux/amd64")
        ) as stream:
            content = stream.read()

        assert b"hunter2" not in content
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            found = {entry.name: entry for entry in archive}
        assert found["link"].issym()
        assert found["folder"].issym()
        assert not any(name.startswith("folder/") for name in found)

    @pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore", "pipe"])
    def test_a_pipe_is_refused_and_not_waited_for(self, folder, name):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

        with pytest.raises(SourceError, match="named pipe"):
            read_context(dockerfile_folder(folder))

    @pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
    def test_a_device_is_refused_and_not_read(self, folder, name):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/dev/zero")

        with pytest.raises(SourceError, match="device"):
            read_context(dockerfile_folder(folder))

    @pytest.mark.parametrize("pattern", ["[", "a[", "\\", "!", "[]", "x/[z-a]"])
    def test_a_pattern_that_is_none_is_refused(self, folder, pattern):
        (folder / ".dockerignore").write_text(f"{pattern}\n")

        with pytest.raises(SourceError, match="is not a pattern"):
            read_context(dockerfile_folder(folder))

    def test_a_file_that_becomes_a_link_is_not_followed(self, folder, secret, tmp_path):
        (folder / "data").write_text("harmless")
        context = read_context(dockerfile_folder(folder))
        (folder / "data").unlink()
        (folder / "data").symlink_to(secret)
        copy = tmp_path / "copy"
        copy.mkdir()

        with pytest.raises(SourceError, match="changed while it was being built"):
            copy_context(context, copy)

        assert not (copy / "data").is_file() or (copy / "data").is_symlink()
