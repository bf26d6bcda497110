"""A text like ``host/repository:tag@sha256:…`` → :class:`ImageReference`, and back."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import NewType

from sagemaker_custom.errors import InvalidReferenceError

Digest = NewType("Digest", str)
"""``sha256:`` and 64 lower-case hexadecimal digits."""

# The grammar of the OCI distribution specification (repository names and tags).
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?:[A-Za-z0-9]+(?:[.-]+[A-Za-z0-9]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ECR_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z]+-[a-z0-9-]+-[0-9]+)\."
    # The suffixes of AWS's partitions and no others: whatever a host of these names is sent ECR's token.
    r"(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov"
    r"|on\.aws|on\.amazonwebservices\.(?:com\.cn|eu))"
)


def parse_digest(text: str) -> Digest:
    """Check a digest.

    Raises:
        InvalidReferenceError: It is not ``sha256:`` and 64 hexadecimal digits.
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidReferenceError(
            f"{text!r} is not a digest", hint="a digest is 'sha256:' followed by 64 lower-case hexadecimal digits"
        )
    return Digest(text)


def digest_of(content: bytes) -> Digest:
    """Return the sha256 digest of ``content``."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryCredentials:
    """User name and password for one registry host; the password stays out of ``repr``."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class EcrHost:
    """What the host name of a private Amazon ECR registry says."""

    account: str
    """Twelve digits: whose registry it is."""
    region: str
    """For example ``cn-northwest-1``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageReference:
    """Where an image is: ``[registry/]repository[:tag][@digest]``."""

    repository: str
    """Path within the registry, for example ``sagemaker-custom-pytorch``."""
    registry: str | None = None
    """Host, with port where it is not the usual one; ``None`` for an image of the local Docker Engine."""
    tag: str | None = None
    """At most 128 characters of ``A-Z a-z 0-9 _ . -``."""
    digest: Digest | None = None
    """Of the manifest."""

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Read a reference as ``docker`` would, but without guessing a default registry or tag.

        Args:
            text: For example ``123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-x:1.0``.

        Raises:
            InvalidReferenceError: ``text`` is not a reference.
        """
        rest, _, digest = text.partition("@")
        head, slash, tail = rest.partition("/")
        is_host = bool(slash) and ("." in head or ":" in head or head == "localhost")
        registry, path = (head, tail) if is_host else (None, rest)
        repository, _, tag = path.partition(":")
        is_valid = _REPOSITORY.fullmatch(repository) and (registry is None or _HOST.fullmatch(registry))
        if not is_valid or (":" in path and not _TAG.fullmatch(tag)):
            raise InvalidReferenceError(
                f"{text!r} is not an image reference", hint="write [host/]repository[:tag][@sha256:…], in lower case"
            )
        return cls(
            registry=registry,
            repository=repository,
            tag=tag or None,
            digest=parse_digest(digest) if "@" in text else None,
        )

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads back."""
        return "".join(
            [
                f"{self.registry}/" if self.registry else "",
                self.repository,
                f":{self.tag}" if self.tag else "",
                f"@{self.digest}" if self.digest else "",
            ]
        )

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return str(replace(self, tag=None, digest=None))

    @property
    def ecr(self) -> EcrHost | None:
        """Account and region, when the registry is a private Amazon ECR."""
        match = _ECR_HOST.fullmatch(self.registry or "")
        return EcrHost(account=match["account"], region=match["region"]) if match else None

    @property
    def locator(self) -> str:
        """What the distribution API is asked by: the digest where there is one, else the tag.

        Raises:
            InvalidReferenceError: The reference has neither.
        """
        if self.digest or self.tag:
            return self.digest or self.tag or ""
        raise InvalidReferenceError(f"{self} has neither a tag nor a digest", hint="add ':tag' or '@sha256:…'")

    def with_tag(self, tag: str) -> ImageReference:
        """Return the same repository with ``tag`` and without a digest.

        Raises:
            InvalidReferenceError: ``tag`` has a character that tags may not have, or over 128 of them.
        """
        if not _TAG.fullmatch(tag):
            raise InvalidReferenceError(f"{tag!r} is not a tag", hint="use at most 128 of A-Z a-z 0-9 _ . -")
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> ImageReference:
        """Return the same reference, pinned to ``digest``."""
        return replace(self, digest=digest)
