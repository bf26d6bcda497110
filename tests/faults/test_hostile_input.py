"""Extras, requirements files, recipes and references with what a shell, pip, conda or apt would obey."""

from __future__ import annotations

import pytest
from fakes.example_plan import example_plan

from sagemaker_custom.catalog.documents import read_recipe
from sagemaker_custom.dockerfile import BuildEnvironment, render
from sagemaker_custom.errors import CatalogError, RequirementsError, SettingsError, UsageError
from sagemaker_custom.own_images import own_image
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.requirements import read_extras, read_requirements
from sagemaker_custom.spec import normalise_replace
from sagemaker_custom.wheels.pip_configuration import read_pip_configuration

NASTY = (
    "; reboot",
    "$(reboot)",
    "`reboot`",
    "| sh",
    "&& reboot",
    "\nRUN reboot",
    "\r\nRUN reboot",
    "\0",
    "'",
    '"',
    "\\",
)


class TestExtras:
    @pytest.mark.parametrize("nasty", [*NASTY, " -o x=y", " --root /", "../x"])
    @pytest.mark.parametrize("extra", ["apt:git{}", "conda:faiss{}", "conda:forge{}::faiss", "faiss{}"])
    def test_metacharacters_are_refused(self, extra, nasty):
        with pytest.raises(UsageError) as caught:
            read_extras([extra.format(nasty)])

        assert caught.value.hint
        assert "\x00" not in str(caught.value)

    @pytest.mark.parametrize("nasty", [n for n in NASTY if not n.startswith(";")])
    def test_metacharacters_in_pip_packages_are_refused(self, nasty):
        with pytest.raises(UsageError):
            read_extras([f"pip:numpy{nasty}"])

    @pytest.mark.parametrize(
        "extra",
        [
            "apt:-oAPT::Update::Pre-Invoke::=reboot",
            "apt:--allow-unauthenticated",
            "apt:bash-",
            "conda:--file=/etc/passwd",
            "conda:-c::faiss",
            "pip:--index-url=https://evil.example",
            "pip:-r/etc/passwd",
            "pip:-e .",
            "faiss===\0=",
            "-r/etc/passwd",
            "pip:numpy @ file:///etc/passwd",
            "pip:numpy @ git+file:///etc",
            "pip:numpy @ https://[",
            "pip:numpy ; " + "(" * 10_000,
            "faiss ; " + "(" * 10_000,
            "pip:" + "a" * 100_000 + "!",
        ],
    )
    def test_options_and_places_of_this_machine_are_refused(self, extra):
        with pytest.raises(UsageError):
            read_extras([extra])

    @pytest.mark.parametrize("name", ["-x", "numpy; reboot", "$(x)", "a b", "a\n", ""])
    def test_packages_to_replace_are_names(self, name):
        with pytest.raises(UsageError, match="is not the name of a package"):
            normalise_replace([name])

    @pytest.mark.parametrize("python", ["-c", "python3; reboot", "$(x)", "/bin/py thon", "python\nRUN x", "`x`"])
    def test_an_interpreter_is_a_path(self, python):
        with pytest.raises(UsageError, match="is not an interpreter"):
            own_image(base_image="x:1", python=python)


class TestRequirementsFiles:
    @pytest.mark.parametrize(
        "line",
        [
            "numpy --hash=sha256:00;reboot",
            'numpy "--hash=sha256:00 --index-url=https://evil.example"',
            "numpy --hash=sha256:$(reboot)",
            "--index-url file:///etc",
            "--index-url https://user:secret@host/simple",
            "--trusted-host evil.example",
            "--find-links /etc",
            "-e /etc",
            "/etc/passwd",
            "../x",
            "numpy @ file:///x",
            "$(reboot)",
            "`reboot`",
            "numpy; $(reboot)",
            "numpy; " + "(" * 5000,
            "--install-option=--root=/",
            "-r missing.txt",
        ],
    )
    def test_a_line_that_pip_would_obey_is_refused(self, tmp_path, line):
        path = tmp_path / "requirements.txt"
        path.write_text(f"{line}\n")

        with pytest.raises(RequirementsError) as caught:
            read_requirements(path)

        assert "secret" not in str(caught.value)

    def test_a_file_that_includes_itself_is_refused(self, tmp_path):
        path = tmp_path / "requirements.txt"
        path.write_text("-r requirements.txt\n")

        with pytest.raises(RequirementsError):
            read_requirements(path)

    def test_a_file_of_other_bytes_is_refused(self, tmp_path):
        path = tmp_path / "requirements.txt"
        path.write_bytes(b"\xff\xfe\x00numpy\x80")

        with pytest.raises(RequirementsError):
            read_requirements(path)

    def test_pip_configuration_of_other_bytes_is_refused(self, tmp_path):
        path = tmp_path / "pip.conf"
        path.write_bytes(b"[global]\nindex-url = \xff\n")

        with pytest.raises(SettingsError, match="is not UTF-8"):
            read_pip_configuration({}, [path])


