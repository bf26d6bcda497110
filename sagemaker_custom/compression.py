"""Chunks of bytes → the chunks of a gzip file of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator


def gzip_chunks(chunks: Iterable[bytes], *, workers: int | None = None) -> Iterator[bytes]:
    """Compress, without a name or a time in the header."""
    del workers
    gzip = zlib.compressobj(6, zlib.DEFLATED, 31)
    for chunk in chunks:
        if packed := gzip.compress(chunk):
            yield packed
    yield gzip.flush()
