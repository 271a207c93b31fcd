"""What the demonstration of prompts is about: a shop's facts, its customers' questions, and a scripted model.

Run as a program it is that model: an OpenAI-compatible server on 127.0.0.1 that writes its address on its
first line and ends with its standard input. There is no intelligence in it: it follows the few instructions
that it knows and finds answers in the questions and answers that its instructions contain.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from headrace.testing.scripted_answers import Answer
from headrace.testing.scripted_llm import Asked, ScriptedLLM

_UNKNOWN = "I do not know."
_WORD = re.compile(r"[a-z0-9]+")
_ASKED, _ANSWERED = "Q: ", "A: "
_ALIKE = 0.6
_GOODS = "shoes boots hats bags belts coats gloves socks scarves shirts".split()


class Fact(NamedTuple):
    """A question with what a good answer to it says."""

    question: str
    answer: str


EVALUATED = tuple(
    Fact(f"{asked} {goods}?", f"{number} {unit}")
    for number, goods in enumerate(_GOODS, start=11)
    for asked, unit in (
        ("How long may I return", "days"),
        ("What do you charge for", "EUR"),
        ("How many kinds do you have of", "kinds"),
        ("How heavy is a parcel of", "grams"),
    )
)
"""The evaluation set: the only questions that a gate asks."""
ONLY_ASKED_BY_CUSTOMERS = (
    Fact("When does the shop open on Saturdays?", "9 in the morning"),
    Fact("How long is a gift card valid?", "36 months"),
    Fact("Which countries do parcels go to?", "all of Europe"),
    Fact("Who repairs a broken zip?", "the tailor in Ghent"),
    Fact("May parcels go to a neighbour?", "with your note"),
    Fact("How do students get a discount?", "with a student card"),
)
"""What customers want to know as well, and no gate asks: here a prompt may get worse and no gate sees it."""


def faq(facts: Iterable[Fact]) -> str:
    """Facts as background for a prompt."""
    return "\n".join(f"{_ASKED}{fact.question}\n{_ANSWERED}{fact.answer}" for fact in facts)


def reply(instructions: str, question: str) -> str:
    r"""What the scripted model says: as JSON and briefly where it is told so; nothing that it was not told.

    >>> told = "Answer in prose.\n" + faq([Fact("When do you open?", "at nine")])
    >>> reply(told, "Hello, when do you open?"), reply(told, "Who are you?")
    ('It is at nine, as far as we know.', 'I do not know.')
    >>> reply(
    ...     "Answer as JSON and be brief.\n" + faq([Fact("When do you open?", "at nine")]),
    ...     "When do you open?",
    ... )
    '{"answer": "at nine"}'
    """
    found = _known(instructions, question)
    if found is None:
        text = _UNKNOWN
    else:
        text = found if "brief" in instructions else f"It is {found}, as far as we know."
    return json.dumps({"answer": text}) if "JSON" in instructions else text


def _known(instructions: str, question: str) -> str | None:
    """The answer to the question that is most alike, if one is alike enough."""
    wanted = _words(question)
    alike = [(len(wanted & words) / len(wanted | words), answer) for words, answer in _answers(instructions)]
    best, answer = max(alike, default=(0.0, ""))
    return answer if best >= _ALIKE else None


def _answers(instructions: str) -> Iterator[tuple[set[str], str]]:
    lines = [line.strip() for line in instructions.splitlines()]
    for line, after in pairwise(lines):
        if line.startswith(_ASKED) and after.startswith(_ANSWERED):
            yield _words(line.removeprefix(_ASKED)), after.removeprefix(_ANSWERED)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _say(asked: Asked) -> Answer:
    messages = asked.json["messages"]
    instructions = "\n".join(m["content"] for m in messages if m["role"] in ("system", "developer"))
    question = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    return Answer(text=reply(instructions, question), prompt_tokens=len(instructions) // 4)


def main() -> None:
    """Serve until standard input ends, which it does with the process that started this one."""
    with ScriptedLLM(_say, models=("scripted-support",)) as llm:
        sys.stdout.write(f"{llm.url}/v1\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
