"""Settings, pip's configuration and a step → where packages are looked for, as uv's variables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.spec import without_credentials
from sagemaker_custom.wheels.pip_configuration import PipConfiguration

# They change what is chosen; how an index is reached (UV_INDEX_*, UV_KEYRING_PROVIDER, …) may come from outside.
_LEFT_OUT = frozenset({
    "UV_BUILD_CONSTRAINT",
    "UV_CONSTRAINT",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_FORK_STRATEGY",
    "UV_NO_BINARY",
    "UV_NO_BINARY_PACKAGE",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_RESOLUTION",
    "UV_TORCH_BACKEND",
    "VIRTUAL_ENV",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """User name and password for an index."""

    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where packages are looked for; may hold credentials, so they stay out of ``repr``."""

    index_url: str | None = field(default=None, repr=False)
    """``None`` for uv's default, which its own configuration may change."""
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    trusted_hosts: tuple[str, ...] = ()
    no_index: bool = False

    @classmethod
    def of(cls, step: PipStep, indexes: PipIndexes, pip: PipConfiguration) -> Sources:
        """Collect them as the docker builder does; where the settings name no index, pip's configuration counts."""
        configured = indexes.urls or step.index_url
        return cls(
            index_url=step.index_url or indexes.index_url or pip.index_url,
            extra_index_urls=(
                *step.extra_index_urls,
                *indexes.extra_index_urls,
                *(() if configured else pip.extra_index_urls),
            ),
            find_links=(*step.find_links, *(() if configured else pip.find_links)),
            trusted_hosts=pip.trusted_hosts,
            no_index=pip.no_index and not configured,
        )

    def index_of(self, url: str) -> str | None:
        """Return the index that ``url`` was found by, without credentials; ``None`` where several could be."""
        indexes = [*([self.index_url] if self.index_url else []), *self.extra_index_urls]
        if self.index_url and len(indexes) == 1 and not self.find_links:
            return without_credentials(self.index_url)
        on_its_host = [index for index in map(without_credentials, indexes) if _host(index) == _host(url)]
        return on_its_host[0] if len(on_its_host) == 1 else None

    def variables(self, environment: Mapping[str, str], ca_bundle: str | None) -> dict[str, str]:
        """Return uv's environment; credentials stand there, since everybody on a machine sees arguments.

        Args:
            environment: What else uv gets.
            ca_bundle: PEM file that it trusts.
        """
        variables = {name: value for name, value in environment.items() if name not in _LEFT_OUT}
        urls = [*([self.index_url] if self.index_url else []), *self.extra_index_urls]
        if urls:
            for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL"):
                variables.pop(name, None)
        if self.index_url:
            # uv asks its default index last; pip asks index_url first.
            variables.pop("UV_INDEX_URL", None)
            *first, variables["UV_DEFAULT_INDEX"] = urls
        else:
            first = urls
        if first:
            variables["UV_INDEX"] = " ".join(first)
        if self.find_links:
            variables["UV_FIND_LINKS"] = ",".join(map(_link, self.find_links))
        if self.trusted_hosts:
            variables["UV_INSECURE_HOST"] = " ".join(self.trusted_hosts)
        if ca_bundle:
            variables["SSL_CERT_FILE"] = ca_bundle
        return variables

    def login_for(self, url: str) -> Login | None:
        """Return what opens the host of ``url``, if it is one of these."""
        host = urlsplit(url).netloc
        for source in (self.index_url, *self.extra_index_urls, *self.find_links):
            parts = urlsplit(source or "")
            user, _, name = parts.netloc.rpartition("@")
            if user and name == host:
                return Login(username=unquote(parts.username or ""), password=unquote(parts.password or ""))
        return None

    def with_credentials(self, url: str) -> str:
        """Return ``url`` with the credentials of its host, as they are spelt here."""
        parts = urlsplit(url)
        for source in (self.index_url, *self.extra_index_urls, *self.find_links):
            user, _, name = urlsplit(source or "").netloc.rpartition("@")
            if user and name == parts.netloc:
                return urlunsplit(parts._replace(netloc=f"{user}@{name}"))
        return url


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _link(place: str) -> str:
    # The variable is a list with commas between.
    text = place if "://" in place else Path(place).expanduser().absolute().as_uri()
    return text.replace(",", "%2C")
