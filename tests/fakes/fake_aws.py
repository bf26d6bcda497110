"""AWS in memory: the methods of ``sagemaker_custom.aws.Aws``, their answers, and errors on demand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING

from sagemaker_custom.aws import ListedObject, StoredObject
from sagemaker_custom.errors import AccessDeniedError, AwsError, SettingsError
from sagemaker_custom.reference import Digest, RegistryCredentials, digest_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagemaker_custom.errors import SageMakerCustomError
    from sagemaker_custom.progress import Task


@dataclass(kw_only=True)
class FakeRepository:
    """An ECR repository: how it was created, and the tags that a test says are in it."""

    kms_key: str | None
    scan_on_push: bool
    immutable: bool
    tags: set[str] = field(default_factory=set)


@dataclass(frozen=True, kw_only=True)
class FakeObject:
    """What was uploaded to S3, and how it was encrypted."""

    content: bytes
    kms_key: str | None
    encrypted: bool


class FakeAws:
    """One AWS, seen with the credentials of ``account``.

    Args:
        account: Twelve digits.
        region: ``None`` stands for a machine on which no region is configured.
        buckets: Names of the buckets to the accounts that own them.
    """

    def __init__(
        self,
        *,
        account: str = "123456789012",
        region: str | None = "us-east-1",
        buckets: dict[str, str] | None = None,
    ) -> None:
        self.account = account
        self.buckets = {} if buckets is None else buckets
        self.ecr: dict[tuple[str, str, str], FakeRepository] = {}
        self.objects: dict[tuple[str, str], FakeObject] = {}
        self.calls: Counter[str] = Counter()
        self._region = region
        self._failures: dict[str, SageMakerCustomError] = {}

    def fail(self, method: str, error: SageMakerCustomError) -> None:
        """Let every further call of ``method`` raise ``error``."""
        self._failures[method] = error

    def recover(self, method: str) -> None:
        """Let ``method`` work again."""
        del self._failures[method]

    @property
    def region(self) -> str:
        """Return the region."""
        if not self._region:
            raise SettingsError("no AWS region is configured", hint="set AWS_DEFAULT_REGION")
        return self._region

    def account_id(self) -> str:
        """Return the account."""
        self._enter("account_id")
        return self.account

    def caller_arn(self) -> str:
        """Return a user of the account."""
        self._enter("caller_arn")
        return f"arn:aws:sts::{self.account}:user/moto"

    def registry_credentials(self, *, account: str, region: str) -> RegistryCredentials:
        """Return a password that names the region it is for."""
        self._enter("registry_credentials")
        return RegistryCredentials(username="AWS", password=f"token-of-{self.account}-for-{region}")

    def ensure_repository(
        self,
        name: str,
        *,
        region: str,
        account: str | None = None,
        kms_key: str | None,
        scan_on_push: bool,
        immutable: bool = True,
    ) -> bool:
        """Create the repository unless it is there."""
        self._enter("ensure_repository")
        place = (account or self.account, region, name)
        if place in self.ecr:
            return False
        self.ecr[place] = FakeRepository(kms_key=kms_key, scan_on_push=scan_on_push, immutable=immutable)
        return True

    def repositories(self, prefix: str, *, region: str, account: str | None = None) -> tuple[str, ...]:
        """List names."""
        self._enter("repositories")
        here = account or self.account, region
        return tuple(sorted(name for *place, name in self.ecr if tuple(place) == here and name.startswith(prefix)))

    def tags(self, repository: str, *, region: str, account: str | None = None) -> dict[str, Digest] | None:
        """List tags, each with a digest of its own."""
        self._enter("tags")
        found = self.ecr.get((account or self.account, region, repository))
        return {tag: digest_of(tag.encode()) for tag in found.tags} if found else None

    def remove_tag(self, repository: str, tag: str, *, region: str, account: str | None) -> bool:
        """Remove the tag, if it is there."""
        self._enter("remove_tag")
        found = self.ecr.get((account or self.account, region, repository))
        if found is None or tag not in found.tags:
            return False
        found.tags.remove(tag)
        return True

    def exists(self, bucket: str, key: str, *, expected_owner: str | None) -> StoredObject | None:
        """Look the object up; like S3, call a missing bucket a missing object."""
        self._enter("exists")
        self._check_owner(bucket, expected_owner)
        found = self.objects.get((bucket, key))
        return None if found is None else StoredObject(size=len(found.content), kms_key=found.kms_key)

    def put_file(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        kms_key: str | None,
        encrypt: bool,
        expected_owner: str | None,
        task: Task,
    ) -> None:
        """Keep the file's bytes."""
        self._enter("put_file")
        content = path.read_bytes()
        self._check_bucket(bucket, key)
        self._check_owner(bucket, expected_owner)
        task.advance(len(content))
        self.objects[bucket, key] = FakeObject(content=content, kms_key=kms_key, encrypted=encrypt or bool(kms_key))

    def list_objects(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
        """List by the keys' order, with digests as ETags."""
        self._enter("list_objects")
        self._check_bucket(bucket, prefix)
        return tuple(
            ListedObject(key=key, size=len(item.content), etag=md5(item.content, usedforsecurity=False).hexdigest())
            for (owner, key), item in sorted(self.objects.items())
            if owner == bucket and key.startswith(prefix)
        )

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return the bytes that were kept."""
        self._enter("read_object")
        self._check_bucket(bucket, key)
        if (bucket, key) not in self.objects:
            raise AwsError(f"s3:GetObject on s3://{bucket}/{key} in {self.region} failed: NoSuchKey")
        return self.objects[bucket, key].content

    def _check_bucket(self, bucket: str, key: str) -> None:
        if bucket not in self.buckets:
            raise AwsError(f"there is no bucket for s3://{bucket}/{key}", hint="check the bucket's name, or create it")

    def _enter(self, method: str) -> None:
        self.calls[method] += 1
        if method in self._failures:
            raise self._failures[method]

    def _check_owner(self, bucket: str, expected_owner: str | None) -> None:
        if expected_owner and self.buckets.get(bucket, expected_owner) != expected_owner:
            raise AccessDeniedError(f"access denied: s3://{bucket} (bucket of account {expected_owner})")
