"""A reference under its true name → the reference at which the engine reaches it, and the credentials for there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sagemaker_custom.reference import ImageReference, RegistryCredentials


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoints:
    """Where registries are reached, and how to log in there."""

    endpoint_for: Callable[[str], str]
    """Host in a reference → ``https://host[:port][/path prefix]``."""
    credentials: Callable[[str], RegistryCredentials | None]
    """Host that is reached → credentials; ``None`` for what the engine's own configuration has."""

    def reached(self, reference: ImageReference) -> ImageReference:
        """Return ``reference`` as it has to be pulled or pushed."""
        if reference.registry is None:
            return reference
        parts = urlsplit(self.endpoint_for(reference.registry))
        prefix = parts.path.strip("/")
        repository = f"{prefix}/{reference.repository}" if prefix else reference.repository
        return replace(reference, registry=parts.netloc, repository=repository)

    def login(self, reached: ImageReference) -> RegistryCredentials | None:
        """Return the credentials for a reference that :meth:`reached` made."""
        return self.credentials(reached.registry) if reached.registry else None
