"""The distributions that are installed → which SageMaker SDK the classes here speak, and what of it is there."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sagemaker_custom.errors import UsageError

OLDEST = {"2": "2.257", "3": "3.27"}
"""Line of the SDK → its oldest version that the classes here are made for."""
PARTS = ("sagemaker", "sagemaker-core", "sagemaker-train", "sagemaker-serve", "sagemaker-mlops")
"""Distributions that the SDK v3 consists of; the v2 has the first two."""
_ADAPTERS = {"2": "sagemaker_custom.sdk_v2", "3": "sagemaker_custom.sdk_v3"}


@dataclass(frozen=True, kw_only=True, slots=True)
class InstalledPart:
    """A distribution of the SDK."""

    name: str
    version: str
    missing: int = 0
    """How many of its modules are not on the disk: pip removed them with another one that had them, too."""


def installed_parts(search: list[str] | None = None) -> tuple[InstalledPart, ...]:
    """Return what is there of the SDK.

    Args:
        search: Folders to look in; default: where Python looks.
    """
    return tuple(_parts(search))


def _parts(search: list[str] | None) -> Iterator[InstalledPart]:
    for name in PARTS:
        found = metadata.distributions(name=name) if search is None else metadata.distributions(name=name, path=search)
        for distribution in found:
            yield InstalledPart(name=name, version=distribution.version, missing=_missing(distribution))
            break


def _missing(distribution: metadata.Distribution) -> int:
    # Their property "files" leaves out what is not there, in some versions.
    paths = [row[0] for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()) if row]
    return sum(not Path(str(distribution.locate_file(path))).exists() for path in paths if path.endswith(".py"))


def adapter(version_of: Callable[[str], str] = metadata.version) -> str:
    """Name the module that has the classes for the SDK that is installed.

    Its metadata decide: an import that fails for some other reason never makes the other adapter answer.

    Args:
        version_of: Distribution → its version.

    Raises:
        UsageError: No SDK is installed, or one that nothing here speaks.
    """
    try:
        version = version_of("sagemaker")
    except metadata.PackageNotFoundError:
        raise UsageError(
            "the SageMaker Python SDK is not installed, which the classes named Custom… stand on",
            hint="pip install 'sagemaker-custom[sdk]'; [v2] and [v3] hold on to one of its two lines",
        ) from None
    module = _ADAPTERS.get(version.partition(".")[0])
    if module is None:
        raise UsageError(
            f"sagemaker {version} is installed, whose classes are not known here",
            hint="pip install 'sagemaker-custom[v3]', or [v2]",
        )
    return module
