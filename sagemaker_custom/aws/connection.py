"""A boto3 session → clients, made when needed, whose failures are our errors."""

from __future__ import annotations

import difflib
import logging
from datetime import datetime, timezone
from threading import RLock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from sagemaker_custom._version import __version__
from sagemaker_custom.aws.failures import BOTO_ERRORS, REGION_HINT, Call, code_of, failure_of
from sagemaker_custom.errors import AwsError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

_ATTEMPTS = 5


class Connection:
    """The clients of one session; safe to share between threads.

    Args:
        session: Whose credentials are used.
        region: Default: the session's.
        timeout_s: Seconds without a byte after which an attempt is given up; default: boto's.
        attempts: How often a request is tried.
        clock: Now, with a time zone; compared with that of AWS where a request is refused without a reason.
    """

    def __init__(
        self,
        session: boto3.Session,
        *,
        region: str | None = None,
        timeout_s: float | None = None,
        attempts: int = _ATTEMPTS,
        clock: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._clock = clock
        self._session = session
        self._region = region
        self._attempts = attempts
        self._timeouts = Config(connect_timeout=timeout_s, read_timeout=timeout_s) if timeout_s else Config()
        # Creating a client is the one thing that boto3 sessions do not do thread-safely.
        self._lock = RLock()
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def region(self) -> str:
        """Where everything happens that is not told otherwise.

        Raises:
            SettingsError: Neither the session nor the caller said a region.
        """
        region = self._region or self._session.region_name
        if not region:
            raise SettingsError("no AWS region is configured", hint=REGION_HINT)
        return region

    def client(self, service: str, region: str) -> Any:
        """Return the client for a service in a region; one is made once.

        Raises:
            AwsError: boto3 can make no address of the region.
        """
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._new_client(service, region)
            return self._clients[service, region]

    def ask(self, call: Call, request: Callable[[], Any], *, absent: frozenset[str] = frozenset()) -> Any:
        """Send a request.

        Args:
            call: What an error says about it.
            request: Sends it; its client is best made in here too, since that looks for credentials already.
            absent: Error codes that mean "there is none".

        Returns:
            The answer, or ``None`` when its error code is one of ``absent``.

        Raises:
            CredentialsError: There are none, or AWS does not take them.
            AccessDeniedError: An IAM action is missing.
            AwsError: Anything else.
        """
        try:
            return request()
        except BOTO_ERRORS as error:
            if code_of(error) in absent:
                return None
            logger.debug("%s: %s %s", call, type(error).__name__, code_of(error))
            failure = failure_of(error, call, self._place_hint, now=self._clock())
        # Outside of "except", so that it does not chain boto's exception, whose text can hold a session token.
        raise failure

    def _new_client(self, service: str, region: str) -> Any:
        config = Config(
            retries={"mode": "standard", "total_max_attempts": self._attempts},
            user_agent_extra=f"sagemaker-custom/{__version__}",
        ).merge(self._timeouts)
        new_client: Callable[..., Any] = self._session.client
        try:
            return new_client(service, region_name=region, config=config)
        except ValueError as error:
            raise AwsError(
                f"there is no address for {service} in region {region!r}: {error}", hint=self._place_hint(region)
            ) from error

    def _place_hint(self, region: str) -> str:
        partitions = self._session.get_available_partitions()
        known = [name for partition in partitions for name in self._session.get_available_regions("ecr", partition)]
        if region in known:
            return f"region {region} exists: check network, proxy, VPC endpoints and AWS_ENDPOINT_URL"
        near = difflib.get_close_matches(region, known, n=2)
        return f"boto3 knows no region {region!r} in the partitions {', '.join(partitions)}: " + (
            f"did you mean {' or '.join(near)}?" if near else "check the name, or update boto3 if it is a new one"
        )


def open_session(*, profile: str | None = None, region: str | None = None) -> boto3.Session:
    """Open a boto3 session.

    Args:
        profile: Profile of the AWS configuration; default: ``AWS_PROFILE``, else ``default``.
        region: Default: what the profile or the environment says.

    Raises:
        CredentialsError: There is no such profile, or the AWS configuration cannot be read.
    """
    call = Call(action="opening a session", resource=f"profile {profile or 'default'}", region=region or "any region")
    try:
        return boto3.Session(profile_name=profile, region_name=region)
    except BOTO_ERRORS as error:
        failure = failure_of(error, call, str)
    raise failure
