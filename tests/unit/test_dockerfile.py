"""The text of the Dockerfile, and what its RUN instructions do when a shell runs them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_custom.catalog import load
from sagemaker_custom.dockerfile import BuildEnvironment, render
from sagemaker_custom.plan import EngineTarget, PipIndexes, make_plan
from sagemaker_custom.resolve import CondaStep, PackagesStep, PipStep, resolve
from sagemaker_custom.spec import ImageSpec, PipExtra, RecipeExtra

CATALOG = load()
PLAIN = BuildEnvironment(secret_mounts=False)
BUILDKIT = BuildEnvironment(secret_mounts=True)
SECRET = "hunter2"
WORK = "/tmp/sagemaker-custom"

# What a shell, a Dockerfile or pip might take for something else than a text.
metacharacters = st.text(
    alphabet=st.sampled_from(list("a1-=.$`\"'\\;&|<>(){}[]*?!~# %@:/")) | st.characters(categories=["L", "P", "S"]),
    min_size=1,
    max_size=12,
)


def plan(*steps, version="2.3", held=("torch", "torchvision"), pip_indexes=None):
    spec = ImageSpec(framework="pytorch", version=version, extras=(RecipeExtra(name="faiss"),))
    made = make_plan(
        spec,
        resolve(spec, CATALOG),
        partitions=CATALOG.partitions,
        region="us-east-1",
        target=EngineTarget(),
        repository_prefix="sagemaker-custom",
        pip_indexes=pip_indexes or PipIndexes(),
    )
    return replace(made, steps=steps or made.steps, held=held)


def runs(text):
    """Return the RUN instructions as the builder's parser gives them to the shell."""
    instructions = text.replace("\\\n", "").splitlines()
    assert all(re.match(r"(FROM|RUN|COPY) ", line) for line in instructions), instructions
    return [line.removeprefix("RUN ") for line in instructions if line.startswith("RUN ")]


TOOL = """#!{python} -IS
import json, os, sys
root = {root!r}
with open(os.path.join(root, "calls"), "a") as calls:
    calls.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and arguments[0] == "-c":
    sys.path.append(os.path.join(root, "site"))
    code, sys.argv = arguments[1], arguments[1:]
    exec(code)
elif "install" in arguments:
    for line in json.load(open(os.path.join(root, "on-install"))):
        folder = os.path.join(root, "site")
        package, before, after = line
        if before:
            os.rename(os.path.join(folder, before + ".dist-info"), os.path.join(folder, "gone-" + before))
        if after:
            os.mkdir(os.path.join(folder, after + ".dist-info"))
            with open(os.path.join(folder, after + ".dist-info", "METADATA"), "w") as metadata:
                metadata.write("Metadata-Version: 2.1\\nName: %s\\nVersion: %s\\n" % (package, after.partition("-")[2]))
    for option in [o for o in arguments if o.startswith(root) and os.path.exists(o)]:
        with open(option) as text, open(os.path.join(root, "kept-" + os.path.basename(option)), "w") as kept:
            kept.write(text.read())
"""


class Image:
    """A folder that plays the image: its tools write down how they are called."""

    def __init__(self, root):
        self.root = root
        self.tools = root / "bin"
        self.tools.mkdir(parents=True)
        (root / "site").mkdir()
        self.changes()
        for name in ("python", "conda", "apt-get", "dnf"):
            tool = self.tools / name
            tool.write_text(TOOL.format(python=sys.executable, root=str(root)))
            tool.chmod(tool.stat().st_mode | stat.S_IXUSR)

    def has(self, **packages):
        for name, version in packages.items():
            folder = self.root / "site" / f"{name}-{version}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        return self

    def changes(self, *changes):
        """Say what installing does: (name, "name-1.0" that goes, "name-2.0" that comes)."""
        (self.root / "on-install").write_text(json.dumps(changes))

    def run(self, script):
        script = script.replace(WORK, str(self.root / "work"))
        script = re.sub(r"/opt/\w+/bin/python|/usr/local/bin/python", str(self.tools / "python"), script)
        script = script.replace("/var/lib/apt/lists/", str(self.root / "lists") + "/")
        script = re.sub(r"--mount=\S+ ", "", script)
        environment = {"PATH": f"{self.tools}:{os.environ['PATH']}"}
        return subprocess.run(
            ["/bin/sh", "-c", script], env=environment, cwd=self.root, capture_output=True, text=True, check=False
        )

    def build(self, made, environment=PLAIN):
        for script in runs(render(made, "base:1", environment)):
            done = self.run(script)
            if done.returncode:
                return done
        return done

    @property
    def calls(self):
        lines = (self.root / "calls").read_text().splitlines()
        return [call for call in map(json.loads, lines) if call[1] != "-c"]

    def kept(self, name):
        return (self.root / f"kept-{name}").read_text()


