"""A resolution, and where the image shall be → :class:`BuildPlan`: target tag, fingerprint and the reason. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import lru_cache
from typing import Any, TypeAlias

from typing_extensions import assert_never

from sagemaker_custom.catalog import BaseImage, Partitions
from sagemaker_custom.dockerfile_folder import DockerContext
from sagemaker_custom.errors import ImageNotInCatalogError
from sagemaker_custom.extended_tags import extended_tag, mirrored_tag
from sagemaker_custom.own_images import OwnImage
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.requirements import extras_document
from sagemaker_custom.resolve import NeedsBuild, PipStep, Prebuilt, Resolution, Step, ToolkitStep, describe_extra
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import (
    ImageSpec,
    canonical_json,
    fingerprint,
    without_credentials,
)

LABEL_PREFIX = "sagemaker-custom."
_REMEMBERED = 4096
FINGERPRINT_LABEL = LABEL_PREFIX + "fingerprint"
"""The label that reuse verifies."""
EXTRAS_LABEL = LABEL_PREFIX + "extras"
"""What was asked for, so that the counterpart for inference can be made from the image alone."""
REPLACE_LABEL = LABEL_PREFIX + "replace"
"""Packages of the base that what was asked for may replace; only on images for which some were named."""
LOCK_LABEL = LABEL_PREFIX + "lock"
"""Names and versions of what the build installed, changed and removed."""
WHEELS_LABEL = LABEL_PREFIX + "wheels"
"""The very wheels that are in the image, with their hashes: what makes it again."""
BASE_DIGEST_LABEL = LABEL_PREFIX + "base-digest"
"""What the tag of the base meant when the image was built."""
BUILDER_LABEL = LABEL_PREFIX + "builder"
VERSION_LABEL = LABEL_PREFIX + "version"
"""Of this package."""
VERIFIED_LABEL = LABEL_PREFIX + "verified"
"""``run``: the image was started and its verify commands ran in it; ``static``: only its files were checked."""
STARTS_SCRIPTS_LABEL = LABEL_PREFIX + "starts-scripts"
"""Of training images that were started: ``yes``, or what the SDK v3 misses in it: ``lacks tar gzip``."""
STAND_IN_LABEL = LABEL_PREFIX + "stand-in"
"""Borne by the sandbox's substitutes for AWS's images, and by everything built on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTarget:
    """The image stays in the local Docker Engine, under a bare tag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryTarget:
    """The image goes to the private ECR registry of an account."""

    account: str


Target: TypeAlias = EngineTarget | RegistryTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorPolicy:
    """Whether base images are brought from another region to the account's own registry."""

    source_region: str | None = None
    """Where they are brought from; ``None`` to bring none."""
    when: str = "if-missing"
    """``if-missing``: those that AWS does not publish in the region of the job; ``always``: all."""

    def concerns(self, base: BaseImage, partitions: Partitions, region: str) -> bool:
        """Whether ``base`` has to be brought to ``region``."""
        if self.source_region in (None, region):
            return False
        return self.when == "always" or not partitions.publishes(base, region)


