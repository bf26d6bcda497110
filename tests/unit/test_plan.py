"""Target, tag and fingerprint of an image."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from sagemaker_custom.catalog import load
from sagemaker_custom.errors import ImageNotInCatalogError, InvalidExtraError
from sagemaker_custom.plan import EngineTarget, MirrorPolicy, PipIndexes, RegistryTarget, make_plan
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.resolve import PipStep, Prebuilt, describe_extra, resolve
from sagemaker_custom.spec import (
    AptExtra,
    CondaExtra,
    ImageSpec,
    PipExtra,
    RecipeExtra,
    RequirementsExtra,
    fingerprint,
    normalise_extras,
    parse_extra,
)

CATALOG = load()
SPEC = ImageSpec(framework="pytorch", version="2.3", processor="gpu")
SECRET = "hunter2"

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?", fullmatch=True)
versions = st.from_regex(r"([0-9]{1,3}\.){0,2}[0-9]{1,3}", fullmatch=True)
any_extra = (
    st.sampled_from(["faiss", "pyg", "faiss==1.8.0"]).map(parse_extra)
    | st.builds("pip:{}=={}".format, names, versions).map(parse_extra)
    | st.builds("apt:a{}={}".format, names, versions).map(parse_extra)
    | st.builds("conda:x::_{}={}".format, names, versions).map(parse_extra)
    | st.builds(RequirementsExtra, requirements=st.lists(names, min_size=1, max_size=2).map(tuple))
)


def plan(*extras, spec=SPEC, region="us-east-1", target=None, **changes):
    asked = replace(spec, extras=normalise_extras(parse_extra(e) if isinstance(e, str) else e for e in extras))
    return make_plan(
        asked,
        resolve(asked, CATALOG),
        partitions=CATALOG.partitions,
        region=region,
        target=target or RegistryTarget(account="123456789012"),
        **({"repository_prefix": "sagemaker-custom"} | changes),
    )


class TestWhere:
    def test_faiss_on_pytorch_1_9_in_ningxia(self):
        made = plan(
            "faiss",
            spec=ImageSpec(
                framework="pytorch", version="1.9", py_version="py38", processor="gpu", cuda_version="cu111"
            ),
            region="cn-northwest-1",
        )
        assert str(made.base_reference) == (
            "727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn/pytorch-training:1.9.0-gpu-py38-cu111-ubuntu20.04"
        )
        assert made.reference.registry == "123456789012.dkr.ecr.cn-northwest-1.amazonaws.com.cn"
        assert made.reference.repository == "sagemaker-custom-pytorch"
        assert made.reference.tag == f"1.9.0-training-gpu-py38-cu111-faiss-{made.fingerprint[:20]}"
        assert made.steps == (PipStep(packages=("faiss-gpu==1.7.2",)),)

    def test_without_extras_it_is_awss_own_image(self):
        made = plan()
        assert made.reference == made.base_reference
        assert (made.needs_build, made.is_local, made.fingerprint, made.steps) == (False, False, "", ())
        assert (
            made.reason == "pytorch 2.3.0 gpu py311 cu121 for training in us-east-1: no extras, so AWS's image as it is"
        )

    def test_local_mode_uses_a_bare_tag(self):
        made = plan("faiss", target=EngineTarget())
        assert str(made.reference) == f"sagemaker-custom-pytorch:{made.reference.tag}"
        assert (made.needs_build, made.is_local) == (True, True)
        assert made.reference.tag == plan("faiss").reference.tag

    def test_extended_image_says_why(self):
        made = plan("faiss", "pip:A", "apt:libgl1", "conda:c::d", "conda:e", RequirementsExtra(requirements=("x", "y")))
        assert made.reason.endswith(
            "extended by apt:libgl1, conda:c::d, conda:e, pip:a, faiss, requirements of 2 packages"
        )

    def test_region_without_images_is_a_clear_error(self):
        with pytest.raises(ImageNotInCatalogError, match="there is no AWS region 'nowhere-1'") as caught:
            plan("faiss", region="nowhere-1")
        assert "source_region" not in caught.value.hint

    @pytest.mark.parametrize("prefix", ["sagemaker-custom", "sagemaker/team-a", "my-sagemaker-images"])
    def test_repository_fits_training_job_names(self, prefix):
        repository = plan("faiss", repository_prefix=prefix).reference.repository
        assert repository == f"{prefix}-pytorch"
        assert "sagemaker" in repository
        assert not {"_", "."} & set(repository)


class TestMirror:
    """Base images that AWS does not publish where the job runs."""

    ELSEWHERE = replace(
        CATALOG.partitions,
        accounts={**CATALOG.partitions.accounts, "dlc": {"us-east-1": "763104351884", "eu-west-1": "763104351884"}},
    )

    def plan(self, *extras, region="me-west-1", target=None, **policy):
        asked = replace(SPEC, extras=normalise_extras(parse_extra(extra) for extra in extras))
        return make_plan(
            asked,
            resolve(asked, CATALOG),
            partitions=self.ELSEWHERE,
            region=region,
            target=target or RegistryTarget(account="123456789012"),
            repository_prefix="sagemaker-custom",
            mirror=MirrorPolicy(**policy),
        )

    def test_without_a_source_region_it_is_an_error_that_names_the_setting(self):
        with pytest.raises(ImageNotInCatalogError) as caught:
            self.plan("faiss")
        assert str(caught.value) == (
            "AWS does not publish pytorch-training in me-west-1\n  -> it is in eu-west-1, us-east-1; "
            "to bring it from one of them, set source_region (and source_profile)"
        )

    @pytest.mark.parametrize("extras", [(), ("faiss",)])
    def test_base_is_brought_to_the_repository_of_the_extended_images(self, extras):
        made = self.plan(*extras, source_region="us-east-1")
        assert str(made.mirror_of) == (
            "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-gpu-py311-cu121-ubuntu20.04-sagemaker"
        )
        assert str(made.base_reference) == (
            "123456789012.dkr.ecr.me-west-1.amazonaws.com/"
            "sagemaker-custom-pytorch:base-training-2.3.0-gpu-py311-cu121-ubuntu20.04-sagemaker"
        )
        assert (made.reference == made.base_reference) == (not extras)
        assert made.reference.repository == made.base_reference.repository
        assert "in me-west-1, whose base is mirrored from us-east-1: " in made.reason

    def test_extended_image_is_the_same_as_on_a_base_that_aws_publishes_there(self):
        assert self.plan("faiss", source_region="us-east-1").reference.tag == plan("faiss").reference.tag

    def test_what_aws_publishes_there_is_taken_from_there(self):
        made = self.plan("faiss", region="eu-west-1", source_region="us-east-1")
        assert (made.mirror_of, made.base_reference.ecr.region) == (None, "eu-west-1")

    def test_unless_all_bases_shall_be_brought(self):
        made = self.plan("faiss", region="eu-west-1", source_region="us-east-1", when="always")
        assert made.mirror_of.ecr.region == "us-east-1"

    def test_an_engine_pulls_from_there_itself(self):
        made = self.plan("faiss", target=EngineTarget(), source_region="us-east-1")
        assert (made.mirror_of, made.base_reference.ecr.region) == (None, "us-east-1")


class TestWarnings:
    def test_end_of_support_is_told_with_its_date_from_the_day_after_on(self):
        spec = replace(SPEC, version="2.6")
        base = resolve(spec, CATALOG).base
        day = date.fromisoformat(base.end_of_patch)
        assert plan(spec=spec, today=day).warnings == ()
        assert plan("faiss", spec=spec, today=day + timedelta(days=1)).warnings == (
            (
                f"AWS patches pytorch-training:{base.tag} no more since {base.end_of_patch}: "
                "what is found unsafe in it stays"
            ),
        )

    def test_without_a_known_end_nothing_is_said(self):
        spec = replace(SPEC, version="1.9")
        assert resolve(spec, CATALOG).base.end_of_patch is None
        assert plan(spec=spec, today=date(2040, 1, 1)).warnings == ()

    def test_source_of_an_entry_that_aws_does_not_list_is_told(self):
        base = replace(resolve(SPEC, CATALOG).base, origin="sagemaker 2.257.7")
        made = make_plan(
            SPEC,
            Prebuilt(base=base),
            partitions=CATALOG.partitions,
            region="us-east-1",
            target=EngineTarget(),
            repository_prefix="sagemaker-custom",
        )
        assert "(known from sagemaker 2.257.7 alone)" in made.reason


class TestTag:
    @given(st.lists(any_extra, min_size=1, max_size=12))
    def test_tag_is_valid_whatever_the_extras(self, extras):
        # Two versions of one package cannot be in an image; that is told before there is a tag.
        extras = list({e.name if isinstance(e, RecipeExtra) else repr(e): e for e in extras}.values())
        try:
            made = plan(*extras)
        except InvalidExtraError:
            reject()
        assert len(made.reference.tag) <= 128
        assert made.reference.tag.endswith(f"-{made.fingerprint[:20]}")
        assert ImageReference.parse(str(made.reference)) == made.reference
        assert "--" not in made.reference.tag or any("--" in describe_extra(extra) for extra in extras)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["faiss_cpu", "Faiss-CPU", "faiss.cpu"]), st.sampled_from([">=1, <2", "<2,>=1"]))
        ),
        st.permutations(
            ["faiss", "Faiss", " faiss ", "pip:b", "pip: B ", "apt:cc", "conda:D", "conda:d", "pip:e[x,y]"]
        ),
    )
    def test_order_spelling_and_repetition_do_not_change_it(self, spellings, others):
        texts = ["pip:faiss-cpu>=1,<2", *(f"pip:{name} {specifier}" for name, specifier in spellings), *others]
        expected = plan("faiss", "pip:faiss-cpu<2,>=1", "pip:b", "apt:cc", "conda:d", "pip:E[Y,X]")
        made = plan(*texts)
        assert (made.reference, made.fingerprint, made.labels) == (
            expected.reference,
            expected.fingerprint,
            expected.labels,
        )

    @given(
        st.sampled_from(sorted(CATALOG.partitions.accounts["dlc"])),
        st.from_regex(r"[0-9]{12}", fullmatch=True),
    )
    def test_region_and_account_do_not_change_it(self, region, account):
        here, there = plan("faiss"), plan("faiss", region=region, target=RegistryTarget(account=account))
        assert there.reference.tag == here.reference.tag
        assert there.labels == here.labels
        assert there.reference.registry.startswith(f"{account}.dkr.ecr.{region}.")

    def test_what_makes_another_image_makes_another_tag(self):
        plans = [
            plan("faiss"),
            plan("faiss==1.11.0"),
            plan("faiss", "pip:a"),
            plan("faiss", "pip:a==1"),
            plan("faiss", "pip:b"),
            plan("faiss", "apt:aa"),
            plan("faiss", "conda:a"),
            plan("faiss", "conda:x::a"),
            plan("faiss", RequirementsExtra(requirements=("a",), constraints=("b<1",))),
            plan("faiss", RequirementsExtra(requirements=("a",), index_url="https://a.example")),
            plan("faiss", pip_indexes=PipIndexes(index_url="https://a.example")),
            plan("faiss", pip_indexes=PipIndexes(extra_index_urls=("https://a.example",))),
            plan("faiss", spec=replace(SPEC, processor="cpu")),
            plan("faiss", spec=replace(SPEC, image_scope="inference")),
            plan("faiss", spec=replace(SPEC, version="2.4")),
        ]
        assert len({made.fingerprint for made in plans}) == len(plans)
        assert len({made.reference.tag for made in plans}) == len(plans)

    @pytest.mark.parametrize("change", [{"tag": "other"}, {"digest": "sha256:" + "0" * 64}, {"repository": "other"}])
    def test_another_base_makes_another_tag(self, change):
        asked = replace(SPEC, extras=(RecipeExtra(name="faiss"),))
        resolution = resolve(asked, CATALOG)
        other = replace(resolution, base=replace(resolution.base, **change))
        made, changed = (
            make_plan(
                asked,
                one,
                partitions=CATALOG.partitions,
                region="us-east-1",
                target=EngineTarget(),
                repository_prefix="sagemaker-custom",
            )
            for one in (resolution, other)
        )
        assert made.fingerprint != changed.fingerprint

    def test_index_that_no_step_uses_changes_nothing(self):
        assert plan("apt:aa", pip_indexes=PipIndexes(index_url="https://a.example")).labels == plan("apt:aa").labels

    def test_fresh_build_keeps_the_whole_fingerprint_in_its_tag(self):
        for made in (plan("faiss"), plan(*(f"pip:package-{number}" for number in range(30)))):
            fresh = made.rebuilt("20261121T101500Z")
            assert len(fresh.reference.tag) <= 128
            assert fresh.reference.tag.endswith(f"-{made.fingerprint[:20]}-r20261121T101500Z")
            assert fresh.reference.registry == made.reference.registry
            assert fresh.fingerprint == made.fingerprint
            assert f"built afresh as {fresh.reference.tag}" in fresh.reason


class TestDocument:
    def test_label_holds_what_the_fingerprint_is_taken_of(self):
        made = plan("faiss", "pip:a", "apt:libgl1")
        document = json.loads(made.labels["sagemaker-custom.spec"])
        assert document == made.document
        assert made.fingerprint == fingerprint(document) == made.labels["sagemaker-custom.fingerprint"]
        assert made.labels["sagemaker-custom.base"] == f"{made.base.repository}:{made.base.tag}"
        assert document["platform"] == "linux/amd64"
        assert document["python"] == "/opt/conda/bin/python"
        assert [step["kind"] for step in document["steps"]] == ["PackagesStep", "PipStep", "PipStep"]

    def test_credentials_of_an_index_are_nowhere(self):
        secret = PipIndexes(
            index_url=f"https://me:{SECRET}@a.example/simple",
            extra_index_urls=(f"https://{SECRET}@b.example/simple",),
        )
        public = PipIndexes(index_url="https://a.example/simple", extra_index_urls=("https://b.example/simple",))
        made = plan("faiss", pip_indexes=secret)
        for text in (repr(made), str(made.document), str(made.labels), repr(secret), str(made.reference), made.reason):
            assert SECRET not in text
        assert made.fingerprint == plan("faiss", pip_indexes=public).fingerprint
        assert all(SECRET in url for url in made.pip_indexes.urls)
        assert "https://b.example/simple" in repr(secret)

    def test_no_index_no_urls(self):
        assert PipIndexes().urls == ()


@given(any_extra)
def test_described_extra_reads_back(extra):
    if isinstance(extra, PipExtra | CondaExtra | AptExtra | RecipeExtra):
        assert parse_extra(describe_extra(extra)) == extra
    else:
        assert describe_extra(extra) == f"requirements of {len(extra.requirements)} packages"
