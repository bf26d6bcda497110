"""Which builder is taken and why, what happens when it turns out that it cannot, and how appended images are tried."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.append_parts import a_lock, locked
from fakes.builders import RecordingProgress
from fakes.example_plan import ECR_HOST, example_plan, with_steps
from fakes.fake_engine import FakeEngine
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.builders.append_check import EngineCheck
from sagemaker_custom.builders.append_interface import AppendableBase
from sagemaker_custom.builders.auto import AutoBuilder
from sagemaker_custom.builders.choice import (
    builder_choice,
    choose_builder,
    has_codebuild,
    wanted_builder,
)
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.errors import EngineUnavailableError, NotAppendableError, UsageError, VerificationError
from sagemaker_custom.oci import DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, ImageManifest
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.resolve import CondaStep, PackagesStep, PipStep
from sagemaker_custom.settings import Settings

_DIGEST = digest_of(b"appended")
_IMAGE = ImageReference(registry=ECR_HOST, repository="sagemaker-custom-pytorch", digest=_DIGEST)
_VERIFY = "python -c 'import tiny'"


class TestChoice:
    def test_pip_packages_for_a_registry_are_appended(self):
        choice = choose_builder(example_plan(), "auto")
        assert (choice.name, choice.may_change) == ("append", True)

    @pytest.mark.parametrize(
        ("plan", "reason"),
        [
            (example_plan(local=True), "images for local mode belong into the Docker Engine"),
            (
                with_steps(example_plan(), PipStep(packages=("a",)), PackagesStep(packages=("tree",))),
                "packages of the distribution have to be installed (tree)",
            ),
            (
                with_steps(example_plan(), CondaStep(packages=("faiss-gpu=1.7",), channels=())),
                "conda has to be run (faiss-gpu=1.7)",
            ),
            (
                with_steps(example_plan(), PipStep(packages=("apex",), build_packages=("wheel",))),
                "apex is compiled in the image",
            ),
            (
                with_steps(example_plan(), PipStep(packages=("apex",), env=(("FORCE", "1"),))),
                "apex is installed with the variables FORCE",
            ),
        ],
    )
    def test_docker_builds_what_has_to_be_run(self, plan, reason):
        choice = choose_builder(plan, "auto")
        assert (choice.name, choice.reason, choice.may_change) == ("docker", reason, False)

    def test_one_that_is_asked_for_is_taken(self):
        assert choose_builder(example_plan(), "docker").name == "docker"
        assert choose_builder(example_plan(), "codebuild").name == "codebuild"
        assert choose_builder(example_plan(), "append").reason == "asked for"

    def test_append_that_is_asked_for_in_vain_is_told_before_it_fails(self):
        choice = choose_builder(example_plan(local=True), "append")
        assert choice.reason.startswith("asked for, but it cannot build this: images for local mode")

    def test_argument_comes_before_the_setting(self):
        settings = Settings(builder="docker")
        plan = example_plan()
        assert [wanted_builder(word, settings, plan) for word in ("auto", "append")] == ["docker", "append"]

    def test_setting_for_codebuild_leaves_local_mode_to_docker(self):
        settings = Settings(builder="codebuild")
        assert builder_choice(example_plan(), "auto", settings).name == "codebuild"
        assert builder_choice(example_plan(local=True), "auto", settings).name == "docker"
        assert builder_choice(example_plan(local=True), "codebuild", settings).name == "codebuild"

    def test_codebuild_that_is_set_up_is_told_of_as_the_last_resort(self):
        settings, steps = Settings(codebuild_project="images"), (PackagesStep(packages=("tree",)),)
        choice = builder_choice(with_steps(example_plan(), *steps), "auto", settings)
        assert (choice.name, choice.may_change) == ("docker", True)
        assert choice.reason.endswith("(tree), codebuild where no Docker Engine answers")
        appended = builder_choice(example_plan(), "auto", settings)
        assert appended.name == "append"
        assert appended.reason.endswith("no wheel that fits, codebuild where no Docker Engine answers")

    def test_codebuild_is_no_resort_for_what_does_not_go_to_ecr(self):
        settings = Settings(codebuild_project="images")
        assert has_codebuild(example_plan(), settings)
        elsewhere = replace(example_plan(), reference=ImageReference(registry="registry.example.com", repository="a"))
        assert not has_codebuild(elsewhere, settings)
        assert not has_codebuild(example_plan(local=True), settings)
        assert not has_codebuild(example_plan(), Settings())

    @pytest.mark.parametrize("settings", [Settings(builder="podman"), Settings()])
    def test_unknown_one_is_refused(self, settings):
        with pytest.raises(UsageError, match="builder='podman' is not a builder"):
            wanted_builder("podman" if settings.builder == "auto" else "auto", settings, example_plan())


class Recording:
    """A builder that does nothing, or refuses."""

    def __init__(self, refusal=None):
        self.refusal = refusal
        self.built = []

    def build(self, plan, *, fresh=False):
        if self.refusal:
            raise self.refusal
        self.built.append((plan, fresh))
        return plan.reference


class TestAuto:
    def build(self, append, docker, engine=None):
        engine = engine or FakeEngine(FakeRegistry())
        progress = RecordingProgress()
        builder = AutoBuilder(lambda: append, lambda: docker, engine_version=engine.version, progress=progress)
        assert builder.build(example_plan(), fresh=True) == example_plan().reference
        return progress

    def test_what_can_be_appended_asks_no_engine(self):
        engine, docker = FakeEngine(FakeRegistry()), Recording()
        self.build(Recording(), docker, engine)
        assert (engine.effects, docker.built) == ([], [])

    def test_docker_takes_over_and_says_why(self):
        docker = Recording()
        progress = self.build(Recording(NotAppendableError("flash-attn has no wheel")), docker)
        assert docker.built == [(example_plan(), True)]
        assert progress.steps == ["builder docker: append cannot build this: flash-attn has no wheel"]

    @pytest.mark.parametrize("local", [True, False])
    def test_what_the_plan_rules_out_is_not_tried(self, local):
        engine, docker, progress = FakeEngine(FakeRegistry()), Recording(), RecordingProgress()
        plan = with_steps(example_plan(local=local), PackagesStep(packages=("tree",)))
        unused = Recording(AssertionError("append was tried"))
        AutoBuilder(lambda: unused, lambda: docker, engine_version=engine.version, progress=progress).build(plan)
        assert docker.built == [(plan, False)]
        assert progress.steps == []

    def test_without_an_engine_both_reasons_are_told(self):
        engine = FakeEngine(FakeRegistry())
        engine.fail("version", EngineUnavailableError("Docker is not running", hint="start it"))
        with pytest.raises(EngineUnavailableError) as caught:
            self.build(Recording(NotAppendableError("no wheel", hint="take another version")), Recording(), engine)
        assert "cannot be made without Docker: no wheel; and Docker is not running" in caught.value.message
        assert caught.value.hint.startswith("take another version; or: start it; or: set codebuild_service_role or ")

    @pytest.mark.parametrize("refusal", [None, "no wheel"])
    def test_codebuild_takes_over_where_no_engine_answers_and_says_why(self, refusal):
        engine, codebuild, progress = FakeEngine(FakeRegistry()), Recording(), RecordingProgress()
        engine.fail("version", EngineUnavailableError("Docker is not running"))
        append, plan = Recording(NotAppendableError(refusal or "it was tried")), example_plan()
        if refusal is None:
            plan = with_steps(plan, PackagesStep(packages=("tree",)))
            refusal = "packages of the distribution have to be installed (tree)"
        unused = Recording(AssertionError("docker was tried"))
        AutoBuilder(
            lambda: append, lambda: unused, lambda: codebuild, engine_version=engine.version, progress=progress
        ).build(plan, fresh=True)
        assert codebuild.built == [(plan, True)]
        told = f"builder codebuild: append cannot build this: {refusal}; and Docker is not running"
        assert progress.steps == [told]

    def test_docker_comes_before_codebuild(self):
        engine, docker = FakeEngine(FakeRegistry()), Recording()
        unused = Recording(AssertionError("codebuild was tried"))
        builder = AutoBuilder(
            lambda: Recording(NotAppendableError("no wheel")),
            lambda: docker,
            lambda: unused,
            engine_version=engine.version,
            progress=RecordingProgress(),
        )
        builder.build(example_plan())
        assert docker.built == [(example_plan(), False)]


class TestCheck:
    @pytest.fixture
    def engine(self):
        return FakeEngine(FakeRegistry())

    def check(self, engine, wanted="auto"):
        endpoints = Endpoints(endpoint_for=lambda host: f"https://{host}", credentials=lambda host: None)
        return EngineCheck(lambda: engine, endpoints=endpoints, wanted=wanted, progress=RecordingProgress())

    def base(self):
        config = Descriptor(media_type=DOCKER_CONFIG, digest=digest_of(b"config"), size=1)
        return AppendableBase(
            reference=replace(_IMAGE, digest=digest_of(b"base")),
            published=digest_of(b"index"),
            manifest=ImageManifest(media_type=DOCKER_MANIFEST, config=config, layers=()),
            config={},
        )

    @pytest.mark.parametrize("digest", [digest_of(b"base"), digest_of(b"index")])
    def test_engine_that_has_the_base_runs_the_image(self, engine, digest):
        image = engine.add("base")
        engine.images[image.id] = replace(image, digests=(f"x@{digest}",))
        assert self.check(engine).kind(self.base()) == "run"

    def test_engine_without_the_base_is_not_made_to_pull_it(self, engine):
        assert self.check(engine).kind(self.base()) == "static"
        assert self.check(engine, "run").kind(self.base()) == "run"

    def test_no_engine_is_no_error(self):
        def no_engine():
            raise EngineUnavailableError("Docker is not installed")

        endpoints = Endpoints(endpoint_for=lambda host: f"https://{host}", credentials=lambda host: None)
        check = EngineCheck(no_engine, endpoints=endpoints, wanted="auto", progress=RecordingProgress())
        assert check.kind(self.base()) == "static"

    def test_static_asks_no_engine(self):
        assert self.check(None, "static").kind(self.base()) == "static"

    def run(self, engine, installed, *, starts_script=False):
        plan = replace(example_plan(), starts_script=starts_script)
        pulled = digest_of(f"pulled-{_IMAGE}".encode())
        original = engine.pull

        def pull(*args, **kwargs):
            image = original(*args, **kwargs)
            engine.installed[pulled] = installed
            return image

        engine.pull = pull
        return self.check(engine).run(_IMAGE, plan, a_lock(digest_of(b"base"), locked("tiny")))

    def test_commands_run_and_nothing_stays(self, engine):
        self.run(engine, {"tiny": "1.0"})
        assert engine.effects == [f"pull {_IMAGE}", f"run {_VERIFY}"]
        assert engine.images == {}

    def test_what_a_script_of_the_sdk_v3_misses_is_told_and_refused_where_one_shall_start(self, engine):
        engine.lacks = {digest_of(f"pulled-{_IMAGE}".encode()): ("tar",)}
        assert self.run(engine, {"tiny": "1.0"}) == ("tar",)
        with pytest.raises(VerificationError, match="the built image lacks tar") as caught:
            self.run(engine, {"tiny": "1.0"}, starts_script=True)
        assert '"apt:tar"' in caught.value.hint
        assert engine.images == {}

    def test_failed_command_shows_what_it_said(self, engine):
        engine.exit_codes[_VERIFY] = 1
        engine.output[_VERIFY] = ["ModuleNotFoundError: tiny"]
        with pytest.raises(VerificationError, match=r"(?s)does not pass .* \(exit code 1\):.*ModuleNotFoundError"):
            self.run(engine, {"tiny": "1.0"})
        assert engine.images == {}

    @pytest.mark.parametrize(("installed", "shown"), [({}, "not at all"), ({"tiny": "0.9"}, "0.9")])
    def test_python_has_to_see_what_was_appended(self, engine, installed, shown):
        with pytest.raises(VerificationError, match=f"sees tiny {shown} instead of 1.0"):
            self.run(engine, installed)
