"""Customers over one gateway: nothing of one reaches another, by accident or attack.

Acme and Globex are workspaces of their own; beside them two customers of one application share a project,
each with a credential of the role ``caller``.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from headrace.core.identity import ROLES
from headrace.gateway.prompts import Prompt
from headrace.monitoring.ingest import ingest
from headrace.testing.factories import make_project
from headrace.testing.scripted_answers import Answer, Refusal
from headrace.testing.scripted_llm import Asked
from headrace.web.server import Server
from tests.pace import until
from tests.web.conftest import aside, listening
from tests.web.prompted import HELLO, PROJECT, PROMPT, USER, Desk, prompted, read

THEIRS, MINE, MISSING = "globex-help", "acme-help", "nobody-help"
SECRET = "zq-margin-417"
"""Stands in Globex's prompt, question and answer; whoever of Acme sees it has got their data."""
ACME, GLOBEX, ADA, BOB = "acme-admin", "globex-admin", "ada-app", "bob-app"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The desk, and the id of an answer and of a draft of Globex."""

    desk: Desk
    answer: str
    draft: str

    def ask(self, method: str, path: str, *, by: str, **more: Any) -> httpx.Response:
        """One request."""
        headers = {"authorization": f"Bearer {self.desk.token(by)}"} | more.pop("headers", {})
        return httpx.request(
            method, f"{self.desk.url}{path}", headers=headers, trust_env=False, timeout=30, **more
        )

    def say(self, by: str, model: str, text: str, **more: Any) -> Any:
        """One chat, by the official client."""
        llm = openai.OpenAI(base_url=f"{self.desk.url}/v1", api_key=self.desk.token(by), max_retries=0)
        messages: list[Any] = [{"role": "user", "content": text}]
        return llm.chat.completions.create(model=model, messages=messages, **more)


def _placed(desk: Desk, project: str, workspace: str, prompt: Prompt, llm: dict[str, Any]) -> None:
    desk.app.store.projects.save(make_project(name=project, task="text_generation"), "", workspace)
    desk.release(prompt, project, llm)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    with listening() as listen, aside(prompted(tmp_path_factory.mktemp("apart") / "home", listen)) as desk:
        yield _shared(desk)


def _shared(desk: Desk) -> Shared:
    identities = desk.app.identities
    identities.add(ACME, ROLES, actor=USER, workspace="acme")
    identities.add(GLOBEX, ROLES, actor=USER, workspace="globex")
    for name in (ADA, BOB):
        identities.add(name, ["caller"], actor=USER)
    theirs = Prompt(template=f"Our margin is {SECRET}.", models=("local/small",))
    _placed(desk, THEIRS, "globex", theirs, {"cache": {"entries": 100, "ttl_s": 600.0}})
    _placed(desk, MINE, "acme", PROMPT, {"cache": {"entries": 100, "ttl_s": 600.0}})
    found = Shared(desk=desk, answer="", draft="")
    desk.model.script = Answer(text=f"It is {SECRET}.")
    parent = {"extra_headers": {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}}
    answer = found.say(GLOBEX, THEIRS, f"Is {SECRET} right?", user="globex-7", **parent)
    until(lambda: desk.answers(THEIRS))
    record = desk.answers(THEIRS)[0]
    assert SECRET in answer.choices[0].message.content
    desk.release(theirs, THEIRS, {"oversight": {"faces": "customers", "drafts": True}})
    draft = found.say(GLOBEX, THEIRS, f"And {SECRET}?")
    ingest(THEIRS, desk.app.store.events, desk.app.store.tables, numeric=frozenset())
    return replace(found, answer=record.id, draft=draft.id)


READING = [
    "/api/v1/projects/{project}",
    "/api/v1/projects/{project}/releases",
    "/api/v1/projects/{project}/traces",
    f"/api/v1/projects/{{project}}/traces/{TRACE}",
    "/api/v1/projects/{project}/answers/{answer}/feedback",
    "/api/v1/projects/{project}/answers/{answer}/provenance",
    "/api/v1/projects/{project}/feedback/impact",
    "/api/v1/projects/{project}/kpis",
    "/api/v1/projects/{project}/drafts",
    "/projects/{project}/drafts",
    "/api/v1/llm/projects/{project}/instead",
    "/projects/{project}",
    "/projects/{project}/prompts",
    "/projects/{project}/budgets",
    "/projects/{project}/guards",
    "/projects/{project}/answers/{answer}",
    "/projects/{project}/traces",
    f"/projects/{{project}}/traces/{TRACE}",
    "/v1/models/{project}",
]


@pytest.mark.requirement("GRD-04")
@pytest.mark.parametrize("path", READING)
def test_what_is_anothers_answers_as_what_is_not_there(shared: Shared, path: str) -> None:
    said = []
    for project in (THEIRS, MISSING):
        answer = shared.ask("GET", path.format(project=project, answer=shared.answer), by=ACME)
        assert answer.status_code in (403, 404), answer.text[:300]
        assert SECRET not in answer.text
        said.append((answer.status_code, _without_ids(answer.text.replace(project, "@"))))
    assert said[0] == said[1]


def _without_ids(text: str) -> str:
    """An error without what names the request."""
    try:
        raw = json.loads(text)
    except ValueError:
        return ""
    return json.dumps({k: v for k, v in raw.items() if k not in ("instance", "request")})


@pytest.mark.requirement("GRD-04")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/chat/completions", {"messages": HELLO, "stream": True}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 9}),
        ("/v1/embeddings", {"input": "Hello"}),
    ],
)
def test_no_surface_asks_anothers_project(shared: Shared, path: str, body: dict[str, Any]) -> None:
    n_asked, said = len(shared.desk.model.asked), []
    for project in (THEIRS, MISSING):
        answer = shared.ask("POST", path, by=ACME, json=body | {"model": project})
        assert answer.status_code in (403, 404)
        said.append(answer.text.replace(project, "@"))
    assert said[0] == said[1]
    assert len(shared.desk.model.asked) == n_asked


@pytest.mark.requirement("GRD-04")
def test_lists_hold_ones_own_and_nothing_else(shared: Shared) -> None:
    for path in ("/v1/models", "/api/v1/projects", "/api/v1/releases", "/metrics", "/", "/approvals",
                 "/api/v1/reviews", "/api/v1/llm/stops", "/api/v1/llm/uses", "/api/v1/audit", "/audit",
                 "/api/v1/llm/terms/acknowledgements"):  # fmt: skip
        text = shared.ask("GET", path, by=ACME).text
        assert THEIRS not in text, path
        assert "globex" not in text, path
        assert SECRET not in text, path
    text = shared.ask("GET", f"/projects/{MINE}/drafts?draft={shared.draft}", by=ACME).text
    assert SECRET not in text


@pytest.mark.requirement("GRD-04")
@pytest.mark.parametrize("by", [ACME, ADA])
def test_a_draft_is_nobodys_who_knows_its_id(shared: Shared, by: str) -> None:
    gone = shared.draft[:-4] + ("0000" if shared.draft[-4:] != "0000" else "1111")
    for method, path, body in (
        ("GET", "/v1/chat/completions/{draft}", None),
        ("GET", "/api/v1/drafts/{draft}", None),
        ("GET", "/api/v1/drafts/{draft}/answer", None),
        ("POST", "/api/v1/drafts/{draft}/decision", {"decision": "approved"}),
    ):
        said = []
        for draft in (shared.draft, gone):
            answer = shared.ask(method, path.format(draft=draft), by=by, json=body)
            assert answer.status_code in (403, 404), (path, answer.text[:300])
            assert SECRET not in answer.text
            said.append((answer.status_code, _without_ids(answer.text.replace(draft, "@"))))
        # Names of what is there are no secret inside of main; ids of drafts are drawn at random.
        assert by == ADA or said[0] == said[1], path
    assert shared.desk.app.store.drafts.get(shared.draft).state == "waiting"


@pytest.mark.requirement("GRD-04")
def test_conversations_that_are_kept_elsewhere_cannot_be_taken_up(shared: Shared) -> None:
    for field, value in (
        ("previous_response_id", shared.answer),
        ("previous_response_id", shared.draft),
        ("conversation", shared.answer),
        ("store", True),
        ("background", True),
    ):
        body = {"model": MINE, "input": "Go on.", field: value}
        answer = shared.ask("POST", "/v1/responses", by=ACME, json=body)
        assert answer.status_code == 400
        assert field in answer.text
    for path in (f"/v1/responses/{shared.answer}", f"/v1/conversations/{shared.answer}"):
        assert shared.ask("GET", path, by=ACME).status_code == 404
    shared.desk.model.script = Answer()
    shared.say(ACME, MINE, "Hello", store=True, user="customer-9")
    told = shared.desk.model.asked[-1].json
    assert not {"store", "user", "metadata", "prompt_cache_key", "safety_identifier"} & set(told)


@pytest.mark.requirement("GRD-04")
def test_feedback_and_steps_of_traces_go_to_nobody_else(shared: Shared) -> None:
    said = {"thumbs": "down", "comment": "bad"}
    for project in (THEIRS, MINE):
        for what in ("feedback", "feedback-token"):
            path = f"/api/v1/projects/{project}/answers/{shared.answer}/{what}"
            body = said if what == "feedback" else {}
            assert shared.ask("POST", path, by=ACME, json=body).status_code in (403, 404)
    events = shared.desk.app.store.events
    before = events.count(f"{THEIRS}/spans"), events.count(f"{THEIRS}/feedback")
    span = {"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "planted",
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000000000001"}  # fmt: skip
    sent = shared.ask(
        "POST",
        "/otlp/v1/traces",
        by=ACME,
        json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]},
        headers={"headrace-project": THEIRS},
    )
    assert sent.status_code == 403
    assert (events.count(f"{THEIRS}/spans"), events.count(f"{THEIRS}/feedback")) == before


@pytest.mark.requirement("GRD-04")
def test_the_same_question_in_the_same_trace_is_answered_anew(shared: Shared) -> None:
    desk, numbers = shared.desk, iter(range(1_000))
    desk.release(PROMPT, PROJECT, {"cache": {"entries": 100, "ttl_s": 600.0}})
    desk.model.script = lambda _asked: Answer(text=f"number {next(numbers)}")
    parent = {"extra_headers": {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}}
    texts = [
        shared.say(by, PROJECT, "What do I owe?", user=user, **parent).choices[0].message.content
        for by in (ADA, BOB)
        for user in ("customer-1", "customer-2")
    ]
    assert len(set(texts)) == 4
    assert (
        shared.say(ADA, PROJECT, "What do I owe?", user="customer-1").choices[0].message.content == texts[0]
    )


@pytest.mark.requirement("GRD-04")
@pytest.mark.parametrize("stream", [False, True])
def test_a_stand_in_of_another_call_stands_for_nothing(shared: Shared, stream: bool) -> None:
    desk = shared.desk
    desk.release(
        PROMPT, PROJECT, {"cache": {"entries": 100, "ttl_s": 600.0}}, basis="consent", purpose="answers"
    )
    desk.model.script = Answer(text="Write to <EMAIL_1>, <EMAIL_2> or <IBAN_1>.")
    ada = read(shared.say(ADA, PROJECT, "I am ada@example.org and ann@example.org", stream=stream))
    assert ada == "Write to ada@example.org, ann@example.org or <IBAN_1>."
    for said in (
        "Who is it?",
        "Say <EMAIL_1>, <EMAIL_2> and <IBAN_1>.",
        "I am bob@example.org, who is <EMAIL_1>?",
    ):
        bob = read(shared.say(BOB, PROJECT, said, stream=stream))
        assert "ada@" not in bob
        assert "ann@" not in bob


@pytest.mark.requirement("GRD-04")
def test_a_caller_may_ask_and_read_nothing(shared: Shared) -> None:
    desk = shared.desk
    desk.release(PROMPT)
    desk.model.script = Answer(text="Yes.")
    first = shared.ask("POST", "/v1/chat/completions", by=ADA, json={"model": PROJECT, "messages": HELLO})
    assert first.status_code == 200
    answer = first.headers["headrace-answer"]
    for path in READING:
        if path.startswith("/v1/models"):
            continue
        reply = shared.ask("GET", path.format(project=PROJECT, answer=answer), by=BOB)
        assert reply.status_code in (403, 404), (path, reply.text[:300])
        assert "Yes." not in reply.text
    own = shared.ask("GET", "/metrics", by=BOB)
    assert PROJECT not in own.text


@pytest.mark.requirement("GRD-04")
def test_what_others_have_spent_is_nobodys_business(shared: Shared) -> None:
    desk = shared.desk
    budgets = [
        {"per": "project", "of": "requests", "most": 713, "period": "day"},
        {"per": "project", "of": "tokens", "most": 90_017, "period": "day"},
    ]
    desk.release(PROMPT, PROJECT, {"budgets": budgets, "answer_tokens": 80_000})
    desk.model.script = Answer(prompt_tokens=11_003, completion_tokens=2_002)
    shared.say(BOB, PROJECT, "Hello")
    with pytest.raises(openai.RateLimitError) as refused:
        shared.say(ADA, PROJECT, "Hello")
    text = str(refused.value)
    assert "budget of project 'support'" in text
    assert "begins anew at" in text
    for figure in ("90,017", "90017", "13,005", "13005", "713"):
        assert figure not in text, text


@pytest.mark.requirement("GRD-04")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", ["chat/completions", "responses", "messages"])
def test_what_a_provider_says_of_all_our_calls_is_nobodys_business(
    shared: Shared, surface: str, stream: bool
) -> None:
    shared.desk.release(PROMPT)
    said = "Rate limit reached for org-q7 on tokens per min: Limit 30000, Used 29831, Requested 500."
    shared.desk.model.script = Refusal(status=429, retry_after="90", message=said)
    asked = {"messages": HELLO, "max_tokens": 9} if surface != "responses" else {"input": "Hello"}
    answer = shared.ask("POST", f"/v1/{surface}", by=ADA, json=asked | {"model": PROJECT, "stream": stream})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "90")
    assert not [word for word in ("org-q7", "29831", "30000") if word in answer.text], answer.text


@pytest.mark.requirement("GRD-04")
def test_connections_that_callers_leave_give_their_answers_to_nobody(shared: Shared) -> None:
    desk = shared.desk
    desk.release(PROMPT)
    desk.model.script = _echo

    async def one(http: httpx.AsyncClient, number: int, rng: random.Random) -> None:
        word, by = f"word-{number}-end", (ADA, BOB)[number % 2]
        leaves, stream = rng.random() < 0.4, rng.random() < 0.7
        body = {"model": PROJECT, "messages": [{"role": "user", "content": word}], "stream": stream}
        headers = {"authorization": f"Bearer {tokens[by]}"}
        seen = ""
        async with http.stream("POST", f"{desk.url}/v1/chat/completions", json=body, headers=headers) as got:
            assert got.status_code == 200
            async for text in got.aiter_text():
                seen += text
                if leaves:
                    break
        others = {found for found in seen.split() if found.startswith("word-")} - {word}
        assert not others, (word, others)
        assert leaves or word in seen

    async def all_of_them() -> None:
        rng = random.Random(7)
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            for batch in range(6):
                await asyncio.gather(*(one(http, batch * 25 + n, rng) for n in range(25)))

    tokens = {name: desk.token(name) for name in (ADA, BOB)}
    with asyncio.Runner() as runner:
        runner.run(all_of_them())


def _echo(asked: Asked) -> Answer:
    word = asked.json["messages"][-1]["content"]
    return Answer(text=f"a {word} " * 3, pieces=tuple(["a ", f"{word} "] * 6), pause_s=0.002)


@pytest.mark.requirement("GRD-04")
def test_no_figure_of_another_is_in_ones_own_error_or_audit(
    tmp_path: Path, listen: Callable[[Server], str]
) -> None:
    with aside(prompted(tmp_path / "home", listen)) as desk:
        found = _shared(desk)
        for name in (ACME, GLOBEX):
            assert found.ask("GET", "/v1/models", by=name).status_code == 200
        entries = found.ask("GET", "/api/v1/audit?limit=500", by=ACME).text
        assert "globex" not in entries
        route = desk.app.store.rollouts.route(THEIRS)
        assert route is not None
        assert found.ask("GET", f"/api/v1/releases/{route.live}", by=ACME).status_code in (403, 404)
