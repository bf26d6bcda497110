"""Image references → repositories that are there to take them, and tags that are gone again."""

from __future__ import annotations

from collections.abc import Callable

from sagemaker_custom.aws import Aws
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient
from sagemaker_custom.settings import Settings


class Repositories:
    """The repositories that images are put into.

    Args:
        settings: Say how new ones are, and where registries are reached.
        aws: Makes those of Amazon ECR.
        registry: Removes tags elsewhere.
    """

    def __init__(self, settings: Settings, *, aws: Callable[[], Aws], registry: Callable[[], RegistryClient]) -> None:
        self._settings = settings
        self._aws = aws
        self._registry = registry

    def ensure(self, reference: ImageReference) -> None:
        """Create the repository of ``reference`` unless it is there; registries besides ECR do so by themselves.

        Raises:
            AwsError: It could not be created.
        """
        if reference.ecr:
            self._aws().ensure_repository(
                reference.repository,
                region=reference.ecr.region,
                account=reference.ecr.account,
                kms_key=self._settings.repository_kms_key,
                scan_on_push=self._settings.scan_on_push,
            )

    def remove_tag(self, reference: ImageReference) -> None:
        """Remove a tag, where the registry can."""
        is_mapped = self._settings.endpoint_for(reference.registry or "") != f"https://{reference.registry}"
        if reference.ecr and not is_mapped:
            self._aws().remove_tag(
                reference.repository,
                reference.tag or "",
                region=reference.ecr.region,
                account=reference.ecr.account,
            )
        else:
            self._registry().remove_tag(reference)
