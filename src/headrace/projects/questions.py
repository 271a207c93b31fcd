"""What is asked when a project is made: what it is worth, who is affected, how it could be abused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from headrace.core.errors import InvalidInput
from headrace.core.project import Governance, Risk
from headrace.projects.intake import ASSUMED, Alternative, Need, ValueCase, read_alternative, read_expected
from headrace.projects.rules import CHOICES, STATEMENTS, is_answered

_ANSWERS = (*STATEMENTS, *CHOICES)
WORTH = {
    "value": "what is a good answer worth, and to whom?",
    "kpi": "how will that be seen, by which number?",
    "expected": "how much is it expected to bring, such as 12000 EUR in 12 months?",
}
"""Asked first; by the names of the options of ``headrace init``."""
NEEDED = {
    "why": "why is something simpler than a model not enough?",
    "complexity": "how complex will it be to build and keep: low, medium or high?",
    "simpler": "what simpler was considered, and what did it reach, such as 'rule list price: MAE 2100 EUR'?",
}
"""Asked next: whether a model is needed at all."""
_COMPLEXITIES = ("low", "medium", "high")
_BASELINE = Alternative(
    name="the simplest model",
    kind="statistics",
    reached="measured in every build as the variant 'baseline', which the model has to beat",
)
_PLAIN = Alternative(
    name="the simplest prompt",
    kind=_BASELINE.kind,
    reached="measured in every build as the variant 'plain', which the prompt has to beat",
)


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What the model is to be worth, and why one is needed; ``assumed`` names what nobody has said yet."""

    hypothesis: str
    kpi: str
    expected: ValueCase | None
    need: Need
    assumed: tuple[str, ...]


def promised(
    said: Mapping[str, str],
    *,
    target: str,
    metric: str,
    risk: Risk,
    labelled: bool = True,
    is_prompt: bool = False,
) -> Promise:
    """Value hypothesis and need as they were said; what was not said is assumed, and noted as assumed.

    Args:
        said: answers to :data:`WORTH` and :data:`NEEDED`, by name.
        target: what is predicted; where nothing is, and so ``labelled`` is False, what is done instead.
        is_prompt: a language model answers questions, and ``target`` says what a good answer is.

    Raises:
        InvalidInput: ``expected`` has another form than a number, a unit and a time; or a high risk has no
            answer.
    """
    given = {name: text.strip() for name, text in said.items() if is_answered(text)}
    missing = [name for name in (*WORTH, *NEEDED) if name not in given]
    if risk == "high" and missing:
        wanted = " ".join(f"--{name} TEXT" for name in missing)
        raise InvalidInput(f"A high risk is taken on for a stated value and need only. Say it: {wanted}.")
    worth, seen = (
        f"knowing {target} in advance is worth acting on",
        f"{metric} of {target} on labelled answers",
    )
    if not labelled:
        worth, seen = f"what {target} finds is worth acting on", "what is done because of an answer"
    subject = target if labelled else f"the answers of {target}"
    if is_prompt:
        worth, seen = "good answers to these questions are worth having", "share of wrong answers"
        subject = "the answers"
    return Promise(
        hypothesis=given.get("value", f"{ASSUMED}{worth}."),
        kpi=given.get("kpi", f"{ASSUMED}{seen}."),
        expected=read_expected(given["expected"]) if "expected" in given else None,
        need=_need(given, subject, _PLAIN if is_prompt else _BASELINE),
        assumed=tuple(
            charter
            for charter, name in (("hypothesis", "value"), ("kpi", "kpi"), ("need", "why"))
            if name in missing
        ),
    )


def _need(given: Mapping[str, str], subject: str, simplest: Alternative) -> Need:
    """The need as it was said. The simplest model is always considered: a gate holds each model to it."""
    complexity = given.get("complexity", "low")
    if complexity not in _COMPLEXITIES:
        raise InvalidInput(f"The complexity is {complexity!r}. Expected one of {', '.join(_COMPLEXITIES)}.")
    simpler = (read_alternative(given["simpler"]),) if "simpler" in given else ()
    why = given.get("why", f"{ASSUMED}nobody can write {subject} down as a rule that holds for a year.")
    return Need(why=why, complexity=cast(Any, complexity), alternatives=(*simpler, simplest))


def answered(
    answers: Mapping[str, str],
    *,
    target: str,
    risk: Risk,
    contact_given: bool = True,
    is_prompt: bool = False,
) -> Governance:
    """The answers given, and for the rest what is usual, noted as assumed.

    A high risk takes no assumptions about people: the four statements have to be given.

    >>> answered({"affected": "sellers"}, target="price", risk="medium").assumed[0]
    'harms'

    Raises:
        InvalidInput: an answer has another name or value than expected, or a high risk has none.
    """
    unknown = [name for name in answers if name not in _ANSWERS]
    if unknown:
        raise InvalidInput(f"{unknown[0]!r} is no question. Expected one of {', '.join(_ANSWERS)}.")
    for name, choices in CHOICES.items():
        if name in answers and answers[name] not in choices:
            raise InvalidInput(f"{name} is {answers[name]!r}. Expected one of {', '.join(choices)}.")
    given: dict[str, Any] = {name: text for name, text in answers.items() if is_answered(text)}
    open_questions = [name for name in STATEMENTS if name not in given]
    if risk == "high" and open_questions:
        wanted = " ".join(f"--{name} TEXT" for name in open_questions)
        raise InvalidInput(f"A high risk takes no assumptions about people. Answer them: {wanted}.")
    assumed = [name for name in _ANSWERS if name not in given] + ([] if contact_given else ["contact"])
    return replace(Governance(**(asdict(_usual(target, is_prompt)) | given)), assumed=tuple(assumed))


def _usual(target: str, is_prompt: bool) -> Governance:
    """What holds for many first models; somebody still has to say that it holds for this one."""
    acts, wrong = f"acts on a prediction of {target}", f"prediction of {target}"
    if is_prompt:
        acts, wrong = "acts on an answer", "answer"
    return Governance(
        affected=f"Assumed: whoever {acts}, and whoever it is about.",
        harms=f"Assumed: a wrong {wrong} costs time or money and can be put right.",
        fairness="Assumed: no protected attribute, nor a stand-in for one, is an input.",
        security="Assumed: only people with an identity here send requests; nobody gains from false inputs.",
        automation="recommends",
        impact="minor",
        scale="thousands",
        reversible="with_effort",
        personal_data="none",
    )
