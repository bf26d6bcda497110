"""Templates of tags: tag → what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.catalog.tags import Repository, TagTemplate, read_repositories

FULL = "{version}-{processor}-{py_version}[-{cuda_version}]-{os}"


def repository(*templates):
    return Repository(
        repository="pytorch-training",
        accounts="dlc",
        image_scopes=("training",),
        tags=tuple(TagTemplate(template=template) for template in templates),
    )


class TestOneForm:
    def test_every_placeholder_is_said(self):
        assert TagTemplate(template=FULL).read("2.3.0-gpu-py311-cu121-ubuntu20.04") == {
            "version": "2.3.0",
            "processor": "gpu",
            "py_version": "py311",
            "cuda_version": "cu121",
            "os": "ubuntu20.04",
        }

    def test_what_is_in_brackets_may_be_missing_and_is_not_said_then(self):
        said = TagTemplate(template=FULL).read("2.3.0-cpu-py311-ubuntu20.04")
        assert said is not None
        assert "cuda_version" not in said

    def test_form_has_to_fit_whole(self):
        template = TagTemplate(template=FULL)
        assert template.read("2.3.0-cpu-py311-ubuntu20.04-ec2") is None
        assert template.read("x2.3.0-cpu-py311-ubuntu20.04") is None
        assert template.read("2.3.0-tpu-py311-ubuntu20.04") is None

    def test_what_all_tags_of_the_form_mean_is_said_too(self):
        template = TagTemplate(template="{version}-{cuda_version}-{os}-sagemaker", values={"processor": "gpu"})
        assert template.read("2.13.0-cu133-amzn2023-sagemaker") == {
            "version": "2.13.0",
            "cuda_version": "cu133",
            "os": "amzn2023",
            "processor": "gpu",
        }

    def test_known_meaning_comes_before_what_the_tag_seems_to_say(self):
        template = TagTemplate(template="{version}-{processor}-{py_version}", values={"processor": "eia"})
        assert template.read("1.4.1-cpu-py36") == {"version": "1.4.1", "processor": "eia", "py_version": "py36"}

    @pytest.mark.parametrize("build", ["1", "1.4", "1.4-2021-09-03-01-32-52"])
    def test_builds_are_read_over(self, build):
        template = TagTemplate(template="{version}-v{build}")
        assert template.read(f"2.3.0-v{build}") == {"version": "2.3.0"}

    @pytest.mark.parametrize(
        "version", ["2.3.0", "2.14", "1", "25.09", "1.2-1", "1.4-2-py312", "b9522", "latest", "0.5.6.post2"]
    )
    def test_versions_as_aws_writes_them(self, version):
        assert TagTemplate(template="{version}").read(version) == {"version": version}

    @pytest.mark.parametrize("version", ["newest", "1.2-", "v1", "2.3.0-cpu", ""])
    def test_what_is_no_version(self, version):
        assert TagTemplate(template="{version}").read(version) is None

    def test_dots_of_a_template_are_dots(self):
        assert TagTemplate(template="ray0.5-{processor}").read("ray0x5-cpu") is None

    @given(
        version=st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){1,2}", fullmatch=True),
        py=st.integers(36, 314),
        cuda=st.none() | st.integers(90, 139),
    )
    def test_what_is_written_is_read(self, version, py, cuda):
        known = {"version": version, "processor": "gpu", "py_version": f"py{py}", "os": "ubuntu22.04"}
        middle = f"-cu{cuda}" if cuda else ""
        tag = f"{version}-gpu-py{py}{middle}-ubuntu22.04"
        assert TagTemplate(template=FULL).read(tag) == known | ({"cuda_version": f"cu{cuda}"} if cuda else {})


class TestRepository:
    def test_first_form_that_fits_counts(self):
        both = Repository(
            repository="djl-inference",
            accounts="dlc",
            image_scopes=("inference",),
            tags=(
                TagTemplate(template="{base_framework_version}-optimum3.3.4", values={"version": "0.2.0"}),
                TagTemplate(template="{base_framework_version}-optimum{version}"),
            ),
        )
        assert both.read("2.5.1-optimum3.3.4") == {"base_framework_version": "2.5.1", "version": "0.2.0"}
        assert both.read("2.1.2-optimum0.0.28") == {"base_framework_version": "2.1.2", "version": "0.0.28"}

    def test_tag_of_no_form(self):
        assert repository(FULL, f"{FULL}-sagemaker").read("2.3.0-cpu-py311-ubuntu20.04-ec2") is None


class TestDocuments:
    def test_document_is_read(self):
        document = {
            "repository": "pytorch-inference-eia",
            "accounts": "dlc",
            "image_scopes": ["inference"],
            "tags": [{"template": "{version}-cpu-{py_version}", "values": {"processor": "eia"}}],
        }
        (read,) = read_repositories([document])
        assert read.architecture == "x86_64"
        assert read.image_scopes == ("inference",)
        assert read.read("1.5.1-cpu-py36") == {"version": "1.5.1", "py_version": "py36", "processor": "eia"}
        assert document["tags"]

    def test_unknown_placeholder_names_those_that_there_are(self):
        document = {"repository": "x", "accounts": "dlc", "image_scopes": [], "tags": [{"template": "{release}"}]}
        with pytest.raises(ValueError, match=r"'\{release\}': unknown placeholder 'release'; there are version, "):
            read_repositories([document])

    @pytest.mark.parametrize("template", ["{version}[-{os}", "{version}-{os}]", "{version}]-[{os}", "[[{version}]]"])
    def test_brackets_that_do_not_match(self, template):
        document = {"repository": "x", "accounts": "dlc", "image_scopes": [], "tags": [{"template": template}]}
        with pytest.raises(ValueError, match="brackets have to come in pairs, none in another"):
            read_repositories([document])
