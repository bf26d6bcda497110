"""Any text, whoever wrote it → one that a terminal shows and does not obey."""

from __future__ import annotations

import re

# CSI with its parameters, OSC with its text, and every other sequence of two characters.
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]")
# What a terminal obeys but for tab and line end, and what makes a line read in another order than it has.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")


def plain(text: str) -> str:
    r"""Return ``text`` without escape sequences and control characters; tabs and line ends stay.

    What no encoding has (the bytes of a file name that is not UTF-8) is written as ``\udcff``.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = _CONTROLS.sub("", without_escapes(text))
    return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", shown)


def without_escapes(text: str) -> str:
    """Return ``text`` without colours, titles and movements of the cursor."""
    return _ESCAPES.sub("", text)


def plain_json(text: str) -> str:
    r"""Return a JSON text in which such characters are written ``\u0085``; it stands for the same document."""
    for pattern in (_CONTROLS, _SURROGATES):
        text = pattern.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text
