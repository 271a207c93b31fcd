"""Answers that wait for a person: what callers get, who decides, and that nothing is final before."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any, cast

import anthropic
import httpx
import openai
import pytest

from headrace.app.business.kpis import around_answer
from headrace.app.governance import waivers
from headrace.app.llm import drafts
from headrace.app.llm.gateway import gateway_of
from headrace.app.overviews.fleet import overview
from headrace.app.privacy.retaining import delete_old
from headrace.core.errors import Conflict, Denied, InvalidInput
from headrace.core.identity import Principal
from headrace.gateway.llm.chat import ChatRequest
from headrace.gateway.prompts import Prompt
from headrace.store.drafts import Draft
from headrace.store.paging import PagedStore
from headrace.testing.scripted_answers import Answer
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, client

HERE = f"/projects/{PROJECT}/drafts"
FACING: dict[str, Any] = {"oversight": {"faces": "customers"}}
LIVES: dict[str, Any] = {"oversight": {"faces": "staff", "decides": "lives", "reviewers": ["rita"]}}


def reviewer(desk: Desk, name: str = "rita") -> Principal:
    return desk.app.identities.add(name, ["validator"], actor=desk.app.me().name)


def machine(desk: Desk, name: str, role: str, *, owner: str) -> Principal:
    by = desk.app.me().name
    add = desk.app.identities.add
    return add(name, [role], kind="service", owner=owner, purpose="Asks for customers.", actor=by)


def asked(desk: Desk, llm: dict[str, Any] | None = None) -> Any:
    """One draft, as the official client has it."""
    desk.release(PROMPT, llm=llm or FACING)
    desk.model.script = Answer(text="Within thirty days.")
    return client(desk).chat.completions.create(model=PROJECT, messages=HELLO)


@pytest.mark.requirement("FBK-07")
def test_a_caller_gets_a_notice_beside_a_draft_and_the_answer_once_a_person_has_approved(desk: Desk) -> None:
    held = asked(desk)
    (choice,) = held.choices
    assert choice.finish_reason == "content_filter"
    assert "waits for a person" in choice.message.content
    assert held.headrace["draft"]["final"] is False
    assert held.headrace["draft"]["choices"][0]["message"]["content"] == "Within thirty days."
    (record,) = desk.answers()
    assert held.id == held.headrace["draft"]["id"] == record.id
    waiting = client(desk).chat.completions.retrieve(held.id)
    assert waiting.choices == held.choices
    kept = drafts.decide(desk.app, reviewer(desk), held.id, "approved")
    assert (kept.state, kept.by, kept.release_id, kept.is_told) == (
        "approved",
        "rita",
        record.release_id,
        True,
    )
    final = client(desk).chat.completions.retrieve(held.id)
    assert final.choices[0].message.content == "Within thirty days."
    about = (final.model_extra or {})["headrace"]["draft"]
    assert (about["final"], about["state"], about["by"]) == (True, "approved", "rita")


class _Held:
    """A record that takes its time until it is let go on."""

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()

    async def record(self, *said: object, **more: object) -> None:
        self.begun.set()
        await self.may_end.wait()


@pytest.mark.requirement("FBK-07")
@pytest.mark.parametrize("stream", [False, True])
def test_a_draft_is_kept_though_its_caller_goes_away_while_it_is_recorded(
    desk: Desk, *, stream: bool
) -> None:
    desk.release(PROMPT, llm=FACING)
    desk.model.script = Answer(text="Within thirty days.")

    async def ask_and_go() -> None:
        record = _Held()
        gateway = gateway_of(desk.app, record, owner="somebody")
        gateway.refresh()
        request = ChatRequest(
            model=PROJECT, messages=HELLO, stream=stream, body={"model": PROJECT, "messages": HELLO}
        )
        ask = gateway.handler.stream if stream else gateway.handler.answer
        asking = asyncio.ensure_future(ask(desk.app.identities.resolve(USER), request))
        await asyncio.wait_for(record.begun.wait(), 20)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert list(drafts.listed(desk.app, reviewer(desk), PROJECT)) == []
        record.may_end.set()
        await gateway.close()

    asyncio.run(ask_and_go())
    (kept,) = drafts.listed(desk.app, reviewer(desk), PROJECT)
    assert drafts.opened(desk.app, reviewer(desk), kept.id).text == "Within thirty days."


@pytest.mark.requirement("FBK-07")
def test_no_call_of_a_tool_reaches_its_caller_before_a_person_has_approved_it(desk: Desk) -> None:
    desk.release(PROMPT, llm=FACING)
    desk.model.script = Answer(text="", tools=(("refund", '{"eur": 900}'),))
    tool: Any = {"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}}
    held = client(desk).chat.completions.create(model=PROJECT, messages=HELLO, tools=[tool])
    assert held.choices[0].message.tool_calls is None
    found = drafts.opened(desk.app, reviewer(desk), held.id)
    assert found.tools == [{"name": "refund", "arguments": '{"eur": 900}'}]
    drafts.decide(desk.app, reviewer(desk), held.id, "approved")
    calls = client(desk).chat.completions.retrieve(held.id).choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "refund"


def test_a_stream_gives_nothing_but_the_notice(desk: Desk) -> None:
    asked(desk)
    chunks = list(client(desk).chat.completions.create(model=PROJECT, messages=HELLO, stream=True))
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "waits for a person" in said
    assert "thirty" not in said
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    assert "stream" not in desk.model.asked[-1].json, "no piece of a draft is on its way anywhere"


def test_other_apis_of_the_gateway_hold_it_back_as_well(desk: Desk) -> None:
    asked(desk)
    other = anthropic.Anthropic(base_url=desk.url, api_key=desk.token(), max_retries=0)
    message = other.messages.with_raw_response.create(model=PROJECT, messages=HELLO, max_tokens=50)
    assert message.headers["headrace-draft"] == "waiting"
    assert "thirty" not in message.text()
    response = client(desk).responses.create(model=PROJECT, input="May I return it?")
    assert "thirty" not in response.model_dump_json()
    assert response.status == "incomplete"
    assert len(list(drafts.listed(desk.app, reviewer(desk), PROJECT))) == 3


@pytest.mark.requirement("GRD-06")
@pytest.mark.requirement("GRD-07")
@pytest.mark.parametrize("decides", ["business", "lives"])
def test_what_hangs_on_an_answer_is_never_decided_without_a_named_person(desk: Desk, decides: str) -> None:
    oversight = {"faces": "staff", "decides": decides, "reviewers": ["rita"]}
    held = asked(desk, {"oversight": oversight})
    assert "thirty" not in held.model_dump_json(), "not even as a draft"
    rita, otto = reviewer(desk), reviewer(desk, "otto")
    service = machine(desk, "bot", "validator", owner="uma")
    for other in (otto, service, desk.app.identities.resolve("uma")):
        with pytest.raises(Denied):
            drafts.decide(desk.app, other, held.id, "approved")
        path = f"{desk.url}/api/v1/drafts/{held.id}/decision"
        bearer = {"authorization": f"Bearer {desk.app.tokens.issue(other)}"}
        assert httpx.post(path, json={"decision": "approved"}, headers=bearer).status_code == 403
    with pytest.raises(InvalidInput, match="never without a person"):
        waivers.ask(
            desk.app, desk.app.me(), PROJECT, "mode:drafts", reason="Too slow.", days=5, size="medium"
        )
    assert client(desk).chat.completions.retrieve(held.id).choices[0].finish_reason == "content_filter"
    drafts.decide(desk.app, rita, held.id, "edited", text="Within fourteen days.")
    final = client(desk).chat.completions.retrieve(held.id)
    assert final.choices[0].message.content == "Within fourteen days."
    entry = next(one for one in desk.app.store.audit.list() if one.action == "draft.decide")
    assert (entry.actor, entry.detail["draft"], entry.detail["decision"]) == ("rita", held.id, "edited")


@pytest.mark.requirement("GRD-07")
def test_a_later_declaration_takes_the_person_out_of_no_live_release(desk: Desk) -> None:
    asked(desk, LIVES)
    declared = desk.app.store.projects.get(PROJECT)
    desk.app.store.projects.save(replace(declared, llm={"oversight": {"faces": "staff"}}), "")
    desk.app.store.epoch.advance()
    again = client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert again.choices[0].finish_reason == "content_filter"


@pytest.mark.requirement("GRD-15")
@pytest.mark.parametrize(
    ("llm", "risk", "about", "is_held"),
    [
        (FACING, "low", "none", True),
        ({"oversight": {}}, "low", "none", True),
        ({"oversight": {"faces": "staff"}}, "low", "none", False),
        ({"oversight": {"faces": "staff"}}, "low", "sensitive", True),
        ({"oversight": {"faces": "staff"}}, "high", "none", True),
        ({"oversight": {"faces": "staff", "drafts": True}}, "low", "none", True),
    ],
)
def test_apps_begin_with_a_person_by_whom_they_face_and_what_they_touch(
    desk: Desk, llm: dict[str, Any], risk: Any, about: Any, is_held: bool
) -> None:
    desk.release(PROMPT, llm=llm)
    declared = desk.app.store.projects.get(PROJECT)
    governance = replace(declared.governance, personal_data=about)
    desk.app.store.projects.save(replace(declared, risk=risk, governance=governance), "")
    desk.app.store.epoch.advance()
    answer = client(desk).chat.completions.create(model=PROJECT, messages=HELLO)
    assert (answer.choices[0].finish_reason == "content_filter") is is_held


@pytest.mark.requirement("GRD-15")
def test_leaving_is_a_recorded_decision_of_others_with_a_reason_and_ends(desk: Desk) -> None:
    asked(desk)
    app = desk.app
    reviewer(desk)
    app.identities.add("vera", ["validator"], actor=desk.app.me().name)
    wanted = waivers.ask(
        app, app.me(), PROJECT, "mode:drafts", reason="500 drafts, none edited.", days=30, size="medium"
    )
    ask = client(desk).chat.completions
    for name in ("rita", "vera"):
        assert ask.create(model=PROJECT, messages=HELLO).choices[0].finish_reason == "content_filter"
        waivers.decide(app, app.identities.resolve(name), wanted.id, "approved", "I have read 50.")
        app.store.epoch.advance()
    assert ask.create(model=PROJECT, messages=HELLO).choices[0].message.content == "Within thirty days."
    decided = [one for one in app.store.audit.list() if one.action == "waiver.decide"]
    assert [one.actor for one in decided] == ["rita", "vera"]
    waivers.end(app, app.me(), wanted.id, "A customer was misled.")
    app.store.epoch.advance()
    assert ask.create(model=PROJECT, messages=HELLO).choices[0].finish_reason == "content_filter"


def test_who_asked_does_not_decide_and_with_duties_apart_nor_does_who_is_behind_it(desk: Desk) -> None:
    app = desk.app
    otto = reviewer(desk, "otto")
    machine(desk, "desk-bot", "operator", owner="otto")
    desk.release(PROMPT, llm=FACING)
    made = []
    for separate in (False, True):
        desk.release(PROMPT, llm={"oversight": {"faces": "customers", "separate": separate}})
        asking = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token("desk-bot"), max_retries=0)
        made.append(asking.chat.completions.create(model=PROJECT, messages=HELLO).id)
    assert drafts.decide(app, otto, made[0], "approved").by == "otto"
    with pytest.raises(Denied):
        drafts.decide(app, otto, made[1], "approved")
    assert drafts.decide(app, reviewer(desk), made[1], "approved").by == "rita"


@pytest.mark.requirement("FBK-07")
def test_what_was_decided_is_feedback_on_the_exact_answer(desk: Desk) -> None:
    edited, rejected = asked(desk), asked(desk)
    rita = reviewer(desk)
    drafts.decide(desk.app, rita, edited.id, "edited", text="Within fourteen days.")
    drafts.decide(desk.app, rita, rejected.id, "rejected", reason="It is not ours to promise.")
    (row,) = around_answer(desk.app, desk.app.me(), PROJECT, edited.id)
    said = {one.name: (one.text, one.value) for one in row.feedback}
    assert said["correction"][0] == "Within fourteen days."
    assert said["edit_distance"][1] == pytest.approx(1 / 3)
    (row,) = around_answer(desk.app, desk.app.me(), PROJECT, rejected.id)
    assert {"thumbs_down", "comment"} <= {one.name for one in row.feedback}
    final = client(desk).chat.completions.retrieve(rejected.id)
    assert "rejected" in str(final.choices[0].message.content)
    assert (final.model_extra or {})["headrace"]["draft"]["final"] is False


def test_a_decision_stands_and_is_told_after_a_crash(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    held, rita = asked(desk), reviewer(desk)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drafts, "say_of_draft", killed)
        with pytest.raises(KeyboardInterrupt):
            drafts.decide(desk.app, rita, held.id, "edited", text="No.")
    assert desk.app.store.drafts.get(held.id).state == "edited"
    assert drafts.tell_decisions(desk.app) == 1
    assert drafts.tell_decisions(desk.app) == 0
    (row,) = around_answer(desk.app, desk.app.me(), PROJECT, held.id)
    assert [one.text for one in row.feedback if one.name == "correction"] == ["No."]
    assert drafts.decide(desk.app, rita, held.id, "edited", text="No.").state == "edited"
    with pytest.raises(Conflict, match="by rita"):
        drafts.decide(desk.app, rita, held.id, "approved")


@pytest.mark.parametrize(
    ("decision", "text", "reason", "why"),
    [
        ("edited", None, "", "needs the text"),
        ("approved", "x", "", "takes no text"),
        ("edited", " ", "", "1 to 10,000"),
        ("rejected", None, " ", "says why"),
        ("shrugged", None, "", "Expected one of"),
    ],
)
def test_a_decision_that_is_none_changes_nothing(
    desk: Desk, decision: Any, text: str | None, reason: str, why: str
) -> None:
    held = asked(desk)
    with pytest.raises(InvalidInput, match=why):
        drafts.decide(desk.app, reviewer(desk), held.id, decision, text=text, reason=reason)
    assert desk.app.store.drafts.get(held.id).revision == 0


def test_others_learn_nothing_of_a_draft(desk: Desk) -> None:
    held = asked(desk)
    desk.app.identities.add("olga", ["operator"], actor=desk.app.me().name)
    stranger = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token("vic"), max_retries=0)
    for draft_id in (held.id, "nothing"):
        with pytest.raises(openai.NotFoundError):
            stranger.chat.completions.retrieve(draft_id)


def test_texts_go_when_their_time_is_over_and_who_decided_stays(desk: Desk) -> None:
    first, second = asked(desk), asked(desk)
    drafts.decide(desk.app, reviewer(desk), first.id, "approved")
    store = desk.app.store.drafts
    long_ago = desk.app.clock.now() - timedelta(days=3_660)
    for draft_id in (first.id, second.id):
        kept = store.get(draft_id)
        store.change(replace(kept, at=long_ago, revision=kept.revision + 1))
    delete_old(desk.app, PROJECT)
    kept, gone = store.get(first.id), store.get(second.id)
    assert (kept.said, kept.asked, kept.state, kept.by) == ("", "", "approved", "rita")
    assert gone.state == "expired"
    with pytest.raises(openai.ConflictError, match="not kept any more"):
        client(desk).chat.completions.retrieve(second.id)


def test_embeddings_are_no_decisions(desk: Desk) -> None:
    desk.release(Prompt(template="", models=("local/small",), embeddings=("local/small",)), llm=FACING)
    vectors = client(desk).embeddings.create(model=PROJECT, input="returns")
    assert vectors.data[0].embedding


def page(desk: Desk, path: str, by: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {desk.token(by)}", "accept": "text/html"}
    return httpx.get(f"{desk.url}{path}", headers=headers, trust_env=False)


def test_what_waits_is_on_the_overview_and_the_list_has_pages(desk: Desk) -> None:
    me = reviewer(desk)
    desk.release(PROMPT, llm=FACING)
    ids = sorted(
        str(client(desk).chat.completions.create(model=PROJECT, messages=HELLO).id) for _ in range(23)
    )
    (one,) = (found for found in overview(desk.app, me).projects if found.name == PROJECT)
    assert (one.state, one.backlog) == ("act", {"draft": 23})
    (reason,) = (found for found in one.reasons if found.why == "draft")
    assert (reason.text, reason.page) == ("23 drafts wait for a person", HERE)
    assert f'href="{HERE}"' in page(desk, "/", "rita").text
    first, second = page(desk, HERE, "rita").text, page(desk, f"{HERE}?waiting=2", "rita").text
    assert "22 more wait" in first
    assert [one in first for one in ids] == [True] * 21 + [False] * 2
    assert [one in second for one in ids] == [True] + [False] * 20 + [True] * 2
    assert "Page 2 of 2" in second
    drafts.decide(desk.app, me, ids[0], "approved")
    assert "22 drafts wait" in page(desk, "/", "rita").text
    desk.app.identities.add("eve", ["viewer"], actor=desk.app.me().name)
    assert "22 drafts wait for others" in page(desk, HERE, "eve").text
    assert "more wait" not in page(desk, HERE, "eve").text, "nor one of them is listed"


class Counted:
    """A store of drafts that counts those that are read by the part, and reads no list."""

    def __init__(self, drafts: PagedStore[Draft]) -> None:
        self.n_read = 0
        self._drafts = drafts

    def __getattr__(self, name: str) -> Any:
        return None if name == "list" else getattr(self._drafts, name)

    def part(self, *of: Any, **more: Any) -> list[Draft]:
        found = self._drafts.part(*of, **more)
        self.n_read += len(found)
        return found


def many(desk: Desk, n: int) -> list[str]:
    """That many drafts beside one that was asked for, by id in their order."""
    kept = desk.app.store.drafts.get(asked(desk).id)
    more = [replace(kept, id=f"{kept.id}-{number:03}") for number in range(n)]
    return [kept.id, *(desk.app.store.drafts.add(one).id for one in more)]


def test_no_more_drafts_are_read_than_somebody_looks_at(desk: Desk) -> None:
    ids, me = many(desk, 400), reviewer(desk)
    counted = Counted(desk.app.store.drafts)
    app = replace(desk.app, store=replace(desk.app.store, drafts=cast(PagedStore[Draft], counted)))
    first = [one.id for one in islice(drafts.listed(app, me, PROJECT), 20)]
    assert first == ids[:20]
    assert counted.n_read <= 60
    then = islice(drafts.listed(app, me, PROJECT, after=first[-1]), 20)
    assert [one.id for one in then] == ids[20:40]
    assert counted.n_read <= 120
    assert [one.id for one in drafts.listed(app, me, PROJECT)] == ids
    assert drafts.count(app, PROJECT) == 401


def test_the_api_gives_drafts_by_the_part_and_skips_none_that_waits(desk: Desk) -> None:
    ids, me = many(desk, 4), reviewer(desk)
    bearer = {"authorization": f"Bearer {desk.token(me.name)}"}

    def listed(**more: Any) -> list[str]:
        found = httpx.get(f"{desk.url}/api/v1/projects/{PROJECT}/drafts", params=more, headers=bearer)
        assert found.status_code == 200, found.text
        return [one["id"] for one in found.json()]

    assert listed() == ids
    assert listed(limit=2) == ids[:2]
    for one in ids[:2]:
        drafts.decide(desk.app, me, one, "approved")
    assert listed(limit=2, after=ids[1]) == ids[2:4]
    assert listed(limit=2, after=ids[3]) == ids[4:]
    assert listed(decided=True, limit=1) == [ids[1]]
    assert listed(decided=True, limit=1, after=ids[1]) == [ids[0]]
    unknown = httpx.get(f"{desk.url}/api/v1/projects/{PROJECT}/drafts?after=x", headers=bearer)
    assert unknown.status_code == 404
    assert "to go on after" in unknown.text
