"""What this package wants of STS, ECR and S3, in its own words → boto3 calls → values of its own."""

from __future__ import annotations

import base64
import logging
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from threading import RLock
from typing import TYPE_CHECKING, Any

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from sagemaker_custom.aws.connection import Connection
from sagemaker_custom.aws.failures import Call
from sagemaker_custom.errors import AwsError
from sagemaker_custom.reference import Digest, RegistryCredentials

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import boto3

    from sagemaker_custom.progress import Task

logger = logging.getLogger(__name__)

# A push that begins with a token this close to its end still ends before the token does.
_TOKEN_RESERVE = timedelta(minutes=30)
_READS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """An object that is in S3."""

    size: int
    """Bytes."""
    kms_key: str | None
    """ARN of the KMS key that encrypts it; ``None`` when S3's own keys do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedObject:
    """An object as a listing of S3 has it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """Another one when the content is another one."""


class Aws:
    """STS, ECR and S3 in our own words, over one boto3 session; safe to share between threads.

    Every method may raise ``CredentialsError``, ``AccessDeniedError`` (it names the IAM action), ``SettingsError``
    (there is no region) and ``AwsError``, but never an exception of boto.

    Args:
        session: Whose credentials are used.
        region: Default: the session's.
        s3_client: Used for S3 instead of one made here, for example one with an endpoint of its own.
        clock: Now, with a time zone.
    """

    def __init__(
        self,
        session: boto3.Session,
        *,
        region: str | None = None,
        s3_client: Any = None,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._connection = Connection(session, region=region, clock=clock)
        self._s3_client = s3_client
        self._clock = clock
        self._lock = RLock()
        self._tokens: dict[str, tuple[RegistryCredentials, datetime]] = {}
        self._caller: dict[str, Any] | None = None

    @property
    def connection(self) -> Connection:
        """The clients, for services that have a module of their own."""
        return self._connection

    @property
    def region(self) -> str:
        """Where everything happens that is not told otherwise.

        Raises:
            SettingsError: Neither the session nor the caller said a region.
        """
        return self._connection.region

    def account_id(self) -> str:
        """Return the twelve digits of the account that the credentials belong to; asked once."""
        return str(self._identity()["Account"])

    def caller_arn(self) -> str:
        """Return the ARN of the user or role that the credentials belong to; asked once."""
        return str(self._identity()["Arn"])

    def _identity(self) -> dict[str, Any]:
        with self._lock:
            if self._caller is None:
                call = Call(action="sts:GetCallerIdentity", resource="the caller", region=self.region)
                answer: dict[str, Any] = self._connection.ask(
                    call, lambda: self._connection.client("sts", self.region).get_caller_identity()
                )
                self._caller = answer
            return self._caller

    def registry_credentials(self, *, account: str, region: str) -> RegistryCredentials:
        """Return what an ECR registry takes as user name and password, renewed half an hour before it expires.

        Args:
            account: Whose registry; one of another account has to grant access by its own policies.
            region: Of the registry: a token of one region is worth nothing in another.
        """
        with self._lock:
            known = self._tokens.get(region)
            if known and self._clock() < known[1] - _TOKEN_RESERVE:
                return known[0]
            call = Call(action="ecr:GetAuthorizationToken", resource=f"the registry of {account}", region=region)
            # Without registryIds: ECR deprecated it, and a token opens all registries that the caller may use.
            answer = self._connection.ask(
                call, lambda: self._connection.client("ecr", region).get_authorization_token()
            )
            grant = answer["authorizationData"][0]
            username, _, password = base64.b64decode(grant["authorizationToken"]).decode().partition(":")
            credentials = RegistryCredentials(username=username, password=password)
            self._tokens[region] = (credentials, grant["expiresAt"])
            return credentials

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
        """Create an ECR repository unless it is there; one that is there stays as it is.

        Args:
            name: For example ``sagemaker-custom-pytorch``.
            region: Where.
            account: Whose registry; default: the caller's.
            kms_key: Encrypts the repository; default: AES-256 with ECR's keys.
            scan_on_push: Whether images are scanned as they arrive.
            immutable: Whether a tag can be written once only.

        Returns:
            Whether this call created it.
        """
        resource = f"repository {name}" + (f" of {account}" if account else "")
        call = Call(action="ecr:DescribeRepositories", resource=resource, region=region)
        found = self._connection.ask(
            call,
            lambda: self._connection.client("ecr", region).describe_repositories(
                repositoryNames=[name], **_registry_of(account)
            ),
            absent=frozenset({"RepositoryNotFoundException"}),
        )
        if found and found["repositories"]:
            if immutable and not found["repositories"][0].get("imageTagMutability", "").startswith("IMMUTABLE"):
                logger.info("ECR repository %s in %s lets tags be overwritten; it is used as it is", name, region)
            return False
        encryption = {"encryptionType": "KMS", "kmsKey": kms_key} if kms_key else {"encryptionType": "AES256"}
        created = self._connection.ask(
            Call(action="ecr:CreateRepository", resource=resource, region=region),
            lambda: self._connection.client("ecr", region).create_repository(
                repositoryName=name,
                imageTagMutability="IMMUTABLE" if immutable else "MUTABLE",
                imageScanningConfiguration={"scanOnPush": scan_on_push},
                encryptionConfiguration=encryption,
                **_registry_of(account),
            ),
            # Somebody else was faster since the question above.
            absent=frozenset({"RepositoryAlreadyExistsException"}),
        )
        return created is not None

    def tags(self, repository: str, *, region: str, account: str | None = None) -> dict[str, Digest] | None:
        """List the tags of an ECR repository, also one of AWS's own registries.

        Args:
            repository: Its name.
            region: Where.
            account: Whose registry; default: the caller's.

        Returns:
            Tag → digest of its manifest; ``None`` when there is no such repository.
        """
        resource = f"repository {repository}" + (f" of {account}" if account else "")
        hint = "have ecr:ListImages allowed for this identity; a registry of another account has to allow it too"
        answer = self._connection.ask(
            Call(action="ecr:ListImages", resource=resource, region=region, denied_hint=hint),
            lambda: (
                self._connection.client("ecr", region)
                .get_paginator("list_images")
                .paginate(repositoryName=repository, filter={"tagStatus": "TAGGED"}, **_registry_of(account))
                .build_full_result()
            ),
            absent=frozenset({"RepositoryNotFoundException"}),
        )
        if answer is None:
            return None
        return {image["imageTag"]: Digest(image["imageDigest"]) for image in answer.get("imageIds", [])}

    def repositories(self, prefix: str, *, region: str, account: str | None = None) -> tuple[str, ...]:
        """List the names of ECR repositories that begin with ``prefix``, sorted.

        Args:
            prefix: For example ``sagemaker-custom-``.
            region: Where.
            account: Whose registry; default: the caller's.
        """
        answer = self._connection.ask(
            Call(action="ecr:DescribeRepositories", resource=f"repositories {prefix}*", region=region),
            lambda: (
                self._connection.client("ecr", region)
                .get_paginator("describe_repositories")
                .paginate(**_registry_of(account))
                .build_full_result()
            ),
        )
        names = (repository["repositoryName"] for repository in answer.get("repositories", []))
        return tuple(sorted(name for name in names if name.startswith(prefix)))

    def remove_tag(self, repository: str, tag: str, *, region: str, account: str | None) -> bool:
        """Remove a tag, and with its last tag the image.

        Args:
            repository: Name of the ECR repository.
            tag: Which.
            region: Where.
            account: Whose registry; default: the caller's.

        Returns:
            Whether the tag was there.
        """
        call = Call(action="ecr:BatchDeleteImage", resource=f"{repository}:{tag}", region=region)
        answer = self._connection.ask(
            call,
            lambda: self._connection.client("ecr", region).batch_delete_image(
                repositoryName=repository, imageIds=[{"imageTag": tag}], **_registry_of(account)
            ),
            absent=frozenset({"RepositoryNotFoundException"}),
        )
        failures = [] if answer is None else answer.get("failures", [])
        for failure in failures:
            if failure.get("failureCode") != "ImageNotFound":
                raise AwsError(
                    f"{repository}:{tag} in {region} was not removed:"
                    f" {failure.get('failureCode')}: {failure.get('failureReason')}",
                    hint="remove what refers to the image first, or remove the image in the ECR console",
                )
        return answer is not None and not failures

    def exists(self, bucket: str, key: str, *, expected_owner: str | None) -> StoredObject | None:
        """Look whether an object is in S3.

        Args:
            bucket: Name of the bucket.
            key: Of the object.
            expected_owner: Account that the bucket has to belong to; default: anyone's will do.

        Returns:
            ``None`` only when S3 says that there is no such object.

        Raises:
            AccessDeniedError: Also when the object may be missing but the caller may not know.
        """
        call = self._s3_call(
            "s3:GetObject and s3:ListBucket",
            bucket,
            key,
            expected_owner,
            denied_hint="allow both actions: without s3:ListBucket, S3 answers 403 for an object that does not exist",
        )
        answer = self._connection.ask(
            call,
            lambda: self._s3().head_object(Bucket=bucket, Key=key, **_owned_by(expected_owner)),
            absent=frozenset({"404", "NoSuchKey", "NotFound"}),
        )
        if answer is None:
            return None
        return StoredObject(size=answer["ContentLength"], kms_key=answer.get("SSEKMSKeyId"))

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
        """Upload a file to S3, in parts where it is large.

        Args:
            bucket: Name of the bucket.
            key: Of the object; overwritten if it is there.
            path: The file.
            kms_key: Encrypts the object.
            encrypt: Whether, without ``kms_key``, the account's default KMS key for S3 encrypts it.
            expected_owner: Account that the bucket has to belong to; default: anyone's will do.
            task: Told the bytes that are through.
        """
        encryption = {"ServerSideEncryption": "aws:kms"} if encrypt or kms_key else {}
        key_id = {"SSEKMSKeyId": kms_key} if kms_key else {}

        def request() -> None:
            try:
                # Not upload_fileobj: of a file object every part that is on its way is kept in memory.
                self._s3().upload_file(
                    str(path),
                    bucket,
                    key,
                    ExtraArgs={**encryption, **key_id, **_owned_by(expected_owner)},
                    Callback=task.advance,
                )
            except S3UploadFailedError as error:
                # It has the error's code in its text alone; what it was raised for has it as such.
                raise error.__context__ or error from None

        self._connection.ask(self._s3_call("s3:PutObject", bucket, key, expected_owner), request)

    def list_objects(self, bucket: str, prefix: str) -> tuple[ListedObject, ...]:
        """List the objects of a bucket whose keys begin with ``prefix``.

        Args:
            bucket: Name of the bucket.
            prefix: For example ``catalog/``; empty for all.
        """
        answer = self._connection.ask(
            self._s3_call("s3:ListBucket", bucket, prefix, None),
            lambda: (
                self._s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix).build_full_result()
            ),
        )
        return tuple(
            ListedObject(key=item["Key"], size=item["Size"], etag=item["ETag"].strip('"'))
            for item in answer.get("Contents", [])
        )

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return the content of an object, which is small enough for memory.

        Args:
            bucket: Name of the bucket.
            key: Of the object.
        """

        def request() -> bytes:
            # boto tries again until an answer begins, and not when it ends too early.
            for _ in range(_READS - 1):
                with suppress(IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    return self._content(bucket, key)
            return self._content(bucket, key)

        answer: bytes = self._connection.ask(self._s3_call("s3:GetObject", bucket, key, None), request)
        return answer

    def _content(self, bucket: str, key: str) -> bytes:
        # Not the body's own "with", which gives the stream of urllib3, with its exceptions.
        with closing(self._s3().get_object(Bucket=bucket, Key=key)["Body"]) as body:
            content: bytes = body.read()
        return content

    def _s3(self) -> Any:
        return self._s3_client or self._connection.client("s3", self.region)

    def _s3_call(
        self, action: str, bucket: str, key: str, owner: str | None, *, denied_hint: str | None = None
    ) -> Call:
        region = str(self._s3_client.meta.region_name) if self._s3_client else self.region
        resource = f"s3://{bucket}/{key}" + (f" (bucket of account {owner})" if owner else "")
        return Call(action=action, resource=resource, region=region, denied_hint=denied_hint)


def _registry_of(account: str | None) -> dict[str, str]:
    return {"registryId": account} if account else {}


def _owned_by(account: str | None) -> dict[str, str]:
    return {"ExpectedBucketOwner": account} if account else {}
