"""A registry host → the credentials that ``docker login`` stored for it; and how docker itself names it."""

from __future__ import annotations

import logging

from sagemaker_custom.reference import ImageReference, RegistryCredentials

logger = logging.getLogger(__name__)


def docker_login(host: str) -> RegistryCredentials | None:
    """Return what opens the registry ``host``; ``None`` where nothing is stored, or it cannot be read."""
    from docker import auth, errors

    try:
        stored = auth.load_config().resolve_authconfig(host)
    except errors.DockerException as error:
        logger.warning("docker's stored credentials for %s cannot be read: %s", host, error)
        return None
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        # The SDK stumbles over a file of another shape; its words might quote what is in it.
        logger.warning("docker's stored credentials for %s cannot be read: %s", host, type(error).__name__)
        return None
    if not stored:
        return None
    if stored.get("IdentityToken"):
        return RegistryCredentials(username="<token>", password=str(stored["IdentityToken"]))
    return RegistryCredentials(username=stored.get("Username") or "", password=stored.get("Password") or "")


def as_docker_names_it(reference: ImageReference) -> ImageReference:
    """Return a reference as docker spells it: images of Docker Hub without a host."""
    from docker import auth

    if reference.registry is None or auth.resolve_index_name(reference.registry) != auth.INDEX_NAME:
        return reference
    path = reference.repository.removeprefix("library/")
    return ImageReference(repository=path, tag=reference.tag, digest=reference.digest)
