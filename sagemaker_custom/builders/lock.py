"""What Python says is installed in an image and in its base → the record that the image carries as a label. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress

from sagemaker_custom.errors import BuildError
from sagemaker_custom.spec import canonical_json

LISTING_MARK = "sagemaker-custom installed: "
"""What the line of the listing begins with."""

_PROGRAM = (
    "import importlib.metadata as m, json; "
    "found = [d for d in m.distributions() if d.metadata['Name']]; "
    "v = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in reversed(found)}; "
    f"print({LISTING_MARK!r} + json.dumps(v))"
)


def listing_command(python: str) -> tuple[str, ...]:
    """Return the command that prints what is installed; -I keeps the working directory's files out of it."""
    return (python, "-I", "-c", _PROGRAM)


def read_listing(lines: Iterable[str], *, image: str) -> dict[str, str]:
    """Read what the command printed: package to version.

    Raises:
        BuildError: It printed no listing.
    """
    for line in lines:
        if line.startswith(LISTING_MARK):
            with suppress(ValueError, AttributeError, RecursionError):
                found = json.loads(line.removeprefix(LISTING_MARK))
                return {str(name): str(version) for name, version in found.items()}
    raise BuildError(
        f"Python in {image} did not list what is installed",
        hint="check that the catalog entry's layout says where the interpreter of this image is",
    )


def lock_text(base: Mapping[str, str], built: Mapping[str, str]) -> str:
    """Return the record: what the build installed or changed, and what it removed, as canonical JSON."""
    installed = {name: version for name, version in built.items() if base.get(name) != version}
    return canonical_json({"installed": installed, "removed": sorted(base.keys() - built.keys())})
