"""In which code the text of a file is written, also where no mark at its begin says so.

What can be read in two ways is read so that its ASCII letters stand: a text in UTF-16 that is taken for one
in bytes still shows them once it is cleaned, and the other way round they are gone.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes((*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20)))
_FEW = 50
"""A text has at most one control character in so many; a file of another kind has one in ten."""
_NO_TEXT = re.compile(
    "[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ue000-\uf8ff\ufff0-\uffff\U000e0080-\U0010ffff]+"
)
"""Characters that files of another kind are full of where they are read as UTF-16."""
_LETTERS = bytes(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in range(256))
_LETTERS_OR_NONE = b"\1" + _LETTERS[1:]
_AS_LATIN = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}
"""What ``surrogateescape`` makes of a byte that is no UTF-8."""


def code_of(data: bytes) -> str | None:
    """The codec by which ``data`` is a text; None: it looks like a file of another kind.

    >>> [code_of(text) for text in (b"a,b", "a,b".encode("utf-16-le"), "привет".encode("utf-16-be"))]
    ['utf-8', 'utf-16-le', 'utf-16-be']
    >>> code_of(bytes(range(256))) is None
    True
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return codec
    if _has_few_controls(data) and _is_utf8(data):
        return "utf-8"
    wide = _wide(data)
    if wide is None:
        return "utf-8" if _has_few_controls(data) else None
    letters = data.replace(b"\0", b"")
    if _has_few_controls(letters) and (_hides_letters(data, wide) or _is_utf8_alone(letters)):
        return "utf-8"
    return wide


class Reading(NamedTuple):
    """What a file says.

    Attributes:
        text: bytes that are not in its code are letters of latin-1, which reads everything.
        other: with a mark in place of each of them, as other programs read it; empty where there are none.
    """

    codec: str
    text: str
    other: str = ""


def read(data: bytes, codec: str) -> Reading:
    r"""What ``data`` says by the codec, also where a part of it is none.

    >>> read("Zoë, Jürgen".encode() + "Besançon".encode("latin-1"), "utf-8")
    Reading(codec='utf-8', text='Zoë, JürgenBesançon', other='Zoë, JürgenBesan\ufffdon')
    """
    if codec.startswith(("utf-16", "utf-32")):
        return Reading(codec, data.decode(codec, "ignore"))  # a byte too many hides nothing
    try:
        return Reading(codec, data.decode(codec))
    except UnicodeDecodeError:
        text = data.decode(codec, "surrogateescape").translate(_AS_LATIN)
        return Reading("utf-8", text, data.decode(codec, "replace"))


def _wide(data: bytes) -> str | None:
    """UTF-32 or UTF-16 without a mark, if nearly all that it says then is characters of a text."""
    # Characters of one script are beside each other: their higher bytes are of fewer kinds.
    utf16 = "utf-16-le" if len(set(data[1::2])) <= len(set(data[::2])) else "utf-16-be"
    for codec, width in (("utf-32-le", 4), ("utf-32-be", 4), (utf16, 2)):
        n_bytes = len(data) // width * width
        said = _NO_TEXT.sub("", data[:n_bytes].decode(codec, "ignore")).encode(codec)
        if n_bytes and (n_bytes - len(said)) * _FEW <= n_bytes:
            return codec
    return None


def _hides_letters(data: bytes, wide: str) -> bool:
    """Whether a character may as well be two letters, or one with nothing on its other side."""
    if not wide.startswith("utf-16"):
        return False
    first, second = (data[1::2], data[::2]) if wide.endswith("le") else (data[::2], data[1::2])
    n = len(data) // 2
    high = int.from_bytes(first[:n].translate(_LETTERS), "big")
    return bool(high & int.from_bytes(second[:n].translate(_LETTERS_OR_NONE), "big"))


def _has_few_controls(data: bytes) -> bool:
    return (len(data) - len(data.translate(None, _CONTROLS))) * _FEW <= len(data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_utf8_alone(data: bytes) -> bool:
    """Whether it is UTF-8 with more than ASCII, which hardly anything else is by chance."""
    return not data.isascii() and _is_utf8(data)
