"""An inventory → what decides whether a wheel fits its base: markers and tags. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.tags import Tag, compatible_tags, cpython_tags

from sagemaker_custom.inventory import Inventory

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# PEP 600: the names that some releases of glibc had before.
_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_WITHOUT_M = (3, 8)
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}


def marker_environment(inventory: Inventory) -> dict[str, str]:
    """Return what markers are evaluated with; a missing patch version counts as 0."""
    major, minor, patch = (*inventory.python_version.split("."), "0", "0")[:3]
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{major}.{minor}.{patch}",
        "os_name": "posix",
        "platform_machine": machine_of(inventory),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{major}.{minor}.{patch}",
        "python_version": f"{major}.{minor}",
        "sys_platform": "linux",
    }


def supported_tags(inventory: Inventory) -> tuple[Tag, ...]:
    """Return the tags that pip in the base would take, best first."""
    major, minor = (int(part) for part in inventory.python_version.split(".")[:2])
    platforms = list(_platforms(inventory))
    # Named, since the default would look at the Python that runs this.
    abi = f"cp{major}{minor}{'m' if (major, minor) < _WITHOUT_M else ''}"
    return (
        *cpython_tags((major, minor), abis=[abi], platforms=platforms),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=platforms),
    )


def machine_of(inventory: Inventory) -> str:
    """Return the processor as Python calls it, for example ``x86_64``."""
    architecture = inventory.platform.split("/")[1]
    return _MACHINES.get(architecture, architecture)


def _platforms(inventory: Inventory) -> Iterator[str]:
    machine = machine_of(inventory)
    if inventory.glibc:
        major, newest = (int(part) for part in inventory.glibc.split(".")[:2])
        for release in range(newest, _OLDEST_GLIBC.get(machine, 17) - 1, -1):
            yield f"manylinux_{major}_{release}_{machine}"
            if release in _OLD_NAMES:
                yield f"{_OLD_NAMES[release]}_{machine}"
    yield f"linux_{machine}"
