"""S3 that throttles, refuses and breaks off, through a proxy before moto and by boto's own retries."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import boto3
import pytest
from botocore.config import Config
from faulty_proxy import faulty

from sagemaker_custom.aws import Aws
from sagemaker_custom.errors import AccessDeniedError, AwsError, CredentialsError, SageMakerCustomError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.s3_catalogs import S3Catalogs
from sagemaker_custom.sandbox.aws import SandboxAws
from sagemaker_custom.source import SourceDestination, bundle, upload

BUCKET = "team"
PASSING = ("SlowDown", "InternalError", "cut", "truncated", "lost", "503")
SEEDS = 12
AT_A_TIME = 12
PARTS = 20_000_000
"""Bytes that boto sends in three parts."""


class Bench:
    """A bucket, and code to send there."""

    def __init__(self, url, folder):
        self.host = url.removeprefix("http://")
        self.folder = folder
        self.s3 = self.client(url)
        self.s3.create_bucket(Bucket=BUCKET)
        self.code = folder / "code"
        self.code.mkdir()
        (self.code / "train.py").write_text("print('train')\n")
        (self.code / "data").write_bytes(os.urandom(PARTS))
        self.bundle = bundle("train.py", self.code)
        whole = self.send(self.s3, "whole")
        self.archive = self.s3.get_object(Bucket=BUCKET, Key=self.key(whole))["Body"].read()

    @staticmethod
    def session():
        return boto3.Session(aws_access_key_id="AKIA", aws_secret_access_key="secret", region_name="us-east-1")

    def client(self, url):
        return self.session().client("s3", endpoint_url=url)

    @staticmethod
    def key(sent):
        return sent.uri.removeprefix(f"s3://{BUCKET}/")

    def aws(self, url, **arguments):
        session = self.session()
        config = Config(retries={"mode": "standard", "total_max_attempts": 5})
        return Aws(session, s3_client=session.client("s3", endpoint_url=url, config=config), **arguments)

    def send(self, client, prefix, bucket=BUCKET):
        store = client if isinstance(client, Aws) else Aws(self.session(), s3_client=client)
        destination = SourceDestination(bucket=bucket, prefix=prefix, encrypt=False)
        workspace = self.folder / f"workspace-{prefix}"
        workspace.mkdir(exist_ok=True)
        try:
            return upload(self.bundle, destination, store=store, progress=NoProgress(), workspace=workspace)
        finally:
            assert list(workspace.iterdir()) == []

    def content(self, prefix):
        """Return what is under a prefix; ``None`` for nothing."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
        return self.s3.get_object(Bucket=BUCKET, Key=listed[0]["Key"])["Body"].read() if listed else None

    def unfinished(self, prefix):
        """Return the parts of uploads that were not ended.

        One whose begin was carried out, and answered to nobody, stays without parts: nobody knows its name.
        """
        uploads = self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        names = [(upload["Key"], upload["UploadId"]) for upload in uploads if upload["Key"].startswith(f"{prefix}/")]
        listed = [self.s3.list_parts(Bucket=BUCKET, Key=key, UploadId=name) for key, name in names]
        return [part for answer in listed for part in answer.get("Parts", [])]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with SandboxAws() as aws:
        yield Bench(aws.url, tmp_path_factory.mktemp("bench"))


def test_uploads_get_through_what_passes_and_are_never_partial(bench):
    def tried(seed):
        prefix = f"seed-{seed}"
        with faulty(bench.host, seed=seed, share=0.25, kinds=PASSING, most=2) as proxy:
            try:
                bench.send(bench.aws(proxy.url), prefix)
            except SageMakerCustomError as error:
                return str(error), proxy.happened.total()
        return None, proxy.happened.total()

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = list(pool.map(tried, range(SEEDS)))
    assert [error for error, _ in outcomes if error] == []
    assert sum(count for _, count in outcomes) > SEEDS
    for seed in range(SEEDS):
        assert bench.content(f"seed-{seed}") == bench.archive
        assert bench.unfinished(f"seed-{seed}") == []


BROKEN = {
    "SlowDown": (AwsError, "AWS limits the rate of requests, also after retries (SlowDown"),
    "cut": (AwsError, "no answer from AWS"),
    "AccessDenied": (AccessDeniedError, "access denied: the caller may not s3:PutObject on s3://team/"),
    "ExpiredToken": (CredentialsError, "the AWS credentials have expired (ExpiredToken at s3:PutObject"),
    "RequestTimeTooSkewed": (CredentialsError, "AWS refuses the signature of the request (RequestTimeTooSkewed"),
    "SignatureDoesNotMatch": (CredentialsError, "AWS refuses the signature of the request (SignatureDoesNotMatch"),
}


