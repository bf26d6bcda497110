"""``Aws`` against moto: rights that are really checked, endpoints of one's own, large files, many threads."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import boto3
import moto
import pytest
from moto.core import set_initial_no_auth_action_count
from moto.server import ThreadedMotoServer

from sagemaker_custom.aws import Aws
from sagemaker_custom.errors import AccessDeniedError, AwsError, CredentialsError

REPOSITORY = "sagemaker-custom-pytorch"
# create_user, put_user_policy, create_access_key and create_bucket: what happens before rights are checked.
PREPARATIONS = 4
NOBODY_LISTENS = "http://127.0.0.1:9"


class CountingTask:
    """Adds up, from any thread."""

    def __init__(self):
        self.done = 0
        self._lock = Lock()

    def advance(self, amount):
        with self._lock:
            self.done += amount

    def set_total(self, total):
        pass

    def finish(self):
        pass


@pytest.fixture
def server():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


def user_who_may(*actions):
    """Return the session of a new IAM user, and create a bucket."""
    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_user(UserName="ana")
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="ana", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="ana")["AccessKey"]
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
    return boto3.Session(
        aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"], region_name="us-east-1"
    )


def create(aws):
    return aws.ensure_repository(REPOSITORY, region="us-east-1", kms_key=None, scan_on_push=True)


@moto.mock_aws
@set_initial_no_auth_action_count(PREPARATIONS)
def test_a_user_who_may_only_look_is_told_what_is_missing_to_create():
    aws = Aws(user_who_may("ecr:DescribeRepositories"))
    with pytest.raises(AccessDeniedError) as caught:
        create(aws)
    assert "arn:aws:iam::123456789012:user/ana may not ecr:CreateRepository" in caught.value.message
    assert caught.value.hint == "have ecr:CreateRepository allowed for this identity"


@moto.mock_aws
@set_initial_no_auth_action_count(PREPARATIONS)
def test_a_user_who_may_both_creates_the_repository():
    assert create(Aws(user_who_may("ecr:DescribeRepositories", "ecr:CreateRepository"))) is True


@moto.mock_aws
@set_initial_no_auth_action_count(PREPARATIONS)
def test_a_user_who_may_not_read_is_not_told_that_the_object_is_missing():
    aws = Aws(user_who_may("ecr:*"))
    with pytest.raises(AccessDeniedError, match="may not s3:GetObject and s3:ListBucket on s3://bucket/key"):
        aws.exists("bucket", "key", expected_owner=None)


@moto.mock_aws
@set_initial_no_auth_action_count(PREPARATIONS)
def test_keys_that_nobody_issued_are_unknown():
    user_who_may("ecr:*")
    session = boto3.Session(
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="wJalrXUtnFEMI", region_name="us-east-1"
    )
    with pytest.raises(CredentialsError, match=r"AWS does not know these credentials \(InvalidAccessKeyId") as caught:
        Aws(session).put_file(
            "bucket", "key", Path(__file__), kms_key=None, encrypt=False, expected_owner=None, task=CountingTask()
        )
    assert "wJalrXUtnFEMI" not in str(caught.value)


def test_an_s3_endpoint_of_ones_own_is_used_for_s3_alone(server, keys, monkeypatch, tmp_path):
    client = boto3.client("s3", region_name="us-east-1", endpoint_url=server)
    client.create_bucket(Bucket="own")
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY_LISTENS)
    path = tmp_path / "sourcedir.tar.gz"
    path.write_bytes(b"parcel")
    task = CountingTask()
    aws = Aws(boto3.Session(region_name="us-east-1"), s3_client=client)
    aws.put_file("own", "key", path, kms_key=None, encrypt=False, expected_owner=None, task=task)
    assert aws.exists("own", "key", expected_owner=None).size == task.done == 6
    with pytest.raises(AwsError, match="sts:GetCallerIdentity on the caller in us-east-1: no answer from AWS"):
        aws.account_id()
    client.close()


def test_an_object_in_no_bucket_is_missing_since_a_head_tells_no_more(server, keys, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    assert Aws(boto3.Session(region_name="us-east-1")).exists("nowhere", "key", expected_owner=None) is None


def test_a_large_file_arrives_whole_and_every_byte_is_told(server, keys, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    path = tmp_path / "sourcedir.tar.gz"
    content = bytes(range(256)) * 4096 * 20
    path.write_bytes(content)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="large")
    task = CountingTask()
    aws = Aws(boto3.Session(region_name="us-east-1"))
    aws.put_file("large", "key", path, kms_key=None, encrypt=True, expected_owner=None, task=task)
    stored = client.get_object(Bucket="large", Key="key")
    assert stored["ETag"].endswith('-3"'), "it went up in one piece"
    assert stored["Body"].read() == content
    assert task.done == len(content)
    client.close()


def test_an_endpoint_where_nobody_listens_is_no_missing_repository(keys, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", NOBODY_LISTENS)
    with pytest.raises(AwsError, match="no answer from AWS") as caught:
        create(Aws(boto3.Session(region_name="us-east-1")))
    assert "check network, proxy, VPC endpoints and AWS_ENDPOINT_URL" in caught.value.hint


@moto.mock_aws
def test_many_threads_share_one_aws_and_one_creates_the_repository():
    aws = Aws(boto3.Session(region_name="us-east-1"))
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: create(aws), range(16)))
    assert sum(created) == 1


@moto.mock_aws
def test_what_is_logged_holds_no_token(caplog):
    caplog.set_level(logging.DEBUG, logger="sagemaker_custom")
    aws = Aws(boto3.Session(region_name="us-east-1"))
    create(aws)
    password = aws.registry_credentials(account="123456789012", region="us-east-1").password
    assert "RepositoryNotFoundException" not in caplog.text, "an expected answer is no failure"
    assert password not in caplog.text
