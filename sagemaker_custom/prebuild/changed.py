"""Images that shall be there, and a git revision → those that the catalogs did not stand for at that time.

Each image is planned twice: with the catalogs as they are, and as they were. What it is called, and what else stands in
its document, does not matter: an image is the same when its URI is, which holds the fingerprint of all that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sagemaker_custom.catalog import Catalog, CatalogFolder
from sagemaker_custom.errors import CatalogError, SageMakerCustomError
from sagemaker_custom.partial_files import TemporaryFolder
from sagemaker_custom.prebuild.git_tree import Checkout, RunGit, is_no_revision, run_git
from sagemaker_custom.prebuild.images import Wanted
from sagemaker_custom.wiring import Parts


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """What has changed since a revision."""

    changed: tuple[Wanted, ...]
    left_out: tuple[Wanted, ...]
    """Are what they were."""
    since: str
    """The revision, for people."""
    notes: tuple[str, ...] = ()
    """What was counted as changed without being compared, and why; a sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Then:
    """The catalogs as they were."""

    folders: tuple[CatalogFolder, ...] = ()
    since: str = "the beginning"
    notes: tuple[str, ...] = ()


def changed_since(
    revision: str,
    choose: Callable[[Catalog], tuple[Wanted, ...]],
    parts: Parts,
    *,
    git: RunGit = run_git,
) -> Changes:
    """Tell the images apart that have changed since a revision.

    Catalogs that are not in a git checkout had nothing at that time, so that all that comes from them has changed.

    Args:
        revision: As git takes it; nothing but zeros for a time before everything.
        choose: Says which images a catalog stands for.
        parts: Have the catalogs as they are now.
        git: Runs git.

    Raises:
        UsageError: There is no git, or it does not know the revision.
        CatalogError: A catalog cannot be read as it is now.
    """
    wanted = choose(parts.catalog)
    with _catalogs_then(revision, parts, git) as then:
        before, problems = _references_then(choose, parts, then)
    is_same = [_reference(one, parts) in before for one in wanted]
    return Changes(
        changed=tuple(one for one, same in zip(wanted, is_same, strict=True) if not same),
        left_out=tuple(one for one, same in zip(wanted, is_same, strict=True) if same),
        since=then.since,
        notes=(*then.notes, *problems),
    )


def _reference(one: Wanted, parts: Parts) -> str | None:
    try:
        plan = parts.plan(one.spec, local=one.is_local, region=one.region, account=one.account)
    except SageMakerCustomError:
        # Whoever makes it will say what is wrong with it.
        return None
    return str(plan.reference)


@contextmanager
def _catalogs_then(revision: str, parts: Parts, git: RunGit) -> Iterator[_Then]:
    with TemporaryFolder() as temporary:
        if is_no_revision(revision):
            yield _Then(
                notes=(
                    f"there is nothing before the revision {revision}: all images of team catalogs count as changed",
                )
            )
            return
        folders, notes, commits = [], [], []
        for number, folder in enumerate(parts.team_folders):
            place = _place(folder)
            checkout = Checkout.of(place, git) if place else None
            if checkout is None:
                notes.append(f"the catalog {folder.origin} is in no git checkout: all of its images count as changed")
                continue
            commits.append(checkout.commit(revision))
            target = Path(temporary, str(number))
            if checkout.write(commits[-1], target):
                folders.append(CatalogFolder(origin=f"{folder.origin} at {revision}", root=target))
        since = f"{revision} ({commits[0][:12]})" if commits else revision
        yield _Then(folders=tuple(folders), since=since, notes=tuple(notes))


def _place(folder: CatalogFolder) -> Path | None:
    """Return the folder, unless it is a copy of what is in S3."""
    return folder.root if isinstance(folder.root, Path) and not folder.origin.startswith("s3://") else None


def _references_then(
    choose: Callable[[Catalog], tuple[Wanted, ...]], parts: Parts, then: _Then
) -> tuple[frozenset[str | None], tuple[str, ...]]:
    before = parts.with_folders(then.folders)
    try:
        known = choose(before.catalog)
    except CatalogError as error:
        return frozenset(), (
            f"the catalogs cannot be read as they were, so all images count as changed: {error.message}",
        )
    return frozenset(_reference(one, before) for one in known) - {None}, ()
