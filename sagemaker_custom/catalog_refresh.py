"""A catalog, what ECR lists and what the SDK knows → what would change in the catalog, to show first and to write then.

Only the listing that is handed in may touch the network; the SDK is read as files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from sagemaker_custom.bases import did_you_mean
from sagemaker_custom.catalog import BaseImage, Catalog, Framework, Partitions
from sagemaker_custom.catalog.listing import FROM_ECR, ReadTags, completed, inferred, new_image
from sagemaker_custom.catalog.sdk_config import SdkConfig, SdkFramework, names, sdk_framework, with_sdk
from sagemaker_custom.catalog.tags import Repository
from sagemaker_custom.catalog.writing import canonical, framework_document, image_entry
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.reference import Digest

_REFRESHED = "; refreshed from "


class Listing(Protocol):
    """Lists a repository of an ECR registry; :meth:`sagemaker_custom.aws.Aws.tags` is one."""

    def __call__(self, repository: str, *, region: str, account: str) -> Mapping[str, Digest] | None:
        """Return tag → digest, ``None`` when there is no such repository."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedImage:
    """An entry that would say something else."""

    before: BaseImage
    after: BaseImage

    def describe(self) -> str:
        """Return what differs: ``digest None → sha256:…``."""
        pairs = ((f.name, getattr(self.before, f.name), getattr(self.after, f.name)) for f in fields(BaseImage))
        return ", ".join(f"{name} {before} → {after}" for name, before, after in pairs if before != after)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameworkRefresh:
    """What would change in the document of one framework."""

    framework: Framework
    """As it would be."""
    added: tuple[BaseImage, ...]
    removed: tuple[BaseImage, ...]
    changed: tuple[ChangedImage, ...]
    notes: tuple[str, ...]
    """What was seen and left out, a sentence each."""

    @property
    def is_change(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.added or self.removed or self.changed)

    def render(self) -> str:
        """Return the difference for people: a line an image, ``+``, ``-`` or ``~`` in front."""
        counts = ((self.added, "added"), (self.removed, "removed"), (self.changed, "changed"))
        summary = ", ".join(f"{len(images)} {word}" for images, word in counts if images) or "no change"
        return "\n".join(
            [
                f"{self.framework.name}: {summary}",
                *(f"- {_line(image)}" for image in self.removed),
                *(f"~ {_line(change.before)}: {change.describe()}" for change in self.changed),
                *(f"+ {_line(image)}" + (f" ({image.origin})" if image.origin else "") for image in self.added),
                *(f"  {note}" for note in self.notes),
            ]
        )

    def as_data(self) -> dict[str, Any]:
        """Return the difference for programs."""
        return {
            "framework": self.framework.name,
            "added": [image_entry(image) for image in self.added],
            "removed": [image_entry(image) for image in self.removed],
            "changed": [
                {"before": image_entry(change.before), "after": image_entry(change.after)} for change in self.changed
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Refresh:
    """What would change in a catalog."""

    frameworks: tuple[FrameworkRefresh, ...]

    @property
    def is_change(self) -> bool:
        """Whether there is anything to write."""
        return any(framework.is_change for framework in self.frameworks)

    def render(self) -> str:
        """Return the difference for people; frameworks without one are summed up in a line."""
        shown = [framework.render() for framework in self.frameworks if framework.is_change or framework.notes]
        same = [framework.framework.name for framework in self.frameworks if not framework.is_change]
        return "\n\n".join([*shown, *([f"no change: {', '.join(same)}"] if same else [])])

    def as_data(self) -> list[dict[str, Any]]:
        """Return the difference for programs."""
        return [framework.as_data() for framework in self.frameworks]

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write the documents that change, whole and in canonical form.

        Args:
            folder: Of a catalog: they go to ``frameworks/<name>.json`` in it.

        Returns:
            What was written.

        Raises:
            UsageError: The folder cannot be written to.
        """
        written = []
        for changed in self.frameworks:
            if changed.is_change:
                path = folder / "frameworks" / f"{changed.framework.name}.json"
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(canonical(framework_document(changed.framework)), encoding="utf-8")
                except OSError as error:
                    raise UsageError(
                        f"{path} cannot be written: {error.strerror}", hint="name a folder that you may write to"
                    ) from error
                written.append(path)
        return tuple(written)


def refresh(
    frameworks: Iterable[str] = (),
    *,
    catalog: Catalog,
    region: str,
    today: date,
    listing: Listing | None = None,
    sdk: SdkConfig | None = None,
    pin: bool = False,
) -> Refresh:
    """Compare a catalog with what there is now.

    Args:
        frameworks: Names; default: all of the catalog. One that only the SDK has can be named.
        catalog: What is known so far.
        region: Whose registries are listed; AWS does not publish everything in every region.
        today: Is written into the provenance.
        listing: Asks ECR. Only with it do images go: those whose tag AWS no longer has. ``None`` to leave ECR out.
        sdk: Whose configuration adds what is missing; ``None`` to leave the SDK out.
        pin: Whether entries take the digest that ECR gives for their tag.

    Raises:
        UsageError: There is nothing to compare with.
        ImageNotInCatalogError: There is no framework of a name.
        AwsError: ECR cannot be asked.
    """
    if listing is None and sdk is None:
        raise UsageError("there is nothing to refresh the catalog from", hint="take ECR, an installed SDK, or both")
    sources = [f"{FROM_ECR} in {region}"] if listing else []
    label = " and ".join(sources + ([sdk.version] if sdk else []))
    ecr = _ecr(listing, region=region, partitions=catalog.partitions, pin=pin) if listing else None
    refreshed = []
    for name in frameworks or catalog.frameworks:
        before = _known(name, catalog, sdk)
        state = _State(list(before.images))
        if ecr:
            ecr.take(state, before)
        fallback = sdk_framework(name, sdk) if sdk else None
        if fallback:
            _take_sdk(state, before, fallback, catalog.partitions)
        refreshed.append(_difference(before, state, f"{_REFRESHED}{label} on {today.isoformat()}"))
    return Refresh(frameworks=tuple(refreshed))


def _known(name: str, catalog: Catalog, sdk: SdkConfig | None) -> Framework:
    framework = catalog.frameworks.get(catalog.framework_aliases.get(name, name))
    if framework:
        return framework
    if sdk and name in names(sdk):
        return Framework(name=name, images=(), version_aliases={}, provenance=sdk.version)
    known = {*catalog.frameworks, *(names(sdk) if sdk else ())}
    raise ImageNotInCatalogError(f"there is no framework {name!r} to refresh", hint=did_you_mean(name, known))


class _State:
    """The images of one framework on their way from before to after."""

    def __init__(self, images: list[BaseImage]) -> None:
        self.images = images
        self.notes: list[str] = []
        self.origins: dict[BaseImage, BaseImage] = {}
        """Image → the one that it stands in place of."""

    def exchange(self, old: BaseImage, new: BaseImage) -> None:
        if old != new:
            self.images[self.images.index(old)] = new
            self.origins[new] = self.origins.pop(old, old)

    def insert(self, image: BaseImage) -> None:
        """Put a new image behind the older and the equal ones, which stay preferred."""
        ranks = [position for position, known in enumerate(self.images) if _rank(known) <= _rank(image)]
        self.images.insert(ranks[-1] + 1 if ranks else 0, image)


def _rank(image: BaseImage) -> tuple[object, ...]:
    return (image.release, image.image_scope, image.processor)


def _ecr(listing: Listing, *, region: str, partitions: Partitions, pin: bool) -> _Ecr:
    @cache
    def listed(repository: str, account: str) -> Mapping[str, Digest] | None:
        return listing(repository, region=region, account=account)

    return _Ecr(listed=listed, region=region, partitions=partitions, pin=pin)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ecr:
    """Where AWS's registries are listed, and how."""

    listed: Callable[[str, str], Mapping[str, Digest] | None]
    """Repository and account → tags; several frameworks can share a repository, which is listed once."""
    region: str
    partitions: Partitions
    pin: bool

    def take(self, state: _State, framework: Framework) -> None:
        """Bring the images of a framework up to what ECR has."""
        if not framework.repositories:
            state.notes.append("its document names no repositories, so ECR was not asked")
        groups: dict[tuple[str, str], list[Repository]] = defaultdict(list)
        for repository in framework.repositories:
            groups[repository.repository, repository.accounts].append(repository)
        for (name, accounts), repositories in groups.items():
            listed = self._listed(state, name, accounts)
            if listed is not None:
                self._compare(state, framework.name, repositories, listed)

    def _listed(self, state: _State, name: str, accounts: str) -> Mapping[str, Digest] | None:
        account = self.partitions.accounts.get(accounts, {}).get(self.region)
        if account is None:
            state.notes.append(f"AWS does not publish {name} in {self.region}: its entries stay as they are")
            return None
        listed = self.listed(name, account)
        if listed is None:
            state.notes.append(
                f"account {account} has no repository {name} in {self.region}: its entries stay as they are"
            )
        return listed

    def _compare(
        self, state: _State, framework: str, repositories: list[Repository], listed: Mapping[str, Digest]
    ) -> None:
        """Compare with one repository of AWS's, which can be described in several parts."""
        parts = [ReadTags.of(listed, repository) for repository in repositories]
        unread = listed.keys() - {tag for part in parts for tag in part.said}
        if unread:
            state.notes.append(
                f"{len(unread)} of {len(listed)} tags of {repositories[0].repository} are of no form that is read"
            )
        for part in parts:
            known = [image for image in state.images if part.is_of(image)]
            for image in known:
                self._keep(state, image, listed, part)
            # A tag that is known for one scope is not for the other: some repositories changed what they are for.
            for tag in part.fullest({(image.tag, image.processor) for image in known}):
                for scope in part.repository.image_scopes:
                    image = new_image(framework, part.repository, scope, tag, part.said[tag])
                    self._add(state, replace(image, digest=listed[tag] if self.pin else None), part)

    def _keep(self, state: _State, image: BaseImage, listed: Mapping[str, Digest], part: ReadTags) -> None:
        if image.tag in listed:
            digest = listed[image.tag] if self.pin else image.digest
            state.exchange(image, completed(image, part.said.get(image.tag, {}), digest))
        else:
            state.images.remove(image)

    def _add(self, state: _State, image: BaseImage, part: ReadTags) -> None:
        new = inferred(image, state.images)
        # An entry from the SDK has the short form of a tag until ECR says the full one.
        short = next((known for known in state.images if part.is_short(known, image)), None)
        if short:
            state.exchange(short, new)
        else:
            state.insert(new)


def _take_sdk(state: _State, before: Framework, fallback: SdkFramework, partitions: Partitions) -> None:
    now = replace(before, images=tuple(state.images))
    lacking = with_sdk(now, fallback.framework).images[len(state.images) :]
    unplaced = set()
    for image in lacking:
        accounts = _account_set(image, before, fallback.accounts[image.accounts], partitions)
        if accounts:
            state.insert(inferred(replace(image, accounts=accounts), state.images))
        else:
            unplaced.add(image.repository)
    state.notes += [f"no account set of the catalog is the SDK's for {name}" for name in sorted(unplaced)]


def _account_set(
    image: BaseImage, framework: Framework, published: Mapping[str, str], partitions: Partitions
) -> str | None:
    """Return the catalog's account set for an image of the SDK: the smallest that has all its accounts."""
    own = [repository.accounts for repository in framework.repositories if repository.repository == image.repository]
    own += [known.accounts for known in framework.images if known.repository == image.repository]
    fitting = [name for name, accounts in partitions.accounts.items() if published.items() <= accounts.items()]
    return next((name for name in own if name in fitting), None) or min(
        fitting, key=lambda name: len(partitions.accounts[name]), default=None
    )


def _difference(before: Framework, state: _State, refreshed: str) -> FrameworkRefresh:
    old, new = set(before.images), set(state.images)
    changed = {image: state.origins[image] for image in state.images if image in state.origins}
    difference = FrameworkRefresh(
        framework=before,
        added=tuple(image for image in state.images if image not in old and image not in changed),
        removed=tuple(image for image in before.images if image not in new and image not in changed.values()),
        changed=tuple(ChangedImage(before=origin, after=image) for image, origin in changed.items()),
        notes=tuple(state.notes),
    )
    if not difference.is_change:
        return difference
    provenance = before.provenance.partition(_REFRESHED)[0] + refreshed
    return replace(difference, framework=replace(before, images=tuple(state.images), provenance=provenance))


def _line(image: BaseImage) -> str:
    return f"{image.repository}:{image.tag} {image.image_scope} {image.describe()}"
