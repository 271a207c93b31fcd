"""What a shift looks like: the first thing to rule out, named from the statistics of both sides.

A guess by rules, not a test. The rules are tried in order; what none of them knows is a plain move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from headrace.checks.drift import Shift

CauseName = Literal["empty", "text", "stuck", "rescaled", "new_categories", "gone_category", "moved"]
MOST_OFF = 0.15
"""By how much the ratios of the quartiles, and of the distance between them, may differ in one change of
unit: chance makes that much of it in windows of some hundred rows. A move leaves the distance as it was."""
LEAST_SCALE = 1.2
"""Values that are this many times what they were, or less, may just have moved."""
LEAST_SHARE = 0.05
"""Share of the rows from which nulls, text or new categories are named."""


class Cause(NamedTuple):
    """``words`` follow on "input 'km'", such as "is empty in 40 % of the rows (training: 0 %)"."""

    name: CauseName
    words: str


def cause_of(shift: Shift) -> Cause:
    """What a shift that was found looks like.

    ``empty``: rows without a value. ``text``: text where numbers are expected. ``stuck``: one value only.
    ``rescaled``: every quartile is the same multiple of what it was, as after a change of unit.
    ``new_categories`` and ``gone_category``: categories that training did not have, or that no longer come.
    ``moved``: none of these.

    >>> import numpy as np
    >>> from headrace.checks.drift import Profile, shifts
    >>> from headrace.core.project import Column
    >>> miles = np.random.default_rng(0).lognormal(10, 1, 2000)
    >>> before = Profile.fit({"distance": miles}, [Column(name="distance", role="numeric")])
    >>> (found,) = shifts(before, {"distance": miles * 1.609})
    >>> cause_of(found)
    Cause(name='rescaled', words='is 1.61 times what it was in training: another unit?')
    """
    reference, current = (shift.detail.get(side, {}) for side in ("reference", "current"))
    found = _empty(reference, current)
    if found is None:
        is_number = "top" not in current
        found = _of_number(reference, current) if is_number else _of_category(reference, current, shift)
    return found or _moved(reference, current, shift)


def _share(side: Mapping[str, Any], what: str) -> float:
    return float(side.get(what, 0)) / side["n"] if side.get("n") else 0.0


def _empty(reference: Mapping[str, Any], current: Mapping[str, Any]) -> Cause | None:
    before, text = _share(reference, "missing"), _share(current, "text")
    now = _share(current, "missing")
    if text >= LEAST_SHARE:
        return Cause("text", f"holds text in {text:.0%} of the rows, where training has numbers")
    if now - before >= LEAST_SHARE:
        return Cause("empty", f"is empty in {now:.0%} of the rows (training: {before:.0%})")
    return None


def _of_number(reference: Mapping[str, Any], current: Mapping[str, Any]) -> Cause | None:
    if "median" not in reference or "median" not in current:
        return None
    if current["min"] == current["max"] and reference["min"] < reference["max"]:
        return Cause("stuck", f"is {current['median']:g} in every row")
    scale = _scale(reference, current)
    if scale is None:
        return None
    return Cause("rescaled", f"is {scale:.3g} times what it was in training: another unit?")


def _scale(reference: Mapping[str, Any], current: Mapping[str, Any]) -> float | None:
    """The factor between both sides; None where no single one explains location and spread."""
    sides = [
        (*(side[name] for name in ("q25", "median", "q75")), side["q75"] - side["q25"])
        for side in (reference, current)
    ]
    if any(value == 0 for side in sides for value in side):
        return None
    ratios = [now / before for before, now in zip(*sides, strict=True)]
    scale = sorted(ratios[:3])[1]
    if scale <= 0 or 1 / LEAST_SCALE < scale < LEAST_SCALE:
        return None
    return scale if all(abs(ratio / scale - 1) <= MOST_OFF for ratio in ratios) else None


def _of_category(reference: Mapping[str, Any], current: Mapping[str, Any], shift: Shift) -> Cause | None:
    new = shift.detail.get("new", {})
    share = sum(new.values()) / current["n"] if current.get("n") else 0.0
    if share >= LEAST_SHARE:
        named = ", ".join(repr(name) for name in list(new)[:3])
        more = ", ..." if len(new) > 3 else ""
        return Cause(
            "new_categories", f"has values in {share:.0%} of the rows that training never saw: {named}{more}"
        )
    listed = reference.get("top", {})
    is_complete = current.get("distinct", 0) <= len(current.get("top", {}))
    for name, rows in listed.items():
        before = rows / reference["n"]
        if is_complete and before >= LEAST_SHARE and name not in current["top"]:
            return Cause("gone_category", f"is never {name!r} now, which was {before:.0%} of training")
    return None


def _moved(reference: Mapping[str, Any], current: Mapping[str, Any], shift: Shift) -> Cause:
    size = "" if shift.size is None else f" by {shift.size:.2f} standard deviations"
    if "mean" in reference and "mean" in current:
        where = f": {current['mean']:.4g} in the mean, in training {reference['mean']:.4g}"
        return Cause("moved", f"has shifted{size} from the training data{where}")
    return Cause("moved", f"has shifted{size} from the training data")
