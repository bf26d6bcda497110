"""What everybody may rely on, of ``FakeAws`` and of ``Aws`` over moto alike."""

from __future__ import annotations

import inspect

import boto3
import moto
import pytest
from fakes.fake_aws import FakeAws

from sagemaker_custom.aws import Aws
from sagemaker_custom.errors import AwsError, SettingsError

REPOSITORY = "sagemaker-custom-pytorch"
MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}'


class CountingTask:
    """Remembers how much was done."""

    def __init__(self):
        self.done = 0

    def advance(self, amount):
        self.done += amount

    def set_total(self, total):
        raise AssertionError("the caller knows the size")

    def finish(self):
        raise AssertionError("the caller says when it is over")


class MemoryWorld:
    """An AWS in memory, and what a test does behind its back."""

    def __init__(self):
        self.aws = FakeAws(buckets={"bucket": "123456789012"})

    def without_region(self):
        return FakeAws(region=None)

    def tag_image(self, repository, tag, region):
        self.aws.ecr["123456789012", region, repository].tags.add(tag)

    def flags(self, repository, region):
        found = self.aws.ecr["123456789012", region, repository]
        return found.immutable, found.scan_on_push, found.kms_key

    def content(self, bucket, key):
        return self.aws.objects[bucket, key].content


class MotoWorld:
    """moto's AWS, and the same done through boto3."""

    def __init__(self):
        self.aws = Aws(boto3.Session(region_name="us-east-1"))
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")

    def without_region(self):
        return Aws(boto3.Session())

    def tag_image(self, repository, tag, region):
        boto3.client("ecr", region_name=region).put_image(
            repositoryName=repository, imageManifest=MANIFEST, imageTag=tag
        )

    def flags(self, repository, region):
        found = boto3.client("ecr", region_name=region).describe_repositories(repositoryNames=[repository])
        found = found["repositories"][0]
        return (
            found["imageTagMutability"] == "IMMUTABLE",
            found["imageScanningConfiguration"]["scanOnPush"],
            found["encryptionConfiguration"].get("kmsKey"),
        )

    def content(self, bucket, key):
        return boto3.client("s3", region_name="us-east-1").get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.fixture(params=[MemoryWorld, MotoWorld], ids=["fake", "moto"])
def world(request):
    if request.param is MemoryWorld:
        yield MemoryWorld()
        return
    with moto.mock_aws():
        yield MotoWorld()


@pytest.fixture
def parcel(tmp_path):
    path = tmp_path / "sourcedir.tar.gz"
    path.write_bytes(b"parcel")
    return path


def create(aws, **changes):
    return aws.ensure_repository(
        REPOSITORY, **({"region": "us-east-1", "kms_key": None, "scan_on_push": True} | changes)
    )


def upload(aws, path, **changes):
    arguments = {"kms_key": None, "encrypt": True, "expected_owner": None, "task": CountingTask()} | changes
    aws.put_file(arguments.pop("bucket", "bucket"), "code/sourcedir.tar.gz", path, **arguments)


@pytest.mark.parametrize(
    "name", [name for name in vars(Aws) if inspect.isfunction(getattr(Aws, name)) and name[0] != "_"]
)
def test_the_fake_takes_the_same_arguments(name):
    assert inspect.signature(getattr(FakeAws, name)) == inspect.signature(getattr(Aws, name))


