"""How much a text looks like an order to the model that reads it: three linear heads over hashed n-grams.

``orders`` knows attacks that are a text of their own, ``planted`` those that stand inside of other texts, and
``contrast`` knows nothing but how much one sentence stands out from the rest of its text as an order. The
weights are learnt by ``benchmarks/injection.py --write``; nothing of what they were learnt from is kept.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from headrace.gateway.guardrails.ngrams import Features, Windows, features_of, sentences
from headrace.gateway.guardrails.unfolding import views

HEADS = ("orders", "planted", "contrast")
WINDOWS = (16, 32, 64)
"""Words; windows overlap by half. The whole chunk is one more."""
CHUNK = 400
"""Words that are looked at together: about as long as the texts that were learnt from."""
SHARPNESS = 2.0
_WEIGHTS = "injection.npz"
_Floats = NDArray[np.float64]


def overlapping(n_words: int) -> Windows:
    """The windows that the first two heads look through; at least one."""
    begins, ends = [np.zeros(1, np.int64)], [np.array([n_words], np.int64)]
    for size in WINDOWS:
        if n_words > size:
            begin = np.append(np.arange(0, n_words - size, size // 2), n_words - size)
            begins.append(begin)
            ends.append(begin + size)
    return Windows(np.concatenate(begins), np.concatenate(ends))


def pooled(scores: _Floats, *, contrast: bool) -> float:
    """One score for all windows: a soft maximum, less what chance gives many; or less their mean."""
    top = float(scores.max())
    soft = top + float(np.log(np.exp(SHARPNESS * (scores - top)).sum())) / SHARPNESS
    return soft - float(scores.mean()) if contrast else soft - float(np.log(len(scores))) / SHARPNESS


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
        share = tail_share(self.levels, self.shares, np.array([self.margin(text)]))
        return 1.0 - float(share[0])

    def margin(self, text: str) -> float:
        """The highest log-odds that any head gives any chunk of any reading: as bad as its worst part."""
        return float(self.raw(text).max())

    def raw(self, text: str) -> _Floats:
        """The log-odds of the three heads, shape ``(n, 3)``, for each chunk of each reading of the text."""
        return np.vstack([self._view(view) for view in views(text)])

    def _view(self, text: str) -> _Floats:
        features = features_of(text)
        if not features.n_words:
            return np.full((1, len(HEADS)), -np.inf)
        sums = [_running(features, weights) for weights in self.weights]
        counts = _running(features, None)
        bounds = sentences(text)
        steps = range(0, max(1, features.n_words - CHUNK // 2), CHUNK // 2)
        return np.array([self._chunk(sums, counts, bounds, at, features.n_words) for at in steps])

    def _chunk(self, sums: list[_Floats], counts: _Floats, bounds: Windows, at: int, n_words: int) -> _Floats:
        end = min(n_words, at + CHUNK)
        windows = overlapping(end - at)
        first, last = np.searchsorted(bounds.first, at), np.searchsorted(bounds.last, end, side="right")
        own = Windows(bounds.first[first:last], bounds.last[first:last])
        scores = [_scores(one, counts, Windows(windows.first + at, windows.last + at)) for one in sums[:2]]
        found = [pooled(one, contrast=False) for one in scores]
        found.append(pooled(_scores(sums[2], counts, own), contrast=True) if len(own.first) else -np.inf)
        return np.array(found) + self.bias


def tail_share(levels: _Floats, shares: _Floats, score: _Floats) -> _Floats:
    """The share of harmless texts with such a score or more; beyond the last level it falls on evenly."""
    logs = np.log(shares)
    slope = (logs[-1] - logs[-4]) / max(1e-9, levels[-1] - levels[-4])
    beyond = logs[-1] + slope * np.maximum(0.0, score - levels[-1])
    inside = np.interp(np.maximum(score, levels[0]), levels, logs)
    share: _Floats = np.exp(np.maximum(np.where(score > levels[-1], beyond, inside), -20.0))
    return share


def _running(features: Features, weights: NDArray[np.float32] | None) -> _Floats:
    """Sums over the words before each, shape ``(n_words + 1,)``; without weights, the number of features."""
    values = None if weights is None else weights[features.hashed]
    sums = np.zeros(features.n_words + 1)
    np.cumsum(np.bincount(features.word, values, minlength=features.n_words), out=sums[1:])
    return sums


def _scores(sums: _Floats, counts: _Floats, windows: Windows) -> _Floats:
    n = np.maximum(1.0, counts[windows.last] - counts[windows.first])
    scores: _Floats = (sums[windows.last] - sums[windows.first]) / np.sqrt(n)
    return scores


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