@pytest.fixture
def image(tmp_path):
    return Image(tmp_path / "image")


class TestText:
    def test_whole_dockerfile_of_a_small_plan(self):
        text = render(plan(PackagesStep(packages=("git", "libgl1=1.4"))), "base@sha256:0", PLAIN)
        assert text == (
            "FROM base@sha256:0\n"
            "RUN set -eu \\\n"
            " && apt-get update \\\n"
            " && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends git libgl1=1.4 \\\n"
            " && rm -rf /var/lib/apt/lists/*\n"
        )

    def test_secrets_are_mounted_where_the_engine_can(self):
        environment = BuildEnvironment(secret_mounts=True, ca_bundle=True, netrc=True)
        text = render(plan(), "base", environment)
        assert "RUN --mount=type=secret,id=ca_bundle --mount=type=secret,id=netrc set -eu" in text
        assert "PIP_CERT=/run/secrets/ca_bundle" in text
        assert "export NETRC=/run/secrets/netrc" in text
        assert "COPY" not in text

    def test_without_mounts_the_bundle_is_copied_and_removed(self):
        text = render(plan(), "base", BuildEnvironment(secret_mounts=False, ca_bundle=True))
        lines = text.splitlines()
        assert lines[1] == "COPY ca-bundle.pem /etc/sagemaker-custom-ca-bundle.pem"
        assert lines[-1] == "RUN rm -f /etc/sagemaker-custom-ca-bundle.pem"
        assert "--mount" not in text
        assert "CONDA_SSL_VERIFY=/etc/sagemaker-custom-ca-bundle.pem" in text

    def test_apt_trusts_the_bundle_too(self):
        text = render(plan(PackagesStep(packages=("a",))), "base", BuildEnvironment(secret_mounts=True, ca_bundle=True))
        assert "apt-get -o Acquire::https::CAInfo=/run/secrets/ca_bundle update" in text

    def test_plain_network_needs_no_exports(self):
        assert "export" not in render(plan(), "base", BUILDKIT)
        assert "--mount" not in render(plan(), "base", BUILDKIT)

    @pytest.mark.parametrize("environment", [PLAIN, BuildEnvironment(secret_mounts=True, ca_bundle=True, netrc=True)])
    def test_credentials_of_an_index_are_not_in_it(self, environment):
        url = f"https://me:{SECRET}@a.example/simple"
        text = render(plan(pip_indexes=PipIndexes(index_url=url, extra_index_urls=(url,))), "base", environment)
        assert SECRET not in text
        assert "--index-url https://a.example/simple --extra-index-url https://a.example/simple" in text

    def test_index_of_a_recipe_goes_before_that_of_the_settings(self):
        step = PipStep(packages=("a",), index_url="https://own.example", extra_index_urls=("https://more.example",))
        indexes = PipIndexes(index_url="https://set.example", extra_index_urls=("https://too.example",))
        text = render(plan(step, pip_indexes=indexes), "base", PLAIN)
        assert (
            "--index-url https://own.example --extra-index-url https://more.example --extra-index-url https://too"
            in text
        )
        assert "set.example" not in text

    @pytest.mark.parametrize("version", ["1.9", "2.3", "2.6"])
    @pytest.mark.parametrize("environment", [PLAIN, BuildEnvironment(secret_mounts=True, ca_bundle=True, netrc=True)])
    def test_every_run_is_valid_shell(self, version, environment):
        made = plan(
            PackagesStep(packages=("a",)),
            CondaStep(packages=("b",), channels=("c",)),
            PipStep(packages=("d",), uninstall=("e",), constraints=("f",), no_deps=True),
            version=version,
        )
        for script in runs(render(made, "base", environment)):
            done = subprocess.run(["/bin/sh", "-n", "-c", re.sub(r"--mount=\S+ ", "", script)], check=False)
            assert done.returncode == 0

    @given(st.lists(metacharacters, min_size=1, max_size=3), st.lists(metacharacters, max_size=2), metacharacters)
    def test_no_text_ends_an_instruction(self, packages, channels, url):
        made = plan(
            PackagesStep(packages=tuple(packages)),
            CondaStep(packages=tuple(packages), channels=tuple(channels)),
            PipStep(
                packages=tuple(packages),
                build_packages=tuple(packages),
                constraints=tuple(packages),
                find_links=(f"https://h/{url}",),
                env=(("A", url),),
            ),
        )
        assert len(runs(render(made, "base", PLAIN))) == 3


