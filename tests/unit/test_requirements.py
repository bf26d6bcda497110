"""The ``extras`` argument, requirements files included."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagemaker_custom.errors import InvalidExtraError, RequirementsError
from sagemaker_custom.requirements import read_extras, read_requirements
from sagemaker_custom.spec import PipExtra, RecipeExtra, RequirementsExtra

SECRET = "hunter2"


@pytest.fixture
def write(tmp_path):
    def write(text, name="requirements.txt"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_everything_a_file_can_say(write):
    write("NumPy<2\n", "constraints.txt")
    write("umap_learn\n", "more.txt")
    path = write(
        """
# a comment
--index-url https://a.example/simple
--extra-index-url https://b.example/simple
--extra-index-url https://c.example/simple
-f https://d.example/wheels
-r more.txt
-c constraints.txt
Faiss_CPU >= 1.8, <2   # why
scipy[all] ; python_version > "3"
pandas==2.2.0 \\
    --hash=sha256:bb \\
    --hash=sha256:aa
a @ https://h.example/a-1.0-py3-none-any.whl
"""
    )
    assert read_requirements(path) == RequirementsExtra(
        requirements=(
            "a @ https://h.example/a-1.0-py3-none-any.whl",
            "faiss-cpu<2,>=1.8",
            "pandas==2.2.0 --hash=sha256:aa --hash=sha256:bb",
            'scipy[all] ; python_version > "3"',
            "umap-learn",
        ),
        constraints=("numpy<2",),
        index_url="https://a.example/simple",
        extra_index_urls=("https://b.example/simple", "https://c.example/simple"),
        find_links=("https://d.example/wheels",),
    )


def test_place_order_and_spelling_of_a_file_do_not_matter(write):
    one = write("a\nB_c\n", "one.txt")
    other = write("# x\n\nb-C\nA\na\n", "other.in")
    assert read_extras([str(one)]) == read_extras([other])


def test_a_single_entry_needs_no_list(write):
    assert read_extras("faiss") == (RecipeExtra(name="faiss"),)
    assert read_extras(write("a")) == (RequirementsExtra(requirements=("a",)),)
    assert read_extras(()) == ()


def test_names_with_dots_are_no_files():
    assert read_extras(["pip:ruamel.yaml"]) == (PipExtra(requirement="ruamel-yaml"),)
    assert read_extras(["pip:a @ https://h.example/a.txt"]) == (PipExtra(requirement="a @ https://h.example/a.txt"),)


def test_entry_that_is_no_text():
    with pytest.raises(InvalidExtraError) as caught:
        read_extras(["faiss", 7])
    assert str(caught.value) == "extra 7 is not a text\n  -> write for example extras=['faiss', 'pip:umap-learn']"


@pytest.mark.parametrize("entry", ["gone.txt", "./gone", Path("gone.txt")])
def test_missing_file(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        RequirementsError, match=r"the requirements file '.*gone.*' does not exist\n  -> check the path"
    ):
        read_extras([entry])


def test_url_is_not_taken_for_a_path():
    with pytest.raises(
        InvalidExtraError, match=r"is not a recipe of the catalog\n  -> write 'pip:a @ https://h.example/a.whl'"
    ):
        read_extras(["a @ https://h.example/a.whl"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a==", "'a==' cannot be read"),
        ("fa iss", "'fa iss' cannot be read"),
        ("a; --pre", "'a; --pre' cannot be read"),
        ("a --config-settings b=c", "cannot be read"),
        (
            "--pre",
            "the option --pre is not supported in an image\n  -> use --index-url, --extra-index-url, --find-links",
        ),
        ("--trusted-host h.example", "the option --trusted-hosts is not supported"),
        (
            "-e .",
            "'-e .' lies on this machine and cannot be installed into an image\n  -> give the folder as dependencies=",
        ),
        ("./local", "'./local' lies on this machine"),
        ("a @ file:///a.whl", "'a @ file:///a.whl' lies on this machine"),
        ("git+https://h.example/a", "does not say which package it is\n  -> write 'NAME @ URL', without -e"),
        ("-e git+https://h.example/a#egg=a", "does not say which package it is"),
        ("https://h.example/a-1.0-py3-none-any.whl", "does not say which package it is"),
        ("a==1 --global-option=x", "has options for setup.py, which pip reads no more"),
        (
            "--find-links ./wheels",
            "'./wheels' cannot be reached from an image\n  -> write a URL that begins with https://",
        ),
        ("--index-url file:///simple", "'file:///simple' cannot be reached from an image"),
        ("--index-url https://[h/simple", "is not a URL"),
    ],
)
def test_bad_lines_are_shown_with_file_and_line(write, line, message):
    path = write(f"# first\nnumpy\n{line}\n")
    with pytest.raises(RequirementsError) as caught:
        read_requirements(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert message in str(caught.value)


def test_bad_line_of_an_included_file_names_that_file(write):
    nested = write("\na==\n", "nested.txt")
    path = write("-r nested.txt\n")
    with pytest.raises(RequirementsError, match=f"^{nested}:2: "):
        read_requirements(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "--index-url https://a.example/simple\n"])
def test_file_without_packages(write, text):
    path = write(text)
    with pytest.raises(RequirementsError) as caught:
        read_requirements(path)
    assert str(caught.value) == f"{path} names no package\n  -> add one, or leave the file out of extras"


@pytest.mark.parametrize("text", ["-r gone.txt\n", "-r requirements.txt\n", "-r https://h.example/r.txt\n"])
def test_included_file_that_cannot_be_read(write, text):
    path = write(text)
    with pytest.raises(RequirementsError, match=r"requirements.txt"):
        read_requirements(path)


def test_file_that_is_no_text(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(RequirementsError, match=r"requirements.txt"):
        read_requirements(path)


@pytest.mark.parametrize(
    "line",
    [
        f"--index-url https://me:{SECRET}@h.example/simple",
        f"--extra-index-url https://me:{SECRET}@h.example/simple",
        f"--find-links https://me:{SECRET}@h.example/wheels",
        f"--index-url https://me:{SECRET}@[h/simple",
        f"a @ https://me:{SECRET}@h.example/a.whl",
        f"a @ git+https://{SECRET}@h.example/a",
        f"git+https://me:{SECRET}@h.example/a",
        f"https://me:{SECRET}@h.example/a",
        f"-e git+https://me:{SECRET}@h.example/a#egg=a",
        f"a== @ https://me:{SECRET}@h.example/a",
        f"-r https://me:{SECRET}@h.example/r.txt",
        f"-c https://me:{SECRET}@h.example/r.txt",
    ],
)
def test_credentials_are_refused_and_not_shown(write, line):
    with pytest.raises(RequirementsError) as caught:
        read_requirements(write(f"numpy\n{line}\n"))
    assert SECRET not in str(caught.value)
