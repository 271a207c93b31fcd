"""Prompts, budgets and guards of a project, by their pages and as metrics."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from headrace.app.llm.budget_standings import budget_standings, calls_without_price
from headrace.app.llm.guard_hits import Found, guard_hits
from headrace.app.llm.prompt_versions import both_prompts, prompt_versions, the_version
from headrace.core.errors import Denied, NotFound
from headrace.monitoring.ingest import ingest
from headrace.testing.factories import make_project
from tests.web.guarded import ask_guarded
from tests.web.prompted import PROJECT, PROMPT, USER, Desk

PLACES = ("prompts", "budgets", "guards")


@pytest.fixture
def asked(desk: Desk) -> Desk:
    ask_guarded(desk, PROJECT)
    return desk


def test_versions_say_what_differs(asked: Desk) -> None:
    app, me = asked.app, asked.app.me()
    found = prompt_versions(app, me, PROJECT)
    assert [one.version for one in found] == ["3", "2", "1"]
    assert [one.answers for one in found] == [True, False, False]
    before, after = both_prompts(app, the_version(found, "2"), the_version(found, "3"))
    assert after.text == before.text.replace("Be kind.", "Be kind and brief.")
    with pytest.raises(NotFound, match=r"no version '9' of this prompt. It has: 3, 2, 1"):
        the_version(found, "9")


def test_budgets_are_those_of_each_subject(asked: Desk) -> None:
    asked.server.parts.gateway.budgets.give_back(0.0)
    mine, whole = budget_standings(asked.app, asked.app.me(), PROJECT)
    assert (mine.subject, mine.per, mine.spent, mine.reserved, mine.left) == (USER, "principal", 3, 0, 7)
    assert (whole.subject, whole.of, whole.most, whole.currency) == (PROJECT, "money", 5, "USD")


def test_calls_that_no_budget_of_money_has_counted_are_told_beside_the_budgets(asked: Desk) -> None:
    """The scripted model has no price: 0 spent of 5 dollars is not what it has cost."""
    ingest(PROJECT, asked.app.store.events, asked.app.store.tables, numeric=frozenset())
    assert calls_without_price(asked.app, asked.app.me(), PROJECT) == 3
    headers = {"authorization": f"Bearer {asked.token()}"}
    page = httpx.get(f"{asked.url}/projects/{PROJECT}/budgets", headers=headers, trust_env=False).text
    assert "3 calls of the last 30 days went to a model whose price nobody knows." in page


def test_guards_are_counted_by_day_and_since_the_start(asked: Desk) -> None:
    (day,) = guard_hits(asked.app, asked.app.me(), PROJECT)
    assert (day.requests, day.blocked) == (4, 1)
    assert day.hits[Found("personal.email", "input", "mask")] == 1
    assert day.hits[Found("injection.leak", "input", "block")] == 1
    headers = {"authorization": f"Bearer {asked.token()}"}
    said = httpx.get(f"{asked.url}/metrics", headers=headers, trust_env=False).text
    counted = f'headrace_guarded_requests_total{{project="{PROJECT}",outcome="%s"}} %d'
    assert counted % ("blocked", 1) in said
    assert counted % ("let through", 3) in said
    labels = f'project="{PROJECT}",rule="personal.email",layer="input",action="mask"'
    assert f"headrace_guard_hits_total{{{labels}}} 1" in said


def test_who_may_not_see_the_project_sees_none_of_it(asked: Desk) -> None:
    nobody = replace(asked.app.me(), name="eve", roles=())
    for of in (prompt_versions, budget_standings, guard_hits):
        with pytest.raises(Denied):
            of(asked.app, nobody, PROJECT)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_of_what_anybody_wrote_is_on_a_page(asked: Desk, place: str) -> None:
    headers = {"authorization": f"Bearer {asked.token()}", "accept": "text/html"}
    page = httpx.get(f"{asked.url}/projects/{PROJECT}/{place}", headers=headers, trust_env=False)
    assert page.status_code == 200
    assert not [word for word in ("bob@", "previous instructions", "And hats") if word in page.text]


@pytest.mark.requirement("PRM-06")
def test_files_for_agents_are_shown_with_their_sizes_and_what_became_of_them(desk: Desk) -> None:
    skill = "---\nname: refunds\ndescription: How money is given back.\n---\nAsk for the order.\n"
    files = {"AGENTS.md": "Be kind.", "skills/refunds/SKILL.md": skill}
    limits = {"agent_files": {"at_start": 20}}
    desk.release(replace(PROMPT, agent_files=files | {"old.md": "So."}), llm=limits)
    desk.release(replace(PROMPT, agent_files=files | {"AGENTS.md": "Be kind. " * 5}), llm=limits)
    headers = {"authorization": f"Bearer {desk.token()}", "accept": "text/html"}
    page = httpx.get(f"{desk.url}/projects/{PROJECT}/prompts", headers=headers, trust_env=False).text
    assert "Before its first call an agent reads 76 characters; at most 20 may be." in page
    assert "What instructs agents in version 3" in page
    rows = {row.split("<code>")[1].split("<")[0]: row for row in page.split("<tr") if 'class="label"' in row}
    assert list(rows) == ["AGENTS.md", "old.md", "skills/refunds/SKILL.md"]
    assert "too long" in rows["AGENTS.md"]
    assert "changed, +37" in rows["AGENTS.md"]
    assert "gone" in rows["old.md"]
    assert ">same<" in rows["skills/refunds/SKILL.md"]
    assert "<ins>" in page


@pytest.mark.parametrize("place", [*PLACES, "drafts", "handoffs"])
def test_a_project_that_asks_no_model_says_so(desk: Desk, place: str) -> None:
    desk.app.store.projects.save(make_project(name="cars"), "")
    headers = {"authorization": f"Bearer {desk.token()}", "accept": "text/html"}
    page = httpx.get(f"{desk.url}/projects/cars/{place}", headers=headers, trust_env=False)
    assert page.status_code == 404
    assert "asks no language model: its task is regression" in page.text
    assert '<a href="/projects/cars">cars</a>' in page.text
    absent = httpx.get(f"{desk.url}/projects/boats/{place}", headers=headers, trust_env=False)
    assert (absent.status_code, 'href="/projects/boats"' in absent.text) == (404, False)
    program = httpx.get(
        f"{desk.url}/projects/cars/{place}", headers=headers | {"accept": "*/*"}, trust_env=False
    )
    assert program.json()["status"] == 404
