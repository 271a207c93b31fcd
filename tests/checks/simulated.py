"""Losses as models have them, with known means: what statistical claims are tried on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Shape = tuple[int, ...]


class Losses(NamedTuple):
    """``draw(random, shape)`` gives independent values whose true mean is ``mean``."""

    draw: Callable[[np.random.Generator, Shape], Floats]
    mean: float


def _squared(random: np.random.Generator, shape: Shape) -> Floats:
    truth = random.exponential(size=shape)
    better = truth + 0.3 * random.normal(size=shape)
    worse = truth + 0.8 * random.normal(size=shape)
    return np.asarray(better**2 - worse**2)


def _log_loss(random: np.random.Generator, shape: Shape) -> Floats:
    """Two classifiers, both unsure about the same rows; the mean follows from their noise."""
    odds = random.normal(size=shape) * 2
    truth = random.random(shape) < 1 / (1 + np.exp(-odds))
    signed = np.where(truth, 1.0, -1.0) * odds
    return np.asarray(np.log1p(np.exp(-signed * 1.2)) - np.log1p(np.exp(-signed)))


def _errors(wins: float, losses: float) -> Callable[[np.random.Generator, Shape], Floats]:
    def draw(random: np.random.Generator, shape: Shape) -> Floats:
        chance = random.random(shape)
        return np.asarray((chance < losses) * 1.0 - (chance > 1 - wins))

    return draw


def _mean_of(draw: Callable[[np.random.Generator, Shape], Floats]) -> float:
    random = np.random.default_rng(12345)
    return float(np.mean([draw(random, (500_000,)).mean() for _ in range(20)]))


DIFFERENCES: dict[str, Losses] = {
    "normal": Losses(lambda r, s: r.normal(0.1, 1, s), 0.1),
    "exponential": Losses(lambda r, s: r.exponential(size=s), 1.0),
    "log-normal": Losses(lambda r, s: r.lognormal(0, 0.75, s), float(np.exp(0.75**2 / 2))),
    "Student, 3 degrees": Losses(lambda r, s: r.standard_t(3, size=s), 0.0),
    "squared errors": Losses(_squared, 0.09 - 0.64),
    "log losses": Losses(_log_loss, _mean_of(_log_loss)),
    "bounded, skewed": Losses(lambda r, s: r.beta(0.5, 3, s), 0.5 / 3.5),
    "wrong answers": Losses(_errors(0.05, 0.12), 0.07),
}
RARE: dict[str, Losses] = {
    "rare wrong answers": Losses(_errors(0.005, 0.02), 0.015),
    "very rare ones": Losses(_errors(0.0, 0.01), 0.01),
}
