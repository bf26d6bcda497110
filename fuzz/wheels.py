"""Bytes → the readers of wheels: the archive, and METADATA, WHEEL, RECORD, entry points and names in a sound one."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
import tempfile
import zipfile
from pathlib import Path

from sagemaker_custom.inventory import InstalledPackage, Inventory
from sagemaker_custom.reference import Digest
from sagemaker_custom.wheels.contents import read_contents
from sagemaker_custom.wheels.layout import Layout
from sagemaker_custom.wheels.lock import Lock, LockedWheel
from sagemaker_custom.wheels.static_check import check_metadata
from sagemaker_custom.wheels.store import FetchedWheel
from sagemaker_custom.wheels.tar_layer import Part, tar_of_files

_PREFIX = "/opt/conda"
_BASE = Digest("sha256:" + "0" * 64)
_INVENTORY = Inventory(
    base=_BASE,
    platform="linux/amd64",
    python=f"{_PREFIX}/bin/python",
    python_version="3.11.9",
    site_packages=f"{_PREFIX}/lib/python3.11/site-packages",
    scripts=f"{_PREFIX}/bin",
    glibc="2.31",
    packages=(InstalledPackage(name="b", version="1", location="/b", requires=("a>1; extra=='x'",)),),
)
_INFO = "a-1.0.dist-info"
_SOUND = {
    "a/__init__.py": b"",
    f"{_INFO}/METADATA": b"Metadata-Version: 2.1\nName: a\nVersion: 1.0\n",
    f"{_INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{_INFO}/RECORD": b"",
}


def archive(data: bytes) -> None:
    """Any file."""
    _installed(data)


def metadata(data: bytes) -> None:
    """METADATA of a sound wheel."""
    _installed(wheel_of({f"{_INFO}/METADATA": _SOUND[f"{_INFO}/METADATA"] + data}), check=True)


def wheel_file(data: bytes) -> None:
    """WHEEL of a sound wheel."""
    _installed(wheel_of({f"{_INFO}/WHEEL": data}))


def record(data: bytes) -> None:
    """RECORD of a sound wheel."""
    _installed(wheel_of({f"{_INFO}/RECORD": data}))


def entry_points(data: bytes) -> None:
    """Entry points of a sound wheel."""
    _installed(wheel_of({f"{_INFO}/entry_points.txt": data}))


def names(data: bytes) -> None:
    """Names of files in a sound wheel."""
    words = [word.decode("utf-8", "replace") for word in data.split(b"\n")]
    _installed(wheel_of({word: b"x" for word in words if word}))


def scripts(data: bytes) -> None:
    """A script of a sound wheel."""
    _installed(wheel_of({"a-1.0.data/scripts/run": data}))


def wheel_of(changes: dict[str, bytes]) -> bytes:
    """Return a sound wheel but for what is changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in {**_SOUND, **changes}.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def _installed(content: bytes, *, check: bool = False) -> None:
    """Whatever a wheel installs lies below the prefix, and its layer is a tar of just that."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a-1.0-py3-none-any.whl")
        path.write_bytes(content)
        wheel = LockedWheel(
            name="a",
            version="1.0",
            filename=path.name,
            url="https://x/a",
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            index=None,
        )
        fetched = FetchedWheel(wheel=wheel, path=path)
        lock = Lock(python_version="3.11", platform="linux/amd64", wheels=(wheel,), replaced=(), base=_BASE)
        if check:  # takes most of the time
            check_metadata(_INVENTORY, lock, (fetched,))
        contents = read_contents(fetched, Layout.of(_INVENTORY), requested=("a",))
        paths = {file.path for file in contents.marked_files}
        assert all(posixpath.normpath(name) == name and name.startswith(f"{_PREFIX}/") for name in paths), paths
        packed = b"".join(tar_of_files([Part(fetched=fetched, files=contents.marked_files)], folders={}))
    with tarfile.open(fileobj=io.BytesIO(packed)) as layer:
        assert {f"/{entry.name}" for entry in layer if entry.isfile()} == paths
        assert all(entry.mode in {0o644, 0o755} for entry in layer)


PARSERS = (archive, metadata, wheel_file, record, entry_points, names, scripts)
"""The first byte of an input chooses."""
