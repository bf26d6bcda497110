"""Wheels of a few bytes, and the base that they go on."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from pathlib import Path

from sagemaker_custom.inventory import InstalledPackage, Inventory
from sagemaker_custom.wheels.lock import Lock, LockedWheel
from sagemaker_custom.wheels.store import FetchedWheel

SITE = "/opt/conda/lib/python3.11/site-packages"
BASE = "sha256:" + "0" * 64


def inventory(**changes):
    """A base with conda's Python."""
    values = {
        "base": BASE,
        "platform": "linux/amd64",
        "python": "/opt/conda/bin/python",
        "python_version": "3.11.9",
        "site_packages": SITE,
        "scripts": "/opt/conda/bin",
        "glibc": "2.31",
        "packages": (),
    }
    return Inventory(**{**values, **changes})


def installed(name, version, *requires):
    """A package of the base."""
    return InstalledPackage(
        name=name, version=version, location=f"{SITE}/{name}-{version}.dist-info", requires=tuple(requires)
    )


def lock_of(*wheels, replaced=()):
    """The lock that asks for these wheels."""
    return Lock(
        python_version="3.11",
        platform="linux/amd64",
        wheels=tuple(fetched.wheel for fetched in wheels),
        replaced=tuple(replaced),
        base=BASE,
    )


def make_wheel(
    folder,
    name="demo",
    version="1.0",
    files=None,
    *,
    tag="py3-none-any",
    requires=(),
    requires_python=None,
    entry_points=None,
    executable=(),
    symlinks=(),
    record=None,
    wheel_version="1.0",
    url="https://files.example.com/",
):
    """Write a wheel.

    Args:
        folder: Where to.
        name: As in the file name.
        version: As in the file name.
        files: Names in the archive → bytes.
        tag: Of Python, ABI and platform.
        requires: Lines of ``Requires-Dist``.
        requires_python: Specifier.
        entry_points: Text of the file.
        executable: Names whose executable bit is set.
        symlinks: Names that the archive has as links, whose content is where they point to.
        record: Names → what RECORD says of them instead of the truth; ``None``: no row.
        wheel_version: Of the format.
        url: Where the file is said to be from.
    """
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {line}" for line in requires]
    metadata += [f"Requires-Python: {requires_python}"] if requires_python else []
    info = f"{name}-{version}.dist-info"
    members = dict(files if files is not None else {f"{name}/__init__.py": b"print('hello')\n"})
    members[f"{info}/METADATA"] = "\n".join([*metadata, ""]).encode()
    members[f"{info}/WHEEL"] = f"Wheel-Version: {wheel_version}\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    if entry_points:
        members[f"{info}/entry_points.txt"] = entry_points.encode()
    rows = {member: f"sha256={encoded(content)},{len(content)}" for member, content in members.items()}
    rows |= record or {}
    quoted = {member.replace('"', '""'): row for member, row in rows.items() if row is not None}
    lines = [*(f'"{member}",{row}' for member, row in quoted.items()), f"{info}/RECORD,,"]
    members[f"{info}/RECORD"] = "\n".join(lines).encode() + b"\n"
    path = Path(folder, f"{name}-{version}-{tag}.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            entry = zipfile.ZipInfo(member)
            entry.compress_type = zipfile.ZIP_DEFLATED
            kind = stat.S_IFLNK if member in symlinks else stat.S_IFREG
            entry.external_attr = (kind | (0o777 if member in executable else 0o664)) << 16
            archive.writestr(entry, content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    wheel = LockedWheel(
        name=name,
        version=version,
        filename=path.name,
        url=url + path.name,
        sha256=digest,
        size=path.stat().st_size,
        index=None,
    )
    return FetchedWheel(wheel=wheel, path=path)


def encoded(content):
    """A hash as RECORD has it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def entries_of(layer):
    """The entries of a kept layer, in order, with their bytes."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.path.read_bytes()))) as archive:
        return [(entry, archive.extractfile(entry).read() if entry.isfile() else None) for entry in archive]


def unpacked(layers):
    """What an engine makes of layers: absolute paths → bytes and executable bit; deletions are done."""
    files = {}
    for layer in layers:
        for entry, content in entries_of(layer):
            path = f"/{entry.name}"
            folder, _, name = path.rpartition("/")
            if name.startswith(".wh."):
                gone = f"{folder}/{name.removeprefix('.wh.')}"
                files = {at: file for at, file in files.items() if at != gone and not at.startswith(f"{gone}/")}
            elif entry.isfile():
                files[path] = (content, bool(entry.mode & 0o111))
    return files
