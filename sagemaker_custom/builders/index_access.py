"""Package indexes as configured → the same with credentials: of a netrc file, a keyring or CodeArtifact; asked late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from requests.utils import get_netrc_auth

from sagemaker_custom.builders.commands import output_of
from sagemaker_custom.builders.interface import ImageBuilder
from sagemaker_custom.errors import BuildError
from sagemaker_custom.plan import BuildPlan, CodeArtifactRepository, PipIndexes
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.spec import without_credentials

_KEYRING_TIMEOUT_S = 60.0
_CODEARTIFACT_USER = "aws"


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexCredentials:
    """What opens an index."""

    username: str = field(repr=False)
    password: str = field(repr=False)


class Keyring(Protocol):
    """Where people keep passwords."""

    def find(self, service: str, username: str | None) -> IndexCredentials | None:
        """Return what is kept for a URL or a host; ``None`` for nothing."""


class OpenedRepository(Protocol):
    """A repository of CodeArtifact, and what opens it."""

    @property
    def index_url(self) -> str:
        """Without credentials."""

    @property
    def token(self) -> str:
        """Opens it for a while."""


class NoKeyring:
    """Has nothing."""

    def find(self, service: str, username: str | None) -> IndexCredentials | None:
        """Return nothing."""
        del service, username
        return None


class KeyringCommand:
    """Asks the command ``keyring``, as pip's and uv's provider ``subprocess`` do.

    Args:
        environment: Of the command.
        program: Its name.
    """

    def __init__(self, environment: Mapping[str, str], program: str = "keyring") -> None:
        self._environment = dict(environment)
        self._program = program

    def find(self, service: str, username: str | None) -> IndexCredentials | None:
        """Return what is kept for a URL or a host; ``None`` for nothing.

        Raises:
            BuildError: The command is not there, or does not end.
        """
        if username:
            said = self._output("get", service, username)
            return IndexCredentials(username=username, password=said[0]) if said else None
        said = self._output("--mode", "creds", "get", service)
        return IndexCredentials(username=said[0], password=said[1]) if len(said) > 1 else None

    def _output(self, *arguments: str) -> list[str]:
        try:
            # Without input, so that it fails where it would ask.
            said = output_of([self._program, *arguments], environment=self._environment, timeout_s=_KEYRING_TIMEOUT_S)
        except OSError as error:
            raise BuildError(
                f"the command {self._program} cannot be run: {error.strerror}",
                hint="install keyring, or set pip_keyring_provider to disabled",
            ) from error
        except TimeoutError as error:
            raise BuildError(
                f"the command {self._program}: {error}", hint="unlock it, or set pip_keyring_provider to disabled"
            ) from error
        return (said or "").splitlines()


class IndexAccess:
    """Finds credentials: those of the URL first, then a netrc file's, then the keyring's.

    Args:
        netrc: Gives user name and password for a URL; ``None`` for none.
        keyring: Asked last.
        codeartifact: Opens a repository.
    """

    def __init__(
        self,
        *,
        codeartifact: Callable[[CodeArtifactRepository], OpenedRepository],
        keyring: Keyring,
        netrc: Callable[[str], tuple[str, str] | None] = get_netrc_auth,
    ) -> None:
        self._codeartifact = codeartifact
        self._keyring = keyring
        self._netrc = netrc
        self._known: dict[PipIndexes, PipIndexes] = {}

    def opened(self, indexes: PipIndexes) -> PipIndexes:
        """Return the same indexes, with credentials in their URLs; each is asked for once.

        Raises:
            AwsError: CodeArtifact does not give a token.
            BuildError: The keyring cannot be asked.
        """
        if indexes not in self._known:
            index_url = indexes.index_url
            if indexes.codeartifact is not None:
                found = self._codeartifact(indexes.codeartifact)
                index_url = _with(found.index_url, _CODEARTIFACT_USER, found.token)
            self._known[indexes] = replace(
                indexes,
                index_url=self._with_credentials(index_url) if index_url else None,
                extra_index_urls=tuple(map(self._with_credentials, indexes.extra_index_urls)),
            )
        return self._known[indexes]

    def _with_credentials(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.password or not parts.hostname:
            return url
        # A user name alone may be one that the others know the password of, or a token itself.
        kept = self._netrc(without_credentials(url))
        if kept and parts.username in (None, "", kept[0]):
            return _with(url, *kept)
        for service in (without_credentials(url), parts.netloc.rpartition("@")[2]):
            found = self._keyring.find(service, parts.username or None)
            if found:
                return _with(url, found.username, found.password)
        return url


class WithIndexAccess:
    """Builds by another builder, which gets the credentials of package indexes and no one before it.

    Args:
        builder: Does the work.
        access: Finds the credentials.
    """

    def __init__(self, builder: ImageBuilder, access: IndexAccess) -> None:
        self._builder = builder
        self._access = access

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build; see :meth:`ImageBuilder.build`."""
        return self._builder.build(opened(plan, self._access), fresh=fresh)


def opened(plan: BuildPlan, access: IndexAccess) -> BuildPlan:
    """Return ``plan`` with the credentials that its steps need; what it is called by stays as it is."""
    if not (plan.context or plan.needs_index):
        return plan
    return replace(plan, pip_indexes=access.opened(plan.pip_indexes))


def _with(url: str, username: str, password: str) -> str:
    parts = urlsplit(url)
    login = f"{quote(username, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))
