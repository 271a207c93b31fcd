"""Prompts, budgets and guards of a project, by their pages and as metrics."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from headrace.app.budget_standings import budget_standings
from headrace.app.guard_hits import Found, guard_hits
from headrace.app.prompt_versions import prompt_texts, prompt_versions, the_version
from headrace.core.errors import Denied, NotFound
from tests.web.guarded import ask_guarded
from tests.web.prompted import PROJECT, USER, Desk

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
    before, after = prompt_texts(app, the_version(found, "2"), the_version(found, "3"))
    assert after == before.replace("Be kind.", "Be kind and brief.")
    with pytest.raises(NotFound, match=r"no version '9' of this prompt. It has: 3, 2, 1"):
        the_version(found, "9")


def test_budgets_are_those_of_each_subject(asked: Desk) -> None:
    asked.server.parts.gateway.budgets.give_back(0.0)
    mine, whole = budget_standings(asked.app, asked.app.me(), PROJECT)
    assert (mine.subject, mine.per, mine.spent, mine.reserved, mine.left) == (USER, "principal", 3, 0, 7)
    assert (whole.subject, whole.of, whole.most, whole.currency) == (PROJECT, "money", 5, "USD")


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
