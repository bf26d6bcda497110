"""What is said of an image of the user's own, the plan for it, and the Dockerfile of that plan."""

from __future__ import annotations

import subprocess
import sys

import pytest
from docker.auth import INDEX_NAME
from fakes.own_plan import ACCOUNT, own_plan
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.dockerfile import BuildEnvironment, render, step_files
from sagemaker_custom.errors import ImageNotInCatalogError, InvalidReferenceError, UsageError
from sagemaker_custom.extended_tags import read_extended_tag
from sagemaker_custom.own_images import own_image
from sagemaker_custom.own_plans import own_warnings
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.provision import build_command
from sagemaker_custom.reference import ImageReference, digest_of
from sagemaker_custom.registry.docker_login import as_docker_names_it
from sagemaker_custom.resolve import PackagesStep, PipStep, ToolkitStep
from sagemaker_custom.toolkits import toolkit_files

HOST = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
BUILDKIT = BuildEnvironment(secret_mounts=True)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "churn_model"
    root.mkdir()
    (root / "Dockerfile").write_text("FROM debian\n")
    return root


class TestArguments:
    def test_name_comes_from_the_folder_or_the_base_image(self, folder):
        assert own_image(dockerfile=folder).name == "churn-model"
        assert own_image(base_image="quay.io/team/Jax_Runtime:1".lower()).name == "jax-runtime"

    def test_docker_hub_is_the_host_of_names_without_one(self):
        named = ImageReference.parse(f"{INDEX_NAME}/library/python:3.12")
        assert str(as_docker_names_it(named)) == "python:3.12"
        elsewhere = ImageReference.parse("registry.example.com/library/python:3.12")
        assert as_docker_names_it(elsewhere) == elsewhere

    @pytest.mark.parametrize(
        ("arguments", "message", "hint"),
        [
            ({}, "and neither is named", "dockerfile="),
            ({"base_image": "a", "dockerfile": "b"}, "not both", "base_image="),
            ({"base_image": "a", "target": "b"}, "build_args and target are for a dockerfile", "leave them out"),
            ({"base_image": "a", "name": "My_Image"}, "name='My_Image' cannot be", "lower case letters, digits"),
            ({"base_image": "a", "name": "a--b"}, "name='a--b' cannot be", "single '-'"),
            ({"base_image": "a", "name": "a" * 65}, "cannot be the name", "at most 64"),
            ({"base_image": "a", "toolkit": "yes"}, "toolkit='yes' is not known", "'none' or 'add'"),
            ({"base_image": "a", "python": "python3; rm"}, "is not an interpreter", "/opt/venv/bin/python"),
            ({"dockerfile": "/"}, "no name can be made of", "name="),
        ],
    )
    def test_what_cannot_be_is_refused(self, arguments, message, hint):
        with pytest.raises(UsageError) as caught:
            own_image(**arguments)

        assert message in caught.value.message
        assert hint in caught.value.hint

    def test_base_image_that_is_no_reference(self):
        with pytest.raises(InvalidReferenceError, match="'Not An Image' is not an image reference"):
            own_image(base_image="Not An Image")

    def test_name_of_a_framework_is_refused(self):
        with pytest.raises(UsageError, match="name='pytorch' is the name of a framework of AWS") as caught:
            own_plan(own_image(base_image="ubuntu", name="pytorch"))

        assert "my-pytorch" in caught.value.hint


