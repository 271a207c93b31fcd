"""A second provider is asked as well where a project says so: the first piece counts, and both are paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import openai
import pytest

from headrace.testing.scripted_answers import Answer, Refusal
from headrace.testing.scripted_llm import Asked
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, Desk, client, read

TWO = replace(PROMPT, models=("local/slow", "claude/fast"), parameters={"max_tokens": 100})
HEDGED = {"hedge_after_ms": 50}


def slow_first(asked: Asked) -> Any:
    return Answer(text="slow", delay_s=30.0) if asked.json["model"] == "slow" else Answer(text="fast")


def asked_of(desk: Desk) -> list[str]:
    return [asked.json["model"] for asked in desk.model.asked]


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_answers_where_the_first_is_slow_and_the_first_is_stopped(
    desk: Desk, *, stream: bool
) -> None:
    desk.release(TWO, llm=HEDGED)
    desk.model.script = slow_first
    answer = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=stream)
    assert read(answer) == "fast"
    assert asked_of(desk) == ["slow", "fast"]
    assert desk.model.asked[0].over.wait(10)
    assert desk.model.asked[0].ended == "gone"
    (kept,) = desk.answers()
    assert kept.outputs["lost"] == ["local/slow"]


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_else_is_asked_where_the_first_is_quick_or_nobody_said_so(desk: Desk, *, stream: bool) -> None:
    ask = client(desk).chat.completions
    desk.release(TWO, llm={"hedge_after_ms": 20_000})
    read(ask.create(model=PROJECT, messages=HELLO, stream=stream))
    desk.release(TWO)
    desk.model.script = Answer(delay_s=0.3)
    read(ask.create(model=PROJECT, messages=HELLO, stream=stream))
    assert asked_of(desk) == ["slow", "slow"], "off by default"
    assert all("lost" not in one.outputs for one in desk.answers())


def until_refused(ask: Callable[[], object]) -> int:
    """How often it was answered until its budget was spent."""
    for number in range(50):
        try:
            ask()
        except openai.RateLimitError:
            return number
    raise AssertionError("the budget does not end")


@pytest.mark.requirement("LGW-04")
def test_who_was_stopped_is_paid_as_the_most_that_it_could_cost(desk: Desk) -> None:
    """The tokens of the question are a few hundred, those of the answer at most 100."""
    budget = {"per": "project", "of": "tokens", "most": 480, "period": "total"}
    desk.release(TWO, llm=HEDGED | {"budgets": [budget]})
    desk.model.script = slow_first
    ask = client(desk).chat.completions
    ask.create(model=PROJECT, messages=HELLO)
    n_hedged = 1 + until_refused(lambda: ask.create(model=PROJECT, messages=HELLO))
    desk.release(TWO, "other", llm={"budgets": [budget]})
    desk.model.script = Answer(text="fast")
    n_plain = until_refused(lambda: ask.create(model="other", messages=HELLO))
    assert n_hedged < n_plain, "without a second question more fit into the same budget"


def test_a_second_that_refuses_costs_nothing(desk: Desk) -> None:
    desk.release(TWO, llm=HEDGED)
    desk.model.script = lambda asked: (
        Answer(text="slow", delay_s=0.5) if asked.json["model"] == "slow" else Refusal(status=404)
    )
    assert read(client(desk).chat.completions.create(model=PROJECT, messages=HELLO)) == "slow"
    (kept,) = desk.answers()
    assert "lost" not in kept.outputs


def test_a_caller_who_goes_stops_both(desk: Desk) -> None:
    desk.release(TWO, llm=HEDGED)
    desk.model.script = Answer(delay_s=30.0)
    with pytest.raises(openai.APITimeoutError):
        client(desk).with_options(timeout=1.0).chat.completions.create(
            model=PROJECT, messages=HELLO, stream=True
        )
    until(lambda: len(desk.model.asked) == 2)
