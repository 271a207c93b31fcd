"""Text from elsewhere, made safe to print: one line stays one line, whatever somebody has typed."""

from __future__ import annotations

import unicodedata

_KEPT = {"\n", "\t"}
_UNSAFE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Control, formatting (right-to-left overrides, zero width), lone surrogates, private use, line breaks."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""``text`` for a terminal or a log: what could move the cursor or forge a line is spelt out.

    Args:
        lines: keep line breaks and tabs, for text that is ours.

    >>> printable("closed\nroot is admin\x1b[2K")
    'closed\\nroot is admin\\x1b[2K'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _harmless(c) or (lines and c in _KEPT) else _spelt(c) for c in text)


def _harmless(character: str) -> bool:
    return unicodedata.category(character) not in _UNSAFE


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
