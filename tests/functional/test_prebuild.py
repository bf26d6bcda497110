"""Whole catalogs, built with moto's AWS, a real registry and real git, by the command line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest
from fakes.base_images import CONDA, archive, conda, config_of, layer, package, push_image
from fakes.command_line import run_cli
from fakes.tiny_wheels import make_wheel
from registry_process import running_registry

from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.settings import Settings
from sagemaker_custom.wiring import Parts

BASE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"
# A shell starts what runs in its background with interrupts ignored, and so would these tests their programs.
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
MAIN = f"{INTERRUPTIBLE}; from sagemaker_custom.cli import main; main()"
SHIPPED = "recsys"
"""The named image that comes with the package."""
DOCUMENT = """\
schema_version: 1
name: {name}
summary: What {name} is for
framework: pytorch
versions: ["2.3"]
processors: [cpu]
image_scopes: [training]
extras: ["{extra}"]
"""


class Team:
    """A catalog in a folder, which may be in a git checkout."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir(parents=True)
        (folder / "images").mkdir()

    def write(self, name, extra, **more):
        text = DOCUMENT.format(name=name, extra=extra) + "".join(f"{key}: {value}\n" for key, value in more.items())
        (self.folder / f"images/{name}.yaml").write_text(text)

    def git(self, *arguments):
        who = ("-c", "user.name=ana", "-c", "user.email=ana@example.com", "-c", "init.defaultBranch=main")
        done = subprocess.run(
            ["git", *who, "-C", str(self.folder), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self):
        self.git("add", "-A", ".")
        self.git("commit", "-q", "-m", "catalog")
        return self.git("rev-parse", "HEAD")

    def build(self, *arguments):
        return run_cli("build", "--all", "--builder", "append", "--catalog", str(self.folder), *arguments)

    def statuses(self, *arguments):
        ended = self.build("--json", *arguments)
        images = ended.document["images"]
        return ended, {image["name"]: image["status"] for image in images if image["name"] != SHIPPED}

    def left_out(self, ended):
        return [one["name"] for one in ended.document["left_out"] if one["name"] != SHIPPED]


def read_all(terminal):
    """Everything that is written to a terminal until nobody has it open any more."""
    pieces = []
    with suppress(OSError):
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    os.close(terminal)
    return b"".join(pieces).decode()


@pytest.fixture
def team(tmp_path):
    return Team(tmp_path / "checkout/catalog")


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """An AWS, a registry with one base of AWS's, and a folder of wheels; there is no Docker Engine."""
    store, wheels = tmp_path / "registry", tmp_path / "wheels"
    store.mkdir()
    wheels.mkdir()
    for name in ("tiny", "small", "little"):
        make_wheel(wheels, name, "1.0")
    with SandboxAws() as aws, running_registry(store) as registry:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        for name, value in {
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"*.dkr.ecr.*={registry.url}",
            "SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS": "1",
            "SAGEMAKER_CUSTOM_CACHE_DIR": str(tmp_path / "cache"),
            "SAGEMAKER_CUSTOM_VERIFY": "static",
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_NO_INDEX": "1",
        }.items():
            monkeypatch.setenv(name, value)
        layers = [conda(), package(CONDA, "torch", "2.3.0+cpu")]
        diff_ids = [digest_of(archive(entries)) for entries in layers]
        config = {**config_of(), "created": "2026-01-02T03:04:05Z", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        client = Parts(settings=Settings.load()).registry
        push_image(client, ImageReference.parse(BASE), tuple(map(layer, layers)), config=config)
        yield client


class TestJobs:
    def test_images_of_one_base_are_built_and_it_is_brought_and_read_once(self, cloud, team):
        for name in ("tiny", "small", "little"):
            team.write(name, f"pip:{name}")
        team.write("broken", "pip:nowhere")
        ended, statuses = team.statuses("--jobs", "4")
        assert statuses == {"tiny": "built", "small": "built", "little": "built", "broken": "failed"}
        assert ended.code == 1
        lines = ended.err.splitlines()
        assert sum("] mirroring 763104351884" in line for line in lines) == 1
        # Read on its way to the mirror.
        assert not [line for line in lines if "has installed" in line]
        for image in ended.document["images"]:
            if image["status"] == "built":
                assert cloud.find(ImageReference.parse(image["image"]))

    def test_what_was_built_is_there_the_second_time(self, cloud, team):
        team.write("tiny", "pip:tiny")
        team.write("small", "pip:small")
        # Without the image that comes with the package, whose base is not here.
        team.git("init", "-q")
        team.git("commit", "-q", "--allow-empty", "-m", "nothing")
        first = team.build("--changed-since", "HEAD")
        assert first.code == 0, first.err
        assert first.err.endswith("\n2 built\n")
        again = team.build("--changed-since", "HEAD")
        assert again.code == 0
        assert again.err.endswith("\n2 present\n")
        assert [row.split()[4] for row in again.out.splitlines()[1:]] == ["present", "present"]

    def test_a_failure_is_told_with_its_reason_in_the_table_and_what_to_do_below(self, cloud, team):
        team.write("broken", "pip:nowhere")
        ended = team.build()
        (row,) = (line for line in ended.out.splitlines() if line.startswith("broken"))
        assert re.match("broken 2.3 training cpu +failed ", row)
        assert "nowhere" in row
        assert "broken 2.3 training cpu: " in ended.err

    def test_on_a_terminal_a_table_is_drawn_and_no_log_garbles_it(self, cloud, team):
        team.write("tiny", "pip:tiny")
        command = [sys.executable, "-c", MAIN, "build", "--all", "--builder", "append", "--catalog", str(team.folder)]
        ours, theirs = os.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True) as process:
            os.close(theirs)
            shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", read_all(ours))
            out = process.stdout.read()
        assert re.search(r"image +state +time +step", shown)
        assert re.search(r"tiny 2\.3 training cpu +.*building", shown)
        assert "builder append: asked for" not in shown
        assert re.search(r"1 built, \d failed\r\n$", shown)
        assert re.search(r"^tiny 2\.3 training cpu +built ", out, re.MULTILINE)

    def test_ctrl_c_ends_with_the_summary_and_130(self, cloud, team):
        for name in ("tiny", "small", "little"):
            team.write(name, f"pip:{name}")
        command = [sys.executable, "-c", MAIN, "build", "--all", "--builder", "append", "--catalog", str(team.folder)]
        with subprocess.Popen(
            [*command, "--jobs", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            for line in process.stderr:
                if line.endswith(": building\n"):
                    os.killpg(process.pid, signal.SIGINT)
                    break
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "interrupted: no more images are begun" in err
        assert "interrupted before it was begun" in out
        assert {"little", "small", "tiny"} <= {line.split()[0] for line in out.splitlines()}


class TestChangedSince:
    def test_what_the_catalog_did_not_have_is_built_and_the_rest_is_left_out(self, cloud, team):
        team.write("same", "pip:tiny")
        team.write("other", "pip:tiny")
        team.git("init", "-q")
        commit = team.commit()
        team.write("same", "pip:tiny", architecture="x86_64")
        team.write("other", "pip:small")
        team.write("added", "pip:little")
        team.commit()
        ended, statuses = team.statuses("--changed-since", "HEAD~1")
        assert ended.code == 0, ended.err
        assert statuses == {"other": "built", "added": "built"}
        assert team.left_out(ended) == ["same"]
        assert f"left out, the same as at HEAD~1 ({commit[:12]}): same 2.3 training cpu\n" in ended.err

    def test_what_is_not_committed_counts(self, cloud, team):
        team.write("same", "pip:tiny")
        team.git("init", "-q")
        team.commit()
        team.write("added", "pip:small")
        assert team.statuses("--changed-since", "HEAD")[1] == {"added": "built"}

    def test_a_recipe_of_the_catalog_changes_the_images_that_use_it(self, cloud, team):
        recipe = (
            "schema_version: 1\nname: ours\nsummary: Ours\nhomepage: https://example.com\n"
            "verify: [\"python -c 'import tiny'\"]\n"
            'variants:\n  - when: {framework: pytorch}\n    version: "%s"\n    pip: {packages: ["tiny=={version}"]}\n'
        )
        (team.folder / "extras").mkdir()
        (team.folder / "extras/ours.yaml").write_text(recipe % "0.9")
        team.write("with-recipe", "ours")
        team.write("without", "pip:small")
        team.git("init", "-q")
        team.commit()
        (team.folder / "extras/ours.yaml").write_text(recipe % "1.0")
        ended, statuses = team.statuses("--changed-since", "HEAD")
        assert list(statuses) == ["with-recipe"]
        assert team.left_out(ended) == ["without"]

    def test_another_region_is_another_image(self, cloud, team):
        team.write("shop", "pip:tiny", regions="[us-east-1]")
        team.git("init", "-q")
        team.commit()
        team.write("shop", "pip:tiny", regions="[us-east-1, eu-west-1]")
        ended, _ = team.statuses("--changed-since", "HEAD")
        assert [one["region"] for one in ended.document["images"]] == ["eu-west-1"]
        assert [one["region"] for one in ended.document["left_out"] if one["name"] == "shop"] == ["us-east-1"]

    def test_where_nothing_has_changed_nothing_is_built_and_all_is_well(self, cloud, team):
        team.write("same", "pip:tiny")
        team.git("init", "-q")
        commit = team.commit()
        ended = team.build("--changed-since", commit)
        assert (ended.code, ended.out) == (0, "")
        assert f"no image has changed since {commit}" in ended.err

    def test_a_folder_outside_of_git_is_all_changed_and_that_is_said(self, cloud, team):
        team.write("shop", "pip:tiny")
        ended, statuses = team.statuses("--changed-since", "main")
        assert statuses == {"shop": "built"}
        assert f"warning: the catalog {team.folder} is in no git checkout: all of its images count" in ended.err

    def test_a_catalog_that_was_not_there_yet_is_all_changed(self, cloud, team, tmp_path):
        root = Team(tmp_path / "checkout/other")
        root.write("x", "pip:tiny")
        subprocess.run(["git", "init", "-q", str(tmp_path / "checkout")], check=True)
        root.commit()
        team.write("shop", "pip:tiny")
        assert team.statuses("--changed-since", "HEAD")[1] == {"shop": "built"}

    def test_a_catalog_that_could_not_be_read_is_all_changed_and_that_is_said(self, cloud, team):
        team.write("shop", "pip:tiny", nonsense="1")
        team.git("init", "-q")
        team.commit()
        team.write("shop", "pip:tiny")
        ended, statuses = team.statuses("--changed-since", "HEAD")
        assert statuses == {"shop": "built"}
        assert "warning: the catalogs cannot be read as they were, so all images count as changed: " in ended.err
        assert "at HEAD/images/shop.yaml: nonsense" in ended.err

    def test_nothing_but_zeros_is_a_time_before_everything(self, cloud, team):
        team.write("shop", "pip:tiny")
        team.git("init", "-q")
        team.commit()
        ended, statuses = team.statuses("--changed-since", "0" * 40)
        assert statuses == {"shop": "built"}
        assert "all images of team catalogs count as changed" in ended.err

    def test_a_revision_that_is_none_is_told(self, cloud, team):
        team.write("shop", "pip:tiny")
        team.git("init", "-q")
        team.commit()
        ended = team.build("--changed-since", "v1")
        assert ended.code == 2
        assert f"error: git knows no revision 'v1' in {team.folder}" in ended.err
        assert "name a commit, a branch" in ended.err

    def test_a_shallow_clone_is_told_how_to_get_the_rest(self, cloud, team, tmp_path):
        team.write("shop", "pip:tiny")
        team.git("init", "-q")
        first = team.commit()
        team.write("shop", "pip:small")
        team.commit()
        clone = tmp_path / "clone"
        subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{team.folder}", str(clone)], check=True)
        ended = run_cli("build", "--all", "--catalog", str(clone), "--changed-since", first)
        assert ended.code == 2
        assert "this is a shallow clone" in ended.err
        assert "fetch-depth: 0" in ended.err

    @pytest.mark.parametrize("revision", ["--output=x", ""])
    def test_an_option_is_no_revision(self, cloud, team, revision):
        team.write("shop", "pip:tiny")
        team.git("init", "-q")
        team.commit()
        ended = team.build(f"--changed-since={revision}")
        assert ended.code == 2
        assert f"{revision!r} is not a git revision" in ended.err

    def test_without_git_it_is_told(self, cloud, team, tmp_path, monkeypatch):
        team.write("shop", "pip:tiny")
        monkeypatch.setenv("PATH", str(tmp_path))
        ended = team.build("--changed-since", "HEAD")
        assert ended.code == 2
        assert "error: git cannot be run: No such file or directory\n" in ended.err

    def test_it_is_for_all_named_images(self, cloud, team):
        ended = run_cli("build", "shop", "--changed-since", "HEAD")
        assert ended.code == 2
        assert "write --all beside it" in ended.err