class TestPlan:
    def test_hosted_base_without_extras_is_used_as_it_is(self):
        plan = own_plan(own_image(base_image=f"{HOST}/team/jax:0.4"))

        assert (plan.needs_build, str(plan.reference)) == (False, f"{HOST}/team/jax:0.4")
        assert plan.reason == f"your image {HOST}/team/jax:0.4, used as it is"

    def test_bare_base_is_copied_to_the_registry_and_used_locally_as_it_is(self):
        own = own_image(base_image="team-jax")

        assert str(own_plan(own, local=True).reference) == "team-jax:latest"
        copied = own_plan(own)
        assert copied.needs_build
        assert copied.steps == ()
        assert str(copied.reference).startswith(f"{HOST}/sagemaker-custom-team-jax:latest-training-cpu-")
        assert "brought to a registry that SageMaker reaches" in copied.reason

    def test_folder_is_built_also_without_extras(self, folder):
        plan = own_plan(own_image(dockerfile=folder), local=True)

        assert plan.needs_build
        assert str(plan.reference).startswith("sagemaker-custom-churn-model:dockerfile_")
        assert plan.document["context"]["digest"] == plan.context.digest

    def test_content_of_the_folder_decides_on_the_tag(self, folder):
        own = own_image(dockerfile=folder)
        before = own_plan(own)
        (folder / "train").write_text("#!/bin/sh\n")

        assert own_plan(own).reference != before.reference
        (folder / "train").unlink()
        assert own_plan(own) == before

    def test_engines_image_decides_on_the_tag_of_a_bare_name(self):
        own = own_image(base_image="team-jax")
        tags = {own_plan(own, image_id=image).reference.tag for image in (None, digest_of(b"1"), digest_of(b"2"))}

        assert len(tags) == 3

    def test_pinned_base_stays_pinned(self):
        digest = digest_of(b"manifest")
        plan = own_plan(own_image(base_image=f"quay.io/team/jax@{digest}"), "pip:tiny")

        assert plan.base_reference.digest == digest
        assert plan.document["base"]["digest"] == digest

    @given(
        st.text(alphabet="ab1._-", min_size=1, max_size=60).filter(lambda tag: tag[0] not in ".-"),
        st.sampled_from(["training", "inference", "processing"]),
        st.sampled_from(["cpu", "gpu"]),
    )
    def test_tag_is_read_back(self, tag, scope, processor):
        own = own_image(base_image=f"mine:{tag}", name="mine", py_version="py311")
        plan = own_plan(own, "pip:tiny", scope=scope, processor=processor)

        read = read_extended_tag(plan.reference.tag)

        assert (read.image_scope, read.processor, read.version) == (scope, processor, plan.base.version)
        assert (read.py_version, read.extras, read.fingerprint) == ("py311", "tiny", plan.fingerprint[:20])

    def test_recipe_that_needs_no_framework_works(self):
        plan = own_plan(own_image(base_image="mine", py_version="3.11"), "lightgbm")

        assert [type(step) for step in plan.steps] == [PipStep]
        assert plan.verify[0].startswith('command -v python > /dev/null || python() { python3 "$@"; }; python -c')

    def test_recipe_that_needs_a_framework_says_so(self):
        with pytest.raises(ImageNotInCatalogError, match="about which no more is known than") as caught:
            own_plan(own_image(base_image="mine", py_version="3.11"), "pyg")

        assert "take what the index has, as 'pip:pyg'" in caught.value.hint

    def test_held_packages_are_those_that_the_user_names(self):
        assert own_plan(own_image(base_image="mine"), "pip:tiny").held == ()
        assert own_plan(own_image(base_image="mine", held=("jax",)), "pip:tiny").held == ("jax",)

    @pytest.mark.parametrize(("scope", "program"), [("training", "train"), ("inference", "serve")])
    def test_toolkit_comes_first_and_is_verified(self, scope, program):
        plan = own_plan(own_image(base_image="mine", toolkit="add"), "apt:tree", scope=scope)

        assert [type(step) for step in plan.steps] == [ToolkitStep, PackagesStep]
        assert plan.verify == (f"command -v {program}",)
        assert "extended by SageMaker's toolkit, apt:tree" in plan.reason

    def test_processing_needs_no_toolkit(self):
        assert own_plan(own_image(base_image="mine", toolkit="add"), scope="processing").steps == ()

    def test_warns_of_images_that_sagemaker_may_not_reach(self):
        elsewhere = own_plan(own_image(base_image="quay.io/team/jax"))
        far = own_plan(own_image(base_image=f"{HOST.replace('us-east', 'eu-west')}/team/jax"))

        assert "since it is not in Amazon ECR" in own_warnings(elsewhere, "us-east-1", local=False)[0]
        assert "is in eu-west-1" in own_warnings(far, "us-east-1", local=False)[0]
        assert own_warnings(elsewhere, "us-east-1", local=True) == ()

    def test_command_that_builds_it(self, folder):
        own = own_image(dockerfile=folder, build_args={"A": "b c"}, target="gpu", toolkit="add")

        assert build_command(own_plan(own, "pip:tiny", local=True)) == (
            f"sagemaker-custom build --folder {folder} --build-arg 'A=b c' --target gpu --name churn-model "
            "--toolkit add --image-scope training --processor cpu --extra pip:tiny --local"
        )


