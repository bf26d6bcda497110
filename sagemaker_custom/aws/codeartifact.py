"""A repository of CodeArtifact → the URL of its package index, and a token that opens it for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sagemaker_custom.aws.connection import Connection
from sagemaker_custom.aws.failures import Call
from sagemaker_custom.errors import AwsError
from sagemaker_custom.plan import CodeArtifactRepository

USERNAME = "aws"
"""What CodeArtifact takes as user name with every token."""

# A build that has just got it still ends in time; CodeArtifact's own choice is twelve hours.
_TOKEN_S = 2 * 60 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRepository:
    """A package index, and what opens it."""

    index_url: str
    """Without credentials."""
    token: str = field(repr=False)


class CodeArtifact:
    """CodeArtifact in our own words; it raises what :class:`~sagemaker_custom.aws.Aws` does.

    Args:
        connection: Has the clients.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open(self, repository: CodeArtifactRepository) -> OpenRepository:
        """Return the URL of a repository, and a new token.

        Raises:
            AccessDeniedError: An IAM action is missing.
            AwsError: There is no such domain or repository.
        """
        domain = {"domain": repository.domain}
        if repository.domain_owner:
            domain["domainOwner"] = repository.domain_owner
        endpoint = self._ask(
            "codeartifact:GetRepositoryEndpoint",
            repository,
            lambda client: client.get_repository_endpoint(**domain, repository=repository.repository, format="pypi"),
        )
        grant = self._ask(
            "codeartifact:GetAuthorizationToken",
            repository,
            lambda client: client.get_authorization_token(**domain, durationSeconds=_TOKEN_S),
        )
        url = str(endpoint["repositoryEndpoint"]).rstrip("/")
        return OpenRepository(index_url=f"{url}/simple/", token=str(grant["authorizationToken"]))

    def _ask(self, action: str, repository: CodeArtifactRepository, request: Any) -> dict[str, Any]:
        call = Call(
            action=action,
            resource=f"{repository.domain}/{repository.repository}",
            region=repository.region,
            denied_hint=f"have {action} and sts:GetServiceBearerToken allowed for this identity: "
            "'sagemaker-custom iam ROUTE' prints the policy",
        )
        answer: dict[str, Any] | None = self._connection.ask(
            call,
            lambda: request(self._connection.client("codeartifact", repository.region)),
            absent=frozenset({"ResourceNotFoundException"}),
        )
        if answer is None:
            raise AwsError(
                f"CodeArtifact in {repository.region} has no repository {repository.domain}/{repository.repository}",
                hint="check the settings codeartifact, codeartifact_region and codeartifact_domain_owner",
            )
        return answer
