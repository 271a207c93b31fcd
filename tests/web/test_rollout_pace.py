"""The page of a prompt's rollout says which budgets keep calls away from it, and that it will not make it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import httpx
import openai
import pytest

from headrace.app.rollouts.pace import awaited_of, used_up
from headrace.core.errors import Denied
from headrace.monitoring.ingest import ingest
from headrace.testing.factories import make_rollout
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client

BUDGETS = {"budgets": [{"per": "principal", "of": "requests", "most": 3, "period": "hour"}]}


def test_a_rollout_that_stalls_says_why(desk: Desk) -> None:
    app, first = desk.app, desk.release(PROMPT, llm=BUDGETS)
    second = desk.release(replace(PROMPT, template="Be brief."), llm=BUDGETS)
    began = app.clock.now() - timedelta(hours=20)
    rollout = make_rollout(
        release_id=second, project=PROJECT, champion_id=first, state="canary", steps=(20, 50), step=0,
        started_at=began, step_started_at=began,
    )  # fmt: skip
    app.store.rollouts.save(rollout)
    for _ in range(3):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    with pytest.raises(openai.RateLimitError):
        client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    ingest(PROJECT, app.store.events, app.store.tables, numeric=frozenset())
    release, me = app.store.releases.get(second), app.me()
    found = awaited_of(app, me, release, rollout, [])
    assert found is not None
    assert (found.answered, found.min_requests, found.calls_left, found.in_time) == (3, 50, 235, False)
    assert [one.subject for one in used_up(app, me, PROJECT)] == [USER]
    headers = {"authorization": f"Bearer {desk.token()}", "accept": "text/html"}
    page = httpx.get(f"{desk.url}/releases/{second}/rollout", headers=headers, trust_env=False).text
    assert "3 of 50" in page
    assert f"The budget of principal {USER} is used up until" in page
    assert "At this pace it is taken back before enough answers have come." in page
    with pytest.raises(Denied):
        awaited_of(app, replace(me, name="eve", roles=()), release, rollout, [])
