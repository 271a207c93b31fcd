"""A text as numbers: what stands at each of its words, hashed, in plain array arithmetic.

A linear model of these can be slid over a text: its weights are summed word by word once, and the score of
every window is a difference of two sums. So a long text costs what its length says, whatever the windows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from operator import itemgetter
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
_TRIPLE = 3
_SALTS = tuple(np.uint64(salt * 0xD6E8FEB86659FD93 % 2**64) for salt in range(1, 11))
"""Of the six kinds of features that words make, and of the four that their classes make."""
_SPACE, _LETTER, _DIGIT, _MARK = range(4)
_NO_MARKS = 0x3100
"""From this character on, all count as letters."""
_whole_match = itemgetter(0)
_ENDS = frozenset(".!?\n")
_U64 = NDArray[np.uint64]


class Words(NamedTuple):
    """Of each word, number and mark of a text: its hash, that of its stem, its class (0: none), and whether a
    sentence ends with it."""

    hashes: Sequence[int]
    stems: Sequence[int]
    classes: Sequence[int]
    ends: list[int]


class Features(NamedTuple):
    """Feature ``hashed[i]`` stands at word ``word[i]``; the texts have ``n_words``."""

    word: NDArray[np.int64]
    hashed: NDArray[np.int64]
    n_words: int


def features_of(texts: Sequence[Words]) -> Features:
    """The features of normalised texts, in no order; their words are counted through, and no feature has
    words of two texts.

    >>> features_of([words_of("ignore this"), words_of("and that")]).n_words
    4
    """
    n_words, parts, layouts = 0, [], []
    known: list[int] = []
    classed: list[int] = []
    places: list[int] = []
    for text in texts:
        n = len(text.hashes)
        if n:
            layout = _layout(n)
            layouts.append(layout._replace(word=layout.word + n_words))
            parts.append(layout.parts + len(known))
            known += (*text.hashes, *text.stems, 0)
            at, found = _classes(text.classes)
            places += [n_words + place for place in at]
            classed += found
            n_words += n
    if n_words == 0:
        return Features(np.empty(0, np.int64), np.empty(0, np.int64), 0)
    # Few calls for many numbers: of short texts the calls cost more than the numbers.
    one, other, last = np.array(known, np.uint64)[np.concatenate(parts, axis=1)]
    salts = np.concatenate([layout.salts for layout in layouts])
    hashed = _salted((one * _MIX + other) * _MIX + last, salts)
    return Features(
        np.concatenate([*(layout.word for layout in layouts), np.array(places, np.int64)]),
        np.concatenate([hashed, np.array(classed, np.int64)]),
        n_words,
    )


class _Layout(NamedTuple):
    """Of each feature that words make: the last of its words, its salt, and its parts, shape ``(3, n)``:
    places in all hashes, then all stems, then a zero for none."""

    word: NDArray[np.int64]
    salts: _U64
    parts: NDArray[np.int64]


def _placed(n: int) -> _Layout:
    """Of ``n`` words: words, stems, pairs of words and of stems, stems with one between, triples."""
    word, stem, none = np.arange(n), np.arange(n, 2 * n), np.full(n, 2 * n)
    kinds = (
        (none, none, word),
        (none, none, stem),
        (none[1:], word[:-1], word[1:]),
        (none[1:], stem[:-1], stem[1:]),
        (none[2:], stem[:-2], stem[2:]),
        (stem[:-2], stem[1:-1], stem[2:]),
    )
    n_each = [len(last) for _, _, last in kinds]
    return _Layout(
        np.concatenate([word[n - many :] for many in n_each]),
        np.repeat(np.array(_SALTS[: len(kinds)]), n_each),
        np.array([np.concatenate(parts) for parts in zip(*kinds, strict=True)]),
    )


_remembered = lru_cache(maxsize=256)(_placed)


def _layout(n: int) -> _Layout:
    return _remembered(n) if n <= _SHORT else _placed(n)


def sentences(words: Words) -> list[int]:
    """Where sentences and lines begin, and the end of the last; those of more than 40 words are in parts, and
    none has fewer than four, if it can."""
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
    return bounds


def words_of(text: str) -> Words:
    """Its words, numbers and marks; a mark counts once however often it is repeated."""
    runs = list(map(_whole_match, _pattern().finditer(text)))
    if not runs:
        return Words((), (), (), [])
    hashes, stems, classes = zip(*[_known[run] for run in runs], strict=True)
    ends = [place for place, run in enumerate(runs, 1) if run[0] in _ENDS]
    return Words(hashes, stems, classes, ends)


_NUMBER = (1, 1, 0)
"""Hash, stem and class of every number."""


class _Known(dict[str, tuple[int, int, int]]):
    """Hash, stem and class of each word; worked out when it is first met, and only short ones are kept."""

    def __missing__(self, run: str) -> tuple[int, int, int]:
        if run.isdecimal():
            return _NUMBER
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
        return _NUMBER[0] if kind == _DIGIT else ord(run[0]) + 2
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


def _classes(classes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Classes of words, alone and with those that follow nearby: where, and the features that they are."""
    at = [place for place, kind in enumerate(classes) if kind]
    kinds = [classes[place] for place in at]
    places, found = list(at), [_class_feature(0, kind) for kind in kinds]
    for which, (step, reach) in enumerate(((1, _NEAR), (2, _NEAR), (2, 2 * _NEAR)), 1):
        for first, last in enumerate(range(step, len(at))):
            if at[last] - at[first] <= reach:
                between = kinds[first + 1] if which == _TRIPLE else 0
                places.append(at[last])
                found.append(_class_feature(which, kinds[first], between, kinds[last]))
    return places, found


@cache  # a few thousand at most: as many as classes have triples
def _class_feature(which: int, *kinds: int) -> int:
    """What classes make alone, as pairs, as pairs with one between, or as triples."""
    made = 0
    for kind in kinds:
        made = made * 1000 + kind if kind else made
    return int(_salted(np.array([made], np.uint64), np.array([_SALTS[6 + which]]))[0])
