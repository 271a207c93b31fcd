"""What a shift looks like: the first thing to rule out, named from the statistics of both sides.

A guess by rules, not a test. The rules are tried in order; what none of them knows is a plain move.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

from headrace.checks.drift import Shift
from headrace.checks.spellings import written_as

CauseName = Literal[
    "empty",
    "renamed",
    "text",
    "stuck",
    "sentinel",
    "clipped",
    "negated",
    "rounded",
    "rescaled",
    "converted",
    "offset",
    "swapped",
    "respelled",
    "reformatted",
    "recoded",
    "exchanged",
    "new_categories",
    "gone_category",
    "moved",
]
MOST_OFF = 0.15
"""By how much the ratios of the quartiles, and of the distance between them, may differ in one change of
unit: chance makes that much of it in windows of some hundred rows. A move leaves the distance as it was."""
_FAR, _MOST_OFF_FAR = 10.0, 0.5
"""The same of a factor of ten and more: no move takes all quartiles along so far."""
LEAST_SCALE = 1.2
"""Values that are this many times what they were, or less, may just have moved."""
LEAST_SHARE = 0.05
"""Share of the rows from which nulls, text, one value or new categories are named."""
_MOST_DISTINCT = 0.2
"""Share of different values among the rows, below which numbers that were mostly different are rounded."""
_NEAR = 0.05
"""By how much the share of a category may differ from that of the one it is taken for."""
_BLANK = frozenset({"", "-", "?", "n/a", "na", "nan", "nil", "none", "null"})
_QUARTILES = ("q25", "median", "q75")
_DEGREES = (
    ("Fahrenheit, where training has Celsius", 1.8, 32.0),
    ("Celsius, where training has Fahrenheit", 1 / 1.8, -32.0 / 1.8),
)


class Cause(NamedTuple):
    """``words`` follow on "input 'km'", such as "is empty in 40 % of the rows (training: 0 %)"."""

    name: CauseName
    words: str


class Carried(NamedTuple):
    """One feature's part of what has shifted: ``share`` is of the Jensen-Shannon divergence of all."""

    feature: str
    cause: Cause
    share: float


def ranked(found: Sequence[Shift]) -> list[Carried]:
    """Why these features have shifted, the first to look at first.

    A fault that has a name goes before a plain move, which may follow from it or be the world itself; then
    the one that carries more of the shift. Two numbers that have taken each other's place are ``swapped``.
    """
    total = sum(shift.js or 0.0 for shift in found) or 1.0
    partners = {one: other for pair in _swaps(found) for one, other in (pair, pair[::-1])}
    carried = [
        Carried(
            shift.feature,
            Cause("swapped", f"looks as {partners[shift.feature]!r} did in training: in each other's place?")
            if shift.feature in partners
            else cause_of(shift),
            (shift.js or 0.0) / total,
        )
        for shift in found
    ]
    return sorted(carried, key=lambda one: (one.cause.name == "moved", -one.share, one.feature))


def undecided(causes: Sequence[Carried]) -> str:
    """Why the first of ``causes`` need not be the right one; empty where it stands out."""
    if len(causes) < 2 or (causes[0].cause.name == "moved") != (causes[1].cause.name == "moved"):
        return ""
    first, second = causes[:2]
    if first.cause.name == second.cause.name == "swapped" or first.share > 2 * second.share:
        return ""
    return f"{first.feature!r} and {second.feature!r} carry about as much: cannot tell which is first"


