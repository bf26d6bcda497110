"""The order of effects when an image of the user's own is built, and what each of the two ways to build is given."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from fakes.fake_engine import FakeEngine, FakeRoute, FakeRunner
from fakes.fake_registry import FakeRegistry
from fakes.own_plan import own_plan

from sagemaker_custom.builders.buildkit import BuildKitCommand, BuildKitRoute
from sagemaker_custom.builders.classic import ClassicRoute
from sagemaker_custom.builders.context_archive import context_archive
from sagemaker_custom.builders.docker import DockerBuilder
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.engine import BuildContext
from sagemaker_custom.builders.failures import base_absent, base_denied, pull_failure
from sagemaker_custom.builders.route import BuildRequest, FolderContext
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.builders.unpublished import unpublished_id
from sagemaker_custom.errors import BaseImageError, BuildError, EngineUnavailableError, RegistryUnavailableError
from sagemaker_custom.own_images import own_image
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.reference import ImageReference, digest_of


class Bench:
    """A builder of fakes."""

    def __init__(self, folder, engine=FakeEngine):
        self.folder = folder
        self.registry = FakeRegistry()
        self.engine = engine(self.registry)
        self.route = FakeRoute(self.engine)
        self.builder = DockerBuilder(
            self.engine,
            registry=self.registry.client(),
            endpoints=Endpoints(endpoint_for=lambda host: f"https://{host}", credentials=lambda host: None),
            choose_route=lambda: self.route,
            ensure_repository=lambda reference: self.engine.effects.append(f"repository {reference.repository}"),
            remove_tag=self.registry.client().remove_tag,
            log_dir=folder / "logs",
            version="1.2.3",
            token=lambda: "0a1b2c3d",
            clock=lambda: datetime(2026, 11, 21, tzinfo=timezone.utc),
        )

    def names(self):
        return {tag for image in self.engine.images.values() for tag in image.tags}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    (root / "Dockerfile").write_text("FROM debian\nCOPY . /app\n")
    (root / "train").write_text("#!/bin/sh\n")
    return root


ALIAS = "sagemaker-custom-mine:base-0a1b2c3d"


class TestOrder:
    def test_folder_is_built_then_labelled(self, bench, folder):
        plan = own_plan(own_image(dockerfile=folder), local=True)

        bench.builder.build(plan)

        assert bench.engine.effects == ["build", f"tag {ALIAS}", "label", f"tag {plan.reference}", f"untag {ALIAS}"]
        (request,) = bench.route.requests
        assert request.dockerfile(True) == "FROM debian\nCOPY . /app\n"
        assert bench.names() == {str(plan.reference)}

    def test_extras_are_built_on_what_the_folder_made(self, bench, folder):
        plan = own_plan(own_image(dockerfile=folder, build_args={"A": "1"}, target="t"), "apt:tree", local=True)

        bench.builder.build(plan, fresh=True)

        first, second = bench.route.requests
        assert (first.folder.build_args, first.folder.target, first.files) == ((("A", "1"),), "t", {})
        assert second.folder is None
        assert second.dockerfile(True).startswith(f"FROM {ALIAS}\nCOPY packages.sh")
        assert "packages.sh" in second.files
        assert (first.no_cache, second.no_cache) == (True, True)

    def test_user_of_the_base_is_kept(self, bench):
        image = bench.engine.add("mine:1")
        bench.engine.images[image.id] = replace(image, user="nobody")

        bench.builder.build(own_plan(own_image(base_image="mine:1"), "apt:tree", local=True))

        text = bench.route.requests[0].dockerfile(True)
        assert text.splitlines()[1] == "USER root"
        assert text.endswith("USER nobody\n")

    def test_bare_image_of_the_engine_is_copied_without_a_build(self, bench):
        image = bench.engine.add("mine:1")
        plan = own_plan(own_image(base_image="mine:1"), image_id=image.id)

        bench.builder.build(plan)

        assert not any(effect.startswith(("pull", "build")) for effect in bench.engine.effects)
        assert list(bench.registry.tags("sagemaker-custom-mine")) == [plan.reference.tag]
        assert bench.names() == {"mine:1"}

    def test_image_without_a_shell_is_used_and_says_so(self, bench):
        class NoShell(FakeEngine):
            def run(self, image_id, command, *, on_line, timeout_s):
                raise BuildError("the Docker Engine refused while running a command: no such file: /bin/sh")

        bench = Bench(bench.folder, NoShell)
        image = bench.engine.add("mine:1")
        plan = own_plan(own_image(base_image="mine:1"), image_id=image.id)

        bench.builder.build(plan)

        found = RegistryStore(bench.registry.client()).find(plan.reference)
        assert found.labels["sagemaker-custom.starts-scripts"] == "lacks /bin/sh"

    def test_bare_image_that_the_engine_lacks_is_pulled(self, bench):
        bench.builder.build(own_plan(own_image(base_image="mine:1"), "apt:tree", local=True))

        assert bench.engine.effects[0] == "pull mine:1"

    def test_hosted_base_is_pulled_by_the_digest_that_its_registry_has(self, bench):
        bench.registry.put_image("team/jax", "1")
        digest = bench.registry.tags("team/jax")["1"]
        plan = own_plan(own_image(base_image="quay.io/team/jax:1"), "apt:tree", local=True)

        bench.builder.build(plan)

        assert bench.engine.effects[:2] == [f"pull quay.io/team/jax@{digest}", "tag quay.io/team/jax:1"]
        assert bench.route.requests[0].dockerfile(True).startswith("FROM quay.io/team/jax:1\n")

    def test_base_pinned_by_digest_is_found_by_it(self, bench):
        image = bench.engine.add("mine:1")
        digest = digest_of(b"manifest")
        bench.engine.images[image.id] = replace(image, digests=(f"mine@{digest}",))

        bench.builder.build(own_plan(own_image(base_image=f"mine@{digest}"), "apt:tree", local=True))

        assert not any(effect.startswith("pull") for effect in bench.engine.effects)

    def test_fresh_build_for_a_registry_asks_for_the_newest(self, bench):
        bench.engine.add("mine:1")

        bench.builder.build(own_plan(own_image(base_image="mine:1"), "apt:tree"), fresh=True)

        assert bench.engine.effects[0] == "pull mine:1"

    def test_image_that_was_replaced_since_the_plan_is_not_taken(self, bench):
        bench.engine.add("mine:1")
        plan = own_plan(own_image(base_image="mine:1"), image_id=digest_of(b"the one before"))

        with pytest.raises(BaseImageError, match=r"no longer has sha256:.*, which was mine:1") as caught:
            bench.builder.build(plan)

        assert caught.value.hint.startswith("plan again")

    def test_image_without_python_has_an_empty_record(self, folder, tmp_path):
        class NoPython(FakeEngine):
            def run(self, image_id, command, *, on_line, timeout_s):
                if command[0] == "python3":
                    raise BuildError("python3: not found")
                return super().run(image_id, command, on_line=on_line, timeout_s=timeout_s)

        bench = Bench(tmp_path, NoPython)
        plan = own_plan(own_image(dockerfile=folder), local=True)
        bench.builder.build(plan)

        image = bench.engine.find_image(str(plan.reference))
        assert image.labels["sagemaker-custom.lock"] == '{"installed":{},"removed":[]}'

    def test_credentials_of_the_index_are_offered_to_the_folder(self, bench, folder):
        indexes = PipIndexes(index_url="https://me:pw@index.example/simple")

        bench.builder.build(own_plan(own_image(dockerfile=folder), local=True, pip_indexes=indexes))

        assert bench.route.requests[0].netrc == "machine index.example login me password pw\n"


def request_of(folder, **options):
    context = FolderContext(path=folder, dockerfile="Dockerfile", has_dockerfile=True, **options)
    return BuildRequest(
        dockerfile=lambda secret_mounts: "FROM debian\n", platform="linux/amd64", netrc="machine", folder=context
    )


class TestRoutes:
    def test_buildkit_gets_the_folder_build_args_and_target(self, folder):
        runner = FakeRunner()
        seen = {}

        def on_build(command):
            build = next(word for word in command if word.startswith("--file=")).removeprefix("--file=")
            seen["ignore"] = Path(f"{build}.dockerignore").read_text()
            image_id = next(word for word in command if word.startswith("--iidfile=")).removeprefix("--iidfile=")
            Path(image_id).write_text(digest_of(b"built"))

        runner.on_build = on_build
        runner.answers[("build",)] = (0, [])
        command = BuildKitCommand(program="/usr/bin/docker", has_buildx=False)
        route = BuildKitRoute(FakeEngine(FakeRegistry()), command, runner=runner, environment={})

        route.build(request_of(folder, build_args=(("A", "b c"),), target="gpu"), on_line=lambda line: None)

        (words,) = runner.commands
        assert words[-3:] == ["--build-arg=A=b c", "--target=gpu", str(folder)]
        assert seen["ignore"] == "# nothing\n"

    def test_classic_builder_gets_the_folder_and_no_secrets(self, folder):
        engine = FakeEngine(FakeRegistry())

        ClassicRoute(engine).build(request_of(folder, target="gpu"), on_line=lambda line: None)

        (context,) = engine.contexts
        assert (context.folder, context.target, dict(context.files)) == (folder, "gpu", {})

    def test_ignored_dockerfile_is_sent_and_taken_away_again(self, folder):
        engine = FakeEngine(FakeRegistry())
        request = request_of(folder)
        request = replace(request, folder=replace(request.folder, has_dockerfile=False))

        ClassicRoute(engine).build(request, on_line=lambda line: None)

        assert dict(engine.contexts[0].files) == {
            "Dockerfile": b"FROM debian\n",
            ".dockerignore": b".dockerignore\nDockerfile\n",
        }

    def test_archive_is_the_same_for_the_same_content(self, folder):
        (folder / "link").symlink_to("train")
        (folder / "same").hardlink_to(folder / "train")

        def archived():
            with context_archive(BuildContext(files={"x": b"1"}, platform="linux/amd64", folder=folder)) as stream:
                return stream.read()

        first = archived()
        (folder / "train").touch()

        assert archived() == first
        with tarfile.open(fileobj=io.BytesIO(first)) as archive:
            assert [(item.name, item.type, item.uid, item.mtime) for item in archive] == [
                ("Dockerfile", tarfile.REGTYPE, 0, 0),
                ("link", tarfile.SYMTYPE, 0, 0),
                ("same", tarfile.REGTYPE, 0, 0),
                ("train", tarfile.REGTYPE, 0, 0),
                ("x", tarfile.REGTYPE, 0, 0),
            ]
            assert archive.extractfile("train").read() == archive.extractfile("same").read() == b"#!/bin/sh\n"


class TestUnpublished:
    NAME = ImageReference(repository="mine", tag="1")

    @pytest.fixture
    def engine(self):
        return FakeEngine(FakeRegistry())

    def test_image_that_the_engine_made_is_known_by_its_id(self, engine):
        assert unpublished_id(engine, self.NAME) is None

        made = engine.add("mine:1")

        assert unpublished_id(engine, self.NAME) == made.id

    def test_image_that_was_pulled_is_known_by_its_name(self, engine):
        image = engine.add("mine:1")
        engine.images[image.id] = replace(image, digests=(f"mine@{digest_of(b'1')}",))

        assert unpublished_id(engine, self.NAME) is None

    def test_image_that_was_pushed_under_another_name_is_not(self, engine):
        image = engine.add("mine:1")
        engine.images[image.id] = replace(image, digests=(f"host.example/mine@{digest_of(b'1')}",))

        assert unpublished_id(engine, self.NAME) == image.id

    def test_pinned_name_says_it_all(self, engine):
        engine.add("mine:1")

        assert unpublished_id(engine, self.NAME.with_digest(digest_of(b"1"))) is None

    def test_engine_that_does_not_answer_knows_nothing(self):
        class Stopped(FakeEngine):
            def find_image(self, name):
                raise EngineUnavailableError("it is not running")

        assert unpublished_id(Stopped(FakeRegistry()), self.NAME) is None


class TestErrors:
    BARE = ImageReference(repository="mine", tag="1")

    @pytest.mark.parametrize("error", [base_absent(BARE), base_denied(BARE, "denied")])
    def test_bare_name_that_nobody_has(self, error):
        assert "Docker Engine" in error.message
        assert "Docker Hub" in error.message
        assert "None" not in str(error)
        assert "host of its registry" in error.hint

    def test_docker_hub_out_of_reach(self):
        error = pull_failure("dial tcp: lookup registry.example.com: no such host", self.BARE)

        assert isinstance(error, RegistryUnavailableError)
        assert "build or load it there" in error.hint
