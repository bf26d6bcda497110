"""A resolution, and where the image shall be → :class:`BuildPlan`: target tag, fingerprint and the reason. Pure."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from typing_extensions import assert_never

from sagemaker_custom.catalog import BaseImage, Partitions
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.resolve import NeedsBuild, PipStep, Prebuilt, Resolution, Step
from sagemaker_custom.spec import (
    AptExtra,
    CondaExtra,
    Extra,
    ImageSpec,
    PipExtra,
    RecipeExtra,
    RequirementsExtra,
    canonical_json,
    fingerprint,
    without_credentials,
)

LABEL_PREFIX = "sagemaker-custom."
FINGERPRINT_LABEL = LABEL_PREFIX + "fingerprint"
"""The label that reuse verifies."""
STAND_IN_LABEL = LABEL_PREFIX + "stand-in"
"""Borne by the sandbox's substitutes for AWS's images, and by everything built on them."""

_TAG_FINGERPRINT = 20
_TAG_LENGTH = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTarget:
    """The image stays in the local Docker Engine, under a bare tag."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryTarget:
    """The image goes to the private ECR registry of an account."""

    account: str


Target: TypeAlias = EngineTarget | RegistryTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class PipIndexes:
    """Indexes that every pip step uses; may hold credentials, so they stay out of ``repr`` and of the image."""

    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()

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
        return {
            "index_url": without_credentials(self.index_url) if self.index_url else None,
            "extra_index_urls": [without_credentials(url) for url in self.extra_index_urls],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildPlan:
    """What would be used or built, and why. Nothing was asked of any network to make it."""

    spec: ImageSpec
    base: BaseImage
    base_reference: ImageReference
    """Where AWS publishes the base."""
    reference: ImageReference
    """The image that is used: the base itself, or the extended image."""
    steps: tuple[Step, ...] = ()
    """Empty when AWS's image is used as it is."""
    held: tuple[str, ...] = ()
    """Packages of the base that no step may change."""
    verify: tuple[str, ...] = ()
    pip_indexes: PipIndexes = PipIndexes()
    fingerprint: str = ""
    """64 hexadecimal digits; empty when AWS's image is used as it is."""
    reason: str
    """Why it is this image, for people."""

    @property
    def needs_build(self) -> bool:
        """Whether the image is an extended one, which somebody has to have built."""
        return bool(self.steps)

    @property
    def is_local(self) -> bool:
        """Whether the extended image stays in the local Docker Engine."""
        return self.reference.registry is None

    @property
    def document(self) -> dict[str, Any]:
        """What the fingerprint is taken of, and what the image's ``spec`` label holds."""
        return _document(self.base, self.steps, self.held, self.verify, self.pip_indexes)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the image that are known before it is built."""
        return {
            FINGERPRINT_LABEL: self.fingerprint,
            LABEL_PREFIX + "spec": canonical_json(self.document),
            LABEL_PREFIX + "base": f"{self.base.repository}:{self.base.tag}",
        }

    def rebuilt(self, revision: str) -> BuildPlan:
        """Return the plan for a fresh build of an image whose tag cannot be moved (ADR 0007).

        Args:
            revision: Appended to the tag, for example ``20261121T101500Z``.
        """
        tag = _tag(self.base, self.spec.extras, f"{self.fingerprint[:_TAG_FINGERPRINT]}-r{revision}")
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

    Raises:
        ImageNotInCatalogError: AWS does not publish the base in ``region``, or there is no such region.
    """
    base = resolution.base
    base_reference = partitions.reference(base, region)
    why = f"{base.framework} {base.describe()} for {spec.image_scope} in {region}"
    match resolution:
        case Prebuilt():
            return BuildPlan(
                spec=spec,
                base=base,
                base_reference=base_reference,
                reference=base_reference,
                reason=f"{why}: no extras, so AWS's image as it is",
            )
        case NeedsBuild():
            digest = fingerprint(_document(base, resolution.steps, resolution.held, resolution.verify, pip_indexes))
            return BuildPlan(
                spec=spec,
                base=base,
                base_reference=base_reference,
                reference=_target(target, partitions, region, f"{repository_prefix}-{base.framework}").with_tag(
                    _tag(base, spec.extras, digest[:_TAG_FINGERPRINT])
                ),
                steps=resolution.steps,
                held=resolution.held,
                verify=resolution.verify,
                pip_indexes=pip_indexes,
                fingerprint=digest,
                reason=f"{why}: extended by {', '.join(map(describe_extra, spec.extras))}",
            )
        case _:
            assert_never(resolution)


def _target(target: Target, partitions: Partitions, region: str, repository: str) -> ImageReference:
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
) -> dict[str, Any]:
    return {
        "base": {"repository": base.repository, "tag": base.tag, "digest": base.digest},
        "python": base.python,
        "platform": f"linux/{'arm64' if base.architecture == 'arm64' else 'amd64'}",
        "processor": base.processor,
        "cuda_version": base.cuda_version,
        "steps": [{"kind": type(step).__name__, **_plain(asdict(step))} for step in steps],
        "held": list(held),
        "verify": list(verify),
        "pip_indexes": pip_indexes.public if any(isinstance(step, PipStep) for step in steps) else None,
    }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def describe_extra(extra: Extra) -> str:
    """Return an extra as its user would write it."""
    match extra:
        case RecipeExtra():
            return extra.name + extra.specifier
        case PipExtra():
            return f"pip:{extra.requirement}"
        case CondaExtra():
            return f"conda:{extra.channel}::{extra.spec}" if extra.channel else f"conda:{extra.spec}"
        case AptExtra():
            return f"apt:{extra.package}"
        case RequirementsExtra():
            return f"requirements of {len(extra.requirements)} packages"
        case _:
            assert_never(extra)


def _tag(base: BaseImage, extras: tuple[Extra, ...], ending: str) -> str:
    names = [re.sub(r"[^A-Za-z0-9.]+", "-", _short(extra)).strip("-.") for extra in extras]
    known = [base.version, base.image_scope, base.processor, base.py_version, base.cuda_version]
    readable = "-".join(filter(None, [*known, *names]))
    return f"{readable[: _TAG_LENGTH - len(ending) - 1].rstrip('-.')}-{ending}"


def _short(extra: Extra) -> str:
    match extra:
        case RecipeExtra():
            return extra.name
        case PipExtra():
            return re.split(r"[^a-z0-9-]", extra.requirement)[0]
        case CondaExtra():
            return re.split(r"[=<>!]", extra.spec)[0]
        case AptExtra():
            return extra.package.partition("=")[0]
        case RequirementsExtra():
            return "requirements"
        case _:
            assert_never(extra)
