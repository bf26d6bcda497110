"""Wheels, and what a base loses → the layers of an image, kept on this machine so that they are made once."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from sagemaker_custom.errors import BuildError, DiskFullError
from sagemaker_custom.inventory import Inventory, Records
from sagemaker_custom.progress import Progress
from sagemaker_custom.spec import canonical_json
from sagemaker_custom.wheels.contents import Contents, read_contents
from sagemaker_custom.wheels.kept import KeptLayer, LayerBlob
from sagemaker_custom.wheels.layer_choice import MOST_LAYERS, check_clashes, large_wheels, overwritten
from sagemaker_custom.wheels.layout import Layout
from sagemaker_custom.wheels.listing import keep_listing
from sagemaker_custom.wheels.store import FetchedWheel
from sagemaker_custom.wheels.tar_layer import Folder, Listing, Part, tar_of_files, tar_of_whiteouts
from sagemaker_custom.wheels.whiteouts import paths_to_delete

__all__ = ["LayerBlob", "LayerStore"]

_FORMAT = 1
"""Of the layers' bytes: what is kept of another format is not used."""
_MOST_OVERWRITTEN_SHOWN = 20
_MOST_NAMES_SHOWN = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """A layer that is not made yet."""

    created_by: str
    parts: tuple[Part, ...] = ()
    whiteouts: tuple[str, ...] = ()

    @property
    def content_bytes(self) -> int:
        return sum(file.size for part in self.parts for file in part.files)

    def tar(self, folders: Mapping[str, Folder], listing: Listing) -> Iterator[bytes]:
        if self.whiteouts:
            return tar_of_whiteouts(self.whiteouts, folders=folders)
        return tar_of_files(self.parts, folders=folders, listing=listing)

    def key(self, folders: Mapping[str, Folder]) -> str:
        """Return what decides on the bytes, as a hash: the place, content and permissions of every file."""
        files = [(file.path, file.sha256, file.executable) for part in self.parts for file in part.files]
        changed = [asdict(folders[path]) for path in sorted(folders)]
        text = canonical_json({"format": _FORMAT, "files": files, "whiteouts": self.whiteouts, "folders": changed})
        return hashlib.sha256(text.encode()).hexdigest()


