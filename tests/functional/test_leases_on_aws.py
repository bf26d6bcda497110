"""The setting ``lease_bucket`` → a lease in S3 around the build."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sagemaker_custom.errors import BaseImageError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.leases import LockKey
from sagemaker_custom.wiring import Parts

SPEC = image_spec("pytorch", version="2.3", image_scope="training", processor="cpu", extras=["faiss"])


def failing_build(cloud, **settings):
    """Want an image whose base is not there, and return its plan."""
    parts = Parts(session=cloud.boto_session, settings=replace(cloud.settings, **settings))
    plan = parts.plan(SPEC)
    with pytest.raises(BaseImageError):
        parts.ensure(plan)
    return plan


@pytest.mark.parametrize(("place", "prefix"), [("{}", ""), ("s3://{}", ""), ("s3://{}/team/x/", "team/x/")])
def test_the_lease_is_where_the_setting_says_and_tells_how_it_ended(cloud, place, prefix):
    plan = failing_build(cloud, lease_bucket=place.format(cloud.bucket), lease_s=30.0)

    name = LockKey(reference=plan.reference, fingerprint=plan.fingerprint).name
    assert cloud.objects() == [f"{prefix}leases/{name}.json"]
    lease = json.loads(cloud.download(cloud.objects()[0]).read())
    assert (lease["state"], lease["lease_s"]) == ("failed", 30.0)
    assert lease["failure"].startswith("the base image ")


def test_without_the_setting_s3_is_not_asked(cloud, tmp_path):
    failing_build(cloud)

    assert cloud.objects() == []
    assert list((tmp_path / "cache" / "locks").glob("*.lock"))


def test_an_image_that_is_there_takes_no_lease(cloud):
    parts = Parts(session=cloud.boto_session, settings=replace(cloud.settings, lease_bucket=cloud.bucket))
    plan = parts.plan(SPEC)
    cloud.push(plan)

    assert parts.ensure(plan) == plan.reference
    assert cloud.objects() == []


def test_a_bucket_that_is_not_there_is_told_and_the_build_goes_on(cloud, capsys):
    failing_build(cloud, lease_bucket="nobodys-bucket")

    assert "there is no lease for" in capsys.readouterr().err