class TestShell:
    @settings(max_examples=10, deadline=None)
    @given(packages=st.lists(metacharacters, min_size=1, max_size=4))
    def test_texts_arrive_verbatim(self, tmp_path_factory, packages):
        image = Image(tmp_path_factory.mktemp("image") / "root")
        links = tuple(f"https://h.example/{text}" for text in packages)
        made = plan(
            PackagesStep(packages=tuple(packages)),
            CondaStep(packages=tuple(packages), channels=tuple(packages)),
            PipStep(packages=tuple(packages), constraints=tuple(packages), uninstall=tuple(packages), find_links=links),
        )
        done = image.build(made)
        assert done.returncode == 0, done.stderr
        channels = [word for channel in packages for word in ("-c", channel)]
        calls = image.calls
        assert calls[1] == ["apt-get", "install", "-y", "--no-install-recommends", *packages]
        assert calls[2] == ["conda", "install", "-y", *channels, *packages]
        assert calls[4][-len(packages) - 2 :] == ["uninstall", "-y", *packages]
        assert [calls[5][n + 1] for n, word in enumerate(calls[5]) if word == "--find-links"] == list(links)
        assert image.kept("requirements.txt").split("\n") == [*packages, ""]
        assert image.kept("constraints.txt").split("\n") == [*packages, ""]

    def test_pip_is_told_everything(self, image):
        work = image.root / "work"
        made = plan(
            PipStep(
                packages=("a==1", "b"), constraints=("c<2",), uninstall=("old",), no_deps=True, no_build_isolation=True
            )
        )
        assert image.has(torch="2.3.0+cu121", numpy="1.26.4").build(made).returncode == 0
        pip = ["python", "-m", "pip", "--no-input", "--disable-pip-version-check"]
        assert image.calls == [
            [*pip, "uninstall", "-y", "old"],
            [*pip, "install", "--no-cache-dir", "--progress-bar", "off",
             "-c", f"{work}/held.txt", "-c", f"{work}/constraints.txt", "--no-deps",
             "--no-build-isolation", "-r", f"{work}/requirements.txt"],
        ]  # fmt: skip
        assert image.kept("held.txt") == "torch==2.3.0+cu121\nnumpy<2\n"
        assert not work.exists()

    def test_what_building_needs_is_installed_first_from_the_plain_index(self, image):
        step = PipStep(
            packages=("a==1",),
            uninstall=("old",),
            build_packages=("ninja", "setuptools<81"),
            index_url="https://own.example",
            find_links=("https://own.example/a.html",),
            no_deps=True,
            no_build_isolation=True,
        )
        indexes = PipIndexes(index_url="https://set.example")
        assert image.has(**TORCH).build(plan(step, pip_indexes=indexes)).returncode == 0
        uninstall, build, install = image.calls
        assert uninstall[-2:] == ["-y", "old"]
        assert build[5:] == [
            "install", "--no-cache-dir", "--progress-bar", "off", "-c", f"{image.root}/work/held.txt",
            "--index-url", "https://set.example", "ninja", "setuptools<81",
        ]  # fmt: skip
        assert install[-2:] == ["-r", f"{image.root}/work/requirements.txt"]
        assert "https://own.example" in install

    def test_variables_are_there_for_pip_and_for_no_later_step(self, image):
        (image.tools / "python").write_text('#!/bin/sh\ncase "$*" in *install*) echo "$MAX_JOBS/$ARCH";; esac\n')
        made = plan(
            PipStep(packages=("a",), build_packages=("b",), env=(("ARCH", "7.0;8.0+PTX $HOME"), ("MAX_JOBS", "4"))),
            PipStep(packages=("c",)),
        )
        first, second = runs(render(made, "base", PLAIN))
        assert image.run(first).stdout == "4/7.0;8.0+PTX $HOME\n4/7.0;8.0+PTX $HOME\n"
        assert image.run(second).stdout == "/\n"

    def test_amazon_linux_installs_by_dnf(self, image):
        made = plan(PackagesStep(packages=("git", "libglvnd=1.4")), version="2.12")
        assert image.build(made).returncode == 0
        assert image.calls == [["dnf", "install", "-y", "git", "libglvnd-1.4"], ["dnf", "clean", "all"]]

    def test_exports_reach_the_tools(self, image):
        environment = BuildEnvironment(secret_mounts=True, ca_bundle=True, netrc=True)
        (script,) = runs(render(plan(PackagesStep(packages=("a",))), "base", environment))
        shown = image.run(script + ' && echo "$PIP_CERT $SSL_CERT_FILE $NETRC"').stdout
        assert shown == "/run/secrets/ca_bundle /run/secrets/ca_bundle /run/secrets/netrc\n"

    def test_failing_command_fails_the_step(self, image):
        (script,) = runs(render(plan(PackagesStep(packages=("a",))), "base", PLAIN))
        (image.tools / "apt-get").write_text("#!/bin/sh\ntest $1 = update\n")
        assert image.run(script).returncode != 0


