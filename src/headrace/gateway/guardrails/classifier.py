"""How much a text looks like an order to the model that reads it: three linear heads over hashed n-grams.

``orders`` knows attacks that are a text of their own, ``planted`` those that stand inside of other texts, and
``contrast`` knows nothing but how much one sentence stands out from the rest of its text as an order. The
weights are learnt by ``benchmarks/injection.py --write``; nothing of what they were learnt from is kept.
"""

from __future__ import annotations

import io
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from headrace.gateway.guardrails.ngrams import (
    N_FEATURES,
    Features,
    Words,
    features_of,
    sentences,
    words_of,
)
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
def overlapping(n_words: int) -> tuple[list[int], list[int]]:
    """Where the windows begin and end that the first two heads look through; at least one."""
    begins, ends = [0], [n_words]
    for size in WINDOWS:
        if n_words > size:
            begin = [*range(0, n_words - size, size // 2), n_words - size]
            begins += begin
            ends += [one + size for one in begin]
    return begins, ends


def pooled(scores: Sequence[float], *, contrast: bool) -> float:
    """One score for all windows: a soft maximum, less what chance gives many; or less their mean."""
    if len(scores) == 1:
        return 0.0 if contrast else scores[0]
    top = max(scores)
    soft = top + math.log(math.fsum([math.exp(SHARPNESS * (one - top)) for one in scores])) / SHARPNESS
    return soft - (math.fsum(scores) / len(scores) if contrast else math.log(len(scores)) / SHARPNESS)


@dataclass(frozen=True, kw_only=True)
class InjectionClassifier:
    """The fitted weights.

    Attributes:
        table: shape ``(2**18, 4)``: of each feature its weight for each head, and a one to count it.
        bias: shape ``(3,)``.
        levels: shape ``(n,)``: the margin that a share of harmless texts reaches,
        shares: shape ``(n,)``: those shares, falling.

    >>> shipped().score("What is the capital of France?") < 0.99
    True
    """

    table: NDArray[np.float32]
    bias: _Floats
    levels: _Floats
    shares: _Floats

    def score(self, text: str) -> float:
        """The share of harmless texts that look less like an attack: at 0.99 one of a hundred has as much.

        The share is that among texts of sources which the heads had not learnt from. Of a long text the
        worst chunk counts, and of one with encodings inside the worst reading.
        """
        return self.scores([text])[0]

    def scores(self, texts: Sequence[str]) -> list[float]:
        """The same of several texts, which takes less time than one after the other."""
        return [1.0 - tail_share(self.levels, self.shares, worst(chunks)) for chunks in self.raw(texts)]

    def margin(self, text: str) -> float:
        """The highest log-odds that any head gives any chunk of any reading: as bad as its worst part."""
        return worst(self.raw([text])[0])

    def raw(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """Of each text the log-odds of the three heads for each chunk of each reading."""
        readings = [[words_of(view) for view in views(text)] for text in texts]
        windows = _Windows()
        for reading in readings:
            windows.add(reading)
        said = self._heads(windows, [words for reading in readings for words in reading])
        return [list(islice(said, n)) for n in windows.n_chunks]

    def _heads(self, windows: _Windows, texts: Sequence[Words]) -> Iterator[list[float]]:
        """What each head says of each chunk."""
        features = features_of(texts)
        bias = self.bias.tolist()
        if features.n_words:
            sums = self._running(features)
            inside = sums[:, windows.ends] - sums[:, windows.begins]
            # The mean weight of each window by the root of how many features it has.
            orders, planted, contrast = (inside[:-1] / np.sqrt(np.maximum(1.0, inside[-1]))).tolist()
        for first, middle, last in windows.chunks:
            if first == last:
                yield [-math.inf] * len(HEADS)
                continue
            found = (
                pooled(orders[first:middle], contrast=False),
                pooled(planted[first:middle], contrast=False),
                pooled(contrast[middle:last], contrast=True) if last > middle else -math.inf,
            )
            yield [one + its for one, its in zip(found, bias, strict=True)]

    def _running(self, features: Features) -> _Floats:
        """Sums over the words before each, shape ``(4, n_words + 1)``: of each head's weights, and of the
        number of features."""
        n, rows = features.n_words, len(HEADS) + 1
        places = features.word + _ROWS * n
        values = self.table[features.hashed].T
        sums = np.zeros((rows, n + 1))
        counted = np.bincount(places.ravel(), values.ravel(), rows * n)
        counted.reshape(rows, n).cumsum(axis=1, out=sums[:, 1:])
        return sums


class _Windows:
    """Where heads look in texts whose words are counted through.

    Attributes:
        begins, ends: of each window, by words.
        chunks: of each, which windows are its own: those of the first two heads, then its sentences.
        n_chunks: of each text.
    """

    def __init__(self) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []
        self.chunks: list[tuple[int, int, int]] = []
        self.n_chunks: list[int] = []
        self._n_words = 0

    def add(self, readings: Sequence[Words]) -> None:
        """One text."""
        before = len(self.chunks)
        for words in readings:
            n_words, bounds = len(words.hashes), sentences(words)
            for at in range(0, max(1, n_words - CHUNK // 2), CHUNK // 2):
                self._chunk(bounds, at, min(n_words, at + CHUNK))
            self._n_words += n_words
        self.n_chunks.append(len(self.chunks) - before)

    def _chunk(self, bounds: Sequence[int], at: int, end: int) -> None:
        begins, ends, offset = self.begins, self.ends, self._n_words
        place = len(begins)
        if end > at:
            first, last = overlapping(end - at)
            begins += [offset + at + one for one in first]
            ends += [offset + at + one for one in last]
        middle = len(begins)
        inside = bounds[bisect_left(bounds, at) : bisect_right(bounds, end)]
        begins += [offset + one for one in inside[:-1]]
        ends += [offset + one for one in inside[1:]]
        self.chunks.append((place, middle, len(begins)))


def worst(chunks: Sequence[Sequence[float]]) -> float:
    """The highest that any head says of any chunk."""
    return max(map(max, chunks))


def table_of(weights: Iterable[_Floats]) -> NDArray[np.float32]:
    """The table of a classifier from the weights of each head, shape ``(2**18,)``."""
    table = np.ones((N_FEATURES, len(HEADS) + 1), np.float32)
    for head, its in enumerate(weights):
        table[:, head] = its
    return table


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
    return Remembered(shipped().scores)


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
    heads = zip(found["roots"].astype(np.float32) / 127, found["scale"], strict=True)
    return InjectionClassifier(
        table=table_of(roots * np.abs(roots) * scale for roots, scale in heads),
        bias=found["bias"],
        levels=found["levels"],
        shares=found["shares"],
    )
