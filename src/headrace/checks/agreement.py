"""How far two people agree who have judged the same things, beyond what chance would bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from headrace.checks.fairness import Share
from headrace.core.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Cohen's kappa (Educational and Psychological Measurement 20, 1960): 1 always alike, 0 as by chance.

    Attributes:
        kappa: None where each of them has given one and the same judgement to all: chance explains that.
        interval: None where there is no kappa.
        observed: share of the things that they judged alike; ``expected``: that by chance alone.
        n: how many things both have judged.
    """

    n: int
    observed: float
    expected: float
    kappa: float | None
    interval: tuple[float, float] | None


def cohens_kappa(
    one: Sequence[Hashable], other: Sequence[Hashable], *, confidence: float = 0.95
) -> Agreement | None:
    """Of two people's judgements of the same things, in the same order; None where there is nothing.

    The interval is Wilson's of the share that was judged alike, on the scale of kappa, with chance as it was
    found: unlike the usual one it has a width also where all of a few were judged alike.

    Raises:
        InvalidInput: they are not equally many.

    >>> found = cohens_kappa(["good", "bad", "bad", "good"], ["good", "bad", "good", "good"])
    >>> found is not None and (found.observed, found.expected, found.kappa)
    (0.75, 0.5, 0.5)
    """
    n = len(one)
    if n != len(other):
        raise InvalidInput(f"One has judged {n}, the other {len(other)}. Give both on the same things.")
    if not n:
        return None
    same = sum(a == b for a, b in zip(one, other, strict=True))
    counts, others = Counter(one), Counter(other)
    expected = sum(counts[name] * others[name] for name in counts) / n**2
    if expected == 1.0:
        return Agreement(n=n, observed=same / n, expected=expected, kappa=None, interval=None)
    interval = Share(hits=same, n=n).interval(confidence)

    def scaled(share: float) -> float:
        return (share - expected) / (1.0 - expected)

    return Agreement(
        n=n,
        observed=same / n,
        expected=expected,
        kappa=scaled(same / n),
        interval=None if interval is None else (scaled(interval[0]), scaled(interval[1])),
    )
