"""More users do not make a call dearer: what is known of each is remembered, and nothing is read per call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk

N_USERS, N_CALLS = 40, 80
A_BUDGET = {"budgets": [{"per": "principal", "of": "requests", "most": 1000, "period": "day"}]}


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of the database meanwhile, by whichever thread."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def ask(desk: Desk, tokens: list[str]) -> list[str]:
    """So many calls, by one user after the other; what the database was asked."""
    with statements() as asked, httpx.Client(timeout=20) as client:
        for number in range(N_CALLS):
            given = {"authorization": f"Bearer {tokens[number % len(tokens)]}"}
            body = {"model": PROJECT, "messages": HELLO}
            client.post(f"{desk.url}/v1/chat/completions", json=body, headers=given).raise_for_status()
    return asked


def _rights(asked: list[str]) -> list[str]:
    """What was read of people and their rights, beside whether any of it has changed."""
    tables = ("FROM hr_principals", "FROM hr_credentials", "FROM hr_grants")
    return [one for one in asked if any(table in one for table in tables) and "count(" not in one]


@pytest.mark.requirement("LGW-13")
def test_calls_of_many_users_ask_the_database_no_more_than_those_of_one(desk: Desk) -> None:
    desk.release(PROMPT, llm=A_BUDGET)
    names = [f"user-{number}" for number in range(N_USERS)]
    for name in names:
        desk.app.identities.add(name, ["operator"], actor=USER)
    tokens = [desk.token(name) for name in names]
    ask(desk, tokens)  # the first call of each looks up who they are
    one, many = ask(desk, tokens[:1]), ask(desk, tokens)
    assert _rights(one) == _rights(many) == []
