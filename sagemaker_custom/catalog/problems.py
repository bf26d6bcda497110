"""What is wrong with a document → :class:`Problem` values, each with file, key path and what may have been meant."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

from sagemaker_custom.errors import CatalogError

if TYPE_CHECKING:
    from pydantic import BaseModel

_LONGEST_VALUE = 100
_Model = TypeVar("_Model", bound="BaseModel")


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong in a catalog."""

    file: str
    message: str
    path: str = ""
    """Of the key, for example ``variants[0].pip``; empty for the whole document."""
    suggestion: str | None = None
    """What may have been meant."""

    def __str__(self) -> str:
        """Return one line for people."""
        meant = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{self.file}: {self.path or 'the document'}: {self.message}{meant}"


def checked(model: type[_Model], document: object, file: str, *, hint: str) -> _Model:
    """Read a document into its model.

    Args:
        model: Of pydantic.
        document: What the file holds.
        file: Its name, for errors.
        hint: Where to read about its keys.

    Raises:
        CatalogError: It is malformed; has a line for each problem.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise malformed(_problems(error, model, file), hint=hint) from error


def problems_of(model: type[BaseModel], document: object, file: str) -> tuple[Problem, ...]:
    """Return everything that is wrong with a document, by its model alone."""
    from pydantic import ValidationError

    try:
        model.model_validate(document)
    except ValidationError as error:
        return _problems(error, model, file)
    return ()


def malformed(problems: Iterable[Problem], *, hint: str) -> CatalogError:
    """Return the error that tells all of the problems."""
    return CatalogError("\n".join(map(str, problems)), hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return what is spelled most like ``name``, ``None`` when nothing is."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)


def _problems(error: Any, model: type[BaseModel], file: str) -> tuple[Problem, ...]:
    return tuple(_problem(found, model, file) for found in error.errors())


def _problem(found: Mapping[str, Any], model: type[BaseModel], file: str) -> Problem:
    location = tuple(found["loc"])
    raised = found.get("ctx", {}).get("error")
    message, suggestion = getattr(raised, "message", found["msg"].removeprefix("Value error, ")), None
    match found["type"]:
        case "extra_forbidden":
            message = "there is no such key"
            suggestion = nearest(str(location[-1]), _keys_at(model, location[:-1]))
        case "missing":
            message = "this key is missing"
        case "literal_error":
            suggestion = nearest(_shown(found["input"]), re.findall(r"'([^']+)'", found["ctx"]["expected"]))
        case "string_type" if isinstance(found["input"], Mapping | list) or found["input"] is None:
            message = "it has to be a text"
        case "string_type":
            # YAML takes 2.10 for the number 2.1, and a date for more than its text.
            message = f"it has to be a text, and YAML reads {_shown(found['input'])} here: write it between quotes"
    return Problem(file=file, path=key_path(location), message=message, suggestion=suggestion)


def _shown(value: object) -> str:
    # Anything may stand there: a list of everything, or a number with more digits than Python writes.
    if isinstance(value, Mapping | list | set | tuple):
        return f"a {type(value).__name__}"
    try:
        text = str(value)
    except ValueError:
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def key_path(location: Sequence[int | str]) -> str:
    """Return ``variants[0].pip`` for ``("variants", 0, "pip")``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> Iterable[str]:
    """Return the keys that are known where ``location`` leads in a document."""
    from pydantic import BaseModel

    inner: Any = model
    for part in location:
        inner = _inside(_plain(inner), part)
    inner = _plain(inner)
    return inner.model_fields if isinstance(inner, type) and issubclass(inner, BaseModel) else ()


def _inside(annotation: Any, part: int | str) -> Any:
    if hasattr(annotation, "model_fields"):
        field = annotation.model_fields.get(part)
        return field.annotation if field else None
    arguments = get_args(annotation)
    return arguments[-1] if arguments else None


def _plain(annotation: Any) -> Any:
    """Return an annotation without what is added to it, and without ``None``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _plain(next(choice for choice in get_args(annotation) if choice is not type(None)))
    return annotation