class TestDockerfile:
    def test_folder_without_extras_has_no_steps(self, folder):
        assert render(own_plan(own_image(dockerfile=folder)), "base", BUILDKIT) == "FROM base\n"

    def test_packages_by_whichever_manager_there_is(self):
        text = render(own_plan(own_image(base_image="mine"), "apt:tree"), "base", BUILDKIT)

        assert "sh /opt/sagemaker-custom/packages.sh tree" in text
        assert "COPY packages.sh " in text

    def test_debians_python_is_told_to_take_packages(self):
        text = render(own_plan(own_image(base_image="mine"), "pip:tiny"), "base", BUILDKIT)

        assert "export PIP_BREAK_SYSTEM_PACKAGES=1" in text
        assert "sh /opt/sagemaker-custom/ensure_pip.sh python3" in text

    def test_missing_conda_is_said(self):
        text = render(own_plan(own_image(base_image="mine"), "conda:faiss"), "base", BUILDKIT)

        assert "the image has no conda, which an extra asks for" in text

    def test_user_comes_back_at_the_end(self):
        environment = BuildEnvironment(secret_mounts=True, user="1000:50")
        lines = render(own_plan(own_image(base_image="mine"), "apt:tree"), "base", environment).splitlines()

        assert (lines[0], lines[1], lines[-1]) == ("FROM base", "USER root", "USER 1000:50")

    def test_toolkit_takes_the_entry_point_away(self):
        plan = own_plan(
            own_image(base_image="mine", toolkit="add", python="/opt/venv/bin/python"),
            scope="inference",
            pip_indexes=PipIndexes(index_url="https://me:hunter2@index.example/simple"),
        )
        text = render(plan, "base", BUILDKIT)

        assert text.endswith('ENTRYPOINT []\nCMD ["serve"]\n')
        assert "add_inference.sh /opt/venv/bin/python --no-cache-dir" in text
        assert "--index-url https://index.example/simple" in text
        assert "hunter2" not in text
        assert "'setuptools<82'" in text
        assert "if command -v serve; then exit 0; fi" in text
        assert "-c /tmp/sagemaker-custom/held.txt" in text

    def test_ca_bundle_is_handed_to_the_scripts(self):
        environment = BuildEnvironment(secret_mounts=True, ca_bundle=True)

        text = render(own_plan(own_image(base_image="mine"), "apt:tree"), "base", environment)

        assert "export SAGEMAKER_CUSTOM_CA=/run/secrets/ca_bundle" in text

    def test_all_files_that_are_copied_are_shipped(self):
        names = step_files(own_plan(own_image(base_image="mine"), "apt:tree"))

        assert set(names) == set(toolkit_files())


TOOL = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
"""


class TestPackagesScript:
    @pytest.fixture
    def run(self, tmp_path):
        """Run the script where nothing is installed but what the test names, and a few tools."""
        tools = tmp_path / "bin"
        tools.mkdir()
        log = tmp_path / "log"
        (tmp_path / "packages.sh").write_bytes(toolkit_files()["packages.sh"])
        for tool in ("sed", "rm"):
            (tools / tool).symlink_to(f"/bin/{tool}")

        def run(manager, *names, **environment):
            for name in filter(None, (manager, "mkdir")):
                (tools / name).write_text(TOOL.format(log=log).replace('$(basename "$0")', name))
                (tools / name).chmod(0o755)
            (tools / "rm").unlink()
            (tools / "rm").write_text("#!/bin/sh\n")
            (tools / "rm").chmod(0o755)
            done = subprocess.run(
                ["/bin/sh", str(tmp_path / "packages.sh"), *names],
                env={"PATH": str(tools), **environment},
                capture_output=True,
                text=True,
                check=False,
            )
            said = log.read_text().splitlines() if log.exists() else []
            return done, [line for line in said if not line.startswith("mkdir")]

        return run

    @pytest.mark.parametrize(
        ("manager", "commands"),
        [
            (
                "apt-get",
                ["apt-get update", "apt-get install -y --no-install-recommends tree=1 gcc libc6-dev"],
            ),
            ("dnf", ["dnf install -y tree-1 gcc glibc-devel", "dnf clean all"]),
            ("yum", ["yum install -y tree-1 gcc glibc-devel", "yum clean all"]),
            ("microdnf", ["microdnf install -y tree-1 gcc glibc-devel", "microdnf clean all"]),
            ("apk", ["apk add --no-cache tree=1 gcc musl-dev linux-headers"]),
        ],
    )
    def test_each_manager_is_asked_in_its_own_words(self, run, manager, commands):
        done, said = run(manager, "tree=1", "@compiler")

        assert (done.returncode, said) == (0, commands), done.stderr

    def test_authority_is_named_to_apt(self, run):
        _, said = run("apt-get", "tree", SAGEMAKER_CUSTOM_CA="/run/secrets/ca_bundle")

        assert said[0] == "apt-get -o Acquire::https::CAInfo=/run/secrets/ca_bundle update"

    def test_image_without_any_is_refused(self, run):
        done, _ = run(None, "tree")

        assert done.returncode == 1
        assert "none of apt-get, dnf, microdnf, yum and apk, so tree cannot be installed" in done.stderr


class TestPipScript:
    def test_interpreter_that_is_not_there_is_named(self, tmp_path):
        script = tmp_path / "ensure_pip.sh"
        script.write_bytes(toolkit_files()["ensure_pip.sh"])

        done = subprocess.run(["/bin/sh", str(script), "python9"], capture_output=True, text=True, check=False)

        assert done.returncode == 1
        assert "the image has no python9" in done.stderr

    def test_pip_that_is_there_is_left_alone(self, tmp_path):
        script = tmp_path / "ensure_pip.sh"
        script.write_bytes(toolkit_files()["ensure_pip.sh"])

        assert subprocess.run(["/bin/sh", str(script), sys.executable], check=False).returncode == 0
