"""Compression: the same bytes however the input is cut and whoever compresses it, and no more memory than is needed."""

from __future__ import annotations

import gzip
import hashlib
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagemaker_custom.compression import BLOCK_BYTES, gzip_chunks

EXPECTED = "f98e035e1741f2c8924ea8d7fec3dbdd2c16f2f7296e6e3d7982f80ff0e2e3e2"


def packed(chunks, workers=None):
    return b"".join(gzip_chunks(chunks, workers=workers))


@given(st.lists(st.binary(max_size=200)), st.integers(1, 3))
def test_what_went_in_comes_out(chunks, workers):
    assert gzip.decompress(packed(chunks, workers)) == b"".join(chunks)


@settings(max_examples=15)
@given(st.lists(st.integers(0, BLOCK_BYTES + 3), max_size=4), st.integers(1, 4))
def test_neither_cuts_nor_workers_change_the_bytes(cuts, workers):
    content = random.Random(7).randbytes(BLOCK_BYTES // 4) * 5
    places = [0, *sorted(cuts), len(content)]
    chunks = [content[begin:end] for begin, end in pairwise(places)]

    assert packed(chunks, workers) == packed([content], 1)


def test_bytes_are_the_same_on_every_machine():
    """Those of another release of the library would be others: then every layer would be sent anew."""
    content = b"".join(b"line %d of a file\n" % number for number in range(100_000))

    assert hashlib.sha256(packed([content])).hexdigest() == EXPECTED


def test_input_is_read_only_as_far_as_there_is_work():
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield bytes(BLOCK_BYTES)

    stream = gzip_chunks(endless(), workers=2)
    next(stream)
    assert read <= 4
    stream.close()


def test_failure_of_the_input_arrives():
    def broken():
        yield bytes(BLOCK_BYTES)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        packed(broken())
