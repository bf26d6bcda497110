"""What AWS and botocore say no with, and what our errors make of it; no network, botocore's own stubs."""

from __future__ import annotations

import base64
import logging
import traceback
from datetime import datetime, timedelta, timezone

import boto3
import botocore.exceptions as boto_errors
import botocore.session
import pytest
from botocore.parsers import ResponseParserError
from botocore.stub import ANY, Stubber

from sagemaker_custom.aws import Aws, open_session
from sagemaker_custom.errors import AccessDeniedError, AwsError, CredentialsError, SettingsError
from sagemaker_custom.progress import NoProgress

ACCOUNT = "123456789012"
REPOSITORY = "sagemaker-custom-pytorch"
SECRET = "wJalrXUtnFEMI/EXAMPLEKEY"
SESSION_TOKEN = "FwoGZXIvYXdzEXAMPLETOKEN"
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


# Reading AWS's service descriptions is what takes the time in these tests; they never change.
DESCRIPTIONS = botocore.session.Session().get_component("data_loader")


class OfflineSession(boto3.Session):
    """A session with made-up credentials."""

    def __init__(self, region="us-east-1"):
        below = botocore.session.Session()
        below.register_component("data_loader", DESCRIPTIONS)
        super().__init__(
            aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
            aws_secret_access_key=SECRET,
            aws_session_token=SESSION_TOKEN,
            region_name=region,
            botocore_session=below,
        )


class StubbedSession(OfflineSession):
    """A session whose clients answer from a script; remembers how each client was asked for."""

    def __init__(self, region="us-east-1"):
        super().__init__(region)
        self.asked = []
        self._scripts = {}

    def client(self, service, region_name=None, config=None):
        self.asked.append((service, region_name, config))
        client = super().client(service, region_name=region_name, config=config)
        stubber = Stubber(client)
        for method, arguments, answer in self._scripts.get(service, ()):
            if isinstance(answer, dict):
                stubber.add_response(method, answer, arguments)
            else:
                code, text, extra = answer
                stubber.add_client_error(
                    method, code, text, expected_params=arguments, response_meta={"RequestId": "r-1"}
                )
                if extra:
                    stubber._queue[-1]["response"][1].update(extra)
        stubber.activate()
        return client

    def answers(self, service, method, answer, **arguments):
        self._scripts.setdefault(service, []).append((method, arguments or None, answer))
        return self

    def refuses(self, service, method, code, text="", *, extra=None, **arguments):
        return self.answers(service, method, (code, text, extra), **arguments)


class BrokenSession(OfflineSession):
    """A session whose requests never leave: each raises ``error``."""

    def __init__(self, error):
        super().__init__()

        def refuse(**_):
            raise error

        self.events.register("before-call", refuse)


@pytest.fixture
def session():
    return StubbedSession()


def create(aws, **changes):
    return aws.ensure_repository(
        REPOSITORY, **({"region": "us-east-1", "kms_key": None, "scan_on_push": True} | changes)
    )


def token(text, expires):
    encoded = base64.b64encode(f"AWS:{text}".encode()).decode()
    return {"authorizationData": [{"authorizationToken": encoded, "expiresAt": expires}]}


@pytest.fixture
def parcel(tmp_path):
    path = tmp_path / "sourcedir.tar.gz"
    path.write_bytes(b"x" * 10)
    return path


def upload(aws, path, **changes):
    arguments = {"kms_key": None, "encrypt": False, "expected_owner": None, "task": NoProgress().task("")} | changes
    return aws.put_file("bucket", "code/sourcedir.tar.gz", path, **arguments)


