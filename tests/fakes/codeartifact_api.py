"""CodeArtifact in this process: requests as botocore sends them, answers as AWS gives them; moto does not have it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.awsrequest import AWSResponse

DOMAIN_OWNER = "123456789012"
_TOKEN, _ENDPOINT = "/v1/authorization-token", "/v1/repository/endpoint"


@dataclass
class CodeArtifactApi:
    """Answers for one domain with one repository.

    Args:
        endpoint: Of the repository, as the service gives it: with a slash at its end.
        token: That it gives.
    """

    endpoint: str
    token: str
    domain: str = "company"
    repository: str = "packages"
    calls: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Region, and what was asked with."""
    failure: tuple[int, str] | None = None
    """Status and code of every answer."""

    def listen(self, session: boto3.Session) -> None:
        """Answer the requests of a session."""
        session.events.register_first("before-send.codeartifact.*", self._answer)

    def session(self, region: str = "us-east-1") -> boto3.Session:
        """Return a session whose requests to this service come here."""
        session = boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name=region)
        self.listen(session)
        return session

    def _answer(self, request, **kwargs):
        parts = urlsplit(request.url)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.calls[f"{request.method} {parts.path}"] += 1
        self.asked.append((parts.hostname.split(".")[1], asked))
        if self.failure:
            return _response(request, self.failure[0], {"message": "told to"}, self.failure[1])
        if asked["domain"] != self.domain or asked.get("repository", self.repository) != self.repository:
            return _response(request, 404, {"message": "no such repository"}, "ResourceNotFoundException")
        if parts.path == _TOKEN and request.method == "POST":
            return _response(request, 200, {"authorizationToken": self.token, "expiration": 1_900_000_000})
        assert (parts.path, request.method, asked["format"]) == (_ENDPOINT, "GET", "pypi")
        return _response(request, 200, {"repositoryEndpoint": self.endpoint})


class _Body(io.BytesIO):
    def stream(self, **kwargs) -> Iterator[bytes]:
        del kwargs
        yield self.read()


def _response(request, status, document, error="") -> AWSResponse:
    headers = {"Content-Type": "application/json", "x-amzn-RequestId": "request-1", "x-amzn-ErrorType": error}
    return AWSResponse(request.url, status, headers, _Body(json.dumps(document).encode()))
