"""Which images can go, and what keeps each other."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from sagemaker_custom.aws.image_uses import ImageUse
from sagemaker_custom.aws.stored_images import StoredImage
from sagemaker_custom.evidence.artifact import PROVENANCE, SBOM, tag_of
from sagemaker_custom.pruning import Kept, Known, Removable, Rules, decide, lifecycle_policy

NOW = datetime(2026, 11, 21, tzinfo=timezone.utc)
REPOSITORY = "sagemaker-custom-pytorch"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
RULES = Rules(keep=0)


def digest(number):
    return "sha256:" + f"{number:x}".rjust(64, "0")[::-1]


def tag(number):
    return f"2.3.0-training-cpu-py311-faiss-{number:020x}"


def image(number, *tags, days=200.0, pulled=None):
    return StoredImage(
        repository=REPOSITORY,
        digest=digest(number),
        tags=tags or (tag(number),),
        pushed=NOW - timedelta(days=days),
        pulled=None if pulled is None else NOW - timedelta(days=pulled),
        size=1,
    )


def untagged(number, **arguments):
    stored = image(number, "x", **arguments)
    return StoredImage(
        repository=REPOSITORY, digest=stored.digest, tags=(), pushed=stored.pushed, pulled=stored.pulled, size=1
    )


def use(*, tag=None, digest=None, repository=REPOSITORY, host=HOST):
    return ImageUse(host=host, repository=repository, tag=tag, digest=digest, by="endpoint shop")


def judged(*images, uses=(), named=(), rules=RULES):
    verdicts = decide(images, Known(host=HOST, uses=tuple(uses), named=frozenset(named)), rules, NOW)
    assert len(verdicts) == len(images)
    return {verdict.image.digest: verdict for verdict in verdicts}


def only(*images, **arguments):
    [verdict] = judged(*images, **arguments).values()
    return verdict


def test_old_image_that_nothing_names_can_go():
    verdict = only(image(1))
    assert isinstance(verdict, Removable)
    assert verdict.reason == "not in use, pushed 200 days ago"


@pytest.mark.parametrize("named_by", [{"tag": tag(1)}, {"digest": digest(1)}, {"tag": "moved", "digest": digest(1)}])
def test_image_in_use_stays_by_tag_and_by_digest(named_by):
    verdict = only(image(1), uses=[use(**named_by)])
    assert isinstance(verdict, Kept)
    assert verdict.reason == "used by endpoint shop"


def test_image_with_two_tags_stays_when_one_is_in_use():
    assert isinstance(only(image(1, tag(1), tag(2)), uses=[use(tag=tag(2))]), Kept)


@pytest.mark.parametrize(
    "other", [{"repository": "another"}, {"host": "999999999999.dkr.ecr.us-east-1.amazonaws.com"}, {"tag": tag(2)}]
)
def test_use_of_another_image_keeps_nothing(other):
    assert isinstance(only(image(1), uses=[use(**{"tag": tag(1), **other})]), Removable)


def test_other_name_of_the_same_registry_counts():
    assert isinstance(only(image(1), uses=[use(tag=tag(1), host="123456789012.dkr-ecr.us-east-1.on.aws")]), Kept)


def test_image_without_a_tag_stays_when_its_digest_is_in_use():
    assert isinstance(only(untagged(1), uses=[use(digest=digest(1))]), Kept)
    assert only(untagged(1)).reason == "without a tag, pushed 200 days ago"
    assert isinstance(only(untagged(1, days=3)), Kept)


@pytest.mark.parametrize(("pulled", "kind"), [(10, Kept), (89, Kept), (91, Removable), (None, Removable)])
def test_image_that_was_pulled_lately_stays(pulled, kind):
    assert isinstance(only(image(1, pulled=pulled)), kind)


@pytest.mark.parametrize(("days", "kind"), [(29, Kept), (31, Removable)])
def test_young_image_stays(days, kind):
    assert isinstance(only(image(1, days=days)), kind)


@pytest.mark.parametrize("own", [tag(1), f"{tag(1)}-r20261121T101500Z-1f3a"])
def test_image_of_the_catalog_stays_also_when_it_was_built_afresh(own):
    verdict = only(image(1, own), named=[(REPOSITORY, tag(1))])
    assert (type(verdict), verdict.reason) == (Kept, "named by the catalog")


def test_newest_of_a_repository_stay():
    found = judged(*(image(number, days=100 + number) for number in range(1, 6)), rules=Rules(keep=2))
    assert [number for number in range(1, 6) if isinstance(found[digest(number)], Kept)] == [1, 2]


def test_artifacts_do_not_count_as_newest():
    artifact = image(9, tag_of(digest(1), SBOM), days=99)
    found = judged(image(1, days=100), artifact, rules=Rules(keep=1))
    assert {type(verdict) for verdict in found.values()} == {Kept}


@pytest.mark.parametrize(
    ("own", "reason"),
    [("base-training-2.3.0", "a base image, whose layers others have"), ("mine", "not made by this package")],
)
def test_what_is_not_an_extended_image_stays(own, reason):
    verdict = only(image(1, own))
    assert (type(verdict), verdict.reason) == (Kept, reason)


class TestStaging:
    def test_tag_that_a_build_left_goes_after_a_day(self):
        assert only(image(1, "staging-0123-ab", days=2)).reason == "left by a build, pushed 2 days ago"
        assert only(image(1, "staging-0123-ab", days=0.5)).reason == "being pushed, or just now"

    def test_image_that_has_its_final_tag_too_is_an_image(self):
        assert only(image(1, "staging-0123-ab", tag(1), days=2)).reason == "pushed 2 days ago"

    def test_staged_image_in_use_stays(self):
        assert isinstance(only(image(1, "staging-0123-ab"), uses=[use(digest=digest(1))]), Kept)


class TestAboutOthers:
    @pytest.mark.parametrize(
        "name", [tag_of(digest(1), SBOM), tag_of(digest(1), PROVENANCE), f"inventory-{digest(1)[7:47]}-v1-python3"]
    )
    def test_what_is_about_an_image_goes_with_it(self, name):
        about = image(2, name)
        gone = judged(image(1), about)
        assert gone[about.digest].reason == "about an image that is gone"
        stays = judged(image(1, days=1), about)
        assert stays[about.digest].reason == "about an image that stays"

    def test_what_was_written_today_stays(self):
        assert only(image(2, tag_of(digest(1), SBOM), days=0.5)).reason == "pushed today"


def test_jobs_count_for_as_long_as_one_may_run():
    assert Rules(unused_for=timedelta(days=1)).jobs_since(NOW) == NOW - timedelta(days=30)
    assert Rules().jobs_since(NOW) == NOW - timedelta(days=90)


class TestLifecyclePolicy:
    """Evaluated as ECR documents it: what a rule's tags match is safe from all rules after it."""

    @staticmethod
    def expired(tags, days):
        from fnmatch import fnmatchcase

        for rule in sorted(lifecycle_policy(30)["rules"], key=lambda rule: rule["rulePriority"]):
            selection = rule["selection"]
            if selection["tagStatus"] == "untagged":
                matches = not tags
            else:
                matches = all(any(fnmatchcase(own, pattern) for own in tags) for pattern in selection["tagPatternList"])
            if matches:
                return selection["countType"] == "sinceImagePushed" and days > selection["countNumber"]
        return False

    @pytest.mark.parametrize(
        ("tags", "days", "goes"),
        [
            ((), 31, True),
            ((), 29, False),
            (("staging-0123-ab",), 2, True),
            (("staging-0123-ab",), 0.5, False),
            (("staging-0123-ab", tag(1)), 900, False),
            (("base-training-2.3.0", "staging-0123-ab"), 900, False),
            ((tag(1),), 900, False),
            ((f"{tag(1)}-r20261121T101500Z-1f3a",), 900, False),
            (("2.3.0-inference-gpu-py311-cu121-0123456789abcdef0123",), 900, False),
            (("mine",), 900, False),
            ((tag_of(digest(1), SBOM),), 900, False),
        ],
    )
    def test_nothing_with_a_final_tag_expires(self, tags, days, goes):
        assert self.expired(tags, days) is goes
