"""What a prompt is asked beside its evaluation set: whether its voice is still the live one's, whether it
says the same when it is asked again, and whether it holds the conversations that are scripted for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from headrace.checks.essence import compare_voices, steadiness
from headrace.core.errors import HeadraceError
from headrace.core.project import Project
from headrace.core.release import Outcome4
from headrace.gateway.agent_files import AgentFile, measured, over
from headrace.gateway.conversations import Played, Script, play
from headrace.gateway.llm.chat import Answered, ChatRequest
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import AgentFileLimits, Conversations, Persona, Repeats

PERSONA, STEADY, SCRIPTED, AGENT_FILES = "persona", "steadiness", "conversations", "agent_files"
_SHOWN = 300
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


def judge_conversations(
    ask: Ask, project: Project, spec: Conversations, script: Script, ours: Prompt, live: Prompt | None
) -> Judged:
    """Whether the candidate holds every scripted conversation; the live prompt plays the same ones.

    A conversation holds if every turn is as expected in ``spec.least`` of the times that it is played. What
    the live prompt does decides nothing: it tells what the candidate breaks from what was broken before.
    """
    played = play(lambda asked: ask(project, ours, asked), script, project.name, spec.times)
    failures = [one.failure for one in played if one.failure]
    if failures:
        return "error", f"{len(failures)} of {len(played)} conversations broke off: {failures[0]}", {}
    before = {}
    if live is not None:
        others = play(lambda asked: ask(project, live, asked), script, project.name, spec.times)
        if not any(one.failure for one in others):
            before = _shares(others)
    shares = _shares(played)
    broken = [name for name, share in shares.items() if share < spec.least]
    newly = [name for name in broken if before.get(name, 0.0) >= spec.least]
    turns = _turns(played)
    n_live = sum(share >= spec.least for share in before.values())
    compared = f"the live prompt holds {n_live}" if before else "there is no live prompt that plays them"
    evidence: dict[str, Any] = {
        "script": script.digest, "least": spec.least, "held": len(shares) - len(broken),
        "held by the live prompt": n_live if before else None, "broken since": newly,
        "conversations": [
            {"conversation": name, "times": sum(one.conversation.name == name for one in played),
             "held": share, "held by the live prompt": before.get(name)}
            for name, share in shares.items()
        ],
        "turns": turns,
    }  # fmt: skip
    reason = f"{len(shares) - len(broken)} of {len(shares)} conversations hold; {compared}"
    if not broken:
        return "passed", reason, evidence
    first = next(one for one in turns if one["conversation"] == broken[0] and one["wrong"])
    reason += f". {broken[0]!r}, turn {first['turn']}: {first['wrong'][0]}"
    return "failed", reason, evidence


def judge_agent_files(spec: AgentFileLimits, ours: Prompt) -> Judged:
    """Whether the files that instruct an agent are short enough to be read with the rest of its work."""
    files = measured(ours.agent_files)
    at_start = sum(one.at_start for one in files)
    found = [
        f"{one.path} has {one.characters:,} characters: at most {spec.skill:,} (llm.agent_files.skill)"
        for one in files
        if one.read == "when used" and over(one, spec)
    ]
    if at_start > spec.at_start:
        longest = max(files, key=lambda one: one.at_start)
        found.insert(
            0,
            f"an agent reads {at_start:,} characters before its first call: at most {spec.at_start:,} "
            f"(llm.agent_files.at_start); the most, {longest.at_start:,}, of {longest.path}",
        )
    evidence: dict[str, Any] = {
        "characters at start": at_start, "at most": spec.at_start, "at most of a skill": spec.skill,
        "files": [_sized(one, spec) for one in files],
    }  # fmt: skip
    if found:
        return "failed", "; ".join(found), evidence
    return "passed", f"{at_start:,} characters at start, of at most {spec.at_start:,}", evidence


def _sized(one: AgentFile, spec: AgentFileLimits) -> dict[str, Any]:
    return {
        "file": one.path,
        "read": one.read,
        "characters": one.characters,
        "at start": one.at_start,
        "tokens, about": one.tokens,
        "over": over(one, spec) or None,
    }


def _shares(played: Sequence[Played]) -> dict[str, float]:
    """Of each conversation, in which share of the times that it was played it held."""
    held: dict[str, list[bool]] = {}
    for one in played:
        held.setdefault(one.conversation.name, []).append(one.held)
    return {name: sum(times) / len(times) for name, times in held.items()}


def _turns(played: Sequence[Played]) -> list[dict[str, Any]]:
    """Of each turn how often it was played and as expected, and the first answer that was not."""
    found: list[dict[str, Any]] = []
    for script in {one.conversation.name: one.conversation for one in played}.values():
        times = [one for one in played if one.conversation is script]
        for place in range(len(script.turns)):
            got = [(one.wrong[place], one.said[place]) for one in times if place < len(one.wrong)]
            wrong, answer = next((one for one in got if one[0]), ([], got[0][1] if got else ""))
            what = wrong or ([] if got else ["it was not played: the conversation was over before"])
            found.append(
                {
                    "conversation": script.name,
                    "turn": place + 1,
                    "played": len(got),
                    "as expected": sum(not wrong for wrong, _ in got),
                    "wrong": what,
                    "answer": answer[:_SHOWN],
                }
            )
    return found


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
