"""``builder="codebuild"`` from settings to a registry process: all is real but AWS and the machine that builds."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from fakes.codebuild_api import ACCOUNT, SUCCESS, CodeBuildApi
from fakes.example_plan import FINGERPRINT, example_plan, with_steps

from sagemaker_custom.errors import BuildError, EngineUnavailableError, UsageError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.resolve import PackagesStep
from sagemaker_custom.wiring import Parts

ROLE = f"arn:aws:iam::{ACCOUNT}:role/codebuild"


class Lines(NoProgress):
    def __init__(self):
        self.logged = []
        self.steps = []

    def step(self, text):
        self.steps.append(text)

    def log(self, line):
        self.logged.append(line)


@pytest.fixture
def shown():
    return Lines()


@pytest.fixture
def api(cloud):
    def machine(request, build_id):
        tag = f"staging-{FINGERPRINT[:12]}-{build_id.partition(':')[2]}"
        cloud.push(replace(example_plan(), reference=example_plan().reference.with_tag(tag)))
        return SUCCESS[-1:]

    made = CodeBuildApi(machine)
    made.listen(cloud.boto_session)
    cloud.push(replace(example_plan(), reference=example_plan().base_reference))
    return made


def parts(cloud, shown, **settings):
    changed = replace(cloud.settings, **settings)
    return Parts(session=cloud.boto_session, settings=changed, progress=lambda: nullcontext(shown))


def test_the_image_is_built_once_and_then_found(cloud, api, shown):
    made = parts(cloud, shown, builder="codebuild", codebuild_service_role=ROLE)
    plan = example_plan()
    assert made.ensure(plan) == plan.reference
    assert made.ensure(plan) == plan.reference
    assert len(api.builds) == 1
    assert [key.rpartition("/")[0] for key in cloud.objects()] == ["sagemaker-custom/contexts"]
    repositories = cloud.boto_session.client("ecr").describe_repositories()["repositories"]
    assert [repository["repositoryName"] for repository in repositories] == ["sagemaker-custom-pytorch"]
    assert "builder codebuild: asked for" in shown.logged


def test_the_argument_counts_more_than_the_setting(cloud, api, shown):
    made = parts(cloud, shown, builder="docker", codebuild_service_role=ROLE)
    assert made.ensure(example_plan(), builder="codebuild") == example_plan().reference
    assert len(api.builds) == 1


def test_local_mode_cannot_be_built_there_when_that_is_asked_for(cloud, shown):
    made = parts(cloud, shown, codebuild_service_role=ROLE)
    with pytest.raises(BuildError, match="builds for Amazon ECR"):
        made.workbench(shown).builder(example_plan(local=True), "codebuild").build(example_plan(local=True))


def test_local_mode_takes_docker_where_the_settings_say_codebuild(cloud, shown):
    made = parts(cloud, shown, builder="codebuild", codebuild_service_role=ROLE)
    assert made.builder_choice(example_plan(local=True)).name == "docker"
    made.workbench(shown).builder(example_plan(local=True), "auto")
    assert shown.logged == ["builder docker: images for local mode belong into the Docker Engine"]


class NoEngine(Parts):
    """A machine without Docker."""

    @property
    def engine(self):
        raise EngineUnavailableError("Docker is not installed")


def test_auto_takes_codebuild_where_no_engine_answers_and_says_so_before(cloud, api, shown):
    settings = replace(cloud.settings, codebuild_service_role=ROLE)
    made = NoEngine(session=cloud.boto_session, settings=settings, progress=lambda: nullcontext(shown))
    plan = with_steps(example_plan(), PackagesStep(packages=("tree",)))
    obstacle = "packages of the distribution have to be installed (tree)"
    choice = made.builder_choice(plan)
    assert (choice.name, choice.reason) == ("docker", f"{obstacle}, codebuild where no Docker Engine answers")
    assert made.ensure(plan) == plan.reference
    assert len(api.builds) == 1
    assert shown.logged[0] == f"builder docker: {choice.reason}"
    assert f"builder codebuild: append cannot build this: {obstacle}; and Docker is not installed" in shown.steps


def test_without_codebuild_the_error_says_how_to_set_it_up(cloud, shown):
    made = NoEngine(session=cloud.boto_session, settings=cloud.settings, progress=lambda: nullcontext(shown))
    with pytest.raises(EngineUnavailableError, match="cannot be made without Docker") as caught:
        made.ensure(with_steps(example_plan(), PackagesStep(packages=("tree",))))
    assert "set codebuild_service_role or codebuild_project" in caught.value.hint


def test_a_builder_that_does_not_exist_is_told_with_all_there_are(cloud, shown):
    with pytest.raises(UsageError) as caught:
        parts(cloud, shown).ensure(example_plan(), builder="codebuld")
    assert "'codebuild'" in caught.value.hint