class TestAwsContract:
    def test_the_account_has_twelve_digits(self, world):
        assert world.aws.account_id() == "123456789012"
        assert world.aws.caller_arn() == "arn:aws:sts::123456789012:user/moto"

    def test_the_region_is_the_sessions(self, world):
        assert world.aws.region == "us-east-1"

    def test_no_region_is_an_error_of_the_settings(self, world):
        with pytest.raises(SettingsError, match="no AWS region is configured"):
            _ = world.without_region().region

    def test_registries_take_aws_and_a_token(self, world):
        found = world.aws.registry_credentials(account="763104351884", region="eu-west-1")
        assert found.username == "AWS"
        assert "token" in found.password
        assert found.password not in repr(found)

    def test_a_new_repository_is_created_as_asked(self, world):
        assert create(world.aws) is True
        assert world.flags(REPOSITORY, "us-east-1") == (True, True, None)

    def test_a_new_repository_can_be_created_otherwise(self, world):
        key = "arn:aws:kms:us-east-1:123456789012:key/k"
        assert create(world.aws, immutable=False, scan_on_push=False, kms_key=key) is True
        assert world.flags(REPOSITORY, "us-east-1") == (False, False, key)

    def test_a_repository_that_is_there_stays_as_it_is(self, world):
        create(world.aws, immutable=False, scan_on_push=False)
        assert create(world.aws, immutable=True, scan_on_push=True) is False
        assert world.flags(REPOSITORY, "us-east-1") == (False, False, None)

    def test_naming_ones_own_account_is_the_same_registry(self, world):
        create(world.aws)
        assert create(world.aws, account="123456789012") is False

    def test_each_region_has_its_own_repositories(self, world):
        create(world.aws)
        assert create(world.aws, region="eu-west-1") is True

    def test_repositories_are_listed_by_the_beginning_of_their_names(self, world):
        assert world.aws.repositories("sagemaker-", region="us-east-1") == ()
        create(world.aws)
        world.aws.ensure_repository("other", region="us-east-1", kms_key=None, scan_on_push=True)
        create(world.aws, region="eu-west-1")
        assert world.aws.repositories(REPOSITORY[:4], region="us-east-1") == (REPOSITORY,)
        assert world.aws.repositories("", region="us-east-1") == tuple(sorted((REPOSITORY, "other")))

    def test_tags_are_listed_with_digests(self, world):
        assert world.aws.tags(REPOSITORY, region="us-east-1") is None
        create(world.aws)
        assert world.aws.tags(REPOSITORY, region="us-east-1") == {}
        world.tag_image(REPOSITORY, "new", "us-east-1")
        [(tag, digest)] = world.aws.tags(REPOSITORY, region="us-east-1").items()
        assert tag == "new"
        assert digest.startswith("sha256:")

    def test_a_tag_is_removed_once(self, world):
        create(world.aws)
        world.tag_image(REPOSITORY, "old", "us-east-1")
        answers = [world.aws.remove_tag(REPOSITORY, "old", region="us-east-1", account=None) for _ in range(2)]
        assert answers == [True, False]

    def test_a_tag_of_no_repository_is_not_there(self, world):
        assert world.aws.remove_tag(REPOSITORY, "old", region="us-east-1", account=None) is False

    def test_an_object_is_there_after_its_upload_only(self, world, parcel):
        assert world.aws.exists("bucket", "code/sourcedir.tar.gz", expected_owner=None) is None
        task = CountingTask()
        upload(world.aws, parcel, task=task, expected_owner="123456789012")
        assert world.aws.exists("bucket", "code/sourcedir.tar.gz", expected_owner="123456789012").size == 6
        assert world.content("bucket", "code/sourcedir.tar.gz") == b"parcel"
        assert task.done == 6

    def test_the_key_of_an_object_is_told(self, world, parcel):
        key = "arn:aws:kms:us-east-1:123456789012:key/k"
        upload(world.aws, parcel, kms_key=key)
        assert world.aws.exists("bucket", "code/sourcedir.tar.gz", expected_owner=None).kms_key == key

    def test_an_object_without_encryption_by_kms_has_no_key(self, world, parcel):
        upload(world.aws, parcel, encrypt=False)
        assert world.aws.exists("bucket", "code/sourcedir.tar.gz", expected_owner=None).kms_key is None

    def test_objects_are_listed_by_the_beginning_of_their_keys(self, world, parcel):
        assert world.aws.list_objects("bucket", "code/") == ()
        upload(world.aws, parcel)
        (listed,) = world.aws.list_objects("bucket", "code/")
        assert (listed.key, listed.size) == ("code/sourcedir.tar.gz", len(b"parcel"))
        assert world.aws.list_objects("bucket", "") == (listed,)
        assert world.aws.list_objects("bucket", "codes/") == ()

    def test_another_content_has_another_etag(self, world, parcel):
        etags = set()
        for content in (b"one", b"two", b"one"):
            parcel.write_bytes(content)
            upload(world.aws, parcel)
            etags.add(world.aws.list_objects("bucket", "")[0].etag)
        assert len(etags) == 2

    def test_an_object_is_read_whole(self, world, parcel):
        upload(world.aws, parcel)
        assert world.aws.read_object("bucket", "code/sourcedir.tar.gz") == b"parcel"

    def test_reading_what_is_not_there_is_an_error(self, world):
        with pytest.raises(AwsError, match=r"s3:GetObject on s3://bucket/none .*NoSuchKey"):
            world.aws.read_object("bucket", "none")
        with pytest.raises(AwsError, match="there is no bucket for s3://nobodys/a/"):
            world.aws.list_objects("nobodys", "a/")

    def test_an_upload_to_no_bucket_names_it(self, world, parcel):
        with pytest.raises(AwsError, match=r"there is no bucket for s3://nowhere/code/sourcedir\.tar\.gz"):
            upload(world.aws, parcel, bucket="nowhere")
