"""A plan → its base image in the repository that the extended image goes to, brought there when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sagemaker_custom import oci
from sagemaker_custom.builders import failures
from sagemaker_custom.builders.append_interface import AppendableBase
from sagemaker_custom.errors import RegistryAccessDeniedError, RegistryError, TagConflictError, UsageError
from sagemaker_custom.extended_tags import LONGEST_TAG, mirrored_tag
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import Manifest, RegistryClient

_DIGEST_SHOWN = 12


class BaseLibrary:
    """Base images beside the extended ones, where their layers are shared without being sent again.

    Args:
        registry: Has both.
        ensure_repository: Creates the repository of a reference unless it is there.
        mirror: Brings an image from the one reference to the other for a platform, and returns where it is, with its
            digest.
    """

    def __init__(
        self,
        registry: RegistryClient,
        *,
        ensure_repository: Callable[[ImageReference], None],
        mirror: Callable[[ImageReference, ImageReference, str], ImageReference],
    ) -> None:
        self._registry = registry
        self._ensure_repository = ensure_repository
        self._mirror = mirror

    def bring(self, plan: BuildPlan) -> AppendableBase:
        """Return the base as its publisher has it now.

        Raises:
            BaseImageError: There is no such image, or it may not be read.
            RegistryError: It could not be brought.
        """
        published = self._published(plan)
        manifest = self._own(plan, published)
        if manifest is None:
            manifest = self._manifest(self._brought(plan, published))
        return self._base(plan, manifest, published)

    def find(self, plan: BuildPlan) -> AppendableBase | None:
        """Return the base as its publisher has it now; ``None`` where it would have to be brought first.

        Raises:
            BaseImageError: There is no such image, or it may not be read.
        """
        published = self._published(plan)
        manifest = self._own(plan, published)
        return self._base(plan, manifest, published) if manifest else None

    def bring_locked(self, plan: BuildPlan, digest: Digest) -> AppendableBase:
        """Return the base that a lock was made for, even when its publisher has another one by now.

        Raises:
            UsageError: It is not, and has never been, the base of the plan, as far as the repository tells.
        """
        for tag in _tags(plan, digest):
            if self._registry.find(plan.reference.with_tag(tag)) == digest:
                return self._base(plan, self._manifest(_by_digest(plan.reference, digest)), None)
        base = self.bring(plan)
        if base.reference.digest != digest:
            raise UsageError(
                f"the lock was made for the base {digest}, and {plan.base.repository}:{plan.base.tag} is "
                f"{base.reference.digest}",
                hint="it belongs to another image, or AWS has published this one anew: make a lock of an image that is "
                "built now, or mirror the base that it was made for",
            )
        return base

    def _own(self, plan: BuildPlan, published: Digest) -> Manifest | None:
        manifest = self._registry.manifest(_by_digest(plan.reference, published))
        # What is published in another form got another digest when it was brought.
        return manifest if manifest and manifest.media_type == oci.DOCKER_MANIFEST else None

    def _published(self, plan: BuildPlan) -> Digest:
        asked = plan.base_reference
        if asked.digest:
            return asked.digest
        try:
            digest = self._registry.find(asked)
        except RegistryAccessDeniedError as error:
            raise failures.base_denied(asked, error.message) from error
        if digest is None:
            raise failures.base_absent(asked)
        return digest

    def _brought(self, plan: BuildPlan, published: Digest) -> ImageReference:
        self._ensure_repository(plan.reference)
        source = plan.base_reference.with_digest(published)
        plain, dated = (plan.reference.with_tag(tag) for tag in _tags(plan, published))
        try:
            return self._mirror(source, plain, plan.base.platform)
        except TagConflictError:
            # It holds what AWS had published before; others may rely on that.
            return self._mirror(source, dated, plan.base.platform)

    def _manifest(self, reference: ImageReference) -> Manifest:
        manifest = self._registry.manifest(reference)
        if manifest is None:
            raise failures.base_absent(reference)
        return manifest

    def _base(self, plan: BuildPlan, manifest: Manifest, published: Digest | None) -> AppendableBase:
        reference = _by_digest(plan.reference, manifest.digest)
        name = f"{plan.base.repository}:{plan.base.tag}"
        parsed = oci.parse_manifest(manifest.media_type, manifest.content, name=name)
        # Refuses layers that SageMaker cannot read.
        oci.to_docker_schema2(parsed)
        if parsed.config.size > oci.MANIFEST_LIMIT:
            raise RegistryError(f"the config of {name} has {parsed.config.size} bytes")
        content = b"".join(self._registry.read_blob(reference, parsed.config.digest, size=parsed.config.size))
        return AppendableBase(
            reference=reference,
            published=published or manifest.digest,
            manifest=parsed,
            config=oci.parse_config(content, name=name),
        )


def _tags(plan: BuildPlan, digest: Digest) -> tuple[str, str]:
    """Return the tag of the mirrored base, and one for a later publication of it."""
    tag, ending = mirrored_tag(plan.base), f"-{digest.partition(':')[2][:_DIGEST_SHOWN]}"
    return tag, tag[: LONGEST_TAG - len(ending)] + ending


def _by_digest(reference: ImageReference, digest: Digest) -> ImageReference:
    return replace(reference, tag=None, digest=digest)
