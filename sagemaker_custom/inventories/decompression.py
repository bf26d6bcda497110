"""Chunks of a gzip file → chunks of what it holds, never much of it at a time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from sagemaker_custom.errors import RegistryError

PIECE = 256 * 1024
"""Bytes that are unpacked at a time: a few bytes of gzip may stand for gigabytes."""
_GZIP = 16 + zlib.MAX_WBITS


def _new_member() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this machine
        return zlib.decompressobj(_GZIP)
    return isal_zlib.decompressobj(_GZIP)


class Gunzip:
    """Unpacks what it is fed; several members after one another are one file."""

    def __init__(self) -> None:
        self._member = _new_member()
        self._is_between = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what ``chunk`` holds, in pieces of at most :data:`PIECE` bytes; has to be consumed.

        Raises:
            RegistryError: It is not gzip.
        """
        data = chunk
        while data:
            if self._is_between:
                # Some writers pad the end with zeros.
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._is_between = False
            piece, data = self._unpacked(data)
            if piece:
                yield piece

    def finish(self) -> None:
        """Make sure that the end was reached.

        Raises:
            RegistryError: The file was cut off.
        """
        if not self._is_between:
            raise RegistryError("this is not a gzip file, or not all of one")

    def _unpacked(self, data: bytes) -> tuple[bytes, bytes]:
        try:
            piece: bytes = self._member.decompress(data, PIECE)
        except Exception as error:  # isal's error is not zlib's, and isal may not be there to name it
            raise RegistryError(f"this is not a gzip file: {error}") from error
        if self._member.eof:
            rest: bytes = self._member.unused_data
            self._member = _new_member()
            self._is_between = True
            return piece, rest
        return piece, self._member.unconsumed_tail
