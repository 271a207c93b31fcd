"""What a playbook tries, and what it says of it; the whole of it is in tests/journeys/test_prompts.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import open_app
from headrace.app.llm.playbook import Playbook, Tried, alternative_of, changes_of, report_of, run_playbook
from headrace.checks.metrics import Interval
from headrace.checks.playbook import Advice, Compared
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.gateway.prompts import Prompt
from headrace.projects.llm import Alternative, llm_mistakes, llm_of
from headrace.testing import make_project, make_settings

PROJECT = make_project(name="support", task="text_generation")
PROMPT = Prompt(
    template="{{ background }}",
    models=("a/small", "b/other"),
    parameters={"temperature": 1.0, "max_tokens": 9},
    context={"background": "Shoes."},
)
COOLER = {"name": "cooler", "kind": "parameters", "parameters": {"temperature": 0}}


def test_an_alternative_is_the_live_prompt_but_for_what_it_changes(tmp_path: Path) -> None:
    (tmp_path / "hats.md").write_text("Hats.\n")
    cooler = Alternative(name="cooler", kind="parameters", parameters={"temperature": 0})
    assert alternative_of(PROMPT, cooler, tmp_path) == replace(
        PROMPT, parameters={"temperature": 0, "max_tokens": 9}
    )
    newer = Alternative(name="newer", kind="model", model="a/large")
    assert alternative_of(PROMPT, newer, tmp_path).models == ("a/large",), "nobody answers for it"
    hats = Alternative(name="hats", kind="context", context={"background": "hats.md"})
    assert alternative_of(PROMPT, hats, tmp_path).context == {"background": "Hats."}
    assert changes_of(replace(hats, model="a/large")) == "model a/large, background from hats.md"
    with pytest.raises(InvalidInput, match="'none', and the live prompt has: background"):
        alternative_of(PROMPT, replace(hats, context={"none": "hats.md"}), tmp_path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        alternative_of(PROMPT, replace(hats, context={"background": "no.md"}), tmp_path)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ({"name": "x", "kind": "model"}, "names no model"),
        ({"name": "x", "kind": "model", "model": "large"}, "PROVIDER/MODEL"),
        ({"name": "x", "kind": "parameters", "parameters": {"messages": []}}, "is not its own"),
        ({"name": "x", "kind": "context"}, "names no context"),
        ({"name": "live", "kind": "model", "model": "a/b"}, "'live' is the live prompt"),
        ({**COOLER, "name": "two"}, "two have the name"),
    ],
)
def test_an_alternative_that_cannot_be_is_named(one: dict[str, Any], said: str) -> None:
    others = [{**COOLER, "name": "two"}]
    found = list(llm_mistakes(replace(PROJECT, llm={"playbook": [*others, one]})))
    assert said in " ".join(each.text for each in found)
    assert list(llm_mistakes(replace(PROJECT, llm={"playbook": others}))) == []


def test_nothing_to_try_and_nothing_live_are_told_apart(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path)) as app:
        me, declared = app.me(), replace(PROJECT, llm={"playbook": [COOLER]})
        app.store.projects.save(declared, "")
        with pytest.raises(InvalidInput, match="Nothing is declared to be tried"):
            run_playbook(app, me, PROJECT, tmp_path)
        with pytest.raises(Conflict, match="No prompt of 'support' is live"):
            run_playbook(app, me, declared, tmp_path)
        viewer = app.identities.add("vera", ["viewer"], actor=me.name)
        with pytest.raises(Denied):
            run_playbook(app, viewer, declared, tmp_path)
    assert llm_of(declared).playbook[0].parameters == {"temperature": 0}


def test_the_report_says_what_was_tried_and_what_was_not() -> None:
    interval = Interval(estimate=-0.1, low=-0.2, high=-0.05, confidence=0.975, n=40)
    live = Tried(
        name="live", kind=None, changed="", digest="d", compared=None, loss=0.2, n_rows=40, cost=None,
        p50_ms=10.0, p95_ms=20.0,
    )  # fmt: skip
    beside = Compared(
        name="newer", standing="better", n_rows=40, loss=0.1, live_loss=0.2, difference=interval
    )
    newer = replace(
        live, name="newer", kind="model", changed="model a/large", compared=beside, loss=0.1, cost=0.5
    )
    found = Playbook(
        project="support", release_id="r", version="3", metric="wrong_answer", confidence=0.95,
        evaluation="e" * 64, n_rows=40, currency="USD", live=live, tried=(newer,),
        advice=Advice(name="newer", why="newer is better"), left={"fine_tune": "headrace feedback export"},
    )  # fmt: skip
    text = report_of(found)
    assert "| newer | model a/large | better | 0.1 | -0.1 (-0.2 to -0.05) | 0.5 | 10 | 20 |" in text
    assert "**Release newer**: newer is better." in text
    assert "- fine-tune: `headrace feedback export`" in text