@dataclass(frozen=True, kw_only=True, slots=True)
class CodeArtifactRepository:
    """A repository of AWS CodeArtifact, whose URL and token are asked for when something is built."""

    domain: str
    repository: str
    region: str
    domain_owner: str | None = None
    """Account that the domain belongs to; ``None`` for the caller's."""

    def __str__(self) -> str:
        """Return what stands for its URL, where that is not known."""
        return f"codeartifact://{self.domain}/{self.repository}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PipIndexes:
    """Indexes that every pip step uses; may hold credentials, so they stay out of ``repr`` and of the image."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    codeartifact: CodeArtifactRepository | None = None
    """What ``index_url`` is the URL of, once that has been asked for."""

    def __repr__(self) -> str:
        """Return what may be shown."""
        return f"PipIndexes({self.public})"

    @property
    def urls(self) -> tuple[str, ...]:
        """All URLs, as configured."""
        return (*([self.index_url] if self.index_url else []), *self.extra_index_urls)

    @property
    def public(self) -> dict[str, Any]:
        """The same without credentials, as it enters the fingerprint."""
        extra_index_urls = [without_credentials(url) for url in self.extra_index_urls]
        if self.codeartifact is not None:
            return {"codeartifact": asdict(self.codeartifact), "extra_index_urls": extra_index_urls}
        return {
            "index_url": without_credentials(self.index_url) if self.index_url else None,
            "extra_index_urls": extra_index_urls,
        }


def indexes_of(settings: Settings, region: str) -> PipIndexes:
    """Return the indexes of the settings, for an image in ``region``."""
    codeartifact = None
    if settings.codeartifact:
        domain, _, repository = settings.codeartifact.partition("/")
        codeartifact = CodeArtifactRepository(
            domain=domain,
            repository=repository,
            region=settings.codeartifact_region or region,
            domain_owner=settings.codeartifact_domain_owner,
        )
    return PipIndexes(
        index_url=settings.pip_index_url, extra_index_urls=settings.pip_extra_index_urls, codeartifact=codeartifact
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedInstall:
    """What pip installs in place of all pip steps: each file by its hash, and nothing besides."""

    requirements: tuple[str, ...]
    """Lines of a requirements file, each with a version or URL and a hash."""
    replaced: tuple[str, ...] = ()
    """Packages of the base that get another version."""
    removed: tuple[str, ...] = ()
    """Packages of the base that vanish."""
    text: str
    """The lock that says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPlan:
    """What would be used or built, and why. Nothing was asked of any network to make it."""

    spec: ImageSpec
    base: BaseImage
    base_reference: ImageReference
    """Where the base is taken from: where AWS publishes it, or its mirror in the account's own registry."""
    mirror_of: ImageReference | None = None
    """What has to be brought to ``base_reference`` first, unless it is there already; ``None`` without a mirror."""
    reference: ImageReference
    """The image that is used: the base itself, or the extended image."""
    steps: tuple[Step, ...] = ()
    """Empty when the base is used as it is."""
    held: tuple[str, ...] = ()
    """Packages of the base that no step may change."""
    verify: tuple[str, ...] = ()
    pip_indexes: PipIndexes = PipIndexes()
    starts_script: bool = False
    """Whether it is wanted for a job of the SDK v3 with a script; no part of the fingerprint either."""
    locked: LockedInstall | None = None
    """How a lock is followed by a builder that runs pip; no part of the fingerprint (ADR 0024)."""
    fingerprint: str = ""
    """64 hexadecimal digits; empty when the base is used as it is."""
    own: OwnImage | None = None
    """The image of the user's own that ``base`` stands for; ``None`` for one of AWS's."""
    context: DockerContext | None = None
    """The folder that the base is built from first."""
    reason: str
    """Why it is this image, for people."""
    warnings: tuple[str, ...] = ()
    """What the user should know about it, a sentence each."""

    @property
    def needs_build(self) -> bool:
        """Whether somebody has to have built the image: it is extended, or made from a folder or a local image."""
        return bool(self.fingerprint)

    @property
    def needs_index(self) -> bool:
        """Whether a step of it installs from a package index."""
        return _needs_index(self.steps)

    @property
    def is_local(self) -> bool:
        """Whether the extended image stays in the local Docker Engine."""
        return self.reference.registry is None

    @property
    def document(self) -> dict[str, Any]:
        """What the fingerprint is taken of, and what the image's ``spec`` label holds."""
        return _document(self.base, self.steps, self.held, self.verify, self.pip_indexes, self.context)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the image that are known before it is built."""
        return {
            FINGERPRINT_LABEL: self.fingerprint,
            LABEL_PREFIX + "spec": canonical_json(self.document),
            LABEL_PREFIX + "base": f"{self.base.repository}:{self.base.tag}",
            EXTRAS_LABEL: json.dumps(extras_document(self.spec.extras), separators=(",", ":")),
            **({REPLACE_LABEL: " ".join(self.spec.replace)} if self.spec.replace else {}),
            **({WHEELS_LABEL: self.locked.text} if self.locked else {}),
        }

    def rebuilt(self, revision: str) -> BuildPlan:
        """Return the plan for a fresh build of an image whose tag cannot be moved (ADR 0007).

        Args:
            revision: Appended to the tag, for example ``20261121T101500Z``.
        """
        tag = extended_tag(self.base, self.spec.extras, self.fingerprint, revision)
        return replace(self, reference=self.reference.with_tag(tag), reason=f"{self.reason}; built afresh as {tag}")


def make_plan(
    spec: ImageSpec,
    resolution: Resolution,
    *,
    partitions: Partitions,
    region: str,
    target: Target,
    repository_prefix: str,
    pip_indexes: PipIndexes = PipIndexes(),
    mirror: MirrorPolicy = MirrorPolicy(),
    today: date | None = None,
) -> BuildPlan:
    """Say what would be used or built.

    Args:
        spec: What was asked.
        resolution: What the catalog answers.
        partitions: Accounts and DNS suffixes.
        region: Where the job or endpoint runs.
        target: Where an extended image goes.
        repository_prefix: Of the repository's name, which ends in the framework's.
        pip_indexes: From the settings.
        mirror: From the settings.
        today: To tell what AWS patches no more; ``None`` leaves that out.

    Raises:
        ImageNotInCatalogError: AWS does not publish the base in ``region`` and it shall not be mirrored, or there is no
            such region.
    """
    base = resolution.base
    repository = target_repository(target, partitions, region, f"{repository_prefix}-{base.framework}")
    base_reference, mirror_of = _base_reference(base, partitions, region, mirror, repository)
    why = _why(base, region, mirrored_from=mirror.source_region if mirror_of else None)
    unchanged = BuildPlan(
        spec=spec,
        base=base,
        base_reference=base_reference,
        mirror_of=mirror_of,
        reference=base_reference,
        reason=f"{why}: {_unchanged(spec)}",
        warnings=_warnings(base, today),
    )
    match resolution:
        case Prebuilt():
            return unchanged
        case NeedsBuild():
            digest = plan_fingerprint(base, resolution.steps, resolution.held, resolution.verify, pip_indexes)
            return replace(
                unchanged,
                reference=repository.with_tag(extended_tag(base, spec.extras, digest)),
                steps=resolution.steps,
                held=resolution.held,
                verify=resolution.verify,
                pip_indexes=pip_indexes,
                fingerprint=digest,
                reason=f"{why}: extended by {', '.join(map(describe_extra, spec.extras))}",
            )
        case _:
            assert_never(resolution)


def _why(base: BaseImage, region: str, *, mirrored_from: str | None) -> str:
    known = f" (known from {base.origin} alone)" if base.origin else ""
    mirrored = f", whose base is mirrored from {mirrored_from}" if mirrored_from else ""
    return f"{base.framework} {base.describe()} for {base.image_scope} in {region}{known}{mirrored}"


def _base_reference(
    base: BaseImage, partitions: Partitions, region: str, mirror: MirrorPolicy, repository: ImageReference
) -> tuple[ImageReference, ImageReference | None]:
    """Return where the base is taken from, and what has to be brought there first."""
    if mirror.source_region is None or not mirror.concerns(base, partitions, region):
        return _published(base, partitions, region), None
    elsewhere = partitions.reference(base, mirror.source_region)
    if repository.registry is None:
        # An engine pulls from any region; only jobs of SageMaker need the image in their own.
        return elsewhere, None
    return repository.with_tag(mirrored_tag(base)), elsewhere


def _published(base: BaseImage, partitions: Partitions, region: str) -> ImageReference:
    try:
        return partitions.reference(base, region)
    except ImageNotInCatalogError as error:
        # An unknown region has no DNS suffix either: then nothing could be brought there.
        partitions.dns_suffix(region)
        error.hint = f"{error.hint}; to bring it from one of them, set source_region (and source_profile)"
        raise


def _unchanged(spec: ImageSpec) -> str:
    if not spec.extras:
        return "no extras, so AWS's image as it is"
    return f"AWS's image as it is, which has {', '.join(map(describe_extra, spec.extras))} already"


def _warnings(base: BaseImage, today: date | None) -> tuple[str, ...]:
    if today is None or base.end_of_patch is None or date.fromisoformat(base.end_of_patch) >= today:
        return ()
    return (
        f"AWS patches {base.repository}:{base.tag} no more since {base.end_of_patch}: what is found unsafe in it stays",
    )


def target_repository(target: Target, partitions: Partitions, region: str, repository: str) -> ImageReference:
    """Return where images of ``repository`` go."""
    match target:
        case EngineTarget():
            return ImageReference(repository=repository)
        case RegistryTarget():
            return ImageReference(registry=partitions.registry_host(target.account, region), repository=repository)
        case _:
            assert_never(target)


def _document(
    base: BaseImage,
    steps: tuple[Step, ...],
    held: tuple[str, ...],
    verify: tuple[str, ...],
    pip_indexes: PipIndexes,
    context: DockerContext | None = None,
) -> dict[str, Any]:
    document = {
        "base": {"repository": base.repository, "tag": base.tag, "digest": base.digest},
        "python": base.python,
        "platform": base.platform,
        "processor": base.processor,
        "cuda_version": base.cuda_version,
        "steps": [{"kind": type(step).__name__, **_plain(asdict(step))} for step in steps],
        "held": list(held),
        "verify": list(verify),
        "pip_indexes": pip_indexes.public if _needs_index(steps) else None,
    }
    if context is not None:
        # Absent where there is none, so that images of AWS keep the fingerprints that they have.
        document["context"] = {
            "digest": context.digest,
            "build_args": dict(context.build_args),
            "target": context.target,
        }
    return document


@lru_cache(maxsize=_REMEMBERED)
def plan_fingerprint(
    base: BaseImage,
    steps: tuple[Step, ...],
    held: tuple[str, ...],
    verify: tuple[str, ...],
    pip_indexes: PipIndexes,
    context: DockerContext | None = None,
) -> str:
    """Return the fingerprint of the image that these make."""
    return fingerprint(_document(base, steps, held, verify, pip_indexes, context))


def _needs_index(steps: tuple[Step, ...]) -> bool:
    return any(isinstance(step, (PipStep, ToolkitStep)) for step in steps)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