TORCH = {"torch": "2.3.0+cu121", "numpy": "1.26.4"}


class TestHeld:
    @pytest.mark.parametrize("step", [PipStep(packages=("a",)), CondaStep(packages=("a",), channels=())])
    @pytest.mark.parametrize(
        "change",
        [
            ("torch", "torch-2.3.0+cu121", "torch-2.4.0"),
            ("torch", "torch-2.3.0+cu121", "torch-2.3.0"),
            ("torch", "torch-2.3.0+cu121", None),
            ("numpy", "numpy-1.26.4", "numpy-2.1.0"),
            ("numpy", "numpy-1.26.4", None),
        ],
    )
    def test_step_that_changed_what_is_held_fails(self, image, step, change):
        image.has(**TORCH).changes(change)
        done = image.build(plan(step))
        assert done.returncode == 1
        assert "these packages of the base image were replaced, which no recipe asked for" in done.stdout
        assert done.stdout.startswith("torch==2.3.0+cu121\n" if change[0] == "torch" else "numpy<2\n")

    @pytest.mark.parametrize(
        "changes",
        [
            [],
            [("a", None, "a-1.0")],
            [("numpy", "numpy-1.26.4", "numpy-1.25.0")],
            [("torchvision", None, "torchvision-0.18.0")],
        ],
    )
    def test_step_that_changed_something_else_passes(self, image, changes):
        image.has(**TORCH).changes(*changes)
        done = image.build(plan(PipStep(packages=("a",))))
        assert (done.returncode, done.stdout) == (0, "")

    @pytest.mark.parametrize(
        ("replaces", "change"),
        [
            ("torch", ("torch", "torch-2.3.0+cu121", "torch-2.4.0")),
            ("numpy", ("numpy", "numpy-1.26.4", "numpy-2.1.0")),
        ],
    )
    def test_recipe_may_say_that_it_replaces(self, image, replaces, change):
        image.has(**TORCH).changes(change)
        done = image.build(plan(PipStep(packages=("a",), replaces=(replaces,))))
        assert done.returncode == 0, done.stdout
        assert replaces not in image.kept("held.txt")

    def test_base_without_any_of_them(self, image):
        image.changes(("numpy", None, "numpy-2.1.0"))
        assert image.build(plan(PipStep(packages=("a",)))).returncode == 0
        assert image.kept("held.txt") == ""

    def test_names_are_compared_as_pip_does(self, image):
        image.has(Torch_Data="0.7.1", numpy="2.0.0rc1")
        assert image.build(plan(PipStep(packages=("a",)), held=("torch-data",))).returncode == 0
        assert image.kept("held.txt") == "torch-data==0.7.1\nnumpy<3\n"

    def test_image_that_cannot_tell_fails(self, image):
        image.has(**TORCH)
        (script,) = runs(render(plan(PipStep(packages=("a",))), "base", PLAIN))
        assert image.run(script.replace("grep ", "no-such-grep ")).returncode != 0

    def test_old_interpreters_can_read_the_check(self):
        # Images go back to Python 3.8; the check has nothing newer.
        (script,) = runs(render(plan(PipStep(packages=("a",))), "base", PLAIN))
        import ast
        import shlex

        words = shlex.split(script)
        code = words[words.index("-c") + 1]
        assert ast.parse(code, feature_version=(3, 8))


def test_extra_of_a_user_ends_quoted(image):
    made = plan(PipStep(packages=(PipExtra(requirement='a ; python_version < "3.9"').requirement,)))
    assert image.build(made).returncode == 0
    assert image.kept("requirements.txt") == 'a ; python_version < "3.9"\n'