def cause_of(shift: Shift) -> Cause:
    """What a shift that was found looks like.

    ``empty``: rows without a value. ``text``: text where numbers are expected. ``stuck``: one value, in all
    rows or in many more than before. ``sentinel``: the same, of a value beyond all of training. ``clipped``:
    the same at one end, beyond which training goes. ``negated``: the sign has changed. ``rounded``: few
    different values, where almost all were different. ``rescaled``: every quartile is the same multiple of
    what it was, as after a change of unit. ``offset``: most rows are beyond all of training, as far apart as
    there: another zero point. ``converted``: degrees Fahrenheit for Celsius, or the other way.
    ``reformatted``: dates or numbers that are written in another way. ``respelled``, ``recoded``,
    ``exchanged``: the categories are the old ones in other letters, under other names, or each other's.
    ``new_categories`` and ``gone_category``: categories that training did not have, or that no longer
    come. ``moved``: none of these.

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
    if shift.test == "words":
        return Cause("moved", _words(current))
    found = _empty(reference, current)
    if found is None:
        is_number = "top" not in current
        found = _of_number(reference, current) if is_number else _of_category(reference, current, shift)
    return found or _moved(reference, current, shift)


def _words(current: Mapping[str, Any]) -> str:
    """Which words are more and less frequent, by the shares of the rows that have them."""
    parts = [
        f"{how} {', '.join(_word(one) for one in current[how][:3])}"
        for how in ("more", "less")
        if current[how]
    ]
    return f"uses other words: {'; '.join(parts)}" if parts else "uses other words"


def _word(one: Mapping[str, Any]) -> str:
    return f"{one['word']!r} ({one['before']:.0%} of the rows, now {one['now']:.0%})"


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
    if _is_negated(reference, current):
        return Cause("negated", "has the other sign in every row")
    if _is_rounded(reference, current):
        return Cause("rounded", f"has {current['distinct']} different values: rounded or cut off?")
    piled = _piled(reference, current)
    scale = None if piled else _scale(reference, current)
    if scale is None:
        return piled or _converted(reference, current) or _offset(reference, current)
    return Cause("rescaled", f"is {scale:.3g} times what it was in training: another unit?")


def _converted(reference: Mapping[str, Any], current: Mapping[str, Any]) -> Cause | None:
    """Degrees in the other scale: the one conversion of units in use that is no multiple."""
    for words, factor, zero in _DEGREES:
        expected = {name: factor * reference[name] + zero for name in _QUARTILES}
        apart = abs(current["median"] - reference["median"])
        if _is_like(current, expected) and apart > MOST_OFF * (reference["q75"] - reference["q25"]):
            return Cause("converted", f"is as if in degrees {words}")
    return None


def _offset(reference: Mapping[str, Any], current: Mapping[str, Any]) -> Cause | None:
    by = current["median"] - reference["median"]
    is_within = reference["min"] <= current["median"] <= reference["max"]
    if is_within or not _is_like(current, {name: reference[name] + by for name in _QUARTILES}):
        return None
    more = f"{abs(by):.4g} {'higher' if by > 0 else 'lower'} than in training"
    return Cause("offset", f"is {more}, low and high values alike: counted from another zero?")


def _piled(reference: Mapping[str, Any], current: Mapping[str, Any]) -> Cause | None:
    """One value in many more rows than before."""
    value, now, before = current.get("mode"), _share(current, "mode_rows"), _share(reference, "at_mode")
    # A number of few values has one in many rows anyway, and another unit gives it another name.
    if value is None or now - max(before, _share(reference, "mode_rows")) < LEAST_SHARE:
        return None
    often = f"is {value:g} in {now:.0%} of the rows (training: {before:.0%})"
    if not reference["min"] <= value <= reference["max"]:
        return Cause("sentinel", f"{often}, beyond all of training: a code for no value?")
    if (value == current["max"] < reference["max"]) or (value == current["min"] > reference["min"]):
        return Cause("clipped", f"{often}, and never beyond: clipped?")
    return Cause("stuck", f"{often}: stuck, or filled in?")


def _is_rounded(reference: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Few different values, none of them in most rows."""
    before, now = (_share(side, "distinct") for side in (reference, current))
    return before > 0.5 and 0 < now < _MOST_DISTINCT and _share(current, "mode_rows") < 0.5


