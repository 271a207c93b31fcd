"""Gate 3b (contract): does an answer keep what a consumer relies on, and does the whole work together?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import fsum
from typing import Any, NamedTuple

from headrace.core.release import Outcome4, Verdict
from headrace.projects.contracts import Interaction, Output
from headrace.releases.gates import verdict
from headrace.releases.states import worst
from headrace.serving.levels import quantile

CONTRACT = "contract"
REHEARSAL = "rehearsal"
_REFUSED = (400, 422)
_FAILED = 500
_SUM_WITHIN = 1e-6
_NUMBERS = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {"number": _NUMBERS, "text": (str,), "boolean": (bool,)}


@dataclass(frozen=True, kw_only=True)
class Got:
    """What a request got: its status, the rows of an answer, or the words of a refusal.

    ``unknown`` is the input that was null in this request.
    """

    status: int
    rows: Sequence[Mapping[str, Any]] = ()
    words: str = ""
    unknown: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How one interaction of a consumer came out; ``relies_on`` and ``got`` are for people."""

    consumer: str
    interaction: str
    outcome: Outcome4
    relies_on: str
    got: str


class Part(NamedTuple):
    """One component that a release has to work together with, whether it does, and what was seen."""

    name: str
    works: bool
    seen: str


def judge_interaction(
    consumer: str, one: Interaction, asked: Sequence[Got], took_ms: Sequence[float] = ()
) -> Kept:
    """Hold what an interaction's requests got against what its consumer relies on.

    Args:
        asked: the request, then those in which an input is null that may be.
        took_ms: durations of the same request asked again and again, for ``within_ms``.
    """
    found = [(outcome, _said(got, text)) for got in asked for outcome, text in _judged(one, got)]
    if not found and one.within_ms is not None:
        found = [_in_time(one.within_ms, one.tolerance, took_ms)]
    outcome = worst([outcome for outcome, _ in found]) if found else "passed"
    told = [text for other, text in found if other == outcome] or [_summary(one, asked[0])]
    return Kept(
        consumer=consumer,
        interaction=one.name,
        outcome=outcome,
        relies_on=relied_on(one),
        got="; ".join(dict.fromkeys(told)),
    )


def relied_on(one: Interaction) -> str:
    """What is relied on, in a line.

    >>> from headrace.projects.contracts import Request
    >>> relied_on(Interaction(name="odd", request=Request(record={"year": "x"}), refused=True, field="year"))
    'is refused, naming year'
    """
    if one.refused:
        return f"is refused, naming {one.field}"
    parts = [f"{name}: {_described(output)}" for name, output in one.answer.items()]
    parts += [f"also where {name} is null" for name in one.may_be_null]
    if one.within_ms is not None:
        parts.append(f"within {one.within_ms:g} ms (median, {one.tolerance:.0%} more tolerated)")
    return "; ".join(parts)


def contract_gate(
    subject_id: str, kept: Sequence[Kept], published: Mapping[str, Mapping[str, str]], at: datetime
) -> Verdict:
    """Every interaction of every consumer; the reason names those that are not kept.

    Args:
        published: consumer to the ``digest`` of its contract and the ``owner`` to ask before it is broken.
    """
    if not published:
        reason = "no consumer has published a contract"
        return verdict(subject_id, CONTRACT, "passed", reason, evidence={"contracts": {}}, at=at)
    outcome = worst([one.outcome for one in kept])
    reason = f"{len(kept)} of {len(kept)} interactions of {', '.join(published)} are kept"
    if outcome != "passed":
        odd = [one for one in kept if one.outcome == outcome]
        reason = "; ".join(
            f"{one.consumer}, {one.interaction!r}: {one.got} (relies on {one.relies_on})" for one in odd
        )
    evidence = {
        "contracts": dict(published),
        "interactions": [
            {
                "consumer": one.consumer,
                "interaction": one.interaction,
                "outcome": one.outcome,
                "relies on": one.relies_on,
                "got": one.got,
            }
            for one in kept
        ],
    }
    return verdict(subject_id, CONTRACT, outcome, reason, evidence=evidence, at=at)


def rehearsal_gate(subject_id: str, parts: Sequence[Part], at: datetime) -> Verdict:
    """The release together with everything around it; each component is named with what was seen of it."""
    broken = [part for part in parts if not part.works]
    reason = "; ".join(f"{part.name}: {part.seen}" for part in broken) or (
        f"works together with {', '.join(part.name for part in parts)}"
    )
    evidence = {"parts": {part.name: {"works": part.works, "seen": part.seen} for part in parts}}
    outcome: Outcome4 = "failed" if broken else "passed"
    return verdict(subject_id, REHEARSAL, outcome, reason, evidence=evidence, at=at)


