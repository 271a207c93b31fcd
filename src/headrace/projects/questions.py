"""What is asked when a project is made: who is affected, what could go wrong, how it could be abused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from headrace.core.errors import InvalidInput
from headrace.core.project import Governance, Risk
from headrace.projects.rules import CHOICES, STATEMENTS, is_answered

_ANSWERS = (*STATEMENTS, *CHOICES)


def answered(
    answers: Mapping[str, str], *, target: str, risk: Risk, contact_given: bool = True
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
    return replace(Governance(**(asdict(_usual(target)) | given)), assumed=tuple(assumed))


def _usual(target: str) -> Governance:
    """What holds for many first models; somebody still has to say that it holds for this one."""
    return Governance(
        affected=f"Assumed: whoever acts on a prediction of {target}, and whoever it is about.",
        harms=f"Assumed: a wrong prediction of {target} costs time or money and can be put right.",
        fairness="Assumed: no protected attribute, nor a stand-in for one, is an input.",
        security="Assumed: only people with an identity here send requests; nobody gains from false inputs.",
        automation="recommends",
        impact="minor",
        scale="thousands",
        reversible="with_effort",
        personal_data="none",
    )
