"""Chunks of bytes → gzip, made by several cores, and yet the same bytes on every machine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import deflate

LEVEL: Final = 5
"""Of libdeflate: twice the speed of its level 6, and within three percent of the size that zlib's level 9 gives."""
BLOCK_BYTES: Final = 1 << 20
"""What is compressed at a time; larger blocks save less than one per mille."""
_MOST_WORKERS = 8


def gzip_chunks(chunks: Iterable[bytes], *, workers: int | None = None) -> Iterator[bytes]:
    """Compress a stream.

    Blocks of a fixed size become gzip members of their own, one after the other, which every reader of gzip takes for
    one stream. So the result depends neither on how ``chunks`` are cut nor on how many cores work on them; and unlike
    isal's and zlib-ng's that of libdeflate does not depend on the processor either (ADR 0025).

    Args:
        chunks: Of any sizes; read as far as there is work for the workers, and no further.
        workers: Threads; default: one for each core that this process may use, up to eight.

    Yields:
        A gzip member each. An empty stream gives one, too.
    """
    count = workers or min(_cores(), _MOST_WORKERS)
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="gzip") as pool:
        try:
            for block in _blocks(chunks):
                waiting.append(pool.submit(_member, block))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for unwanted in waiting:
                unwanted.cancel()


def _member(block: bytes) -> bytes:
    return bytes(deflate.gzip_compress(block, LEVEL))


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    block = bytearray()
    is_empty = True
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            room = BLOCK_BYTES - len(block)
            block += view[:room]
            view = view[room:]
            if len(block) == BLOCK_BYTES:
                yield bytes(block)
                block.clear()
                is_empty = False
    if block or is_empty:
        yield bytes(block)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