def unmeasured(
    subject_id: str, gate: str, why: str, published: Mapping[str, Mapping[str, str]], at: datetime
) -> Verdict:
    """Nothing could be asked: neither kept nor broken."""
    evidence = {"contracts": dict(published), "error": why}
    return verdict(subject_id, gate, "error", f"could not be measured: {why}", evidence=evidence, at=at)


def _judged(one: Interaction, got: Got) -> Iterator[tuple[Outcome4, str]]:
    """What is not kept, and how surely; nothing where all is."""
    if got.status == _FAILED:
        yield "failed", "the service failed (500)"
    elif got.status in _REFUSED:
        if not one.refused:
            yield "failed", f"was refused ({got.status}): {got.words}"
        elif not _names(got.words, str(one.field)):
            yield "failed", f"was refused ({got.status}) without naming {one.field}: {got.words}"
    elif got.status != 200:
        yield "error", f"could not be asked ({got.status}): {got.words}"
    elif one.refused:
        yield "failed", "got an answer"
    else:
        for name, output in one.answer.items():
            for number, row in enumerate(got.rows):
                problem = _problem(output, row[name]) if name in row else "is not in the answer"
                if problem:
                    where = f" in row {number}" if len(got.rows) > 1 else ""
                    yield "failed", f"{name} {problem}{where}"
                    break


def _problem(output: Output, value: Any) -> str:
    """What is wrong with a value; empty if nothing is."""
    if output.type == "numbers":
        if not isinstance(value, list) or not all(_is(item, "number") for item in value):
            return f"is {_short(value)}, expected a list of numbers"
        if output.sum_to_one and abs(fsum(value) - 1) > _SUM_WITHIN:
            return f"adds up to {fsum(value):.6g}, expected 1"
        return next(filter(None, (_out_of_bounds(output, item) for item in value)), "")
    if not _is(value, output.type):
        return f"is {_short(value)}, expected {output.type}"
    if output.classes and value not in output.classes:
        return f"is {_short(value)}, expected one of {', '.join(map(_short, output.classes))}"
    return _out_of_bounds(output, value) if output.type == "number" else ""


def _out_of_bounds(output: Output, value: float) -> str:
    if output.min is not None and value < output.min:
        return f"is {value:.6g}, expected at least {output.min:g}"
    if output.max is not None and value > output.max:
        return f"is {value:.6g}, expected at most {output.max:g}"
    return ""


def _is(value: Any, kind: str) -> bool:
    """Whether JSON's value is of this kind: true is no number."""
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _in_time(within_ms: float, tolerance: float, took_ms: Sequence[float]) -> tuple[Outcome4, str]:
    """By the median: within the limit is kept; broken only if its whole interval is beyond the tolerance."""
    median = quantile(took_ms, 0.5)
    said = (
        f"the median of {len(took_ms)} asks took {median.value:.3g} ms (between {median.low:.3g} and "
        f"{median.high:.3g})"
    )
    if median.value <= within_ms:
        return "passed", said
    if median.low > within_ms * (1 + tolerance):
        return "failed", said
    return "inconclusive", f"{said}: the reading is too noisy to say"


def _names(words: str, field: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(field)}(?!\w)", words) is not None


def _said(got: Got, text: str) -> str:
    return text if got.unknown is None else f"where {got.unknown} is null: {text}"


def _summary(one: Interaction, got: Got) -> str:
    if one.refused:
        return f"was refused ({got.status}), naming {one.field}"
    first = got.rows[0] if got.rows else {}
    shown = ", ".join(f"{name} {_short(first[name])}" for name in one.answer if name in first)
    return shown if len(got.rows) <= 1 else f"{len(got.rows)} rows, the first: {shown}"


def _described(output: Output) -> str:
    parts: list[str] = [output.type]
    if output.min is not None or output.max is not None:
        low = "" if output.min is None else f"{output.min:g}"
        high = "" if output.max is None else f"{output.max:g}"
        parts.append(f"{low}..{high}")
    if output.classes:
        parts.append(f"one of {', '.join(map(_short, output.classes))}")
    if output.sum_to_one:
        parts.append("adding up to 1")
    return " ".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value[:5]))}{', ...' if len(value) > 5 else ''}]"
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
