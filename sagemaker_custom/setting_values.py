"""What a file or a variable says → the value of a setting; a TypeError or ValueError says what it has to be."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sagemaker_custom.errors import SettingsError

_KEYRING = ("disabled", "subprocess")
# As CodeArtifact names them.
_CODEARTIFACT = re.compile(r"[a-z][a-z0-9-]{0,48}[a-z0-9]/[A-Za-z0-9][A-Za-z0-9._-]{1,99}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryEndpoint:
    """Send what is meant for one registry host to another address: a proxy registry, or the sandbox's."""

    pattern: str
    """Shell-style pattern over host names, for example ``*.dkr.ecr.*.amazonaws.com``."""
    url: str
    """``https://host[:port][/path prefix]``; ``http://`` only for a registry that you know to be without TLS."""

    def __post_init__(self) -> None:
        """Refuse what would be shown wherever the address is.

        Raises:
            SettingsError: The address holds credentials.
        """
        check_address(self.url)

    def matches(self, host: str) -> bool:
        """Tell whether ``host`` is one of those that go to this endpoint."""
        return fnmatchcase(host, self.pattern)


def is_file(path: Path) -> bool:
    """Tell whether there is such a file; a name that the system does not take is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_text(value: object) -> str:
    """Return a text; a number is one, too."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise TypeError("it has to be a text")


def read_scan(value: object) -> str:
    """Return what is done with scans; an ``off`` without quotes is a no in YAML."""
    return "off" if value is False else read_text(value)


def read_flag(value: object) -> bool:
    """Return a yes or no."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError("it has to be true or false")
    return words[word]


def read_texts(value: object) -> tuple[str, ...]:
    """Return a list, which a variable writes with spaces."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, list):
        return tuple(read_text(item) for item in value)
    raise TypeError("it has to be a list, or words with spaces between them")


def read_locations(value: object) -> tuple[str, ...]:
    """Return folders and ``s3://`` prefixes, which a variable writes as ``PATH`` is written."""
    if isinstance(value, str):
        parts = re.split(rf"{re.escape(os.pathsep)}(?!//)", value)
        return tuple(part.strip() for part in parts if part.strip())
    return read_texts(value)


def read_number(value: object) -> float:
    """Return a number of seconds."""
    number = float(str(value))
    if not (math.isfinite(number) and number > 0):
        raise ValueError("it has to be a number of seconds above 0")
    return number


def read_count(value: object) -> int:
    """Return a number of times."""
    number = int(str(value))
    if number < 1:
        raise ValueError("it has to be at least 1")
    return number


def read_endpoints(value: object) -> tuple[RegistryEndpoint, ...]:
    """Return registry hosts and their addresses, which a variable writes as words ``PATTERN=URL``."""
    pairs = dict(item.partition("=")[::2] for item in value.split()) if isinstance(value, str) else value
    if not isinstance(pairs, dict):
        raise TypeError("it has to map host patterns to URLs")
    endpoints = tuple(RegistryEndpoint(pattern=str(host), url=str(url)) for host, url in pairs.items())
    for endpoint in endpoints:
        if not endpoint.url.startswith(("http://", "https://")):
            raise ValueError(f"{endpoint.url!r} has to begin with https:// or http://")
    return endpoints


def check_address(url: str) -> None:
    """Refuse the address of a registry that holds credentials.

    Raises:
        SettingsError: It does.
    """
    user, _, host = url.rpartition("://")[2].partition("/")[0].rpartition("@")
    if user:
        raise SettingsError(
            f"the address of the registry {host} holds credentials, which names and messages would show",
            hint=f"write it without them, and log in: docker login {host}",
        )


def check_indexes(keyring_provider: str, codeartifact: str | None, *, has_index_url: bool) -> None:
    """Refuse settings of package indexes that cannot work.

    Raises:
        SettingsError: One cannot, or two exclude each other.
    """
    if keyring_provider not in _KEYRING:
        raise SettingsError(
            f"pip_keyring_provider {keyring_provider!r} cannot be used", hint=f"write {' or '.join(_KEYRING)}"
        )
    if codeartifact is not None and not _CODEARTIFACT.fullmatch(codeartifact):
        raise SettingsError(f"codeartifact {codeartifact!r} cannot be used", hint="write DOMAIN/REPOSITORY")
    if codeartifact and has_index_url:
        raise SettingsError(
            "codeartifact and pip_index_url both say which index is asked first",
            hint="keep one of them; further indexes go to pip_extra_index_urls",
        )
