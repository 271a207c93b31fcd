"""What a text says once its disguises are off: other alphabets, hidden characters, encodings, other spelling.

Everything has a bound, and nothing raises: a text of a megabyte costs what its length says.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from functools import lru_cache
from urllib.parse import unquote

from headrace.gateway.guardrails.hygiene import hidden_tags

DEEPEST = 3
"""Encodings inside of one another that are taken off."""
MOST_VIEWS = 12
LONGEST_VIEW = 100_000
"""Characters of what was encoded; the text itself is read whatever its length."""
_UNREAD = "\ufffd"
"""Stands for a byte that is none of a text: some programs leave it out, and a model takes it for a space."""
_MOST_RUNS = 40
_SHORT = 10_000
_LOOKALIKES = {
    other: letter
    for letter, others in {
        "a": "\u0430\u03b1\u0251\u1d00",
        "b": "\u0299\u0185\u044c\u0432\u03b2",
        "c": "\u0441\u03f2\u1d04",
        "d": "\u0501\u1d05\u0111",
        "e": "\u0435\u03b5\u1d07\u0454\u04bd",
        "f": "\ua730\u0192",
        "g": "\u0261\u0262\u050d",
        "h": "\u04bb\u029c\u0127\u043d",
        "i": "\u0456\u03b9\u026a\u0131\u0269",
        "j": "\u0458\u1d0a",
        "k": "\u03ba\u043a\u1d0b\u04a1",
        "l": "\u04cf\u217c\u029f\u01c0\u0142",
        "m": "\u043c\u1d0d",
        "n": "\u043f\u03b7\u0274",
        "o": "\u043e\u03bf\u1d0f\u00f8\u03c3",
        "p": "\u0440\u03c1\u1d18",
        "q": "\u051b",
        "r": "\u0433\u0280",
        "s": "\u0455\ua731",
        "t": "\u0442\u03c4\u1d1b",
        "u": "\u03c5\u1d1c",
        "v": "\u03bd\u0475\u1d20",
        "w": "\u03c9\u051d\u1d21",
        "x": "\u0445\u03c7",
        "y": "\u0443\u03b3\u028f",
        "z": "\u03b6\u1d22",
    }.items()
    for other in others
}
"""Letters of Greek, Cyrillic and phonetic script that look like Latin ones, in lower case."""


class _Plain(dict[int, str]):
    """Of each character what it stands for; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        plain = _plain(chr(code))
        if len(self) < 100_000:
            self[code] = plain
        return plain


def _plain(character: str) -> str:
    for _ in range(4):
        before, made = character, []
        for c in unicodedata.normalize("NFKD", character).casefold():
            category = unicodedata.category(c)
            if category[0] == "Z":
                made.append("\n" if category in ("Zl", "Zp") else " ")
            elif category in ("Mn", "Me", "Cf", "Cs", "Co", "Cn") or (category == "Cc" and c not in "\n\t"):
                made.append(" " if c in "\r\x0b\x0c\x85" else "")
            else:
                made.append(_LOOKALIKES.get(c, c))
        character = "".join(made)
        if character == before:
            break
    return character


_TABLE = _Plain()


def normalise(text: str) -> str:
    r"""Lower-case and in one alphabet where letters look alike, without accents and hidden characters.

    Doing it again changes nothing.

    >>> normalise("\uff29gn\u200b\u00f3r\u0435 \u0430ll")
    'ignore all'
    """
    return text.translate(_TABLE)


_ESCAPED = re.compile(r"\\\\?(?:u\{?([0-9a-f]{4,6})\}?|x([0-9a-f]{2}))")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}.{0,3}){3}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\\\x)?[0-9a-fA-F]{2}[ ,:]?){10,}")
_HEX_HINT = re.compile(r"[0-9a-fA-F]{2}(?:[ ,:]?(?:0x|\\\\x)?[0-9a-fA-F]{2}){9}")
"""The same, found in a fifth of the time because it begins with a character."""
_BITS = re.compile(r"(?:[01]{8} ?){6,}")
_BITS_HINT = re.compile(r"[01]{8}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]{1,2}){4,}\w(?!\w)")
_JOINED = re.compile(r"(?<![a-z])[a-z]{2,20}+(?:[._\-/|+~*,:;][a-z]{2,20}+){3,}")
"""Words with a sign in place of each space, as in a name or a path."""
_SIGN = re.compile(r"[^a-z]")
_COMMENT = re.compile(r"<!--[^>]{0,200}>")
_LEET = str.maketrans("013457@$!|", "oieastasil")
_LEET_SIGN = re.compile(r"[a-z][0134578@$!|][a-z]")
_LEET_WORD = re.compile(r"[a-z0-9@$!|]+")
_LONGEST_WORD = 20
_WORD = re.compile(r"[a-z]{2,}")
_FREQUENT = frozenset(
    "the of and to in is you that it he was for on are as with his they at be this have from or had by "
    "not but what all were when we your can said there use an each which she do how their if will up "
    "other about out many then them these so some her would make like him into time has look two more "
    "write see no way could my than first been who its now find long down day did get come made may part "
    "ignore previous instructions tell me system prompt print".split()
)
_FEW = 0.1


