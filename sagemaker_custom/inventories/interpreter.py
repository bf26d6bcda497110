"""Tree of an image and the name of a Python → where that one looks for packages, and where pip would put them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sagemaker_custom.errors import BaseImageError
from sagemaker_custom.inventories.overlay import ImageTree

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RELEASE = re.compile(r"python(3\.(\d+))")
_CONDA_PYTHON = re.compile(r"python-(3\.\d+\.\d+)-.*\.json")
_LIBRARIES = ("lib", "lib64")


@dataclass(frozen=True, kw_only=True, slots=True)
class Interpreter:
    """One Python of an image."""

    executable: str
    """Absolute path, as it is called."""
    version: str
    site_packages: str
    """Where pip installs."""
    scripts: str
    folders: tuple[str, ...]
    """Where packages are looked for, without what ``.pth`` files add; the first one counts."""
    site_folders: tuple[str, ...]
    """Those of them whose ``.pth`` files are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Installation:
    """A Python that is no virtual environment."""

    prefix: str
    library: str
    """``lib``, or ``lib64`` as Red Hat has it."""
    release: str
    """``3.11``"""
    version: str
    is_debian: bool

    @property
    def standard_library(self) -> str:
        return f"{self.prefix}/{self.library}/python{self.release}"

    @property
    def is_distribution_owned(self) -> bool:
        return self.is_debian or (self.prefix == "/usr" and self.library == "lib64")

    @property
    def site_folders(self) -> tuple[str, ...]:
        python = f"python{self.release}"
        if self.is_debian:
            return (f"/usr/local/lib/{python}/dist-packages", "/usr/lib/python3/dist-packages")
        prefixes = ("/usr/local", self.prefix) if self.is_distribution_owned else (self.prefix,)
        libraries = ("lib64", "lib") if self.library == "lib64" else ("lib",)
        return tuple(f"{prefix}/{library}/{python}/site-packages" for prefix in prefixes for library in libraries)

    @property
    def site_packages(self) -> str:
        # What belongs to the distribution is left to its own package manager, also by pip.
        prefix = "/usr/local" if self.is_distribution_owned else self.prefix
        return f"{prefix}/lib/python{self.release}/{'dist' if self.is_debian else 'site'}-packages"

    @property
    def scripts(self) -> str:
        return f"{'/usr/local' if self.is_distribution_owned else self.prefix}/bin"


def find_interpreter(tree: ImageTree, environment: Mapping[str, str], python: str) -> Interpreter:
    """Find a Python as a process in the image would.

    Args:
        tree: Of the image.
        environment: That the image sets: ``PATH`` and ``PYTHONPATH`` count.
        python: Absolute path, or a name that is looked up in ``PATH``.

    Raises:
        BaseImageError: There is none, or it has no standard library.
    """
    executable = _executable(tree, environment, python)
    own_folders = tuple(part for part in environment.get("PYTHONPATH", "").split(":") if part.startswith("/"))
    bin_folder = posixpath.dirname(executable)
    for folder in (posixpath.dirname(bin_folder), bin_folder):
        text = tree.text(f"{folder}/pyvenv.cfg")
        if text is not None:
            return _virtual_environment(tree, executable, folder, _assignments(text), own_folders)
    found = _installation(tree, executable)
    if found is None:
        raise _no_library(executable)
    return Interpreter(
        executable=executable,
        version=found.version,
        site_packages=found.site_packages,
        scripts=found.scripts,
        folders=(*own_folders, found.standard_library, *found.site_folders),
        site_folders=found.site_folders,
    )


def _executable(tree: ImageTree, environment: Mapping[str, str], python: str) -> str:
    if python.startswith("/"):
        folders, name = [posixpath.dirname(python)], posixpath.basename(python)
    else:
        folders, name = environment.get("PATH", _PATH).split(":"), python
    for folder in folders:
        if folder.startswith("/") and name in tree.names_in(folder):
            return posixpath.join(folder, name)
    where = "" if python.startswith("/") else f" in {':'.join(folders)}"
    raise BaseImageError(f"the base image has no {python}{where}", hint="name the Python that the image runs")