class TestCredentials:
    @pytest.mark.parametrize("code", ["ExpiredToken", "ExpiredTokenException", "RequestExpired"])
    def test_expired_credentials_are_called_expired(self, session, code):
        session.refuses("sts", "get_caller_identity", code, "The security token included in the request is expired")
        with pytest.raises(CredentialsError) as caught:
            Aws(session).account_id()
        assert str(caught.value) == (
            f"the AWS credentials have expired ({code} at sts:GetCallerIdentity on the caller in us-east-1)\n"
            "  -> run `aws configure` or `aws sso login`, or name a profile in AWS_PROFILE;"
            " or use instance_type='local', which needs no AWS account"
        )

    @pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"])
    def test_unknown_credentials_point_at_region_and_partition_too(self, session, code):
        session.refuses("ecr", "get_authorization_token", code, "The security token included in the request is invalid")
        with pytest.raises(CredentialsError, match="AWS does not know these credentials") as caught:
            Aws(session).registry_credentials(account=ACCOUNT, region="cn-north-1")
        assert "is cn-north-1 enabled for this account, and of the same partition" in caught.value.hint

    @pytest.mark.parametrize("code", ["InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed"])
    def test_a_refused_signature_points_at_the_clock_and_repeats_no_secret(self, session, code, caplog):
        caplog.set_level(logging.DEBUG, logger="sagemaker_custom")
        said = f"The Canonical String should have been 'POST\n/\nx-amz-security-token:{SESSION_TOKEN}'"
        session.refuses("sts", "get_caller_identity", code, said)
        with pytest.raises(CredentialsError, match="refuses the signature") as caught:
            Aws(session).account_id()
        assert "clock" in caught.value.hint
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
        assert SESSION_TOKEN not in shown
        assert caught.value.__context__ is None

    @pytest.mark.parametrize(
        "error",
        [
            boto_errors.NoCredentialsError(),
            boto_errors.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
            boto_errors.TokenRetrievalError(provider="sso", error_msg="Token has expired and refresh failed"),
            boto_errors.UnauthorizedSSOTokenError(),
            boto_errors.SSOTokenLoadError(error_msg="Token for x does not exist"),
            boto_errors.CredentialRetrievalError(provider="custom-process", error_msg="exit code 1"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_credentials_that_cannot_be_had_say_how_to_get_some(self, error):
        with pytest.raises(CredentialsError, match="no usable AWS credentials for sts:GetCallerIdentity") as caught:
            Aws(BrokenSession(error)).account_id()
        assert str(error) in str(caught.value)
        assert "instance_type='local'" in caught.value.hint

    def test_a_machine_without_any_credentials_gets_the_same_answer(self):
        with pytest.raises(CredentialsError, match="Unable to locate credentials"):
            Aws(boto3.Session(region_name="us-east-1")).account_id()

    def test_half_a_pair_of_keys_in_the_environment_is_a_credentials_error(self, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        with pytest.raises(CredentialsError, match="Partial credentials found in env"):
            Aws(boto3.Session(region_name="us-east-1")).account_id()

    def test_an_unknown_profile_is_a_credentials_error(self):
        with pytest.raises(CredentialsError, match=r"The config profile \(research\) could not be found"):
            open_session(profile="research")

    def test_a_known_profile_brings_its_region(self, monkeypatch, tmp_path):
        (tmp_path / "config").write_text("[profile research]\nregion = eu-west-1\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert Aws(open_session(profile="research")).region == "eu-west-1"


class TestDenied:
    def test_the_message_has_action_resource_caller_and_reason_of_aws(self, session):
        arn = f"arn:aws:ecr:us-east-1:{ACCOUNT}:repository/{REPOSITORY}"
        said = (
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/Studio/ana is not authorized to perform: ecr:CreateRepository"
            f" on resource: {arn} because no identity-based policy allows the ecr:CreateRepository action"
        )
        session.refuses("ecr", "describe_repositories", "RepositoryNotFoundException")
        session.refuses("ecr", "create_repository", "AccessDeniedException", said)
        with pytest.raises(AccessDeniedError) as caught:
            create(Aws(session))
        assert str(caught.value) == (
            f"access denied: arn:aws:sts::{ACCOUNT}:assumed-role/Studio/ana may not ecr:CreateRepository on {arn}"
            " in us-east-1: no identity-based policy allows the ecr:CreateRepository action\n"
            "  -> have ecr:CreateRepository allowed for this identity"
        )

    def test_denied_describe_is_not_reported_as_missing(self, session):
        session.refuses("ecr", "describe_repositories", "AccessDeniedException", "no")
        with pytest.raises(AccessDeniedError, match="may not ecr:DescribeRepositories on repository sagemaker-custom"):
            create(Aws(session))

    def test_denied_login_names_the_registry(self, session):
        session.refuses("ecr", "get_authorization_token", "AccessDeniedException", "no")
        with pytest.raises(AccessDeniedError, match="ecr:GetAuthorizationToken on the registry of 763104351884"):
            Aws(session).registry_credentials(account="763104351884", region="us-east-1")

    def test_denied_tag_removal_names_the_tag(self, session):
        session.refuses("ecr", "batch_delete_image", "AccessDeniedException", "no")
        with pytest.raises(AccessDeniedError, match=f"ecr:BatchDeleteImage on {REPOSITORY}:old"):
            Aws(session).remove_tag(REPOSITORY, "old", region="us-east-1", account=None)

    def test_denied_head_is_not_reported_as_missing(self, session):
        session.refuses("s3", "head_object", "403", "Forbidden")
        with pytest.raises(AccessDeniedError) as caught:
            Aws(session).exists("bucket", "key", expected_owner=ACCOUNT)
        assert str(caught.value) == (
            f"access denied: the caller may not s3:GetObject and s3:ListBucket on s3://bucket/key"
            f" (bucket of account {ACCOUNT}) in us-east-1\n"
            "  -> allow both actions: without s3:ListBucket, S3 answers 403 for an object that does not exist"
        )

    def test_denied_upload_names_the_action_that_aws_names(self, session, parcel):
        said = (
            f"User: arn:aws:iam::{ACCOUNT}:user/ana is not authorized to perform: kms:GenerateDataKey on resource:"
            ' "arn:aws:kms:us-east-1:123456789012:key/k" with an explicit deny'
        )
        session.refuses("s3", "put_object", "AccessDenied", said)
        with pytest.raises(
            AccessDeniedError, match=r"user/ana may not kms:GenerateDataKey on arn:aws:kms:.*key/k in"
        ) as no:
            upload(Aws(session), parcel, kms_key="k")
        assert no.value.message.endswith("in us-east-1: with an explicit deny")

    def test_denied_kms_key_of_a_repository_names_the_kms_actions(self, session):
        session.refuses("ecr", "describe_repositories", "RepositoryNotFoundException")
        session.refuses(
            "ecr", "create_repository", "KmsException", "no", extra={"kmsError": "com.amazonaws#AccessDeniedException"}
        )
        with pytest.raises(AccessDeniedError, match="kms:CreateGrant and kms:DescribeKey") as caught:
            create(Aws(session), kms_key="alias/images")
        assert "the key's policy" in caught.value.hint

    def test_a_disabled_kms_key_is_no_question_of_rights(self, session, parcel):
        session.refuses("s3", "put_object", "KMS.DisabledException", "key/k is disabled.")
        with pytest.raises(AwsError, match=r"KMS key cannot be used: KMS\.DisabledException: key/k is disabled") as no:
            upload(Aws(session), parcel, kms_key="k")
        assert not isinstance(no.value, AccessDeniedError)


class TestNoAnswer:
    def test_an_unreachable_known_region_points_at_the_network(self):
        error = boto_errors.EndpointConnectionError(endpoint_url="https://api.ecr.us-east-1.amazonaws.com/")
        with pytest.raises(AwsError, match=r"no answer from AWS: Could not connect to the endpoint URL") as caught:
            create(Aws(BrokenSession(error)))
        assert caught.value.hint == "region us-east-1 exists: check network, proxy, VPC endpoints and AWS_ENDPOINT_URL"

    def test_an_unreachable_unknown_region_proposes_near_ones(self):
        error = boto_errors.EndpointConnectionError(endpoint_url="https://api.ecr.us-esat-1.amazonaws.com/")
        with pytest.raises(AwsError) as caught:
            create(Aws(BrokenSession(error)), region="us-esat-1")
        assert "boto3 knows no region 'us-esat-1' in the partitions aws, aws-cn" in caught.value.hint
        assert "did you mean us-west-1 or us-east-1?" in caught.value.hint

    @pytest.mark.parametrize("region", ["not a region", "us east 1"])
    def test_a_region_that_is_none_is_a_clear_error(self, session, region):
        with pytest.raises(AwsError, match=f"there is no address for ecr in region '{region}'") as caught:
            create(Aws(session), region=region)
        assert "boto3 knows no region" in caught.value.hint

    def test_an_endpoint_without_a_scheme_is_a_clear_error(self, session, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost:5000")
        with pytest.raises(AwsError, match="Invalid endpoint: localhost:5000"):
            Aws(session).account_id()

    @pytest.mark.parametrize(
        "error",
        [
            boto_errors.ConnectTimeoutError(endpoint_url="https://x"),
            boto_errors.ReadTimeoutError(endpoint_url="https://x"),
            boto_errors.ProxyConnectionError(proxy_url="http://proxy:3128"),
            ResponseParserError("Unable to parse response, invalid XML received"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_an_object_that_nobody_could_be_asked_about_is_not_missing(self, error):
        with pytest.raises(AwsError, match="s3:GetObject and s3:ListBucket on s3://bucket/key in us-east-1: no answer"):
            Aws(BrokenSession(error)).exists("bucket", "key", expected_owner=None)

    def test_a_replaced_certificate_points_at_the_ca_bundle(self):
        error = boto_errors.SSLError(endpoint_url="https://x", error="self-signed certificate in certificate chain")
        with pytest.raises(AwsError, match="certificate was refused") as caught:
            Aws(BrokenSession(error)).account_id()
        assert "AWS_CA_BUNDLE" in caught.value.hint

    @pytest.mark.parametrize("code", ["ThrottlingException", "TooManyRequestsException", "SlowDown"])
    def test_throttling_says_that_it_was_retried(self, session, code):
        session.refuses("ecr", "describe_repositories", code, "Rate exceeded")
        with pytest.raises(AwsError, match=f"limits the rate of requests, also after retries .{code}: Rate exceeded"):
            create(Aws(session))

    def test_no_region_anywhere_says_where_to_set_one(self):
        aws = Aws(boto3.Session())
        for question in (lambda: aws.region, aws.account_id, lambda: aws.exists("b", "k", expected_owner=None)):
            with pytest.raises(SettingsError, match="no AWS region is configured") as caught:
                question()
            assert "AWS_DEFAULT_REGION" in caught.value.hint


class TestOtherRefusals:
    def test_a_missing_bucket_is_named(self, session, parcel):
        session.refuses("s3", "put_object", "NoSuchBucket", "The specified bucket does not exist")
        with pytest.raises(AwsError, match=r"there is no bucket for s3://bucket/code/sourcedir\.tar\.gz") as caught:
            upload(Aws(session), parcel)
        assert caught.value.hint == "check the bucket's name, or create it"

    def test_a_bare_400_of_a_head_says_that_s3_gives_no_reason(self, session):
        session.refuses("s3", "head_object", "400", "Bad Request")
        with pytest.raises(AwsError, match="400: Bad Request") as caught:
            Aws(session).exists("bucket", "key", expected_owner=None)
        assert "credentials have expired" in caught.value.hint

    def test_a_full_registry_points_at_the_quota(self, session):
        session.refuses("ecr", "describe_repositories", "RepositoryNotFoundException")
        session.refuses("ecr", "create_repository", "LimitExceededException", "The maximum number is reached")
        with pytest.raises(AwsError, match="LimitExceededException: The maximum number is reached") as caught:
            create(Aws(session))
        assert "quota" in caught.value.hint

    def test_an_error_nobody_foresaw_has_code_text_and_request(self, session):
        session.refuses("ecr", "describe_repositories", "ServerException", "Ouch")
        with pytest.raises(AwsError, match="failed: ServerException: Ouch") as caught:
            create(Aws(session))
        assert caught.value.hint == "quote request r-1 to AWS support"

    def test_a_bucket_name_that_cannot_be_is_an_aws_error(self):
        never_sent = BrokenSession(AssertionError("it was sent"))
        with pytest.raises(AwsError, match="Invalid bucket name"):
            Aws(never_sent).exists("not a bucket", "key", expected_owner=None)


class TestRepository:
    def test_losing_the_race_to_create_it_is_fine(self, session):
        session.refuses("ecr", "describe_repositories", "RepositoryNotFoundException", repositoryNames=[REPOSITORY])
        session.refuses("ecr", "create_repository", "RepositoryAlreadyExistsException", "already exists")
        assert create(Aws(session)) is False

    def test_one_that_is_there_and_mutable_is_used_and_mentioned(self, session, caplog):
        caplog.set_level(logging.INFO, logger="sagemaker_custom")
        found = {"repositories": [{"repositoryName": REPOSITORY, "imageTagMutability": "MUTABLE"}]}
        session.answers("ecr", "describe_repositories", found)
        assert create(Aws(session)) is False
        assert f"ECR repository {REPOSITORY} in us-east-1 lets tags be overwritten" in caplog.text

    def test_one_that_is_there_and_immutable_is_not_worth_a_word(self, session, caplog):
        caplog.set_level(logging.INFO, logger="sagemaker_custom")
        found = {"repositories": [{"repositoryName": REPOSITORY, "imageTagMutability": "IMMUTABLE"}]}
        session.answers("ecr", "describe_repositories", found)
        assert create(Aws(session)) is False
        assert not caplog.records

    def test_another_accounts_registry_is_named_in_both_requests(self, session):
        session.refuses(
            "ecr",
            "describe_repositories",
            "RepositoryNotFoundException",
            repositoryNames=[REPOSITORY],
            registryId="210987654321",
        )
        session.answers(
            "ecr",
            "create_repository",
            {"repository": {}},
            repositoryName=REPOSITORY,
            registryId="210987654321",
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "KMS", "kmsKey": "alias/images"},
        )
        assert create(Aws(session), account="210987654321", kms_key="alias/images") is True

    def test_a_tag_that_ecr_keeps_is_an_error_and_not_missing(self, session):
        failures = [{"failureCode": "ImageReferencedByManifestList", "failureReason": "listed by sha256:1"}]
        session.answers("ecr", "batch_delete_image", {"failures": failures})
        with pytest.raises(AwsError, match=f"{REPOSITORY}:old in us-east-1 was not removed: ImageReferencedBy.*listed"):
            Aws(session).remove_tag(REPOSITORY, "old", region="us-east-1", account=None)


class TestRegistryCredentials:
    def test_they_are_asked_once_for_all_accounts_of_a_region_until_half_an_hour_before_the_end(self, session):
        now = [NOON]
        aws = Aws(session, clock=lambda: now[0])
        session.answers("ecr", "get_authorization_token", token("one", NOON + timedelta(hours=12)))
        session.answers("ecr", "get_authorization_token", token("two", NOON + timedelta(hours=24)))

        first = aws.registry_credentials(account=ACCOUNT, region="us-east-1")
        now[0] += timedelta(hours=11, minutes=29)
        later = aws.registry_credentials(account="763104351884", region="us-east-1")
        assert (first.username, first.password) == ("AWS", "one")
        assert later == first

        now[0] += timedelta(minutes=1)
        assert aws.registry_credentials(account=ACCOUNT, region="us-east-1").password == "two"

    def test_each_region_is_asked_itself(self, session):
        session.answers("ecr", "get_authorization_token", token("one", NOON + timedelta(hours=12)))
        aws = Aws(session, clock=lambda: NOON)
        for region in ("us-east-1", "eu-west-1", "us-east-1"):
            aws.registry_credentials(account=ACCOUNT, region=region)
        assert [(service, region) for service, region, _ in session.asked] == [
            ("ecr", "us-east-1"),
            ("ecr", "eu-west-1"),
        ]

    def test_a_password_with_colons_stays_whole_and_out_of_repr(self, session):
        session.answers("ecr", "get_authorization_token", token("a:b:c", NOON + timedelta(hours=12)))
        aws = Aws(session, clock=lambda: NOON)
        found = aws.registry_credentials(account=ACCOUNT, region="us-east-1")
        assert found.password == "a:b:c"
        assert "a:b:c" not in repr(found) + repr(aws)


class TestObjects:
    def test_a_missing_object_is_none(self, session):
        session.refuses("s3", "head_object", "404", "Not Found")
        assert Aws(session).exists("bucket", "key", expected_owner=None) is None

    def test_the_owner_is_checked_by_s3(self, session):
        session.answers(
            "s3", "head_object", {"ContentLength": 3}, Bucket="bucket", Key="key", ExpectedBucketOwner=ACCOUNT
        )
        assert Aws(session).exists("bucket", "key", expected_owner=ACCOUNT).size == 3

    @pytest.mark.parametrize(
        ("wish", "sent"),
        [
            ({}, {}),
            ({"encrypt": True}, {"ServerSideEncryption": "aws:kms"}),
            ({"kms_key": "k"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}),
            ({"kms_key": "k", "encrypt": True}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}),
            ({"expected_owner": ACCOUNT}, {"ExpectedBucketOwner": ACCOUNT}),
        ],
        ids=["plain", "default key", "own key", "own key wins", "owner"],
    )
    def test_an_upload_is_encrypted_as_the_sagemaker_sdk_would(self, session, parcel, wish, sent):
        session.answers(
            "s3",
            "put_object",
            {},
            Bucket="bucket",
            Key="code/sourcedir.tar.gz",
            Body=ANY,
            ChecksumAlgorithm=ANY,
            **sent,
        )
        upload(Aws(session), parcel, **wish)


class TestClients:
    def test_they_retry_and_say_who_asks(self, session):
        session.answers("sts", "get_caller_identity", {"Account": ACCOUNT})
        aws = Aws(session)
        assert (aws.account_id(), aws.account_id()) == (ACCOUNT, ACCOUNT)
        (service, region, config) = session.asked[0]
        assert (service, region, len(session.asked)) == ("sts", "us-east-1", 1)
        assert config.retries == {"mode": "standard", "total_max_attempts": 5}
        assert config.user_agent_extra.startswith("sagemaker-custom/")

    def test_sts_is_asked_in_the_region_so_that_china_works(self):
        session = StubbedSession("cn-northwest-1").answers("sts", "get_caller_identity", {"Account": "1"})
        aws = Aws(session)
        aws.account_id()
        client = aws._connection.client("sts", "cn-northwest-1")
        assert client.meta.endpoint_url == "https://sts.cn-northwest-1.amazonaws.com.cn"

    def test_an_explicit_region_wins_over_the_sessions(self, session):
        assert Aws(session, region="eu-central-1").region == "eu-central-1"

    def test_a_ready_made_s3_client_is_used(self, session):
        ready = StubbedSession("eu-west-1").answers("s3", "head_object", {"ContentLength": 5})
        aws = Aws(session, s3_client=ready.client("s3", "eu-west-1"))
        assert aws.exists("bucket", "key", expected_owner=None).size == 5
        assert session.asked == []