def test_an_upload_that_breaks_in_its_middle_leaves_nothing_in_the_bucket(bench):
    def is_second_part(method, path):
        return method == "PUT" and "partNumber=2" in path

    def broken(kind):
        with faulty(bench.host, seed=1, share=1, kinds=(kind,), most=None, concerns=is_second_part) as proxy:
            try:
                bench.send(bench.aws(proxy.url), f"broken-{kind}")
            except SageMakerCustomError as error:
                return error
        return None

    with ThreadPoolExecutor(len(BROKEN)) as pool:
        errors = dict(zip(BROKEN, pool.map(broken, BROKEN), strict=True))
    for kind, (expected, message) in BROKEN.items():
        assert type(errors[kind]) is expected, kind
        assert message in errors[kind].message
        assert errors[kind].hint
        assert bench.content(f"broken-{kind}") is None
        assert bench.unfinished(f"broken-{kind}") == []
        assert bench.send(bench.s3, f"broken-{kind}").uploaded_bytes == len(bench.archive)


def test_a_bucket_that_is_not_there(bench):
    with pytest.raises(AwsError, match="there is no bucket for s3://nobodys/nowhere/") as caught:
        bench.send(bench.s3, "nowhere", bucket="nobodys")
    assert caught.value.hint == "check the bucket's name, or create it"


def test_a_bucket_of_another_region(bench):
    def is_put(method, path):
        return method in {"PUT", "POST"}

    with (
        faulty(bench.host, seed=1, share=1, kinds=("PermanentRedirect",), most=None, concerns=is_put) as proxy,
        pytest.raises(AwsError, match="PermanentRedirect") as caught,
    ):
        bench.send(bench.aws(proxy.url), "elsewhere")
    assert "the bucket is in another region" in caught.value.hint
    assert bench.content("elsewhere") is None


class TestClockSkew:
    """Requests are signed with the time; AWS refuses those that differ by more than five minutes from its own."""

    @pytest.mark.parametrize(("minutes", "said"), [(25, "25 minutes behind that of AWS"), (-60, "60 minutes ahead of")])
    @pytest.mark.parametrize("kind", ["RequestTimeTooSkewed", "AccessDenied"])
    def test_it_is_told_also_where_the_answer_has_no_reason(self, bench, minutes, said, kind):
        """S3 answers 403 and no more to the HEAD with which an upload begins."""
        theirs = datetime.now(timezone.utc) + timedelta(minutes=minutes)
        with faulty(bench.host, seed=1, share=1, kinds=(kind,), most=None) as proxy:
            proxy.headers = {"Date": format_datetime(theirs, usegmt=True)}
            with pytest.raises(CredentialsError, match=said) as caught:
                bench.send(bench.aws(proxy.url), "skewed")
        assert "set this machine's clock" in caught.value.hint

    def test_a_refusal_by_a_clock_that_agrees_is_a_refusal(self, bench):
        with (
            faulty(bench.host, seed=1, share=1, kinds=("AccessDenied",), most=None) as proxy,
            pytest.raises(AccessDeniedError),
        ):
            bench.send(bench.aws(proxy.url), "denied")


class TestCatalogs:
    @pytest.fixture(scope="class")
    def documents(self, bench):
        names = [f"extras/extra-{number}.json" for number in range(3)]
        contents = {name: os.urandom(100_000) for name in names}
        for name, content in contents.items():
            bench.s3.put_object(Bucket=BUCKET, Key=f"catalog/{name}", Body=content)
        return contents

    def catalogs(self, bench, url, folder):
        return S3Catalogs(folder=folder, store=lambda: bench.aws(url))

    def test_one_is_fetched_whole_through_what_passes(self, bench, documents, tmp_path):
        def fetched(seed):
            with faulty(bench.host, seed=seed, share=0.25, kinds=PASSING, most=2) as proxy:
                copy = self.catalogs(bench, proxy.url, tmp_path / str(seed)).fetch(f"s3://{BUCKET}/catalog")
            return {name: (copy.root / name).read_bytes() for name in documents} == documents, proxy.happened.total()

        with ThreadPoolExecutor(AT_A_TIME) as pool:
            outcomes = list(pool.map(fetched, range(SEEDS)))
        assert all(is_whole for is_whole, _ in outcomes)
        assert sum(count for _, count in outcomes) > SEEDS // 2

    def test_one_that_breaks_off_is_not_used_and_the_older_copy_is_offered(self, bench, documents, tmp_path):
        catalogs = self.catalogs(bench, f"http://{bench.host}", tmp_path)
        before = catalogs.fetch(f"s3://{BUCKET}/catalog")
        bench.s3.put_object(Bucket=BUCKET, Key="catalog/extras/extra-2.json", Body=b"changed")

        def is_last(method, path):
            return method == "GET" and "extra-2" in path

        with (
            faulty(bench.host, seed=1, share=1, kinds=("truncated",), most=None, concerns=is_last) as proxy,
            pytest.raises(AwsError, match="cannot be renewed: s3:GetObject") as caught,
        ):
            self.catalogs(bench, proxy.url, tmp_path).fetch(f"s3://{BUCKET}/catalog")
        assert "catalog_offline=true" in caught.value.hint
        assert list(before.root.parent.iterdir()) == [before.root]
        bench.s3.put_object(Bucket=BUCKET, Key="catalog/extras/extra-2.json", Body=documents["extras/extra-2.json"])
