"""The program that runs in CodeBuild, with a docker command that only writes down; and the context that it comes in."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.example_plan import BASE, FINGERPRINT, example_plan

from sagemaker_custom.builders.codebuild_context import (
    ContextOptions,
    RemoteBase,
    packed_context,
    staging_tag,
)
from sagemaker_custom.builders.codebuild_job import START_MARK, USER_PLACEHOLDER, VERIFICATION_MARK, Job, JobError
from sagemaker_custom.builders.lock import LISTING_MARK, lock_text
from sagemaker_custom.builders.script_start import ANSWER_END, ANSWER_MARK, QUESTION
from sagemaker_custom.own_images import own_image
from sagemaker_custom.plan import CodeArtifactRepository, PipIndexes

DIGEST = "sha256:" + "d" * 64
NAME = f"763104351884.dkr.ecr.us-east-1.amazonaws.com/{BASE.repository}:{BASE.tag}"
BASE_OPTIONS = ContextOptions(
    base=RemoteBase(reached=f"mirror.example.com/{BASE.repository}@{DIGEST}", digest=DIGEST, name=NAME),
    repository="host.example.com/sagemaker-custom-pytorch",
    version="1.2.3",
)
ENDPOINT = "https://company-1.d.example.com/pypi/packages/"
BUILT = "sagemaker-custom-build:b1-built"
STAGING = f"host.example.com/sagemaker-custom-pytorch:staging-{FINGERPRINT[:12]}-b1"


class WritingDocker:
    """Writes down every command, and answers as a test says."""

    def __init__(self):
        self.commands = []
        self.dockerfiles = []
        self.installed = {NAME: {"torch": "2.3.0", "pip": "24"}, BUILT: {"torch": "2.3.0", "tiny": "1.0"}}
        self.lacks = {NAME: (), BUILT: ()}
        self.user = ""
        self.fails = ""
        self.buildx = True
        self.secrets = []

    def run(self, *arguments, timeout=None):
        self.commands.append(arguments)
        if arguments[0] == "build":
            (path,) = (word.removeprefix("--file=") for word in arguments if word.startswith("--file="))
            self.dockerfiles.append(Path(path).read_text())
            self.secrets += [Path(word.partition("src=")[2]).read_text() for word in arguments if "id=netrc" in word]
        if self.fails and any(self.fails in word for word in arguments):
            raise JobError("exit code 1")

    def output(self, *arguments):
        if arguments[0] == "run" and arguments[-1] == QUESTION[-1]:
            image = next(word for word in arguments if word in self.lacks)
            if self.lacks[image] is None:
                raise JobError("no shell")
            return "".join(f"{ANSWER_MARK}{name}\n" for name in (*self.lacks[image], ANSWER_END))
        if arguments[0] == "run":
            image = next(word for word in arguments if word in self.installed)
            if self.installed[image] is None:
                raise JobError("no python")
            return f"noise\n{LISTING_MARK}{json.dumps(self.installed[image])}\n"
        if "User" in arguments[2]:
            return f"{self.user}\n"
        return f"{DIGEST}\n" if "Id" in arguments[2] else f"a@{DIGEST} b@sha256:{'e' * 64}\n"

    def has_buildx(self):
        return self.buildx

    @property
    def labels(self):
        build = [command for command in self.commands if command[0] == "build"][-1]
        pairs = (word.removeprefix("--label=").partition("=") for word in build if word.startswith("--label="))
        return {name: value for name, _, value in pairs}


def unpacked(plan, folder, options=BASE_OPTIONS):
    with packed_context(plan, options) as context:
        content = gzip.decompress(context.path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        archive.extractall(folder, filter="data")
    return json.loads((folder / "build.json").read_text())


def run(plan, folder, docker, *, options=BASE_OPTIONS, netrc="", aws=None):
    document = unpacked(plan, folder, options)
    Job(document, folder, docker=docker, netrc=netrc, build_id="b1", aws=aws).run()


def of_codeartifact():
    repository = CodeArtifactRepository(
        domain="company", repository="packages", region="eu-west-1", domain_owner="111122223333"
    )
    return example_plan(pip_indexes=PipIndexes(codeartifact=repository))


@pytest.fixture
def docker():
    return WritingDocker()


class TestJob:
    def test_the_push_comes_last_and_is_of_the_staging_tag(self, docker, tmp_path):
        plan = example_plan()
        run(plan, tmp_path, docker)
        assert [command[0] for command in docker.commands] == ["pull", "tag", "build", "run", "build", "push"]
        assert docker.commands[-1] == ("push", STAGING)
        assert STAGING.endswith(staging_tag(plan, "project:b1"))

    def test_the_base_is_pulled_by_digest_and_gets_its_true_name(self, docker, tmp_path):
        run(example_plan(), tmp_path, docker)
        assert docker.commands[0] == ("pull", "--platform=linux/amd64", BASE_OPTIONS.base.reached)
        assert docker.commands[1] == ("tag", BASE_OPTIONS.base.reached, NAME)
        assert docker.dockerfiles[0].startswith(f"FROM {NAME}\n")

    def test_the_labels_are_those_of_the_docker_builder(self, docker, tmp_path):
        plan = example_plan()
        run(plan, tmp_path, docker)
        assert docker.labels == {
            **plan.labels,
            "sagemaker-custom.base-digest": DIGEST,
            "sagemaker-custom.lock": lock_text(docker.installed[NAME], docker.installed[BUILT]),
            "sagemaker-custom.builder": "codebuild",
            "sagemaker-custom.version": "1.2.3",
            "sagemaker-custom.verified": "run",
            "sagemaker-custom.starts-scripts": "yes",
        }

    @pytest.mark.parametrize("buildx", [True, False])
    def test_attestations_are_off_where_the_command_has_them(self, docker, tmp_path, buildx):
        docker.buildx = buildx
        run(example_plan(), tmp_path, docker)
        builds = [command for command in docker.commands if command[0] == "build"]
        assert all(("--provenance=false" in build) is buildx for build in builds)
        assert all(("--sbom=false" in build) is buildx for build in builds)

    def test_a_failed_verification_is_marked_and_nothing_is_pushed(self, docker, tmp_path, capsys):
        docker.fails = "import tiny"
        with pytest.raises(SystemExit):
            run(example_plan(), tmp_path, docker)
        assert f"{VERIFICATION_MARK}'python -c 'import tiny'' (exit code 1)" in capsys.readouterr().out
        assert docker.commands[-1][0] == "run"

    @pytest.mark.parametrize(
        ("required", "built", "of_base"),
        [(False, ("pip3", "tar"), ("tar",)), (True, ("tar",), ("tar",)), (True, None, None)],
        ids=["lost by the extras", "not in the base", "no shell"],
    )
    def test_an_image_that_starts_no_script_is_refused(self, docker, tmp_path, capsys, required, built, of_base):
        docker.lacks = {NAME: of_base, BUILT: built}
        with pytest.raises(SystemExit):
            run(replace(example_plan(), starts_script=required), tmp_path, docker)
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(START_MARK))
        said = json.loads(line.removeprefix(START_MARK))
        assert said == {"lacks": list(built or ("/bin/sh",)), "of_base": list(of_base or ("/bin/sh",))}
        assert "push" not in [command[0] for command in docker.commands]

    def test_an_image_whose_base_lacks_something_says_so_where_no_script_shall_start(self, docker, tmp_path, capsys):
        docker.lacks = {NAME: ("tar",), BUILT: ("tar",)}
        run(example_plan(), tmp_path, docker)
        assert docker.labels["sagemaker-custom.starts-scripts"] == "lacks tar"
        assert "the image lacks tar: the SDK v3 starts no script in it" in capsys.readouterr().out

    def test_an_image_that_serves_is_not_asked(self, docker, tmp_path):
        docker.lacks = {}
        plan = example_plan()
        run(replace(plan, base=replace(plan.base, image_scope="inference")), tmp_path, docker)
        assert "sagemaker-custom.starts-scripts" not in docker.labels

    def test_a_step_that_fails_ends_the_job(self, docker, tmp_path):
        docker.fails = BUILT
        with pytest.raises(JobError, match="'docker build' ended with exit code 1"):
            run(example_plan(), tmp_path, docker)
        assert docker.commands[-1][0] == "build"

    def test_the_credentials_are_mounted_and_gone_afterwards(self, docker, tmp_path):
        options = replace(BASE_OPTIONS, netrc=True)
        run(example_plan(), tmp_path, docker, options=options, netrc="machine h login u password p")
        assert docker.secrets == ["machine h login u password p\n"]
        assert "--mount=type=secret,id=netrc" in docker.dockerfiles[0]
        assert not any("password p" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())

    def test_codeartifact_is_asked_as_the_role_and_its_token_is_mounted_alone(self, docker, tmp_path, capsys):
        asked = []

        def aws(*arguments):
            asked.append(arguments)
            return "c4nary-token\n" if "get-authorization-token" in arguments else f"{ENDPOINT}\n"

        run(of_codeartifact(), tmp_path, docker, aws=aws)

        assert docker.secrets == ["machine company-1.d.example.com login aws password c4nary-token\n"]
        assert f"--index-url {ENDPOINT}simple/ " in docker.dockerfiles[0]
        assert "codeartifact:" not in docker.dockerfiles[0]
        (endpoint, token) = (" ".join(arguments) for arguments in asked)
        assert endpoint.startswith("codeartifact get-repository-endpoint --domain company --region eu-west-1")
        assert token.endswith("--domain-owner 111122223333 --query authorizationToken")
        assert "c4nary" not in capsys.readouterr().out
        assert "c4nary" not in repr(docker.commands)
        assert not any("c4nary" in path.read_text() for path in tmp_path.rglob("*") if path.is_file())

    def test_a_secret_of_other_indexes_stays_beside_the_token(self, docker, tmp_path):
        def aws(*arguments):
            return "t" if "get-authorization-token" in arguments else ENDPOINT

        options = replace(BASE_OPTIONS, netrc=True)
        run(of_codeartifact(), tmp_path, docker, options=options, netrc="machine h login u password p", aws=aws)
        assert docker.secrets[0].splitlines()[0] == "machine h login u password p"
        assert docker.secrets[0].splitlines()[1].startswith("machine company-1.d.example.com ")

    @pytest.mark.parametrize("answer", ["None", "https://a.example/$(evil)/", "https://u:p@a.example/"])
    def test_an_answer_that_would_be_a_command_is_refused(self, docker, tmp_path, answer):
        with pytest.raises(JobError, match="which is no URL"):
            run(of_codeartifact(), tmp_path, docker, aws=lambda *arguments: answer)

    def test_an_empty_secret_is_told(self, docker, tmp_path):
        with pytest.raises(JobError, match="SAGEMAKER_CUSTOM_NETRC has no value"):
            run(example_plan(), tmp_path, docker, options=replace(BASE_OPTIONS, netrc=True))

    def test_a_base_without_python_has_no_listing(self, docker, tmp_path):
        docker.installed[NAME] = None
        with pytest.raises(JobError, match="did not list what is installed"):
            run(example_plan(), tmp_path, docker)

    def test_a_base_whose_digest_is_not_known_is_asked_for_it(self, docker, tmp_path):
        options = replace(BASE_OPTIONS, base=replace(BASE_OPTIONS.base, digest=""))
        run(example_plan(), tmp_path, docker, options=options)
        assert docker.labels["sagemaker-custom.base-digest"] == DIGEST


class TestOwnImages:
    @pytest.fixture
    def plan(self):
        return replace(example_plan(), own=own_image(base_image="registry.example.com/mine:1"))

    @pytest.mark.parametrize(("user", "lines"), [("", 0), ("root", 0), ("0:0", 0), ("ana", 1), ("1000:100", 1)])
    def test_steps_run_as_root_and_the_image_stays_its_users(self, docker, tmp_path, plan, user, lines):
        docker.user = user
        run(plan, tmp_path, docker)
        assert docker.dockerfiles[0].count("USER root\n") == lines
        assert docker.dockerfiles[0].count(f"USER {user}\n") == (lines if user != "root" else 0)
        assert USER_PLACEHOLDER not in docker.dockerfiles[0]

    @pytest.mark.parametrize("user", ["ana; rm -rf /", "ana\nRUN evil", "$HOME", "a b"])
    def test_a_user_that_would_be_a_command_is_refused(self, docker, tmp_path, plan, user):
        docker.user = user
        with pytest.raises(JobError, match="cannot stand in a Dockerfile"):
            run(plan, tmp_path, docker)

    def test_an_image_without_python_has_an_empty_record(self, docker, tmp_path, plan):
        docker.installed = {NAME: None, BUILT: None}
        run(plan, tmp_path, docker)
        assert docker.labels["sagemaker-custom.lock"] == '{"installed":{},"removed":[]}'


class TestContext:
    def test_the_same_plan_gives_the_same_bytes(self):
        contents = []
        for _ in range(2):
            with packed_context(example_plan(), BASE_OPTIONS) as context:
                contents.append((context.digest, context.path.read_bytes()))
        assert contents[0] == contents[1]

    def test_it_is_gone_afterwards(self):
        with packed_context(example_plan(), BASE_OPTIONS) as context:
            assert context.path.exists()
        assert not context.path.exists()

    def test_other_options_are_another_context(self):
        with (
            packed_context(example_plan(), BASE_OPTIONS) as one,
            packed_context(example_plan(), replace(BASE_OPTIONS, fresh=True)) as other,
        ):
            assert one.digest != other.digest

    def test_the_program_comes_as_it_is(self, tmp_path):
        unpacked(example_plan(), tmp_path)
        program = (tmp_path / "codebuild_job.py").read_text()
        compile(program, "codebuild_job.py", "exec")
        # It runs where this package is not installed.
        assert "sagemaker_custom." not in program
        assert "match " not in program
