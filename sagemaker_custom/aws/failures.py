"""An exception of boto and the call that met it → one of our errors: what failed, and what to do next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from sagemaker_custom.errors import AccessDeniedError, AwsError, CredentialsError, SageMakerCustomError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

BOTO_ERRORS = (ClientError, BotoCoreError, Boto3Error, ResponseParserError)
"""All that boto's clients and sessions raise, apart from the mistakes of whoever calls them."""

REGION_HINT = "set AWS_DEFAULT_REGION or SAGEMAKER_CUSTOM_REGION, or run `aws configure`"

_CREDENTIALS_HINT = (
    "run `aws configure` or `aws sso login`, or name a profile in AWS_PROFILE;"
    " or use instance_type='local', which needs no AWS account"
)

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN_CALLER = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RegionDisabledException",
    "UnrecognizedClientException",
}
_BAD_SIGNATURE = {"IncompleteSignature", "InvalidSignatureException", "RequestTimeTooSkewed", "SignatureDoesNotMatch"}
_NO_REASON = {"400", "403"}
"""What stands for a code where an answer has no body: that to a HEAD."""
_MOST_SKEW_MINUTES = 5
_ELSEWHERE = {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_DENIED = {"403", "AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden", "UnauthorizedOperation"}
_LATER = {
    "429",
    "503",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
# By name: some of these classes are younger than the oldest botocore that is supported.
_NO_CREDENTIALS = {
    "ConfigParseError",
    "CredentialRetrievalError",
    "InvalidConfigError",
    "LoginError",
    "MetadataRetrievalError",
    "MissingDependencyException",
    "NoAuthTokenError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "ProfileNotFound",
    "RefreshWithMFAUnsupportedError",
    "SSOError",
    "TokenRetrievalError",
    "UnknownCredentialError",
}
# A page of a proxy, in place of an answer of AWS, cannot be parsed.
_NO_ANSWER = {"ConnectionError", "HTTPClientError", "ResponseParserError"}

_DENIAL = re.compile(
    r"User: (?P<caller>\S+) is not authorized to perform: (?P<action>[\w:-]+)"
    r"(?: on resource: \"?(?P<resource>[^\s\"]+)\"?)?(?:.*?(?: because | (?=with an explicit deny))(?P<reason>.+))?",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What an error has to say about the request that failed."""

    action: str
    """IAM action that the caller needs, or more than one."""
    resource: str
    """What it was about, as a person would say it."""
    region: str
    """Where it was sent."""
    denied_hint: str | None = None
    """What to do when the caller may not; default: have the action allowed."""

    def __str__(self) -> str:
        """Return what stands in front of a message."""
        return f"{self.action} on {self.resource} in {self.region}"


def code_of(error: Exception) -> str:
    """Return the error code of an answer, or nothing where there was no answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def failure_of(
    error: Exception, call: Call, place_hint: Callable[[str], str], *, now: datetime | None = None
) -> SageMakerCustomError:
    """Translate an exception of boto.

    Args:
        error: One of :data:`BOTO_ERRORS`.
        call: What was asked.
        place_hint: What to do when nothing answers in a region.
        now: By this machine's clock; default: it is not looked at.
    """
    if isinstance(error, ClientError):
        return _refusal(error, call, now)
    names = {ancestor.__name__ for ancestor in type(error).__mro__}
    if "NoRegionError" in names:
        return SettingsError("no AWS region is configured", hint=REGION_HINT)
    if names & _NO_CREDENTIALS:
        return CredentialsError(f"there are no usable AWS credentials for {call}: {error}", hint=_CREDENTIALS_HINT)
    if "SSLError" in names:
        return AwsError(
            f"{call}: the TLS certificate was refused: {error}",
            hint="name your company's CA bundle in AWS_CA_BUNDLE, if a proxy replaces certificates",
        )
    if names & _NO_ANSWER:
        return AwsError(f"{call}: no answer from AWS: {error}", hint=place_hint(call.region))
    return AwsError(f"{call} failed: {error}", hint="check the arguments named in the message")


def _refusal(error: ClientError, call: Call, now: datetime | None) -> AwsError:
    code, text = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    if "kms" in code.lower():
        return _kms_refusal(error, code, text, call)
    if code in _EXPIRED:
        return CredentialsError(f"the AWS credentials have expired ({code} at {call})", hint=_CREDENTIALS_HINT)
    if code in _UNKNOWN_CALLER:
        return CredentialsError(
            f"AWS does not know these credentials ({code} at {call})",
            hint=f"is {call.region} enabled for this account, and of the same partition (AWS, China, GovCloud)?"
            f" else {_CREDENTIALS_HINT}",
        )
    skew = _skew(error, now)
    if code in _BAD_SIGNATURE or (code in _NO_REASON and skew):
        # Without AWS's text: it repeats the signed request, session token included.
        said = f"; this machine's clock is {skew} that of AWS" if skew else ""
        return CredentialsError(
            f"AWS refuses the signature of the request ({code} at {call}){said}",
            hint=f"set this machine's clock, which may differ by 5 minutes at most; else {_CREDENTIALS_HINT}",
        )
    if code in _DENIED:
        return _denial(text, call)
    return AwsError(_message(code, text, call), hint=_hint(error, code))


def _skew(error: ClientError, now: datetime | None) -> str:
    """Say how far this clock is ahead of AWS's, or behind; nothing where that is not too far, or not known."""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        theirs = parsedate_to_datetime(headers.get("date", ""))
        minutes = round((now - theirs).total_seconds() / 60) if now else 0
    except (TypeError, ValueError):
        return ""
    direction = "ahead of" if minutes > 0 else "behind"
    return f"{abs(minutes)} minutes {direction}" if abs(minutes) >= _MOST_SKEW_MINUTES else ""


def _message(code: str, text: str, call: Call) -> str:
    if code in _LATER:
        return f"{call}: AWS limits the rate of requests, also after retries ({code}: {text})"
    if code == "NoSuchBucket":
        return f"there is no bucket for {call.resource}: {text}"
    return f"{call} failed: {code}: {text}"


def _hint(error: ClientError, code: str) -> str:
    if code in _LATER:
        return "try again in a minute, and start fewer jobs at the same time"
    if code == "NoSuchBucket":
        return "check the bucket's name, or create it"
    if code in _ELSEWHERE:
        return "the bucket is in another region: set AWS_DEFAULT_REGION to that one, or name a bucket of this region"
    if code == "LimitExceededException":
        return "remove what is no longer used, or have the quota raised in Service Quotas"
    if code == "400":
        # The answer to a HEAD has no body, so not even S3 can say more here.
        return "S3 gives no reason for this; mostly the credentials have expired: run `aws sts get-caller-identity`"
    return f"quote request {error.response.get('ResponseMetadata', {}).get('RequestId', '?')} to AWS support"


def _denial(text: str, call: Call) -> AccessDeniedError:
    said = _DENIAL.search(text)
    caller = said["caller"] if said else "the caller"
    action = said["action"] if said else call.action
    resource = (said["resource"] if said else None) or call.resource
    reason = said["reason"] if said else None
    return AccessDeniedError(
        f"access denied: {caller} may not {action} on {resource} in {call.region}" + (f": {reason}" if reason else ""),
        hint=call.denied_hint or f"have {action} allowed for this identity",
    )


def _kms_refusal(error: ClientError, code: str, text: str, call: Call) -> AwsError:
    reason = f"{error.response.get('kmsError', code)}: {text}"
    if "AccessDenied" not in reason and "not authorized" not in reason:
        return AwsError(
            f"{call}: the KMS key cannot be used: {reason}",
            hint="the key has to be enabled, symmetric, and in the same region",
        )
    actions = "kms:CreateGrant and kms:DescribeKey" if call.action.startswith("ecr:") else "kms:GenerateDataKey"
    return AccessDeniedError(
        f"access denied: the caller may not {actions} on the KMS key of {call.resource} in {call.region}: {reason}",
        hint=f"have {actions} allowed, in the key's policy too",
    )
