"""An AI hands a conversation to a person, with its context, and the answer comes back; over a real socket."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from headrace.app.business.kpis import around_answer
from headrace.app.llm import handoffs
from headrace.app.privacy.retaining import delete_old
from headrace.core.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from headrace.core.identity import Principal
from headrace.testing.scripted_answers import Answer
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, USER, Desk, client

QUEUES: dict[str, Any] = {"oversight": {"faces": "staff", "queues": {"billing": ["rita"]}}}
TALK = [
    {"role": "user", "content": "I am bob@example.org. I want my money back."},
    {"role": "assistant", "content": "I cannot decide that."},
]


def person(desk: Desk, name: str = "rita", role: str = "validator") -> Principal:
    return desk.app.identities.add(name, [role], actor=desk.app.me().name)


def asked(desk: Desk, **llm: Any) -> str:
    """An answer that was given to uma."""
    desk.release(PROMPT, llm=QUEUES | llm, basis="consent", purpose="answers")
    desk.model.script = Answer(text="I cannot decide that.")
    client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    return desk.answers()[-1].id


def post(desk: Desk, path: str, body: Any = None, *, by: str = USER) -> httpx.Response:
    headers = {"authorization": f"Bearer {desk.token(by)}"}
    return httpx.post(f"{desk.url}/api/v1{path}", json=body or {}, headers=headers)


@pytest.mark.requirement("FBK-06")
def test_a_conversation_goes_to_a_queue_with_its_context_and_the_answer_comes_back(desk: Desk) -> None:
    answer = asked(desk)
    person(desk)
    body = {"answer": answer, "why": "wants a refund for bob@example.org", "to": "billing", "messages": TALK}
    made = post(desk, f"/projects/{PROJECT}/handoffs", body).json()
    assert (made["state"], made["people"], made["answer"]) == ("asked", ["rita"], answer)
    here = f"/handoffs/{made['id']}"
    early = post(desk, f"{here}/return")
    assert (early.status_code, "waits for billing" in early.json()["detail"]) == (409, True)
    (listed,) = httpx.get(
        f"{desk.url}/api/v1/projects/{PROJECT}/handoffs",
        headers={"authorization": f"Bearer {desk.token('rita')}"},
    ).json()
    assert (listed["id"], listed["why_not"]) == (made["id"], "")
    whole = httpx.get(
        f"{desk.url}/api/v1{here}", headers={"authorization": f"Bearer {desk.token('rita')}"}
    ).json()
    assert "bob@example.org" not in str(whole), "what is about people is masked"
    assert [one["role"] for one in whole["messages"]] == ["user", "assistant"]
    assert "money back" in whole["messages"][0]["text"]
    assert whole["why"].startswith("wants a refund")
    assert post(desk, f"{here}/take", by="rita").json()["by"] == "rita"
    said = {"text": "You get it within a week.", "goes_on": False}
    assert post(desk, f"{here}/answer", said, by="rita").json()["state"] == "answered"
    reply = post(desk, f"{here}/return").json()
    assert reply["message"] == {"role": "assistant", "content": "You get it within a week."}
    assert (reply["by"], reply["goes_on"]) == ("rita", False)
    assert post(desk, f"{here}/return").json() == reply, "asking again gives the same"
    (over,) = handoffs.listed(desk.app, desk.app.me(), PROJECT, over=True)
    assert [(one["step"], one["by"]) for one in over.steps] == [
        ("ask", USER), ("take", "rita"), ("answer", "rita"), ("return", USER),
    ]  # fmt: skip
    trail = [one.action for one in desk.app.store.audit.search(made["id"])]
    assert {f"handoff.{what}" for what in ("ask", "take", "answer", "return")} <= set(trail)


@pytest.mark.requirement("FBK-06")
def test_what_the_person_says_corrects_what_the_ai_said(desk: Desk) -> None:
    answer = asked(desk)
    rita = person(desk)
    uma = desk.app.identities.resolve(USER)
    made = handoffs.hand_over(desk.app, uma, PROJECT, answer, why="a refund")
    assert made.trace_id == answer.replace("-", "")
    recorded = handoffs.opened(desk.app, rita, made.id)
    assert [one["text"] for one in recorded.messages] == ["May I return it?", "I cannot decide that."]
    handoffs.take(desk.app, rita, made.id)
    handoffs.answer(desk.app, rita, made.id, "Within a week.")
    (row,) = around_answer(desk.app, desk.app.me(), PROJECT, answer)
    assert [(one.name, one.text) for one in row.feedback] == [("correction", "Within a week.")]


@pytest.mark.requirement("FBK-06")
def test_who_may_do_what(desk: Desk) -> None:
    answer = asked(desk)
    rita, sam = person(desk), person(desk, "sam", "operator")
    uma, vic = desk.app.identities.resolve(USER), desk.app.identities.resolve(STRANGER)
    made = handoffs.hand_over(desk.app, uma, PROJECT, answer, why="a refund", to="billing")
    app = desk.app
    with pytest.raises(Denied, match="cannot take.*it is for billing"):
        handoffs.take(app, sam, made.id)
    with pytest.raises(Denied):
        handoffs.take(app, uma, made.id)
    with pytest.raises((Denied, NotFound)):
        handoffs.take(app, vic, made.id)
    assert handoffs.take(app, rita, made.id) == handoffs.take(app, rita, made.id)
    back = handoffs.put_back(app, rita, made.id, to="sam", note="not ours")
    assert (back.to, back.people, back.state) == ("sam", ("sam",), "asked")
    handoffs.take(app, sam, made.id)
    with pytest.raises(Denied, match="'sam' has taken"):
        handoffs.answer(app, rita, made.id, "No.")
    handoffs.answer(app, sam, made.id, "Yes.")
    with pytest.raises(Denied, match="goes back to them"):
        handoffs.give_back(app, rita, made.id)
    with pytest.raises(IllegalTransition, match="is answered"):
        handoffs.withdraw(app, uma, made.id)


def test_what_cannot_be_handed_over_says_why(desk: Desk) -> None:
    answer = asked(desk)
    app, uma, vic = desk.app, desk.app.identities.resolve(USER), desk.app.identities.resolve(STRANGER)
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (NotFound, "person, role or queue 'nobody'.*billing", {"to": "nobody"}),
        (InvalidInput, "Say why", {"why": " "}),
        (InvalidInput, "Expected 1 to 200", {"messages": []}),
        (InvalidInput, "Message 0 has no role", {"messages": [{"content": "x"}]}),
        (InvalidInput, "200,000 characters", {"messages": [{"role": "user", "content": "x" * 200_001}]}),
    ]
    for kind, said, changed in cases:
        with pytest.raises(kind, match=said):
            handoffs.hand_over(app, uma, PROJECT, answer, **{"why": "refund"} | changed)
    with pytest.raises(NotFound, match="no answer"):
        handoffs.hand_over(app, uma, PROJECT, "none", why="refund")
    with pytest.raises(Denied):
        handoffs.hand_over(app, vic, PROJECT, answer, why="refund")
    with pytest.raises(NotFound, match="no hand-off"):
        handoffs.opened(app, uma, "none")
    made = handoffs.hand_over(app, uma, PROJECT, answer, why="refund", to="validator")
    assert handoffs.withdraw(app, uma, made.id).state == "withdrawn"
    with pytest.raises(Conflict, match="is withdrawn: there is no answer"):
        handoffs.give_back(app, uma, made.id)


@pytest.mark.requirement("FBK-06")
def test_texts_are_forgotten_when_they_are_too_old_and_who_did_what_stays(desk: Desk) -> None:
    answer = asked(desk)
    uma = desk.app.identities.resolve(USER)
    made = handoffs.hand_over(desk.app, uma, PROJECT, answer, why="a refund", messages=TALK)
    kept = desk.app.store.handoffs.get(made.id)
    desk.app.store.handoffs.change(replace(kept, at=kept.at - timedelta(days=4_000), revision=1))
    delete_old(desk.app, PROJECT)
    gone = desk.app.store.handoffs.get(made.id)
    assert (gone.state, gone.messages, gone.why) == ("expired", "", "")
    assert [one["step"] for one in gone.steps] == ["ask", "forget"]
    with pytest.raises(Conflict, match="not kept any more"):
        handoffs.opened(desk.app, uma, made.id)


def test_a_conversation_that_waits_is_on_the_overview_until_somebody_has_taken_it(desk: Desk) -> None:
    answer, rita = asked(desk), person(desk)
    uma = desk.app.identities.resolve(USER)
    made = handoffs.hand_over(desk.app, uma, PROJECT, answer, why="wants a refund", messages=TALK)
    headers = {"authorization": f"Bearer {desk.token('rita')}", "accept": "text/html"}

    def page(path: str) -> str:
        return httpx.get(f"{desk.url}{path}", headers=headers, trust_env=False).text

    assert "1 conversation waits for a person" in page("/")
    assert f'href="/projects/{PROJECT}/handoffs"' in page("/")
    assert "Hand-offs (1 waits)" in page(f"/projects/{PROJECT}")
    assert made.id in page(f"/projects/{PROJECT}/handoffs")
    handoffs.take(desk.app, rita, made.id)
    assert "waits for a person" not in page("/")


def test_hand_offs_are_listed_by_the_part_and_none_is_skipped(desk: Desk) -> None:
    body, me = {"answer": asked(desk), "why": "a refund"}, person(desk)
    first = desk.app.store.handoffs.get(post(desk, f"/projects/{PROJECT}/handoffs", body).json()["id"])
    more = [replace(first, id=f"{first.id}-{number}") for number in range(4)]
    ids = [first.id, *(desk.app.store.handoffs.add(one).id for one in more)]
    bearer = {"authorization": f"Bearer {desk.token(me.name)}"}

    def listed(**asked_for: Any) -> list[str]:
        found = httpx.get(f"{desk.url}/api/v1/projects/{PROJECT}/handoffs", params=asked_for, headers=bearer)
        assert found.status_code == 200, found.text
        return [one["id"] for one in found.json()]

    assert listed() == ids
    assert listed(limit=2) == ids[:2]
    for one in ids[:2]:
        handoffs.withdraw(desk.app, desk.app.identities.resolve(USER), one)
    assert listed(limit=2, after=ids[1]) == ids[2:4]
    assert listed(over=True, limit=1) == [ids[1]]
    assert listed(over=True, after=ids[1]) == [ids[0]]
    unknown = httpx.get(f"{desk.url}/api/v1/projects/{PROJECT}/handoffs?after=x", headers=bearer)
    assert unknown.status_code == 404
    assert "no hand-off 'x' to go on after" in unknown.text