def _no_library(executable: str) -> BaseImageError:
    return BaseImageError(
        f"{executable} of the base image has no standard library that can be found",
        hint="only CPython 3 is known, installed in bin and lib of one folder",
    )


def _virtual_environment(
    tree: ImageTree, executable: str, prefix: str, config: Mapping[str, str], own_folders: Sequence[str]
) -> Interpreter:
    base = _installation(tree, _base_executable(tree, executable, config))
    release, version = _venv_release(tree, executable, prefix, config, base)
    folders = tuple(f"{prefix}/{library}/python{release}/site-packages" for library in _LIBRARIES)
    inherits = base is not None and config.get("include-system-site-packages", "").lower() == "true"
    site_folders = (*folders, *(base.site_folders if base and inherits else ()))
    standard = (base.standard_library,) if base else ()
    return Interpreter(
        executable=executable,
        version=version,
        site_packages=folders[0],
        scripts=f"{prefix}/bin",
        folders=(*own_folders, *standard, *site_folders),
        site_folders=site_folders,
    )


def _venv_release(
    tree: ImageTree, executable: str, prefix: str, config: Mapping[str, str], base: _Installation | None
) -> tuple[str, str]:
    if base:
        return base.release, _most_exact(base.release, base.version, _venv_version(config))
    # The one that it was made with is not in the image, or not where it was: such an environment may be in use still.
    releases = [match[1] for name in tree.names_in(f"{prefix}/lib") if (match := _RELEASE.fullmatch(name))]
    if len(releases) != 1:
        raise _no_library(executable)
    return releases[0], _most_exact(releases[0], _venv_version(config))


def _venv_version(config: Mapping[str, str]) -> str:
    said = config.get("version") or config.get("version_info", "")
    return ".".join(said.split(".")[:3])


def _most_exact(release: str, *versions: str) -> str:
    """Return the first version that is one of ``release`` and says more."""
    return next((version for version in versions if version.startswith(f"{release}.")), release)


def _base_executable(tree: ImageTree, executable: str, config: Mapping[str, str]) -> str:
    home = config.get("home", "")
    real = posixpath.basename(tree.real_path(executable))
    names = tree.names_in(home) if home else ()
    for name in (real, posixpath.basename(executable), "python3", "python"):
        if name in names:
            return f"{home}/{name}"
    return tree.real_path(executable)


def _assignments(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _installation(tree: ImageTree, executable: str) -> _Installation | None:
    real = tree.real_path(executable)
    named = _RELEASE.fullmatch(posixpath.basename(real))
    prefix = posixpath.dirname(real)
    while prefix != "/":
        prefix = posixpath.dirname(prefix)
        found = sorted(_libraries(tree, prefix, named[1] if named else None), reverse=True)
        if found:
            _, release, library = found[0]
            is_debian = prefix == "/usr" and _has_dpkg(tree)
            root = "" if prefix == "/" else prefix
            version = _most_exact(release, *_versions(tree, root, release))
            return _Installation(prefix=root, library=library, release=release, version=version, is_debian=is_debian)
    return None


def _has_dpkg(tree: ImageTree) -> bool:
    return tree.read("/var/lib/dpkg/status") is not None or "dist-packages" in tree.names_in("/usr/lib/python3")


def _libraries(tree: ImageTree, prefix: str, release: str | None) -> Iterator[tuple[int, str, str]]:
    for library in _LIBRARIES:
        for name in tree.names_in(posixpath.join(prefix, library)):
            match = _RELEASE.fullmatch(name)
            if match and release in {None, match[1]} and "os.py" in tree.names_in(f"{prefix}/{library}/{name}"):
                yield int(match[2]), match[1], library


def _versions(tree: ImageTree, prefix: str, release: str) -> Iterator[str]:
    for name in tree.names_in(f"{prefix}/include"):
        for header in ("patchlevel.h", "patchlevel-64.h"):
            if name.startswith(f"python{release}"):
                yield tree.text(f"{prefix}/include/{name}/{header}") or ""
    for name in tree.names_in(f"{prefix}/conda-meta"):
        match = _CONDA_PYTHON.fullmatch(name)
        yield match[1] if match else ""
    if prefix == "/usr":
        yield from (tree.text("/var/lib/dpkg/status") or "").splitlines()
