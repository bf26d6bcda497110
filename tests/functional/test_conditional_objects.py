"""Conditional writes: what leases rely on, against moto's S3 and against the small one of the fault tests."""

from __future__ import annotations

import boto3
import pytest
from fakes.lease_server import lease_server

from sagemaker_custom.aws.conditional import ConditionalObjects
from sagemaker_custom.errors import AccessDeniedError, AwsError, CredentialsError
from sagemaker_custom.sandbox.aws import SandboxAws

BUCKET, KEY = "team-leases", "x/leases/a.json"


@pytest.fixture(params=["moto", "small"])
def objects(request, monkeypatch):
    if request.param == "moto":
        with SandboxAws() as aws:
            aws.boto_session().client("s3").create_bucket(Bucket=BUCKET)
            yield ConditionalObjects(aws.boto_session)
        return
    with lease_server() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield ConditionalObjects(boto3.Session)


def test_only_the_first_creates_it(objects):
    assert objects.read(BUCKET, KEY) is None
    etag = objects.create(BUCKET, KEY, b"ada")
    assert etag
    assert objects.create(BUCKET, KEY, b"bob") is None
    found = objects.read(BUCKET, KEY)
    assert (found.content, found.etag) == (b"ada", etag)


def test_only_who_knows_the_newest_replaces_it(objects):
    first = objects.create(BUCKET, KEY, b"ada")
    second = objects.replace(BUCKET, KEY, b"bob", etag=first)
    assert second != first
    assert objects.replace(BUCKET, KEY, b"eve", etag=first) is None
    assert objects.read(BUCKET, KEY).content == b"bob"
    assert objects.replace(BUCKET, KEY, b"eve", etag=second)


def test_what_is_gone_is_not_replaced(objects):
    assert objects.replace(BUCKET, KEY, b"ada", etag='"0123"') is None
    assert objects.read(BUCKET, KEY) is None


def test_a_lease_is_read_in_part_when_it_is_none(objects):
    objects.create(BUCKET, KEY, b"x" * 1_000_000)
    assert len(objects.read(BUCKET, KEY).content) == 65536


class TestRefusals:
    @pytest.fixture
    def server(self, monkeypatch):
        with lease_server() as server:
            for name, value in server.environment().items():
                monkeypatch.setenv(name, value)
            yield server

    @pytest.fixture
    def objects(self, server):
        return ConditionalObjects(boto3.Session)

    def test_two_who_write_at_the_same_moment(self, objects, server):
        server.refusal = (409, "ConditionalRequestConflict")
        assert objects.create(BUCKET, KEY, b"ada") is None
        assert objects.replace(BUCKET, KEY, b"ada", etag='"0"') is None

    def test_a_denial_says_which_rights_a_lease_needs(self, objects, server):
        server.refusal = (403, "AccessDenied")
        with pytest.raises(AccessDeniedError) as caught:
            objects.create(BUCKET, KEY, b"ada")
        assert str(caught.value) == (
            f"access denied: the caller may not s3:PutObject on s3://{BUCKET}/{KEY} in us-east-1\n"
            "  -> allow s3:PutObject and s3:GetObject on the leases"
        )

    @pytest.mark.parametrize("code", ["NoSuchBucket", "InternalError"])
    def test_a_failure_is_not_taken_for_another_holder(self, objects, server, code):
        server.refusal = (404 if code == "NoSuchBucket" else 500, code)
        with pytest.raises(AwsError):
            objects.create(BUCKET, KEY, b"ada")
        with pytest.raises(AwsError):
            objects.read(BUCKET, KEY)

    def test_credentials_that_have_expired(self, objects, server):
        server.refusal = (403, "ExpiredToken")
        with pytest.raises(CredentialsError, match="have expired"):
            objects.read(BUCKET, KEY)
