"""The contents of all wheels → which of them share a layer, and which of their files clash. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence

from sagemaker_custom.errors import BuildError
from sagemaker_custom.wheels.contents import Contents, File

# A layer of its own costs requests to the registry, about as long as 4 MiB take to be sent at 10 MB/s.
_LARGE_WHEEL_BYTES = 4 << 20
MOST_LAYERS = 40
"""Docker takes 125 layers in an image, and the bases have up to some sixty."""


def large_wheels(sizes: Mapping[str, int], *, most: int) -> tuple[str, ...]:
    """Choose the wheels that get a layer of their own, the largest first.

    Engines share the lower layers of two images as far as they are the same, so what is large comes first.

    Args:
        sizes: Names of the wheels' files → their sizes in bytes.
        most: How many there may be.
    """
    large = [name for name, size in sizes.items() if size >= _LARGE_WHEEL_BYTES]
    return tuple(sorted(large, key=lambda name: (-sizes[name], name))[: max(most, 0)])


def check_clashes(wheels: Sequence[Contents]) -> None:
    """Refuse wheels of which one would overwrite another's files.

    Raises:
        BuildError: Lists all that clash.
    """
    owners: dict[str, tuple[str, File]] = {}
    problems: dict[str, None] = {}
    for contents in wheels:
        name = contents.fetched.wheel.name
        for file in contents.files:
            other, there = owners.setdefault(file.path, (name, file))
            if there.sha256 != file.sha256:
                problems[f"{file.path} is in {other} and in {name}, with another content"] = None
    folders: set[str] = set()
    for path, (name, _) in owners.items():
        for folder in _new_folders(path, folders):
            if folder in owners:
                problems[f"{folder} is a file of {owners[folder][0]} and a folder of {name}"] = None
    if problems:
        raise BuildError(
            "wheels overwrite each other's files:" + "".join(f"\n    {line}" for line in sorted(problems)),
            hint="leave one of them out; with builder='docker' pip lets the one that it installs last win",
        )


def overwritten(wheels: Sequence[Contents], owners: Mapping[str, str]) -> tuple[str, ...]:
    """Name the files of the base that the wheels overwrite.

    Args:
        wheels: The wheels.
        owners: Absolute path → package of the base whose file it is, without those that are replaced.
    """
    return tuple(
        f"{file.path} of {owners[file.path]} is overwritten by {contents.fetched.wheel.name}"
        for contents in wheels
        for file in contents.files
        if file.path in owners
    )


def _new_folders(path: str, seen: set[str]) -> Iterator[str]:
    while (path := posixpath.dirname(path)) != "/" and path not in seen:
        seen.add(path)
        yield path