def views(text: str) -> tuple[str, ...]:
    """The normalised text first, then whatever it holds in an encoding or in another spelling.

    At most 12 views, three encodings deep, and 100,000 characters of each that was encoded.
    """
    return _short_views(text) if len(text) <= _SHORT else _views(text)


@lru_cache(maxsize=64)  # the classifier and the rules ask for those of a text one after the other
def _short_views(text: str) -> tuple[str, ...]:
    return _views(text)


def _views(text: str) -> tuple[str, ...]:
    found = [normalise(text)]
    waiting = [(text, found[0], 0)]
    while waiting and len(found) < MOST_VIEWS:
        raw, plain, depth = waiting.pop(0)
        for made in _decoded(raw[:LONGEST_VIEW] if depth else raw, plain[:LONGEST_VIEW]):
            again = normalise(made)
            if again.strip() and again not in found and len(found) < MOST_VIEWS:
                found.append(again)
                if depth + 1 < DEEPEST:
                    waiting.append((made, again, depth + 1))
    return tuple(found)


def _decoded(raw: str, plain: str) -> list[str]:
    """What one encoding hides, as texts of their own; ``plain``: the same, normalised."""
    made = [hidden_tags(raw)] if not raw.isascii() else []
    if "&" in raw and (unescaped := html.unescape(raw[:LONGEST_VIEW])) != raw[:LONGEST_VIEW]:
        made.append(unescaped)
    if "<!--" in raw:
        made.append(_COMMENT.sub("", raw[:LONGEST_VIEW]))
    if "%" in raw and _PERCENT.search(raw):
        made.append(unquote(raw[:LONGEST_VIEW], errors="replace"))
    if _UNREAD in raw:
        made += [raw[:LONGEST_VIEW].replace(_UNREAD, read_as) for read_as in ("", " ")]
    if "\\" in raw:
        made.append(_ESCAPED.sub(_character, raw[:LONGEST_VIEW]))
    for hint, read in _CODES:
        if hint.search(raw) and (found := read(raw)):
            made.append("\n".join(found))
    return made + _respelt(plain)


def _character(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16)
    return chr(code) if code <= 0x10FFFF else match[0]


def _from_base64(raw: str) -> list[str]:
    texts = []
    for run in _runs(_BASE64, raw):
        bare = run.rstrip("=").replace("-", "+").replace("_", "/")
        if len(bare) % 4 == 1 or bare.isdigit():
            continue
        try:
            texts.append(base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True))
        except (binascii.Error, ValueError):
            continue
    return _readable(texts)


def _from_hex(raw: str) -> list[str]:
    runs = (re.sub(r"0x|\\x|[^0-9a-fA-F]", "", run) for run in _runs(_HEX, raw))
    return _readable([bytes.fromhex(run[: len(run) // 2 * 2]) for run in runs])


def _from_bits(raw: str) -> list[str]:
    runs = (run.replace(" ", "") for run in _runs(_BITS, raw))
    return _readable([int(run, 2).to_bytes(len(run) // 8, "big") for run in runs])


_CODES = ((_BASE64, _from_base64), (_HEX_HINT, _from_hex), (_BITS_HINT, _from_bits))
"""What shows that there may be one, and what reads it."""


def _runs(pattern: re.Pattern[str], raw: str) -> list[str]:
    runs = []
    for match in pattern.finditer(raw):
        runs.append(match[0][:LONGEST_VIEW])
        if len(runs) == _MOST_RUNS:
            break
    return runs


def _readable(many: list[bytes]) -> list[str]:
    texts = []
    for data in many:
        text = data.decode("utf-8", "replace")
        n_plain = sum(c.isalpha() or c.isspace() for c in text)
        if len(text) > 5 and n_plain >= 0.8 * len(text):
            texts.append(text)
    return texts


def _respelt(plain: str) -> list[str]:
    """Letters apart, words joined, digits for letters, and where few words are known the text turned."""
    made = []
    if _SPACED.search(plain):
        made.append(_SPACED.sub(lambda run: re.sub(r"[ .\-_*]", "", run[0]), plain))
    if _JOINED.search(plain):
        made.append(_JOINED.sub(lambda run: _SIGN.sub(" ", run[0]), plain))
    if _LEET_SIGN.search(plain):
        made.append(_LEET_WORD.sub(_letters, plain))
    known = _known(plain)
    if known < _FEW:
        turned = (codecs.encode(plain, "rot13"), plain[::-1])
        made += [text for text in turned if _known(text) > max(2 * known, _FEW)]
    return made


def _letters(word: re.Match[str]) -> str:
    text = word[0]
    n_letters = sum("a" <= c <= "z" for c in text[: _LONGEST_WORD + 1])
    if n_letters == len(text) or len(text) > min(_LONGEST_WORD, 2 * n_letters) or set(text) & set("269"):
        return text
    return text.translate(_LEET)


def _known(text: str) -> float:
    words = _WORD.findall(text[:4000])
    return sum(map(_FREQUENT.__contains__, words)) / len(words) if words else 0.0
