"""A folder of the catalog's shape → its documents by kind and name, listed but not read before they are asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

from sagemaker_custom.errors import CatalogError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # novm: only for the type checker

Kind: TypeAlias = Literal["framework", "recipe", "image"]

FOLDERS: dict[Kind, str] = {"framework": "frameworks", "recipe": "extras", "image": "images"}
"""Where the documents of each kind are."""
SUFFIXES = (".json", ".yaml", ".yml")
"""Of documents; JSON is read as such, which is many times faster than reading it as the YAML that it is."""
LARGEST_BYTES = 5_000_000
"""Of one document; the largest that is shipped has a fiftieth of it."""
PARTITIONS = "partitions"
FRAMEWORK_ALIASES = "framework_aliases"

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogFolder:
    """A folder of documents, and what people know it by."""

    origin: str
    """For example the path, ``s3://bucket/prefix`` or the name of a package."""
    root: Traversable
    is_shipped: bool = False
    """Whether it is this package's own: written by machine and tested, so that it is read without being validated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogFile:
    """One document, parsed when it is needed."""

    where: str
    """What errors call it."""
    read: Callable[[], object]
    """Parses it; raises CatalogError when it is neither JSON nor YAML, or is gone."""
    folder: Traversable | None = None
    """Which it is in, if it is a file."""
    is_shipped: bool = False
    """Whether it comes with this package."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """The documents of one folder."""

    origin: str
    documents: Mapping[Kind, Mapping[str, CatalogFile]]
    """By kind, and by the name that the file has without its suffix."""
    partitions: CatalogFile | None = None
    framework_aliases: CatalogFile | None = None

    @classmethod
    def of(cls, folder: CatalogFolder) -> Layer:
        """List the documents of a folder.

        Raises:
            CatalogError: The folder has not the shape of a catalog.
        """
        single = _listed(folder, "")
        layer = cls(
            origin=folder.origin,
            documents={kind: _listed(folder, name) for kind, name in FOLDERS.items()},
            partitions=single.get(PARTITIONS),
            framework_aliases=single.get(FRAMEWORK_ALIASES),
        )
        if not any((*layer.documents.values(), layer.partitions, layer.framework_aliases)):
            raise CatalogError(
                f"{folder.origin} holds no catalog: there are no documents in {', '.join(FOLDERS.values())}",
                hint="docs/how-to/run-a-team-catalog.md shows the folders of a catalog",
            )
        return layer


class Documents(Mapping[str, _Value], Generic[_Value]):
    """Name → what its documents say, read when it is first asked for.

    Two threads that ask for one name at a time may both read it; they get equal values, and one of them is kept.

    Args:
        files: Name → its documents, those that count most last.
        read: Reads the documents of a name.
    """

    def __init__(
        self,
        files: Mapping[str, tuple[CatalogFile, ...]],
        read: Callable[[str, Sequence[CatalogFile]], _Value],
    ) -> None:
        self._files = files
        self._read = read
        self._values: dict[str, _Value] = {}

    def __getitem__(self, name: str) -> _Value:
        if name not in self._values:
            self._values.setdefault(name, self._read(name, self._files[name]))
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def where_of(folder: CatalogFolder, path: str) -> str:
    """Return what errors call a file of a folder: of the shipped ones its path in the folder alone."""
    return path if folder.is_shipped else f"{folder.origin.rstrip('/')}/{path}"


def _listed(folder: CatalogFolder, name: str) -> dict[str, CatalogFile]:
    inner = folder.root / name if name else folder.root
    found: dict[str, CatalogFile] = {}
    for file in sorted(inner.iterdir(), key=lambda file: file.name) if inner.is_dir() else ():
        stem, dot, suffix = file.name.rpartition(".")
        if dot + suffix not in SUFFIXES or file.name.startswith("."):
            continue
        where = where_of(folder, f"{name}/{file.name}" if name else file.name)
        if stem in found:
            raise CatalogError(f"{found[stem].where} and {where} have one name", hint="keep one of them")
        reader = _Reader(file=file, where=where)
        found[stem] = CatalogFile(where=where, read=reader, folder=inner, is_shipped=folder.is_shipped)
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reader:
    file: Traversable
    where: str

    def __call__(self) -> object:
        try:
            with self.file.open("rb") as stream:
                content = stream.read(LARGEST_BYTES + 1)
            text = content.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise CatalogError(
                f"{self.where}: it cannot be read: {error}", hint="it has to be a text file in UTF-8"
            ) from error
        if len(content) > LARGEST_BYTES:
            raise CatalogError(
                f"{self.where} is larger than {LARGEST_BYTES // 1_000_000} MB, so it is no document of a catalog",
                hint="keep catalogs in folders of their own",
            )
        return parse(text, self.where)


def _without_repetition(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise ValueError(f"the key {twice!r} is there twice")
    return found


def parse(text: str, where: str) -> object:
    """Parse a document: JSON if it is called so, else YAML.

    Args:
        text: Of the document.
        where: Its file name.

    Raises:
        CatalogError: It is neither.
    """
    if where.endswith(".json"):
        try:
            return json.loads(text, object_pairs_hook=_without_repetition)
        except (ValueError, RecursionError) as error:
            raise CatalogError(f"{where}: {error}", hint="it has to be JSON") from error
    import yaml

    from sagemaker_custom.catalog.yaml_text import read_yaml

    try:
        return read_yaml(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise CatalogError(f"{where}: {_one_line(error)}", hint="it has to be YAML") from error


def _one_line(error: Exception) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    text = str(problem or error).partition("\n")[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {text}" if mark else text
