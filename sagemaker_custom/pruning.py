"""Stored images, and what names them → which of them can go, and why each other stays. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sagemaker_custom.aws.image_uses import ImageUse
from sagemaker_custom.aws.stored_images import StoredImage
from sagemaker_custom.evidence import subject_of
from sagemaker_custom.extended_tags import read_extended_tag
from sagemaker_custom.reference import Digest

LONGEST_JOB = timedelta(days=30)
"""A job runs for 28 days at most, and may have been changed last when it began."""
_STAGING, _INVENTORY, _BASE = "staging-", "inventory-", "base-"
_A_DAY = timedelta(days=1)
_NEVER = 1_000_000
"""Images, more than a repository may hold."""
_GUARDED = ("*-training-*", "*-inference-*", "*-processing-*", f"{_BASE}*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What is old."""

    keep: int = 10
    """How many of the newest extended images of each repository stay."""
    older_than: timedelta = timedelta(days=30)
    """Since when an image has to be there."""
    unused_for: timedelta = timedelta(days=90)
    """For how long no job may have named it and nobody may have pulled it."""

    def jobs_since(self, now: datetime) -> datetime:
        """Return since when jobs count."""
        return now - max(self.unused_for, LONGEST_JOB)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """An image that stays."""

    image: StoredImage
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Removable:
    """An image that can go."""

    image: StoredImage
    reason: str


Verdict: TypeAlias = Kept | Removable


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What keeps images of one registry."""

    host: str
    uses: tuple[ImageUse, ...]
    named: frozenset[tuple[str, str]] = frozenset()
    """Repository and tag of what the catalog's named images stand for."""
    _by_tag: dict[tuple[str, str], str] = field(init=False, default_factory=dict)
    _by_digest: dict[tuple[str, str], str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Make both ways of naming an image quick to look up."""
        for use in self.uses:
            if use.host.partition(".")[0] != self.host.partition(".")[0]:
                continue
            if use.tag:
                self._by_tag.setdefault((use.repository, use.tag), use.by)
            if use.digest:
                self._by_digest.setdefault((use.repository, use.digest), use.by)

    def user_of(self, image: StoredImage) -> str | None:
        """Return what names an image, by a tag or by its digest."""
        by_tag = (self._by_tag.get((image.repository, tag)) for tag in image.tags)
        return self._by_digest.get((image.repository, image.digest)) or next(filter(None, by_tag), None)

    def is_named(self, image: StoredImage) -> bool:
        """Whether the catalog stands for it, built once or afresh."""
        known = [tag for repository, tag in self.named if repository == image.repository]
        return any(own == tag or own.startswith(f"{tag}-r") for own in image.tags for tag in known)


def decide(images: Sequence[StoredImage], known: Known, rules: Rules, now: datetime) -> tuple[Verdict, ...]:
    """Say of each image of one repository whether it stays.

    Args:
        images: All of them.
        known: What keeps images.
        rules: What is old.
        now: With a time zone.
    """
    newest = _newest(images, rules.keep)
    verdicts = [_judged(image, known, rules, newest, now) for image in images if not _is_about_another(image)]
    left = {verdict.image.digest for verdict in verdicts if isinstance(verdict, Kept)}
    about = [_judged_by_subject(image, known, left, now) for image in images if _is_about_another(image)]
    return (*verdicts, *about)


def _newest(images: Iterable[StoredImage], keep: int) -> frozenset[Digest]:
    extended = [image for image in images if _is_extended(image)]
    extended.sort(key=lambda image: (image.pushed, image.digest), reverse=True)
    return frozenset(image.digest for image in extended[:keep])


def _is_extended(image: StoredImage) -> bool:
    return any(read_extended_tag(tag) for tag in image.tags)


def _is_about_another(image: StoredImage) -> bool:
    return bool(image.tags) and all(subject_of(tag) or tag.startswith(_INVENTORY) for tag in image.tags)


def _is_staged(image: StoredImage) -> bool:
    return bool(image.tags) and all(tag.startswith(_STAGING) for tag in image.tags)


def _judged(image: StoredImage, known: Known, rules: Rules, newest: frozenset[Digest], now: datetime) -> Verdict:
    reason = next(_reasons_to_keep(image, known, rules, newest, now), None)
    if reason:
        return Kept(image=image, reason=reason)
    kind = "left by a build" if _is_staged(image) else "without a tag" if not image.tags else "not in use"
    return Removable(image=image, reason=f"{kind}, pushed {(now - image.pushed).days} days ago")


def _reasons_to_keep(
    image: StoredImage, known: Known, rules: Rules, newest: frozenset[Digest], now: datetime
) -> Iterator[str]:
    user = known.user_of(image)
    if user:
        yield f"used by {user}"
    if known.is_named(image):
        yield "named by the catalog"
    if _is_staged(image):
        if now - image.pushed < _A_DAY:
            yield "being pushed, or just now"
        return
    if image.tags and not _is_extended(image):
        is_base = any(tag.startswith(_BASE) for tag in image.tags)
        yield "a base image, whose layers others have" if is_base else "not made by this package"
    if image.digest in newest:
        yield "one of the newest"
    if now - image.pushed < rules.older_than:
        yield f"pushed {(now - image.pushed).days} days ago"
    if image.pulled and now - image.pulled < rules.unused_for:
        yield f"pulled {(now - image.pulled).days} days ago"


def _judged_by_subject(image: StoredImage, known: Known, left: set[Digest], now: datetime) -> Verdict:
    user = known.user_of(image)
    if user:
        return Kept(image=image, reason=f"used by {user}")
    if any(_is_subject_left(tag, left) for tag in image.tags):
        return Kept(image=image, reason="about an image that stays")
    # Whatever is about an image may be there a moment before the image is listed.
    if now - image.pushed < _A_DAY:
        return Kept(image=image, reason="pushed today")
    return Removable(image=image, reason="about an image that is gone")


def _is_subject_left(tag: str, left: set[Digest]) -> bool:
    subject = subject_of(tag)
    if subject:
        return subject in left
    beginning = tag.removeprefix(_INVENTORY).partition("-")[0]
    return any(digest.removeprefix("sha256:").startswith(beginning) for digest in left)


def lifecycle_policy(untagged_days: int) -> dict[str, Any]:
    """Return a lifecycle policy for ECR that expires what no tag of an image leads to.

    Args:
        untagged_days: After how many days images without tags go.
    """
    # ECR takes an image for staged that has a final tag besides, which a killed build leaves behind. What a rule
    # matches is safe from all rules after it, so the final tags come first.
    guards = [
        _rule(number, f"images that are used by {pattern} stay", pattern, "imageCountMoreThan", _NEVER)
        for number, pattern in enumerate(_GUARDED, start=1)
    ]
    return {
        "rules": [
            *guards,
            _rule(len(guards) + 1, "left by a build that did not end", f"{_STAGING}*", "sinceImagePushed", 1),
            _rule(len(guards) + 2, "without a tag", None, "sinceImagePushed", untagged_days),
        ]
    }


def _rule(priority: int, description: str, pattern: str | None, count_type: str, number: int) -> dict[str, Any]:
    selection: dict[str, Any] = {
        **({"tagStatus": "tagged", "tagPatternList": [pattern]} if pattern else {"tagStatus": "untagged"}),
        "countType": count_type,
        **({"countUnit": "days"} if count_type == "sinceImagePushed" else {}),
        "countNumber": number,
    }
    return {
        "rulePriority": priority,
        "description": description,
        "selection": selection,
        "action": {"type": "expire"},
    }