def recipe(**changes):
    variant = {"pip": {"packages": ["a"]}, **changes}
    return {
        "schema_version": 1,
        "name": "a",
        "summary": "s",
        "homepage": "https://a.example",
        "verify": ["true"],
        "variants": [variant],
    }


class TestRecipes:
    """A recipe's verify commands are a shell's; nothing else of it may be."""

    @pytest.mark.parametrize(
        "change",
        [
            {"apt": ["-oDPkg::Pre-Invoke::=reboot"]},
            {"apt": ["bash-"]},
            {"apt": ["git; reboot"]},
            {"apt": ["git\nRUN x"]},
            {"apt": ["$(x)"]},
            {"conda": {"packages": ["--file=/etc/passwd"]}},
            {"conda": {"packages": ["a b"]}},
            {"conda": {"packages": ["a"], "channels": ["-x"]}},
            {"conda": {"packages": ["a"], "channels": ["a;b"]}},
            {"uninstall": ["-y"]},
            {"uninstall": ["a b"]},
            {"pip": {"packages": ["--index-url=x"]}},
            {"pip": {"packages": ["a\n"]}},
            {"pip": {"packages": ["a"], "build_packages": ["-r x"]}},
            {"pip": {"packages": ["a"], "replaces": ["-x"]}},
            {"pip": {"packages": ["a"], "index_url": "--pre"}},
            {"pip": {"packages": ["a"], "index_url": "https://x --pre"}},
            {"pip": {"packages": ["a"], "index_url": "file:///etc"}},
            {"pip": {"packages": ["a"], "find_links": ["/etc"]}},
            {"pip": {"packages": ["a"], "extra_index_urls": ["https://u:p@x"]}},
            {"pip": {"packages": ["a"], "env": {"PATH": "/evil"}}},
            {"pip": {"packages": ["a"], "env": {"LD_PRELOAD": "/evil.so"}}},
            {"pip": {"packages": ["a"], "env": {"A;reboot": "x"}}},
            {"pip": {"packages": ["a"], "env": {"A": "x\nRUN y"}}},
            {"pip": {"packages": ["{version.__class__}"]}},
            {"pip": {"packages": ["{version!r}"]}},
            {"pip": {"packages": ["{version:>99999999}"]}},
        ],
    )
    def test_metacharacters_and_options_are_refused(self, change):
        with pytest.raises(CatalogError, match=r"variants\[0\]"):
            read_recipe(recipe(**change), "a.yaml")

    @pytest.mark.parametrize(("key", "value"), [("summary", "a\x1b[2J"), ("homepage", "https://a\n"), ("name", "../a")])
    def test_what_is_shown_has_no_control_characters(self, key, value):
        with pytest.raises(CatalogError, match=key):
            read_recipe(recipe() | {key: value}, "a.yaml")

    def test_a_value_with_metacharacters_reaches_the_shell_as_a_text(self):
        read = read_recipe(recipe(pip={"packages": ["a"], "env": {"A": "$(reboot) `x` ' \" ; | &&"}}), "a.yaml")

        assert read.variants[0].pip.env == (("A", "$(reboot) `x` ' \" ; | &&"),)

    def test_packages_of_a_plan_are_quoted(self):
        text = render(example_plan(packages=("a ; os_name == '$(x)'",)), "base", BuildEnvironment(secret_mounts=True))

        assert """'a ; os_name == '"'"'$(x)'"'"''""" in text


class TestReferences:
    @pytest.mark.parametrize("nasty", [*NASTY, " ", "/../x", "//x", "?x", "#x", "@x", "%2e%2e", "é"])
    @pytest.mark.parametrize("text", ["host.example/a{}", "host.example{}/a", "a:t{}", "{}a"])
    def test_metacharacters_are_refused(self, text, nasty):
        with pytest.raises(UsageError):
            ImageReference.parse(text.format(nasty))
