"""What a prompt is asked beside its evaluation set: whether its voice is still the live one's, and whether
it says the same when it is asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from headrace.checks.essence import compare_voices, steadiness
from headrace.core.errors import HeadraceError
from headrace.core.project import Project
from headrace.core.release import Outcome4
from headrace.gateway.llm.chat import Answered, ChatRequest
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import Persona, Repeats

PERSONA, STEADY = "persona", "steadiness"
_LEVEL = 0.05
Ask = Callable[[Project, Prompt, Sequence[ChatRequest]], "list[Answered | HeadraceError]"]
Judged = tuple[Outcome4, str, dict[str, Any]]
"""What a check concluded, why, and from what."""


def judge_persona(
    ask: Ask, project: Project, spec: Persona, ours: Prompt, live: Prompt | None, like: ChatRequest
) -> Judged:
    """Whether the candidate says of itself what the charter wants, in the voice of the live prompt.

    Both answer the same probes as often. Phrases are looked for in every answer; voices are compared by a
    permutation test with level 5 %.

    Args:
        like: a request whose variables fill the prompts in.
    """
    said = _answers(ask, project, ours, spec.probes, spec.times, like)
    if said is None:
        return "error", "the candidate's models did not answer every probe", {}
    texts = [text.casefold() for one in said for text in one]
    missing = [phrase for phrase in spec.says if not any(phrase.casefold() in text for text in texts)]
    unwanted = [phrase for phrase in spec.never if any(phrase.casefold() in text for text in texts)]
    evidence: dict[str, Any] = {
        "probes": len(spec.probes), "times": spec.times, "missing": missing, "unwanted": unwanted,
    }  # fmt: skip
    if missing or unwanted:
        what = f"no answer says {missing[0]!r}" if missing else f"an answer says {unwanted[0]!r}"
        return "failed", f"the persona is not as declared: {what}", evidence
    if live is None:
        return "passed", "nothing is live yet: there is no voice to compare with", evidence
    before = _answers(ask, project, live, spec.probes, spec.times, like)
    if before is None:
        return "error", "the live prompt's models did not answer every probe", evidence
    voice = compare_voices(before, said)
    evidence |= {"p_value": voice.p_value, "share": voice.share, "level": _LEVEL}
    if voice.p_value <= _LEVEL:
        reason = (
            f"the voice is another one than that of the live prompt (p = {voice.p_value:.3f}). If that is "
            "wanted: headrace project waive NAME --rule gate:persona"
        )
        return "failed", reason, evidence
    return "passed", f"no other voice than the live prompt's is seen (p = {voice.p_value:.3f})", evidence


def judge_steadiness(
    ask: Ask, project: Project, spec: Repeats, ours: Prompt, requests: Sequence[ChatRequest]
) -> Judged:
    """Whether enough questions are answered with one essence, however often they are asked.

    It passes if the lower bound of their share reaches the limit, and fails if the upper one does not.
    """
    chosen = requests[: spec.questions]
    answered = ask(project, ours, [one for one in chosen for _ in range(spec.times)])
    texts = [None if isinstance(one, HeadraceError) else one.text for one in answered]
    rows = [texts[place : place + spec.times] for place in range(0, len(texts), spec.times)]
    whole = [[text for text in row if text is not None] for row in rows if None not in row]
    if len(whole) < len(chosen) or not whole:
        return "error", f"{len(chosen) - len(whole)} of {len(chosen)} questions had no answer each time", {}
    found = steadiness(whole, spec.like)
    evidence = {
        "questions": found.n, "times": spec.times, "steady": found.steady, "lower": found.lower,
        "upper": found.upper, "least": spec.least, "likeness": found.likeness, "within": found.within,
        "between": found.between, "unsteady rows": list(found.unsteady),
    }  # fmt: skip
    reason = (
        f"{found.steady} of {found.n} questions have answers of one essence in {spec.times} repeats "
        f"({found.lower:.2f} to {found.upper:.2f}; at least {spec.least:g} is wanted); likeness "
        f"{found.likeness:.2f}, within {found.within:.2f}, between {found.between:.2f}"
    )
    passed, failed = found.lower >= spec.least, found.upper < spec.least
    return "passed" if passed else "failed" if failed else "inconclusive", reason, evidence


def _answers(
    ask: Ask, project: Project, prompt: Prompt, probes: Sequence[str], times: int, like: ChatRequest
) -> list[list[str]] | None:
    """Of each probe its answers; None where one is missing."""
    requests = [_probe(like, probe) for probe in probes for _ in range(times)]
    answered = ask(project, prompt, requests)
    texts = [one.text for one in answered if not isinstance(one, HeadraceError)]
    if len(texts) < len(requests):
        return None
    return [texts[place : place + times] for place in range(0, len(texts), times)]


def _probe(like: ChatRequest, text: str) -> ChatRequest:
    messages = [{"role": "user", "content": text}]
    return replace(like, messages=messages, body={**like.body, "messages": messages})
