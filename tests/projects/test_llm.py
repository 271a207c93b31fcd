"""What a charter may say of calls to language models."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.projects.llm import Llm, llm_mistakes, llm_of
from headrace.testing.factories import make_project

BUDGET = {"per": "project", "of": "money", "most": 5, "period": "day"}


def test_it_is_read_as_written_and_else_as_by_default() -> None:
    project = make_project(task="text_generation", llm={"budgets": [BUDGET], "unpriced": "flag"})
    spec = llm_of(project)
    assert (spec.budgets[0].most, spec.unpriced, spec.answer_tokens) == (5, "flag", 1024)
    assert list(llm_mistakes(project)) == []
    assert llm_of(make_project()) == Llm()


@pytest.mark.parametrize(
    ("llm", "said"),
    [
        ({"budgets": [BUDGET | {"most": 0}]}, "expected a number above 0"),
        ({"budgets": [BUDGET | {"most": float("inf")}]}, "number"),
        ({"budgets": [BUDGET | {"per": "planet"}]}, "planet"),
        ({"budgets": [{"of": "money"}]}, "most"),
        ({"answer_tokens": 0}, "expected 1 to"),
        ({"agent_files": {"at_start": 0}}, "at_start is 0: expected 1 to"),
        ({"agent_files": {"skill": 10_000_001}}, "skill is 10000001: expected 1 to"),
        ({"labelled_rows": -1}, "expected 0 to 100,000"),
        ({"feedback": {"twice": 1.5}}, "a share from 0 to 1"),
        ({"feedback": {"sample": {"high": -0.1}}}, "a share from 0 to 1"),
        ({"feedback": {"rating_at_most": 6}}, "expected 1 to 5"),
        ({"feedback": {"implicit": 0}}, "expected 1 to 4"),
        ({"feedback": {"categories": ["Wrong"]}}, "names in lower case"),
        ({"feedback": {"categories": ["wrong", "wrong"]}}, "each once"),
        ({"oversight": {"decides": "lives"}}, "names or roles"),
        ({"oversight": {"faces": "aliens"}}, "aliens"),
        ({"budget": []}, "unknown key"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(llm: dict[str, Any], said: str) -> None:
    found = list(llm_mistakes(make_project(task="text_generation", llm=llm)))
    assert found
    assert said in " ".join(one.text for one in found)
    assert all(one.loc[0] == "llm" for one in found)


def test_a_project_of_numbers_asks_no_llm() -> None:
    (found,) = llm_mistakes(make_project(llm={"budgets": [BUDGET]}))
    assert "asks no LLM" in found.text
