"""Tags of one of AWS's repositories, read by its templates → which are images of their own, and what they say. Pure."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sagemaker_custom.catalog.images import BaseImage
from sagemaker_custom.catalog.tags import Repository
from sagemaker_custom.reference import Digest

FROM_ECR = "Amazon ECR"
"""What new entries say of where they are from."""

_MAJOR = ("py2", "py3")
_UNTOLD = ("py_version", "layout")
"""What not every tag says, and the images of one generation have in common."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadTags:
    """What the tags of a repository say."""

    repository: Repository
    said: Mapping[str, Mapping[str, str]]
    """Tag → what it says; only tags of forms that are for SageMaker."""

    @classmethod
    def of(cls, tags: Iterable[str], repository: Repository) -> ReadTags:
        """Read what is listed."""
        read = {tag: repository.read(tag) for tag in sorted(tags)}
        said = {tag: values for tag, values in read.items() if values and {"version", "processor"} <= values.keys()}
        return cls(repository=repository, said=said)

    def is_of(self, image: BaseImage) -> bool:
        """Whether an image is one of the repository."""
        place = self.repository
        known = (image.repository, image.architecture, image.base_framework)
        return known == (place.repository, place.architecture, place.base_framework)

    def fullest(self, known: Container[tuple[str, str]]) -> Iterator[str]:
        """Give the tags that are images of their own, but for those that are known, by tag and processor.

        Left out are short forms, which AWS moves from image to image, and those of single builds, of which AWS makes
        a new one with every patch.
        """
        own = [tag for tag in self.said if not self._is_build(tag)]
        for tag in own:
            if (tag, self.said[tag]["processor"]) not in known and not any(self._is_more(other, tag) for other in own):
                yield tag

    def is_short(self, known: BaseImage, image: BaseImage) -> bool:
        """Whether the tag of ``known`` is a short form of that of ``image``, and is not of AWS's own list of images."""
        return (
            known.origin is not None
            and self.is_of(known)
            and (known.image_scope, known.processor) == (image.image_scope, image.processor)
            and known.tag in self.said
            and self._is_more(image.tag, known.tag)
        )

    def _is_build(self, tag: str) -> bool:
        template = next(template for template in self.repository.tags if template.read(tag) is not None)
        return "{build}" in template.template

    def _is_more(self, other: str, tag: str) -> bool:
        """Whether ``other`` says all that ``tag`` does, and something besides."""
        more, less = self.said[other], self.said[tag]
        if not all(name in more and _is_part(name, text, more[name]) for name, text in less.items()):
            return False
        return len(more) > len(less) or any(more[name] != text for name, text in less.items())


def _is_part(name: str, short: str, full: str) -> bool:
    """Whether a value is the other one, or a short form of it: 2.3 of 2.3.0, py3 of py38."""
    is_short = (name == "version" and full.startswith(f"{short}.")) or (short in _MAJOR and full.startswith(short))
    return short == full or is_short


def new_image(framework: str, repository: Repository, scope: str, tag: str, said: Mapping[str, str]) -> BaseImage:
    """Return the entry for a tag that the catalog lacks."""
    version = said["version"]
    values: dict[str, Any] = {
        **said,
        # PyTorch's latest tags name the minor version alone.
        "version": f"{version}.0" if framework == "pytorch" and re.fullmatch(r"\d+\.\d+", version) else version,
    }
    return BaseImage(
        framework=framework,
        image_scope=scope,
        architecture=repository.architecture,
        base_framework=repository.base_framework,
        repository=repository.repository,
        tag=tag,
        accounts=repository.accounts,
        origin=FROM_ECR,
        **values,
    )


def completed(image: BaseImage, said: Mapping[str, str], digest: Digest | None) -> BaseImage:
    """Return an entry with what its tag says and it does not yet."""
    lacking: dict[str, Any] = {name: text for name, text in said.items() if getattr(image, name) is None}
    return replace(image, digest=digest, **lacking)


def inferred(image: BaseImage, known: Iterable[BaseImage]) -> BaseImage:
    """Fill in what no tag says: as it is in the nearest older image of the repository and family of systems.

    Returns:
        The image; its origin tells which values are inferred, and of which image they are.
    """
    kin = [other for other in known if _is_kin(other, image)]
    older = max(
        (other for other in kin if other.release <= image.release), key=lambda other: other.release, default=None
    )
    values: dict[str, Any] = {}
    for name in _UNTOLD if older else ():
        if getattr(image, name) is None and getattr(older, name) is not None:
            values[name] = getattr(older, name)
    told = f"{image.origin}; {', '.join(values)} as of {older.tag}" if values and older else image.origin
    # AWS sets the end of patches for a version: that of another says nothing.
    ends = [other.end_of_patch for other in kin if other.version == image.version and other.end_of_patch]
    return replace(image, origin=told, end_of_patch=max(ends, default=None), **values)


def _is_kin(other: BaseImage, image: BaseImage) -> bool:
    """Whether two images are made alike. Generations differ by their system; an unknown one says nothing beyond."""
    same_generation = _family(other.os) == _family(image.os) if image.os else other.release == image.release
    return other.repository == image.repository and same_generation


def _family(operating_system: str | None) -> str:
    return re.sub(r"\d.*", "", operating_system or "")
