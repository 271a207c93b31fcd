"""Do texts use other words than those of the reference, and which?

Each word is one two by two table: rows with it and without it, before and now. Conditional on the rows that
have it at all, how many of them are new is hypergeometric if nothing has changed (Fisher's exact test). Which
words are tested follows from those rows alone, so that choosing them makes no false alarm likelier.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from headrace.checks.drift import Shift
from headrace.checks.texts import FEWEST_ROWS, TextProfile, WordCounts

MOST_TESTED = 200
"""Words that most rows have, before or now; the others are looked at by the share of unknown words only."""
SURE = 0.05
"""Chance that any word at all is called changed that is not."""
_LISTED = 5


class Changed(NamedTuple):
    """One word: the shares of the rows that have it. ``p_value`` is corrected for all words tested."""

    word: str
    before: float
    now: float
    p_value: float


def words_shift(name: str, reference: TextProfile, current: WordCounts) -> Shift:
    """Compare the words of a column's texts, as :class:`headrace.checks.drift.Shift` of the test ``words``.

    ``size`` is twice the change of the share of the rows that have the word which changed most, or twice the
    share of all words that are others now if that is more; 0 where no word has surely changed. ``detail``
    lists the words that are surely more and less frequent; those of fewer than five rows are not named.

    >>> values = np.array(["late again", "all fine", "thanks", "fine", "good"] * 40, dtype=object)
    >>> reference, now = TextProfile.fit(values), WordCounts()
    >>> for _ in range(100):
    ...     now.add(["late", "refund"])
    >>> [one["word"] for one in words_shift("note", reference, now).detail["current"]["more"]]
    ['refund', 'late']
    """
    if not reference.n or not current.n:
        return Shift(feature=name, n_reference=reference.n, n_current=current.n)
    found = _tested(reference, current)
    changed = [one for one in found if one.p_value <= SURE]
    uses = sum(one.before for one in found), sum(one.now for one in found)
    others = sum(abs(one.now / (uses[1] or 1) - one.before / (uses[0] or 1)) for one in changed)
    most = max((abs(one.now - one.before) for one in changed), default=0.0)
    shown = [
        one for one in changed if max(one.before * reference.n, one.now * current.n) >= FEWEST_ROWS - 0.5
    ]
    return Shift(
        feature=name,
        size=max(2 * most, others),
        p_value=found[0].p_value if found else None,
        test="words" if found else "none",
        n_reference=reference.n,
        n_current=current.n,
        detail={
            "reference": {"n": reference.n},
            "current": {
                "n": current.n,
                "tested": len(found),
                "changed": len(changed),
                "more": _listed([one for one in shown if one.now > one.before]),
                "less": _listed([one for one in shown if one.now < one.before]),
            },
        },
    )


def _tested(reference: TextProfile, current: WordCounts) -> list[Changed]:
    """The words with the most rows on both sides together, those that changed most surely first."""
    from scipy.stats import hypergeom

    before, now = reference.words, current.rows()
    # A word that the reference does not name was in at most ``least`` rows: taken as if it were in all these.
    unnamed = min(reference.least, reference.n)
    rows = {word: (before.get(word, unnamed), now.get(word, 0)) for word in {*before, *now}}
    chosen = sorted(rows, key=lambda word: (-sum(rows[word]), word))[:MOST_TESTED]
    if not chosen:
        return []
    was, is_now = np.array([rows[word] for word in chosen]).T
    law = hypergeom(reference.n + current.n, was + is_now, current.n)
    p_values = 2 * np.minimum(law.cdf(is_now), law.sf(is_now - 1)) * len(chosen)
    found = [
        Changed(word, float(a), float(b), min(float(p), 1.0))
        for word, a, b, p in zip(chosen, was / reference.n, is_now / current.n, p_values, strict=True)
    ]
    return sorted(found, key=lambda one: (one.p_value, -abs(one.now - one.before), one.word))


def _listed(changed: list[Changed]) -> list[dict[str, Any]]:
    return [one._asdict() for one in changed[:_LISTED]]
