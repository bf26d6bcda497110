"""Nothing → moto's AWS on a loopback port, and boto sessions whose every request goes there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import boto3
import botocore.session
import requests
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

ACCOUNT = "123456789012"
"""The account moto answers for."""
_KEY_ID = "AKIASANDBOXSANDBOX00"
_TIMEOUT_S = 30
_SECRET = "sandbox"  # noqa: S105  # moto takes any


class SandboxAws:
    """An AWS with one account, without bills, that forgets all when the context ends."""

    _running = 0

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._url = ""

    def __enter__(self) -> SandboxAws:
        """Start moto's server, empty."""
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self._url = f"http://{host}:{port}"
        # moto keeps its state in this process: an earlier sandbox's is still there, and that of one still running is
        # shared with it.
        if not SandboxAws._running:
            with requests.Session() as session:
                session.trust_env = False
                session.post(f"{self._url}/moto-api/reset", timeout=_TIMEOUT_S).raise_for_status()
        SandboxAws._running += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the server."""
        SandboxAws._running -= 1
        self._server.stop()

    @property
    def url(self) -> str:
        """Where every service answers."""
        return self._url

    def environment(self, region: str = "us-east-1") -> dict[str, str]:
        """Return what lets other processes reach this AWS: endpoint, credentials and region by their usual names.

        Args:
            region: Of the clients that are made there.
        """
        return {
            "AWS_ENDPOINT_URL": self._url,
            "AWS_ACCESS_KEY_ID": _KEY_ID,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": region,
            "AWS_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The SDK v3 would ask IAM what a role may do, which moto cannot tell.
            "SAGEMAKER_VALIDATE_ROLE": "false",
        }

    def boto_session(self, region: str = "us-east-1") -> boto3.Session:
        """Return a session that cannot reach the real AWS, also through clients with an endpoint of their own.

        Args:
            region: Of the session's clients.
        """
        session = botocore.session.Session()
        # A proxy of the environment would not find a loopback address; {} is botocore's "no proxy at all".
        session.set_default_client_config(Config(proxies={}))
        session.register("before-send", self._redirect)
        session.register("after-call.sagemaker", _without_empty_members)
        return boto3.Session(
            aws_access_key_id=_KEY_ID,
            aws_secret_access_key=_SECRET,
            region_name=region,
            botocore_session=session,
        )

    def _redirect(self, **event: Any) -> None:
        request: AWSPreparedRequest = event["request"]
        asked, here = urlsplit(request.url), urlsplit(self._url)
        # moto finds the bucket of s3's virtual-host style in the Host header, so the asked host has to stay there.
        request.headers["Host"] = asked.netloc
        request.url = urlunsplit((here.scheme, here.netloc, asked.path, asked.query, asked.fragment))


def _without_empty_members(**event: Any) -> None:
    """Leave out what AWS leaves out: the SDK v3 refuses a network, or a capture of data, that has no members."""
    parsed: dict[str, Any] = event["parsed"]
    for name in [name for name, value in parsed.items() if value == {}]:
        del parsed[name]
