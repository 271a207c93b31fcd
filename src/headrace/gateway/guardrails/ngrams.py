"""A text as numbers: what stands at each of its words, hashed, in plain array arithmetic.

A linear model of these can be slid over a text: its weights are summed word by word once, and the score of
every window is a difference of two sums. So a long text costs what its length says, whatever the windows.
"""

from __future__ import annotations

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
_PRIME, _MIX = np.uint64(0x100000001B3), np.uint64(0x9E3779B97F4A7C15)
_SPACE, _LETTER, _DIGIT, _MARK = range(4)
_U64 = NDArray[np.uint64]


class Windows(NamedTuple):
    """Stretches of words: from ``first`` to before ``last``."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]


class Features(NamedTuple):
    """Feature ``hashed[i]`` stands at word ``word[i]``; the text has ``n_words``."""

    word: NDArray[np.int64]
    hashed: NDArray[np.int64]
    n_words: int


def features_of(text: str) -> Features:
    """The features of a normalised text, in no order.

    >>> features_of("ignore this").n_words
    2
    """
    words, stems = _hashes(text)
    n = len(words)
    if n == 0:
        return Features(np.empty(0, np.int64), np.empty(0, np.int64), 0)
    at = np.arange(n)
    found = [(at, _salted(words, 1)), (at, _salted(stems, 2))]
    for gap, (left, salt) in ((1, (words, 3)), (1, (stems, 4)), (2, (stems, 5))):
        found.append((at[gap:], _salted(left[:-gap] * _MIX + left[gap:], salt)))
    found.append((at[2:], _salted((stems[:-2] * _MIX + stems[1:-1]) * _MIX + stems[2:], 6)))
    found += _classes(words, stems)
    position = np.concatenate([place for place, _ in found])
    index = np.concatenate([hashed for _, hashed in found])
    return Features(position, index, n)


def sentences(text: str) -> Windows:
    """Sentences and lines, those of more than 40 words in parts; none has fewer than four, if it can."""
    words, _ = _hashes(text)
    n = len(words)
    cuts = np.flatnonzero(np.isin(words, _ends())) + 1
    bounds = [0]
    for cut in [*cuts.tolist(), n]:
        while cut - bounds[-1] > _LONGEST:
            bounds.append(bounds[-1] + _LONGEST)
        if cut - bounds[-1] >= _SHORTEST:
            bounds.append(cut)
    if bounds[-1] != n and len(bounds) > 1 and n - bounds[-1] < _SHORTEST:
        bounds[-1] = n
    elif bounds[-1] != n:
        bounds.append(n)
    return Windows(np.array(bounds[:-1], np.int64), np.array(bounds[1:], np.int64))


@lru_cache(maxsize=1)
def _ends() -> _U64:
    return np.array([_hashes(mark)[0][0] for mark in ".!?\n"], np.uint64)


def _hashes(text: str) -> tuple[_U64, _U64]:
    """Of each word, number and mark: its hash, and that of its stem."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(codes):
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    kinds = each = _kinds()[np.minimum(codes, 0x3100)]
    new = np.ones(len(codes), np.bool_)
    new[1:] = (kinds[1:] != kinds[:-1]) | ((kinds[1:] == _MARK) & (codes[1:] != codes[:-1]))
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(codes))
    kept = kinds[starts] != _SPACE
    starts, ends, kinds = starts[kept], ends[kept], kinds[starts][kept]
    values = np.where(each == _DIGIT, 1, codes + 2).astype(np.uint64)
    powers, inverses = _powers(len(codes))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values * powers[: len(codes)], dtype=np.uint64)])
    # A number is its first digit's worth, a mark counts once however often it is repeated.
    stops = np.where(kinds == _LETTER, ends, starts + 1)
    words = (sums[stops] - sums[starts]) * inverses[starts]
    cut = np.minimum(stops, starts + STEM)
    stems = (sums[cut] - sums[starts]) * inverses[starts]
    return words, stems


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    kinds = np.full(0x3101, _LETTER, np.uint8)
    for code in range(0x3100):
        c = chr(code)
        if c == "\n":
            kinds[code] = _MARK
        elif c.isspace():
            kinds[code] = _SPACE
        elif c.isdigit():
            kinds[code] = _DIGIT
        elif not c.isalnum() and c not in "'_":
            kinds[code] = _MARK
    return kinds


def _powers(n: int) -> tuple[_U64, _U64]:
    """At least the first ``n`` powers of the prime and of its inverse, modulo 2^64."""
    return _made_powers(1 << max(12, (n - 1).bit_length()))


@lru_cache(maxsize=24)
def _made_powers(n: int) -> tuple[_U64, _U64]:
    inverse = np.uint64(pow(int(_PRIME), -1, 1 << 64))
    made = []
    for base in (_PRIME, inverse):
        steps = np.full(n, base, np.uint64)
        steps[0] = 1
        made.append(np.cumprod(steps, dtype=np.uint64))
    return made[0], made[1]


def _salted(hashes: _U64, salt: int) -> NDArray[np.int64]:
    mixed = (hashes ^ (hashes >> np.uint64(29))) * _MIX + np.uint64(salt * 0xD6E8FEB86659FD93 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * _MIX
    return (mixed >> np.uint64(64 - BITS)).astype(np.int64)


@lru_cache(maxsize=1)
def _lexicon() -> tuple[_U64, NDArray[np.int64]]:
    """Hashes of the words of all classes, sorted, and the class of each."""
    known = [
        (int(_hashes(word)[0][0]), number)
        for number, words in enumerate(CLASSES.values(), 1)
        for word in words
    ]
    known.sort()
    return np.array([h for h, _ in known], np.uint64), np.array([number for _, number in known], np.int64)


def _classes(words: _U64, stems: _U64) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Classes of words, alone and with those that follow nearby."""
    hashes, numbers = _lexicon()
    found = []
    classed = np.zeros(len(words), np.int64)
    for those in (stems, words):
        where = np.minimum(np.searchsorted(hashes, those), len(hashes) - 1)
        classed = np.where(hashes[where] == those, numbers[where], classed)
    at = np.flatnonzero(classed)
    kinds = classed[at].astype(np.uint64)
    found.append((at, _salted(kinds, 7)))
    for step, salt in ((1, 8), (2, 9)):
        near = at[step:] - at[:-step] <= _NEAR
        found.append((at[step:][near], _salted((kinds[:-step] * np.uint64(1000) + kinds[step:])[near], salt)))
    near = at[2:] - at[:-2] <= 2 * _NEAR
    triple = (kinds[:-2] * np.uint64(1000) + kinds[1:-1]) * np.uint64(1000) + kinds[2:]
    found.append((at[2:][near], _salted(triple[near], 10)))
    return found
