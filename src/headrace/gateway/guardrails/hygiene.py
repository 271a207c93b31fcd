"""Takes out of a text what nobody sees, so that guards and models read what people read.

Tags, zero-width characters, marks that turn the direction of text and most control characters carry hidden
orders, or cut a word in two so that no rule finds it. Joiners and marks that scripts and emoji need stay
behind a character that is not ASCII.
"""

from __future__ import annotations

import re

from headrace.gateway.guardrails.guards import Action, Hit, Layer

_UNSEEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_JOINERS = "\u180b-\u180d\u200c-\u200f"
_HIDDEN = re.compile(f"(?<=[\x00-\x7f])[{_JOINERS}{_UNSEEN}]+|[{_UNSEEN}]+")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")


def clean(text: str, before: str = "") -> str:
    r"""``text`` without hidden characters; doing it again changes nothing.

    Args:
        before: the cleaned character that stood before it, of a text that comes in pieces.

    >>> clean("pass\u200bword: hunter\U000e0041\U000e0042")
    'password: hunter'
    """
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub("", before[-1:] + text)[len(before[-1:]) :]


def hidden_tags(text: str) -> str:
    """The ASCII text that tag characters spell out, unseen by people."""
    return "".join(chr(ord(c) - 0xE0000) for run in _TAGS.findall(text) for c in run)


class Hygiene:
    """Cleans a text and says what was wrong with it.

    Args:
        max_chars: a longer text is blocked before any guard looks at it.
        on_hidden: what is to be done where something was hidden; it is taken out in any case.
        least_hidden: fewer characters are taken out without a word: a mark at the begin of a file is none.
    """

    def __init__(
        self, *, max_chars: int = 1_000_000, on_hidden: Action = "mask", least_hidden: int = 3
    ) -> None:
        self.max_chars = max_chars
        self.on_hidden = on_hidden
        self.least_hidden = least_hidden

    def cleaned(self, text: str, before: str = "") -> tuple[str, int, int]:
        """The text without what is hidden in it, how many characters that was, and how many of them tags."""
        cleaned = clean(text, before)
        n_hidden = len(text) - len(cleaned)
        return cleaned, n_hidden, len(hidden_tags(text)) if n_hidden else 0

    def hits(self, n_chars: int, n_hidden: int, n_tags: int, layer: Layer) -> list[Hit]:
        """``hygiene.size`` and ``hygiene.hidden`` of a text with so many characters."""
        hits: list[Hit] = []
        if n_chars <= self.max_chars and not n_hidden:
            return hits
        if n_chars > self.max_chars:
            detail = f"the text is too long: at most {self.max_chars:,} characters are taken"
            hits.append(Hit(rule="hygiene.size", layer=layer, action="block", span=(0, 0), detail=detail))
        if n_hidden >= self.least_hidden or n_tags:
            detail = "hidden characters" + (", which spell a text of their own" if n_tags else "")
            hits.append(
                Hit(rule="hygiene.hidden", layer=layer, action=self.on_hidden, span=(0, 0), detail=detail)
            )
        return hits