class LayerStore:
    """Makes layers, and keeps them by what they hold.

    Args:
        folder: Where they are kept; it is safe to delete.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def layers(
        self,
        wheels: Sequence[FetchedWheel],
        inventory: Inventory,
        *,
        removed: Mapping[str, tuple[str, ...]],
        progress: Progress,
        requested: Collection[str] = (),
        direct: Collection[str] = (),
        records: Records | None = None,
        folders: Sequence[Folder] = (),
        most: int = MOST_LAYERS,
    ) -> tuple[LayerBlob, ...]:
        """Return the layers that go on the base, lowest first: deletions, large wheels one by one, all others.

        Args:
            wheels: What to install.
            inventory: Of the base.
            removed: Packages of the base that vanish → absolute paths of their files.
            progress: Gets a bar for each layer that has to be made.
            requested: Names of the packages that were asked for, rather than needed by others.
            direct: Names of those that were asked for by the URL of a wheel.
            records: All packages of the base → absolute paths of their files; ``None``: not known.
            folders: The base's folders that do not belong to root with 0755.
            most: How many layers there may be.

        Raises:
            BuildError: A wheel is malformed, or two of them overwrite each other's files.
            DiskFullError: The layers do not fit on the disk.
        """
        layout = Layout.of(inventory)
        asked = {canonicalize_name(name) for name in requested}
        by_url = {canonicalize_name(name) for name in direct}
        ordered = sorted(wheels, key=lambda fetched: fetched.wheel.filename)
        contents = [read_contents(fetched, layout, requested=asked, direct=by_url) for fetched in ordered]
        check_clashes(contents)
        whiteouts = _whiteouts(removed, records, layout)
        if records is not None:
            owners = {path: name for name in sorted(records.keys() - removed.keys()) for path in records[name]}
            _tell_overwritten(overwritten(contents, owners), progress)
        changed = {folder.path: folder for folder in folders}
        planned = [*_deletions(whiteouts, removed), *_additions(contents, most=most - 2)]
        return tuple(self._layer(layer, changed, progress) for layer in planned)

    def discard(self, layer: LayerBlob) -> None:
        """Forget a layer whose bytes turned out to be damaged, so that it is made again."""
        layer.path.unlink(missing_ok=True)

    def _layer(self, planned: _Planned, folders: Mapping[str, Folder], progress: Progress) -> LayerBlob:
        kept = KeptLayer(self._folder, planned.key(folders), created_by=planned.created_by)
        try:
            layer = kept.read()
            if layer is None:
                listing = Listing()
                task = progress.task(planned.created_by, total=planned.content_bytes)
                layer = kept.write(planned.tar(folders, listing), task)
                # Known from writing it, so that checking it need not unpack it again.
                keep_listing(layer, listing)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(
                    f"no space left in {self._folder} for a layer of {planned.content_bytes / 1e6:.0f} MB uncompressed",
                    hint="free some space, or set cache_dir to a folder on a larger disk",
                ) from error
            raise BuildError(
                f"cannot keep a layer in {self._folder}: {error.strerror}",
                hint="set cache_dir to a folder that you can write to",
            ) from error
        return layer


def _whiteouts(removed: Mapping[str, tuple[str, ...]], records: Records | None, layout: Layout) -> tuple[str, ...]:
    kept = None
    if records is not None:
        kept = {path for name, paths in records.items() if name not in removed for path in paths}
    return paths_to_delete(removed, site_packages=layout.site_packages, kept=kept)


def _deletions(whiteouts: tuple[str, ...], removed: Mapping[str, tuple[str, ...]]) -> Iterator[_Planned]:
    if whiteouts:
        yield _Planned(created_by=_history("remove", sorted(removed)), whiteouts=whiteouts)


def _additions(wheels: Sequence[Contents], *, most: int) -> Iterator[_Planned]:
    sizes = {contents.fetched.wheel.filename: contents.fetched.path.stat().st_size for contents in wheels}
    by_name = {contents.fetched.wheel.filename: contents for contents in wheels}
    alone = large_wheels(sizes, most=most)
    for large in (by_name[name] for name in alone):
        part = Part(fetched=large.fetched, files=large.files)
        yield _Planned(created_by=_history("add", [_title(large)]), parts=(part,))
    small = [contents for contents in wheels if contents.fetched.wheel.filename not in alone]
    # Marks of a large wheel stand in the layer above it: its own layer is the same for all who need the wheel.
    shared = [
        *(Part(fetched=contents.fetched, files=contents.marked_files) for contents in small),
        *(Part(fetched=by_name[name].fetched, files=by_name[name].marks) for name in sorted(alone)),
    ]
    if any(part.files for part in shared):
        titles = [_title(contents) for contents in small] or ["marks of what was asked for"]
        yield _Planned(created_by=_history("add", titles), parts=tuple(part for part in shared if part.files))


def _title(contents: Contents) -> str:
    return f"{contents.fetched.wheel.name}=={contents.fetched.wheel.version}"


def _history(verb: str, names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES_SHOWN
    shown = [*names[:_MOST_NAMES_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return f"sagemaker-custom: {verb} {' '.join(shown)}"


def _tell_overwritten(lines: Sequence[str], progress: Progress) -> None:
    for line in lines[:_MOST_OVERWRITTEN_SHOWN]:
        progress.log(line)
    if len(lines) > _MOST_OVERWRITTEN_SHOWN:
        progress.log(f"and {len(lines) - _MOST_OVERWRITTEN_SHOWN} more files of the base are overwritten")
