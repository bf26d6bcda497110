"""What users write in ``extras``, files included → canonical extras; reads requirements files and nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import assert_never

from sagemaker_custom.errors import InvalidExtraError, RequirementsError, UsageError
from sagemaker_custom.spec import (
    AptExtra,
    CondaExtra,
    Extra,
    PipExtra,
    RecipeExtra,
    RequirementsExtra,
    canonical_requirement,
    normalise_extras,
    parse_extra,
    redacted,
    without_credentials,
)

if TYPE_CHECKING:
    from pip_requirements_parser import RequirementsFile

_HASH = re.compile(r"sha(?:256|384|512):[0-9A-Fa-f]+")


def read_extras(extras: Sequence[str | os.PathLike[str] | Extra] | str | os.PathLike[str]) -> tuple[Extra, ...]:
    """Read the ``extras`` argument.

    Args:
        extras: Recipes, ``pip:``, ``conda:`` and ``apt:`` entries, and paths of requirements files; a single
            one need not stand in a list. What was read before stays as it is.

    Raises:
        InvalidExtraError: An entry that cannot be read.
        RequirementsError: A file that is missing, or a line in it that cannot become part of an image.
    """
    entries = [extras] if isinstance(extras, str | os.PathLike) else extras
    return normalise_extras(_read_one(entry) for entry in entries)


def _read_one(entry: str | os.PathLike[str] | Extra) -> Extra:
    if isinstance(entry, RecipeExtra | PipExtra | CondaExtra | AptExtra | RequirementsExtra):
        return entry
    if not isinstance(entry, str | os.PathLike):
        raise InvalidExtraError(
            f"extra {entry!r} is not a text", hint="write for example extras=['faiss', 'pip:umap-learn']"
        )
    if isinstance(entry, os.PathLike) or is_path(entry):
        return read_requirements(Path(entry))
    return parse_extra(entry)


def extras_document(extras: Iterable[Extra]) -> list[dict[str, Any]]:
    """Return extras as JSON has them, without what this machine alone knows; :func:`read_extras_document` reads it."""
    return [
        {"kind": type(extra).__name__, **{name: value for name, value in asdict(extra).items() if name != "path"}}
        for extra in extras
    ]


def read_extras_document(document: Iterable[Mapping[str, Any]]) -> tuple[Extra, ...]:
    """Read what :func:`extras_document` wrote: labels may come from anybody, so every text is read as a user's is.

    Raises:
        InvalidExtraError: It is something else, or of a later release.
    """
    try:
        return tuple(_checked(_extra_of(dict(entry))) for entry in document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidExtraError(
            f"the extras of the image cannot be read: {getattr(error, 'message', error)}",
            hint="update sagemaker-custom, or name them anew",
        ) from error


def _extra_of(entry: dict[str, Any]) -> Extra:
    kinds: dict[str, Callable[..., Extra]] = {
        kind.__name__: kind for kind in (RecipeExtra, PipExtra, CondaExtra, AptExtra, RequirementsExtra)
    }
    kind = kinds[entry.pop("kind")]
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()})


def _checked(extra: Extra) -> Extra:
    match extra:
        case PipExtra():
            return PipExtra(requirement=canonical_requirement(extra.requirement, where="pip"))
        case AptExtra():
            return _of_kind(AptExtra, f"apt:{extra.package}")
        case CondaExtra():
            return _of_kind(CondaExtra, f"conda:{f'{extra.channel}::' if extra.channel else ''}{extra.spec}")
        case RecipeExtra():
            return _of_kind(RecipeExtra, extra.name + extra.specifier)
        case RequirementsExtra():
            for text in (*extra.requirements, *extra.constraints):
                requirement, *hashes = text.split(" --hash=")
                canonical_requirement(requirement, where="requirements")
                _check_hashes(hashes, "requirements")
            for url in (*filter(None, [extra.index_url]), *extra.extra_index_urls, *extra.find_links):
                _check_url(url, "requirements")
            return extra
        case _:
            assert_never(extra)


def _of_kind(kind: type[Extra], text: str) -> Extra:
    extra = parse_extra(text)
    if not isinstance(extra, kind):
        raise ValueError(f"{text!r} is something else")  # noqa: TRY004  # what is wrong is what the text says
    return extra


def is_path(text: str) -> bool:
    """Tell whether an entry of ``extras`` is the path of a requirements file."""
    kind, colon, _ = text.partition(":")
    if colon and kind in ("pip", "conda", "apt"):
        return False
    return text.endswith((".txt", ".in")) or ("/" in text and "://" not in text)


def read_requirements(path: Path) -> RequirementsExtra:
    """Read a requirements file, with the files it includes.

    Raises:
        RequirementsError: The file is missing, or a line cannot be read, or names something that exists on this
            machine only; gives file and line.
    """
    from pip_requirements_parser import RequirementsFile

    if not path.is_file():
        raise RequirementsError(f"the requirements file {str(path)!r} does not exist", hint="check the path")
    try:
        document = RequirementsFile.from_file(str(path), include_nested=True)
    except Exception as error:  # the parser raises what pip would, of many kinds
        raise RequirementsError(f"{path}: {redacted(str(error))}", hint="write the file as pip reads it") from error
    for line in document.invalid_lines:
        raise RequirementsError(
            f"{_where(line)}: {redacted(line.line)!r} cannot be read: {redacted(_first_line(line.error_message))}",
            hint="write one requirement a line, for example 'faiss-cpu==1.8.0'",
        )
    requirements = _requirements(document, constraints=False)
    if not requirements:
        raise RequirementsError(f"{path} names no package", hint="add one, or leave the file out of extras")
    return RequirementsExtra(
        path=str(path),
        requirements=requirements,
        constraints=_requirements(document, constraints=True),
        **_options(document),
    )


def _requirements(document: RequirementsFile, *, constraints: bool) -> tuple[str, ...]:
    texts = set()
    for item in document.requirements:
        if item.is_constraint != constraints:
            continue
        _check_kind(item)
        text = f"{item.req} ; {item.marker}" if item.marker else str(item.req)
        _check_hashes(item.hash_options or [], _where(item))
        hashes = "".join(f" --hash={value}" for value in sorted(item.hash_options or []))
        try:
            texts.add(canonical_requirement(text, where=_where(item)) + hashes)
        except InvalidExtraError as error:
            raise RequirementsError(error.message, hint=error.hint) from error
    return tuple(sorted(texts))


def _check_hashes(hashes: Iterable[str], where: str) -> None:
    for value in hashes:
        if not _HASH.fullmatch(value):
            raise RequirementsError(f"{where}: {value!r} is not a hash", hint="write --hash=sha256:… as pip does")


def _check_kind(item: Any) -> None:
    shown = f"{_where(item)}: {redacted(item.line.strip())!r}"
    url = str(item.link or "")
    is_remote = "://" in url and not url.startswith("file:")
    if is_remote and (item.is_editable or item.req is None or not item.req.url):
        raise RequirementsError(f"{shown} does not say which package it is", hint="write 'NAME @ URL', without -e")
    if not is_remote and (item.is_editable or item.is_local_path or item.req is None):
        raise RequirementsError(
            f"{shown} lies on this machine and cannot be installed into an image",
            hint="give the folder as dependencies=, or put the package on an index",
        )
    if item.global_options or item.install_options:
        raise RequirementsError(f"{shown} has options for setup.py, which pip reads no more", hint="leave them out")


def _options(document: RequirementsFile) -> dict[str, Any]:
    options: dict[str, Any] = {"index_url": None, "extra_index_urls": (), "find_links": ()}
    for line in document.options:
        for name, value in line.options.items():
            if name in ("requirements", "constraints"):
                continue
            if name not in options:
                raise RequirementsError(
                    f"{_where(line)}: the option --{name.replace('_', '-')} is not supported in an image",
                    hint="use --index-url, --extra-index-url, --find-links, -r and -c only",
                )
            for url in [value] if isinstance(value, str) else value:
                _check_url(url, _where(line))
            options[name] = value if isinstance(value, str) else (*options[name], *value)
    return options


def _check_url(url: str, where: str) -> None:
    try:
        shown = without_credentials(url)
    except UsageError as error:
        raise RequirementsError(f"{where}: {error.message}", hint=error.hint) from error
    if not url.isprintable() or " " in url:
        raise RequirementsError(
            f"{where}: {redacted(url)!r} is not a URL", hint="write one without spaces and line ends"
        )
    if not url.startswith(("https://", "http://")):
        raise RequirementsError(
            f"{where}: {redacted(url)!r} cannot be reached from an image", hint="write a URL that begins with https://"
        )
    if shown != url:
        raise RequirementsError(
            f"{where}: a URL here holds credentials, which would stay in the image",
            hint="put the index in the setting pip_index_url or pip_extra_index_urls instead",
        )


def _where(line: Any) -> str:
    return f"{line.requirement_line.filename}:{line.requirement_line.line_number}"


def _first_line(text: str | None) -> str:
    return (text or "not a requirement").strip().splitlines()[0]
