"""A text as numbers: what stands at each of its words, hashed, in plain array arithmetic.

A linear model of these can be slid over a text: its weights are summed word by word once, and the score of
every window is a difference of two sums. So a long text costs what its length says, whatever the windows.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace.gateway.guardrails.lexicon import CLASSES

BITS = 18
N_FEATURES = 1 << BITS
STEM = 5
"""Characters of a word that stand for all its forms: ``ignor`` for ignore, ignored, ignoring."""
_SHORTEST, _LONGEST = 4, 40
"""Words of a sentence."""
_NEAR = 8
"""Words between which two words of a class belong together."""
_SHORT = 400
"""Words of a text for which the layout of its features is remembered."""
_LONGEST_KEPT, _MOST_KEPT = 16, 50_000
"""Characters of a word, and words, whose hashes are kept."""
_PRIME, _ALL, _MIX = 0x100000001B3, 0xFFFFFFFFFFFFFFFF, np.uint64(0x9E3779B97F4A7C15)
_THOUSAND = np.uint64(1000)
_GAPS = (0, 0, 1, 1, 2, 2)
"""Words between the first and the last of what a feature is made of: word, stem, pairs, apart, triple."""
_SALTS = tuple(np.uint64(salt * 0xD6E8FEB86659FD93 % 2**64) for salt in range(1, 11))
"""Of the six kinds of features that words make, and of the four that their classes make."""
_SPACE, _LETTER, _DIGIT, _MARK = range(4)
_NO_MARKS = 0x3100
"""From this character on, all count as letters."""
_ENDS = frozenset(".!?\n")
_U64 = NDArray[np.uint64]


class Windows(NamedTuple):
    """Stretches of words: from ``first`` to before ``last``."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]


class Words(NamedTuple):
    """Of each word, number and mark of a text: its hash, that of its stem, its class (0: none), and whether a
    sentence ends with it."""

    hashes: _U64
    stems: _U64
    classes: _U64
    ends: list[int]


class Features(NamedTuple):
    """Feature ``hashed[i]`` stands at word ``word[i]``; the text has ``n_words``."""

    word: NDArray[np.int64]
    hashed: NDArray[np.int64]
    n_words: int


def features_of(words: Words) -> Features:
    """The features of a normalised text, in no order.

    >>> features_of(words_of("ignore this")).n_words
    2
    """
    hashes, stems = words.hashes, words.stems
    n = len(hashes)
    if n == 0:
        return Features(np.empty(0, np.int64), np.empty(0, np.int64), 0)
    mixed = stems * _MIX
    pairs = mixed[:-1] + stems[1:]
    found = [hashes, stems, hashes[:-1] * _MIX + hashes[1:], pairs, mixed[:-2] + stems[2:]]
    found.append(pairs[:-1] * _MIX + stems[2:])
    places, salts = _layout(n)
    class_places, class_hashes, class_salts = _classes(words.classes)
    # All are mixed at once: of a short text the calls cost more than the numbers.
    raw = np.concatenate([*found, *class_hashes])
    return Features(
        np.concatenate([places, *class_places]), _salted(raw, np.concatenate([salts, *class_salts])), n
    )


def _placed(n: int) -> tuple[NDArray[np.int64], _U64]:
    """Where the features of ``n`` words stand, and the salt of each: words, stems, pairs, gaps, triples."""
    at = np.arange(n)
    starts = [at[gap:] for gap in _GAPS]
    salts = [np.full(len(one), salt) for one, salt in zip(starts, _SALTS, strict=False)]
    return np.concatenate(starts), np.concatenate(salts)


_remembered = lru_cache(maxsize=256)(_placed)


def _layout(n: int) -> tuple[NDArray[np.int64], _U64]:
    return _remembered(n) if n <= _SHORT else _placed(n)


