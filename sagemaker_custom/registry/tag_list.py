"""One page of a repository's tags → the tags, and where the next page is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urljoin

from pydantic import BaseModel, ValidationError

from sagemaker_custom.errors import RegistryError
from sagemaker_custom.oci import MANIFEST_LIMIT
from sagemaker_custom.registry.answers import Operation, require_absence
from sagemaker_custom.registry.exchange import origin_of
from sagemaker_custom.registry.transport import HttpResponse

FIRST_PAGE = "tags/list?n=1000"
"""Path in a repository."""


class _Answer(BaseModel):
    # Registries say null for a repository whose last tag was removed.
    tags: list[str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A part of the list."""

    tags: tuple[str, ...] = ()
    following: str | None = None
    """URL of the next page; ``None`` at the end."""


def read_page(response: HttpResponse, operation: Operation) -> Page:
    """Read a page; an absent repository has an empty one.

    Raises:
        RegistryError: The answer is no list of tags.
    """
    if response.status == HTTPStatus.NOT_FOUND:
        require_absence(response, operation)
        return Page()
    try:
        tags = _Answer.model_validate_json(response.read(MANIFEST_LIMIT)).tags
    except ValidationError:
        raise RegistryError(f"{operation}: {response.request.host} did not answer with a list of tags") from None
    return Page(tags=tuple(tags or ()), following=_following(response))


def _following(response: HttpResponse) -> str | None:
    match = re.search(r'<([^>]+)>\s*;[^,]*rel="?next"?', response.headers.get("Link", ""))
    url = urljoin(response.request.url, match[1]) if match else ""
    # Another host would get this one's credentials.
    return url if origin_of(url) == origin_of(response.request.url) else None
