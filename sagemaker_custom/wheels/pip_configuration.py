"""The files and variables that configure pip → the indexes that they name."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from sagemaker_custom.errors import SettingsError

_DISABLED = ("", "0", "false", "no", "off")


@dataclass(frozen=True, kw_only=True, slots=True)
class PipConfiguration:
    """Where pip on this machine looks for packages; may hold credentials."""

    index_url: str | None = field(default=None, repr=False)
    extra_index_urls: tuple[str, ...] = field(default=(), repr=False)
    find_links: tuple[str, ...] = field(default=(), repr=False)
    trusted_hosts: tuple[str, ...] = ()
    """Hosts whose certificates are not checked."""
    cert: str | None = None
    """PEM file."""
    no_index: bool = False


def read_pip_configuration(environment: Mapping[str, str], files: Iterable[Path]) -> PipConfiguration:
    """Read what pip would.

    Args:
        environment: Variables such as ``PIP_INDEX_URL`` count more than any file.
        files: Those that count most last; missing ones are left out.

    Raises:
        SettingsError: A file cannot be read.
    """
    values: dict[str, str] = {}
    parsers = [parser for path in files if (parser := _read(path)) is not None]
    # What a file says for "install" counts more than what any file says for all commands.
    for section in ("global", "install"):
        for parser in parsers:
            if parser.has_section(section):
                values |= {_normal(name): value for name, value in parser.items(section)}
    # An empty variable is one that is not set.
    given = {name: value for name, value in environment.items() if name.startswith("PIP_") and value}
    values |= {_normal(name.removeprefix("PIP_")): value for name, value in given.items()}
    return PipConfiguration(
        index_url=values.get("index-url"),
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        cert=values.get("cert"),
        no_index=values.get("no-index", "").lower() not in _DISABLED,
    )


def configuration_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the places where pip looks for its configuration, those that count most last."""
    return tuple(_places(environment))


def _places(environment: Mapping[str, str]) -> Iterator[Path]:
    given = environment.get("PIP_CONFIG_FILE")
    if given == os.devnull:
        return
    name = "pip.ini" if sys.platform == "win32" else "pip.conf"
    dirs = platformdirs.PlatformDirs("pip", appauthor=False, roaming=True, multipath=True)
    yield from (Path(folder, name) for folder in reversed(dirs.site_config_dir.split(os.pathsep)))
    if sys.platform != "win32":
        yield Path("/etc", name)
    yield Path.home() / ("pip" if sys.platform == "win32" else ".pip") / name
    yield Path(platformdirs.user_config_dir("pip", appauthor=False, roaming=True), name)
    yield Path(sys.prefix, name)
    if given:
        yield Path(given)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _read(path: Path) -> configparser.RawConfigParser | None:
    parser = configparser.RawConfigParser()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    except UnicodeDecodeError as error:
        raise SettingsError(f"pip's configuration {str(path)!r} is not UTF-8", hint="save it as UTF-8") from error
    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise SettingsError(
            f"pip's configuration {str(path)!r} cannot be read: {error.message.splitlines()[0]}",
            hint="see what pip says of it: pip config list",
        ) from error
    return parser