def sentences(words: Words) -> Windows:
    """Sentences and lines, those of more than 40 words in parts; none has fewer than four, if it can."""
    n = len(words.hashes)
    bounds = [0]
    for cut in [*words.ends, n]:
        while cut - bounds[-1] > _LONGEST:
            bounds.append(bounds[-1] + _LONGEST)
        if cut - bounds[-1] >= _SHORTEST:
            bounds.append(cut)
    if bounds[-1] != n and len(bounds) > 1 and n - bounds[-1] < _SHORTEST:
        bounds[-1] = n
    elif bounds[-1] != n:
        bounds.append(n)
    return Windows(np.array(bounds[:-1], np.int64), np.array(bounds[1:], np.int64))


def words_of(text: str) -> Words:
    """Its words, numbers and marks; a mark counts once however often it is repeated."""
    runs = [match[0] for match in _pattern().finditer(text)]
    hashes, stems, classes = np.array([_known[run] for run in runs], np.uint64).reshape(-1, 3).T.copy()
    ends = [place for place, run in enumerate(runs, 1) if run[0] in _ENDS]
    return Words(hashes, stems, classes, ends)


class _Known(dict[str, tuple[int, int, int]]):
    """Hash, stem and class of each word; worked out when it is first met, and only short ones are kept."""

    def __missing__(self, run: str) -> tuple[int, int, int]:
        hashed, stem = _hash_of(run), _hash_of(run[:STEM])
        made = hashed, stem, _lexicon().get(hashed) or _lexicon().get(stem, 0)
        if len(run) <= _LONGEST_KEPT and len(self) < _MOST_KEPT:
            self[run] = made
        return made


_known = _Known()


def _hash_of(run: str) -> int:
    """A number is its first digit's worth, and all digits are worth the same."""
    kind = _kind(ord(run[0]))
    if kind != _LETTER:
        return 1 if kind == _DIGIT else ord(run[0]) + 2
    found, power = 0, 1
    for c in run:
        found += (ord(c) + 2) * power
        power = power * _PRIME & _ALL
    return found & _ALL


def _kind(code: int) -> int:
    c = chr(code)
    if code >= _NO_MARKS:
        return _LETTER
    if c == "\n":
        return _MARK
    if c.isspace():
        return _SPACE
    if c.isdigit():
        return _DIGIT
    return _LETTER if c.isalnum() or c in "'_" else _MARK


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    """Runs of letters, of digits, and of one mark."""
    of: dict[int, str] = dict.fromkeys((_SPACE, _LETTER, _DIGIT, _MARK), "")
    for code in range(_NO_MARKS):
        of[_kind(code)] += re.escape(chr(code))
    others = of[_SPACE] + of[_DIGIT] + of[_MARK]
    return re.compile(f"[^{others}]+|[{of[_DIGIT]}]+|([{of[_MARK]}])\\1*")


def _salted(hashes: _U64, salts: _U64) -> NDArray[np.int64]:
    mixed = (hashes ^ (hashes >> np.uint64(29))) * _MIX + salts
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _MIX
    return (mixed >> np.uint64(64 - BITS)).astype(np.int64)


@lru_cache(maxsize=1)
def _lexicon() -> dict[int, int]:
    """The class of each word by its hash; of one in two classes, the first."""
    known: dict[int, int] = {}
    for number, words in enumerate(CLASSES.values(), 1):
        for word in words:
            known.setdefault(_hash_of(word), number)
    return known


def _classes(classed: _U64) -> tuple[list[NDArray[np.int64]], list[_U64], list[_U64]]:
    """Classes of words, alone and with those that follow nearby: where, what, and their salts."""
    at = classed.nonzero()[0]
    if not len(at):
        return [], [], []
    kinds = classed[at]
    places, found = [at], [kinds]
    pairs = [kinds[:-step] * _THOUSAND + kinds[step:] for step in (1, 2)]
    pairs.append(pairs[0][:-1] * _THOUSAND + kinds[2:])
    for step, reach, pair in zip((1, 2, 2), (_NEAR, _NEAR, 2 * _NEAR), pairs, strict=True):
        near = at[step:] - at[:-step] <= reach
        places.append(at[step:][near])
        found.append(pair[near])
    return places, found, [np.full(len(one), salt) for one, salt in zip(found, _SALTS[6:], strict=True)]
