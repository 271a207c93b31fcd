"""What is measured of free text: how long each text is, its script, and which words the rows use.

A word is a run of letters, in lower case; characters of scripts that are written without spaces are words of
their own, and every number is the one word ``#``. Words are counted by the rows that have them, because the
words of one row follow from each other and rows do not.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import datasketches
import numpy as np
from numpy.typing import NDArray

from headrace.checks.columns import is_missing
from headrace.checks.distributions import Kind
from headrace.checks.profiles import NumericProfile, Profile
from headrace.core.ports import Columns
from headrace.core.project import Column

MEASURES: dict[str, Kind] = {
    "characters": "numeric",
    "words": "numeric",
    "unknown words": "numeric",
    "script": "categorical",
}
"""What each text is measured by; ``unknown words`` is their share among its different words."""
FEWEST_ROWS = 5
"""A word of fewer rows is not kept, nor shown: it may be somebody's name."""
MOST_WORDS = 5_000
_MOST_CHARACTERS = 100_000
_LONGEST_WORD = 40
_LOG_ITEMS = 12
"""New words are counted exactly up to 3,072 of them; beyond, from below."""
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff"
"""Thai and Lao, Japanese kana, and Han characters."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|\d+")


def words_of(text: str) -> list[str]:
    """The words of a text, in order.

    >>> words_of("The 2 engines don't start; 東京")
    ['the', '#', 'engines', 'don', 't', 'start', '東', '京']
    """
    found = _WORD.findall(text[:_MOST_CHARACTERS].casefold())
    return ["#" if word[0].isdigit() else word[:_LONGEST_WORD] for word in found]


def script_of(text: str) -> str | None:
    """The script of most letters, such as ``latin`` or ``cyrillic``; None without letters.

    >>> script_of("Straße"), script_of("да, ok!!"), script_of("12.5")
    ('latin', None, None)
    """
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else None
    counts = Counter(map(_script, filter(str.isalpha, text[:_MOST_CHARACTERS])))
    (first, n), *rest = [*counts.most_common(2), ("", 0)]
    return first if n and n > rest[0][1] else None


@lru_cache(maxsize=4_096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "other").split()[0].lower()


class WordCounts:
    """How many rows have each word, in constant memory: exactly for known words, for others from below.

    The frequent ones among the others are kept by Misra and Gries' algorithm, as in Apache DataSketches.

    >>> counts = WordCounts(frozenset({"late"}))
    >>> counts.add(["late", "late", "train"])
    >>> counts.rows()
    {'train': 1, 'late': 1}
    """

    def __init__(self, known: frozenset[str] = frozenset()) -> None:
        self.known = known
        self.n = 0
        self._known: Counter[str] = Counter()
        self._others = datasketches.frequent_strings_sketch(_LOG_ITEMS)

    def add(self, words: Iterable[str]) -> None:
        """One row."""
        self.n += 1
        for word in set(words):
            if word in self.known:
                self._known[word] += 1
            else:
                self._others.update(word)

    def rows(self) -> dict[str, int]:
        """Rows by word; of the other words at least so many."""
        return {name: lower for name, _, lower, _ in self._kept() if lower} | self._known

    def as_reference(self, profile: TextProfile, measures: Profile) -> TextProfile:
        """As what others are compared with in place of ``profile``; of the other words at most so many."""
        kept = self._kept()
        least = max((upper - lower for _, _, lower, upper in kept), default=0)
        words = {name: upper for name, _, _, upper in kept} | dict.fromkeys(self.known, 0) | self._known
        return replace(profile, words=words, n=self.n, least=least, measures=measures)

    def _kept(self) -> list[tuple[str, int, int, int]]:
        """Of the other words: name, estimate, least and most rows."""
        kind = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        kept: list[tuple[str, int, int, int]] = self._others.get_frequent_items(kind)
        return kept


@dataclass(frozen=True, kw_only=True)
class TextProfile:
    """One column of texts.

    Attributes:
        words: word to rows of the reference that have it; of training at most 5,000, each in five rows at
            least.
        known: words that are not counted as unknown: those of every other row, of which the rows between
            them are measured. A row would always know its own.
        n: rows with a text.
        least: no other word is in more rows than this.
        measures: how each of :data:`MEASURES` is distributed, by its name.
    """

    words: dict[str, int]
    known: frozenset[str]
    n: int
    least: int
    measures: Profile

    @classmethod
    def fit(cls, values: NDArray[Any]) -> TextProfile:
        """Profile texts, ``(n_rows,)``."""
        halves: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        n = 0
        for row, text in enumerate(_texts(values)):
            if text is not None:
                n += 1
                halves[row % 2].update(set(words_of(text)))
        every = halves[0] + halves[1]
        beyond = every.most_common(MOST_WORDS + 1)[-1][1] if len(every) > MOST_WORDS else 0
        known = frozenset(_frequent(halves[0]))
        measured = _measured(values, known)
        specs = [Column(name=name, role=kind) for name, kind in MEASURES.items()]
        measures = Profile.fit(measured, specs).features
        measures["unknown words"] = NumericProfile.fit(measured["unknown words"][1::2])
        return cls(
            words=_frequent(every),
            known=known,
            n=n,
            least=max(FEWEST_ROWS - 1, beyond),
            measures=Profile(features=measures),
        )

    def measure(self, values: NDArray[Any], counts: WordCounts | None = None) -> Columns:
        """:data:`MEASURES` of other texts, each ``(n_rows,)``; ``counts`` gets their words."""
        return _measured(values, self.known, counts)

    def has(self, values: NDArray[Any], word: str) -> NDArray[Any]:
        """``yes`` or ``no`` for each text, None where there is none, ``(n_rows,)``."""
        found = np.full(len(values), None, dtype=object)
        for row, text in enumerate(_texts(values)):
            if text is not None:
                found[row] = "yes" if word in words_of(text) else "no"
        return found

    def to_dict(self) -> dict[str, Any]:
        """A JSON form; :meth:`from_dict` reads it."""
        return {
            "words": self.words,
            "known": sorted(self.known),
            "n": self.n,
            "least": self.least,
            "measures": self.measures.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TextProfile:
        """The profile that :meth:`to_dict` wrote."""
        return cls(
            words=dict(data["words"]),
            known=frozenset(data["known"]),
            n=data["n"],
            least=data["least"],
            measures=Profile.from_dict(data["measures"]),
        )


def _frequent(rows: Counter[str]) -> dict[str, int]:
    return {word: n for word, n in rows.most_common(MOST_WORDS) if n >= FEWEST_ROWS}


def _texts(values: NDArray[Any]) -> Iterable[str | None]:
    for value in values.tolist():
        yield None if is_missing(value) else str(value)


def _measured(values: NDArray[Any], known: frozenset[str], counts: WordCounts | None = None) -> Columns:
    numbers = np.full((3, len(values)), np.nan)
    scripts = np.full(len(values), None, dtype=object)
    for row, text in enumerate(_texts(values)):
        if text is None:
            continue
        words = words_of(text)
        different = set(words)
        unknown = len(different - known) / len(different) if different else np.nan
        numbers[:, row] = len(text), len(words), unknown
        scripts[row] = script_of(text) or "none"
        if counts is not None:
            counts.add(different)
    return {**dict(zip(MEASURES, numbers, strict=False)), "script": scripts}