def _is_negated(reference: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    turned = {"q25": -current["q75"], "median": -current["median"], "q75": -current["q25"]}
    return current["median"] * reference["median"] < 0 and _is_like(reference, turned)


def _is_like(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """The quartiles of both are the same but for chance."""
    spread = one["q75"] - one["q25"]
    return spread > 0 and all(abs(one[name] - other[name]) <= MOST_OFF * spread for name in _QUARTILES)


def _swaps(found: Sequence[Shift]) -> list[tuple[str, str]]:
    numbers = [
        s for s in found if all("median" in s.detail.get(side, {}) for side in ("reference", "current"))
    ]
    return [
        (one.feature, other.feature)
        for one, other in combinations(numbers, 2)
        if _is_like(one.detail["reference"], other.detail["current"])
        and _is_like(other.detail["reference"], one.detail["current"])
    ]


def _scale(reference: Mapping[str, Any], current: Mapping[str, Any]) -> float | None:
    """The factor between both sides; None where no single one explains location and spread."""
    sides = [
        (*(side[name] for name in _QUARTILES), side["q75"] - side["q25"]) for side in (reference, current)
    ]
    if any(value == 0 for side in sides for value in side):
        return None
    ratios = [now / before for before, now in zip(*sides, strict=True)]
    scale = sorted(ratios[:3])[1]
    if scale <= 0 or 1 / LEAST_SCALE < scale < LEAST_SCALE:
        return None
    most_off = MOST_OFF if 1 / _FAR < scale < _FAR else _MOST_OFF_FAR
    return scale if all(abs(ratio / scale - 1) <= most_off for ratio in ratios) else None


def _of_category(reference: Mapping[str, Any], current: Mapping[str, Any], shift: Shift) -> Cause | None:
    if not current.get("n") or not reference.get("n"):
        return None
    before, now = ({k: n / side["n"] for k, n in side["top"].items()} for side in (reference, current))
    if len(now) == 1 and len(before) > 1 and next(iter(now.values())) == 1 and next(iter(now)) in before:
        return Cause("stuck", f"is {next(iter(now))!r} in every row")
    if (written := _reformatted(before, now)) is not None:
        return Cause("reformatted", f"holds {written[1]}, where training has {written[0]}")
    new = {name: rows / current["n"] for name, rows in shift.detail.get("new", {}).items()}
    if sum(new.values()) >= LEAST_SHARE:
        return _of_new(before, now, new)
    if (pair := _exchanged(before, now)) is not None:
        return Cause("exchanged", f"is {pair[0]!r} as often as it was {pair[1]!r}, and the other way round")
    is_complete = current.get("distinct", 0) <= len(now)
    for name, share in before.items():
        if is_complete and share >= LEAST_SHARE and name not in now:
            return Cause("gone_category", f"is never {name!r} now, which was {share:.0%} of training")
    return None


def _reformatted(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[str, str] | None:
    """How both sides are written, where that is known of both and differs."""
    was, is_now = (written_as({k: round(part * 1e6) for k, part in side.items()}) for side in (before, now))
    return None if was is None or is_now is None or was == is_now else (was, is_now)


def _of_new(before: Mapping[str, float], now: Mapping[str, float], new: Mapping[str, float]) -> Cause:
    share = sum(new.values())
    blank = sum(part for name, part in new.items() if name.strip().lower() in _BLANK)
    if blank > share / 2:
        return Cause("empty", f"is blank in {blank:.0%} of the rows (training: 0%)")
    if (written := _reformatted(before, new)) is not None:
        return Cause(
            "reformatted", f"holds {written[1]} in {share:.0%} of the rows, where training has {written[0]}"
        )
    plain = {"".join(name.split()).casefold(): name for name in before}
    known = {name: plain.get("".join(name.split()).casefold()) for name in new}
    if sum(part for name, part in new.items() if known[name] is not None) > share / 2:
        name = next(name for name in new if known[name] is not None)
        return Cause(
            "respelled", f"is {name!r} where training has {known[name]!r}, in {share:.0%} of the rows"
        )
    shares = [sorted(side.values(), reverse=True) for side in (before, now)]
    same = len(before) == len(now) > 1 and not set(before) & set(now)
    if same and all(abs(a - b) <= _NEAR for a, b in zip(*shares, strict=True)):
        return Cause("recoded", f"has other names for as many categories, such as {next(iter(new))!r}")
    named = ", ".join(repr(name) for name in list(new)[:3])
    more = ", ..." if len(new) > 3 else ""
    return Cause(
        "new_categories", f"has values in {share:.0%} of the rows that training never saw: {named}{more}"
    )


def _exchanged(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[str, str] | None:
    """Two categories whose shares are each other's, while those of all others are what they were."""
    for one, other in combinations(before, 2):
        turned = dict(before) | {one: before[other], other: before[one]}
        apart = abs(before[one] - before[other])
        if apart >= 2 * _NEAR and all(abs(now.get(name, 0) - part) <= _NEAR for name, part in turned.items()):
            return one, other
    return None


def _moved(reference: Mapping[str, Any], current: Mapping[str, Any], shift: Shift) -> Cause:
    size = "" if shift.size is None else f" by {shift.size:.2f} standard deviations"
    if "mean" in reference and "mean" in current:
        where = f", to {current['mean']:.4g} on average from {reference['mean']:.4g}"
        return Cause("moved", f"has shifted{size} from the training data{where}")
    return Cause("moved", f"has shifted{size} from the training data")
