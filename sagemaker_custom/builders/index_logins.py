"""URLs of package indexes → their credentials, as a netrc file and as texts that no log may show. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from sagemaker_custom.errors import BuildError

# Readers of netrc differ between Python versions in how they unquote; these characters are read alike by none.
_UNWRITABLE = re.compile(r"[\s\"\\]|[^ -~]")


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexLogin:
    """Credentials for one index host."""

    host: str
    username: str = field(repr=False)
    password: str = field(repr=False)
    raw: tuple[str, ...] = field(default=(), repr=False)
    """The same as the URL spells them."""


def logins(urls: Iterable[str]) -> tuple[IndexLogin, ...]:
    """Return the credentials in ``urls``, percent-decoded, one for each host.

    Raises:
        BuildError: Two URLs have different credentials for one host, which pip could not tell apart.
    """
    found: dict[str, IndexLogin] = {}
    for url in urls:
        parts = urlsplit(url)
        if not parts.hostname or not (parts.username or parts.password):
            continue
        raw = (parts.username or "", parts.password or "")
        login = IndexLogin(host=parts.hostname, username=unquote(raw[0]), password=unquote(raw[1]), raw=raw)
        if found.setdefault(login.host, login) != login:
            raise BuildError(
                f"two package indexes on {login.host} have different credentials",
                hint="use one account for both, or a host name for each, in pip_index_url and pip_extra_index_urls",
            )
    return tuple(found.values())


def secrets(entries: Iterable[IndexLogin]) -> tuple[str, ...]:
    """Return what must not be shown; a user name without a password is itself a token."""
    texts: set[str] = set()
    for login in entries:
        texts |= {login.password, login.raw[1]} if login.password else {login.username, login.raw[0]}
    return tuple(texts)


def netrc(entries: Iterable[IndexLogin]) -> str:
    """Return the text of a netrc file.

    Raises:
        BuildError: A user name or password cannot be written in one.
    """
    lines = []
    for login in entries:
        if _UNWRITABLE.search(login.username) or _UNWRITABLE.search(login.password):
            raise BuildError(
                f"the credentials for the package index on {login.host} hold a character that pip cannot be handed",
                hint="use ones without spaces, quotes, backslashes and letters outside ASCII",
            )
        # Older readers have no way to write an empty text; hosts that take a bare token ignore the password.
        lines.append(
            f"machine {login.host} login {login.username or chr(34) * 2} password {login.password or chr(34) * 2}"
        )
    return "\n".join(lines) + "\n" if lines else ""
