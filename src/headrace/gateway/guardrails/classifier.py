"""How much a text looks like an order to the model that reads it: three linear heads over hashed n-grams.

``orders`` knows attacks that are a text of their own, ``planted`` those that stand inside of other texts, and
``contrast`` knows nothing but how much one sentence stands out from the rest of its text as an order. The
weights are learnt by ``benchmarks/injection.py --write``; nothing of what they were learnt from is kept.
"""

from __future__ import annotations

import io
import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from headrace.gateway.guardrails.ngrams import N_FEATURES, Features, Windows, features_of, sentences, words_of
from headrace.gateway.guardrails.remembered import Remembered
from headrace.gateway.guardrails.unfolding import views

HEADS = ("orders", "planted", "contrast")
WINDOWS = (16, 32, 64)
"""Words; windows overlap by half. The whole chunk is one more."""
CHUNK = 400
"""Words that are looked at together: about as long as the texts that were learnt from."""
SHARPNESS = 2.0
_WEIGHTS = "injection.npz"
_ROWS = np.arange(len(HEADS) + 1)[:, None]
_Floats = NDArray[np.float64]


@lru_cache(maxsize=CHUNK)
def overlapping(n_words: int) -> Windows:
    """The windows that the first two heads look through; at least one."""
    begins, ends = [np.zeros(1, np.int64)], [np.array([n_words], np.int64)]
    for size in WINDOWS:
        if n_words > size:
            begin = np.append(np.arange(0, n_words - size, size // 2), n_words - size)
            begins.append(begin)
            ends.append(begin + size)
    return Windows(np.concatenate(begins), np.concatenate(ends))


def pooled(scores: Sequence[float], *, contrast: bool) -> float:
    """One score for all windows: a soft maximum, less what chance gives many; or less their mean."""
    if len(scores) == 1:
        return 0.0 if contrast else scores[0]
    top = max(scores)
    soft = top + math.log(math.fsum(math.exp(SHARPNESS * (one - top)) for one in scores)) / SHARPNESS
    return soft - (math.fsum(scores) / len(scores) if contrast else math.log(len(scores)) / SHARPNESS)


@dataclass(frozen=True, kw_only=True)
class InjectionClassifier:
    """The fitted weights.

    Attributes:
        weights: shape ``(3, 2**18)``, of each head.
        bias: shape ``(3,)``.
        levels: shape ``(n,)``: the margin that a share of harmless texts reaches,
        shares: shape ``(n,)``: those shares, falling.

    >>> shipped().score("What is the capital of France?") < 0.99
    True
    """

    weights: NDArray[np.float32]
    bias: _Floats
    levels: _Floats
    shares: _Floats

    def score(self, text: str) -> float:
        """The share of harmless texts that look less like an attack: at 0.99 one of a hundred has as much.

        The share is that among texts of sources which the heads had not learnt from. Of a long text the
        worst chunk counts, and of one with encodings inside the worst reading.
        """
        return 1.0 - tail_share(self.levels, self.shares, self.margin(text))

    def margin(self, text: str) -> float:
        """The highest log-odds that any head gives any chunk of any reading: as bad as its worst part."""
        return max(map(max, self.raw(text)))

    def raw(self, text: str) -> list[list[float]]:
        """The log-odds of the three heads for each chunk of each reading of the text."""
        return [chunk for view in views(text) for chunk in self._view(view)]

    def _view(self, text: str) -> list[list[float]]:
        words = words_of(text)
        features = features_of(words)
        n_words = features.n_words
        if not n_words:
            return [[-math.inf] * len(HEADS)]
        sums, bounds = self._running(features), sentences(words)
        steps = range(0, max(1, n_words - CHUNK // 2), CHUNK // 2)
        return [self._chunk(sums, bounds, at, min(n_words, at + CHUNK)) for at in steps]

    def _running(self, features: Features) -> _Floats:
        """Sums over the words before each, shape ``(4, n_words + 1)``: of each head's weights, and of the
        number of features."""
        n, rows = features.n_words, len(HEADS) + 1
        places = features.word + _ROWS * n
        values = self._by_feature[features.hashed].T
        sums = np.zeros((rows, n + 1))
        counted = np.bincount(places.ravel(), values.ravel(), rows * n)
        counted.reshape(rows, n).cumsum(axis=1, out=sums[:, 1:])
        return sums

    @cached_property
    def _by_feature(self) -> NDArray[np.float32]:
        """Shape ``(2**18, 4)``: the weights of each feature side by side, and a one to count it."""
        return np.vstack([self.weights, np.ones(N_FEATURES, np.float32)]).T.copy()

    def _chunk(self, sums: _Floats, bounds: Windows, at: int, end: int) -> list[float]:
        """What each head says of the words from ``at`` to before ``end``."""
        first, last = bisect_left(bounds.first, at), bisect_right(bounds.last, end)
        through = overlapping(end - at)
        begins = np.concatenate([through.first + at, bounds.first[first:last]])
        ends = np.concatenate([through.last + at, bounds.last[first:last]])
        inside = sums[:, ends] - sums[:, begins]
        # The mean weight of each window by the root of how many features it has.
        orders, planted, contrast = (inside[:-1] / np.sqrt(np.maximum(1.0, inside[-1]))).tolist()
        n = len(through.first)
        found = [pooled(orders[:n], contrast=False), pooled(planted[:n], contrast=False)]
        found.append(pooled(contrast[n:], contrast=True) if last > first else -math.inf)
        return [one + bias for one, bias in zip(found, self.bias.tolist(), strict=True)]


def tail_share(levels: _Floats, shares: _Floats, score: float) -> float:
    """The share of harmless texts with such a score or more; beyond the last level it falls on evenly."""
    if score <= levels[-1]:
        share = math.exp(np.interp(score, levels, np.log(shares)))
    else:
        slope = math.log(shares[-1] / shares[-4]) / max(1e-9, levels[-1] - levels[-4])
        share = math.exp(max(math.log(shares[-1]) + slope * (score - levels[-1]), -20.0))
    return max(share, math.exp(-20.0))


@lru_cache(maxsize=1)
def remembered() -> Remembered[float]:
    """How the classifier that comes with Headrace scores texts, with what it has scored lately here."""
    return Remembered(shipped().score)


@lru_cache(maxsize=1)
def shipped() -> InjectionClassifier:
    """The classifier that comes with Headrace; read once."""
    return unpacked(weights_file())


def weights_file() -> bytes:
    """The file of the fitted weights, as it is in the package."""
    return (files("headrace.gateway.guardrails") / _WEIGHTS).read_bytes()


def unpacked(data: bytes) -> InjectionClassifier:
    """The classifier of a file of weights."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        found: Mapping[str, NDArray[np.float64]] = {name: arrays[name] for name in arrays.files}
    roots = found["roots"].astype(np.float32) / 127
    return InjectionClassifier(
        weights=(roots * np.abs(roots) * found["scale"][:, None]).astype(np.float32),
        bias=found["bias"],
        levels=found["levels"],
        shares=found["shares"],
    )
