"""Files and batches by OpenAI's own client: requests are answered from a file, by the way of every call."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from openai.types import Batch

from headrace.app.llm import batch_run
from headrace.app.llm.kept_files import KEPT_DAYS, delete_old_files, erase_files
from headrace.app.privacy.erasing import hash_of
from headrace.core.errors import Conflict
from headrace.store.llm_batches import LlmBatch
from headrace.testing.scripted_answers import Answer, Refusal
from headrace.testing.scripted_llm import Asked
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, STRANGER, USER, Desk, client

CHAT: Any = "/v1/chat/completions"


def line(number: int, url: str = CHAT, **body: Any) -> bytes:
    asked = {"model": PROJECT, "messages": [{"role": "user", "content": f"question {number}"}]}
    if url != CHAT:
        asked = {"model": PROJECT, "input": f"question {number}"}
    return (
        json.dumps({"custom_id": f"q-{number}", "method": "POST", "url": url, "body": asked | body}).encode()
        + b"\n"
    )


def upload(llm: openai.OpenAI, *lines: bytes) -> str:
    return llm.files.create(file=("questions.jsonl", b"".join(lines)), purpose="batch").id


def begin(llm: openai.OpenAI, *lines: bytes, endpoint: Any = CHAT) -> Batch:
    return llm.batches.create(
        input_file_id=upload(llm, *lines),
        endpoint=endpoint,
        completion_window="24h",
        metadata={"for": "test"},
    )


def ended(llm: openai.OpenAI, batch: Batch) -> Batch:
    until(lambda: llm.batches.retrieve(batch.id).status in ("completed", "failed", "expired", "cancelled"))
    return llm.batches.retrieve(batch.id)


def results(llm: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    """By ``custom_id``; none is there twice."""
    assert file_id is not None
    read = [json.loads(one) for one in llm.files.content(file_id).text.splitlines()]
    assert len({one["custom_id"] for one in read}) == len(read)
    return {one["custom_id"]: one for one in read}


def test_a_file_is_kept_as_it_came_until_its_owner_deletes_it(desk: Desk) -> None:
    llm = client(desk)
    sent = b"\n" + line(1) + line(2, user="ä") + b"\r\n" + line(3).rstrip(b"\n")
    made = llm.files.create(file=("fragen – 1.jsonl", sent), purpose="batch")
    assert (made.bytes, made.filename, made.purpose) == (len(sent), "fragen – 1.jsonl", "batch")
    assert made.expires_at is not None
    assert made.expires_at - made.created_at == KEPT_DAYS * 86_400
    assert llm.files.retrieve(made.id) == made
    assert llm.files.content(made.id).content == sent
    second = upload(llm, line(1))
    assert [one.id for one in llm.files.list()] == [second, made.id]
    assert [one.id for one in llm.files.list(order="asc", limit=1)] == [made.id, second], "page by page"
    assert [one.id for one in llm.files.list(purpose="batch_output")] == []
    assert llm.files.delete(made.id).deleted
    for gone in (llm.files.retrieve, llm.files.content, llm.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(made.id)
    assert [one.id for one in llm.files.list()] == [second]


def test_nobody_else_sees_a_file_or_a_batch(desk: Desk) -> None:
    mine = begin(client(desk), line(1))
    desk.app.identities.add("mona", ["operator"], actor="uma")
    other = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token("mona"), max_retries=0)
    assert not list(other.files.list())
    assert not list(other.batches.list())
    for ask in (
        lambda: other.files.retrieve(mine.input_file_id),
        lambda: other.files.content(mine.input_file_id),
        lambda: other.files.delete(mine.input_file_id),
        lambda: other.batches.retrieve(mine.id),
        lambda: other.batches.cancel(mine.id),
        lambda: other.batches.create(
            input_file_id=mine.input_file_id, endpoint=CHAT, completion_window="24h"
        ),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    stranger = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=desk.token(STRANGER), max_retries=0)
    with pytest.raises(openai.PermissionDeniedError):
        upload(stranger, line(1))
    assert httpx.get(f"{desk.url}/v1/files").status_code == 401


@pytest.mark.parametrize(
    ("sent", "purpose", "said"),
    [
        (b"", "batch", "empty"),
        (b"\n \n", "batch", "empty"),
        (b"{}\n", "batch", "no request"),
        (line(1, model=""), "batch", "no 'model'"),
        (line(1), "fine-tune", "'purpose' is 'fine-tune'"),
    ],
)
def test_what_is_no_file_of_requests_is_refused_and_nothing_is_left(
    desk: Desk, sent: bytes, purpose: Any, said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        client(desk).files.create(file=("a.jsonl", sent), purpose=purpose)
    assert not desk.app.line_files.names(PROJECT, "")
    assert not list(client(desk).files.list())


def test_a_form_that_is_none_is_refused(desk: Desk) -> None:
    about = {"authorization": f"Bearer {desk.token()}"}
    url = f"{desk.url}/v1/files"
    plain = httpx.post(url, json={"purpose": "batch"}, headers=about)
    assert (plain.status_code, "multipart/form-data" in plain.text) == (415, True)
    cut = httpx.post(
        url, content=b"--x\r\n", headers=about | {"content-type": "multipart/form-data; boundary=x"}
    )
    assert (cut.status_code, "cut short" in cut.text) == (400, True)
    two = httpx.post(url, files=[("file", ("a", line(1))), ("file", ("b", line(2)))], headers=about)
    assert (two.status_code, "two files" in two.text) == (400, True)
    more = httpx.post(url, files={"file": ("a", line(1))}, data={"purpose": "batch", "x": "1"}, headers=about)
    assert (more.status_code, "field 'x'" in more.text) == (400, True)
    long = httpx.post(url, files={"file": ("a", line(1))}, data={"purpose": "b" * 70_000}, headers=about)
    assert long.status_code == 400
    assert httpx.put(url, headers=about).status_code == 405
    assert not desk.app.line_files.names(PROJECT, "")


@pytest.mark.requirement("LGW-03")
def test_a_batch_answers_every_line_by_the_way_of_every_call(desk: Desk) -> None:
    desk.model.script = lambda asked: Answer(text=f"To {asked.json['messages'][-1]['content']}.")
    llm = client(desk)
    batch = begin(llm, *(line(number, user="customer-7") for number in range(20)))
    assert (batch.endpoint, batch.completion_window, batch.metadata) == (CHAT, "24h", {"for": "test"})
    done = ended(llm, batch)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert done.request_counts is not None
    assert done.request_counts.to_dict() == {"total": 20, "completed": 20, "failed": 0}
    assert done.completed_at is not None
    found = results(llm, done.output_file_id)
    assert {
        name: one["response"]["body"]["choices"][0]["message"]["content"] for name, one in found.items()
    } == {f"q-{number}": f"To question {number}." for number in range(20)}
    recorded = {one.id: one for one in desk.answers()}
    assert {one["response"]["request_id"] for one in found.values()} == set(recorded)
    assert {(one.principal, tuple(one.keys or ())) for one in recorded.values()} == {("uma", ("customer-7",))}
    assert llm.files.retrieve(done.output_file_id or "").purpose == "batch_output"
    assert [one.id for one in llm.batches.list(limit=1)] == [batch.id]
    assert desk.app.line_files.names(PROJECT, "batch_") == [], "no part is left"


@pytest.mark.parametrize("endpoint", ["/v1/embeddings", "/v1/responses"])
def test_the_other_endpoints_answer_in_their_own_forms(desk: Desk, endpoint: str) -> None:
    desk.release(replace(PROMPT, embeddings=("local/vectors",)))
    llm = client(desk)
    done = ended(llm, begin(llm, line(1, endpoint), endpoint=endpoint))
    (one,) = results(llm, done.output_file_id).values()
    assert (
        one["response"]["body"]["object"] == {"/v1/embeddings": "list", "/v1/responses": "response"}[endpoint]
    )


def test_what_cannot_be_answered_is_in_the_file_of_errors(desk: Desk) -> None:
    def said(asked: Asked) -> Any:
        bad = asked.json["messages"][-1]["content"] == "question 2"
        return Refusal(status=400, message="too long") if bad else Answer()

    desk.model.script = said
    llm = client(desk)
    done = ended(llm, begin(llm, line(1), line(2), line(3, temprature=1), line(4)))
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 2)
    assert results(llm, done.output_file_id).keys() == {"q-1", "q-4"}
    refused = results(llm, done.error_file_id)
    assert refused["q-2"]["response"]["body"]["error"]["message"] == "too long"
    assert refused["q-3"]["response"]["status_code"] == 400
    assert "temprature" in refused["q-3"]["response"]["body"]["error"]["message"]


@pytest.mark.requirement("LGW-04")
def test_a_batch_is_paid_from_the_budget_of_whoever_asks(desk: Desk) -> None:
    desk.release(
        PROMPT, llm={"budgets": [{"per": "project", "of": "requests", "most": 3, "period": "total"}]}
    )
    llm = client(desk)
    done = ended(llm, begin(llm, *map(line, range(8))))
    assert len(results(llm, done.output_file_id)) == 3
    refused = results(llm, done.error_file_id).values()
    assert [one["response"]["body"]["error"]["code"] for one in refused] == ["insufficient_quota"] * 5
    assert len(desk.model.asked) == 3
    with pytest.raises(openai.RateLimitError):
        llm.chat.completions.create(model=PROJECT, messages=HELLO)


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ((line(1), b"{\n"), "invalid_json_line", 2),
        ((line(1), b"\n", line(1)), "duplicate_custom_id", 3),
        ((line(1), line(2, "/v1/embeddings")), "mismatched_url", 2),
        ((line(1), line(2, model="other")), "mismatched_model", 2),
        ((line(1), line(2).replace(b"q-2", b"q" * 600)), "invalid_custom_id", 2),
    ],
)
def test_a_file_with_a_wrong_line_fails_before_a_line_is_asked(
    desk: Desk, lines: tuple[bytes, ...], code: str, number: int
) -> None:
    llm = client(desk)
    done = ended(llm, begin(llm, *lines))
    assert (done.status, done.output_file_id) == ("failed", None)
    assert done.errors is not None
    assert done.errors.data is not None
    (error,) = done.errors.data
    assert (error.code, error.line) == (code, number)
    assert not desk.model.asked


def test_a_request_for_a_batch_that_cannot_be_says_why(desk: Desk) -> None:
    llm = client(desk)
    file = upload(llm, line(1))
    ask: Any = llm.batches.create
    for wrong, said in (
        ({"endpoint": "/v1/audio"}, "'endpoint' is"),
        ({"completion_window": "1h"}, "'completion_window' is"),
        ({"metadata": {"a": "b" * 600}}, "'metadata' has"),
        ({"extra_body": {"x": 1}}, "unknown field `x`"),
    ):
        with pytest.raises(openai.BadRequestError, match=said):
            ask(**({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"} | wrong))
    with pytest.raises(openai.NotFoundError):
        ask(input_file_id="file-none", endpoint=CHAT, completion_window="24h")


def test_a_cancelled_batch_gives_what_was_answered(desk: Desk) -> None:
    def said(asked: Asked) -> Any:
        first = asked.json["messages"][-1]["content"] in ("question 0", "question 1")
        return Answer() if first else Answer(delay_s=60.0)

    desk.model.script = said
    llm = client(desk)
    batch = begin(llm, *map(line, range(40)))
    until(lambda: (llm.batches.retrieve(batch.id).request_counts or batch).to_dict().get("completed") == 2)
    assert llm.batches.cancel(batch.id).status == "cancelling"
    done = ended(llm, batch)
    assert done.status == "cancelled"
    assert results(llm, done.output_file_id).keys() == {"q-0", "q-1"}
    rest = results(llm, done.error_file_id)
    assert {one["error"]["code"] for one in rest.values()} == {"batch_cancelled"}
    assert len(rest) == 38
    with pytest.raises(openai.ConflictError, match="is cancelled"):
        llm.batches.cancel(batch.id)
    until(lambda: not desk.app.queue.waiting())


def test_no_batch_begins_from_a_file_that_is_gone(desk: Desk) -> None:
    llm = client(desk)
    file = upload(llm, line(1))
    llm.files.delete(file)
    with pytest.raises(openai.NotFoundError):
        llm.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")


def test_a_line_that_breaks_has_an_error_of_its_own(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    handler = desk.server.parts.gateway.handler
    answer = handler.answer

    async def breaking(me: Any, asked: Any, parent: Any) -> Any:
        if asked.messages[-1]["content"] == "question 2":
            raise ZeroDivisionError
        return await answer(me, asked, parent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handler, "answer", breaking)
        patch.setattr(batch_run, "_FIRST_PAUSE_S", 0.001)
        llm = client(desk)
        done = ended(llm, begin(llm, *map(line, range(5))))
    assert done.status == "completed"
    assert results(llm, done.output_file_id).keys() == {"q-0", "q-1", "q-3", "q-4"}
    (refused,) = results(llm, done.error_file_id).values()
    assert (refused["custom_id"], refused["response"]["status_code"]) == ("q-2", 500)
    assert "its log says why" in refused["response"]["body"]["error"]["message"]
    assert "ZeroDivisionError" in caplog.text
    assert len(desk.model.asked) == 4, "nobody pays for the others again"


def test_data_lies_encrypted_where_the_project_wants_it(desk: Desk) -> None:
    desk.release(PROMPT, encrypt=True)
    llm = client(desk)
    desk.model.script = Answer(text="a secret answer")
    done = ended(llm, begin(llm, *map(line, range(5))))
    found = results(llm, done.output_file_id)
    assert len(found) == 5
    for path in (desk.app.store.storage / "llm_files").rglob("file-*"):
        data = path.read_bytes()
        assert b"question" not in data
        assert b"secret" not in data


def test_files_end_with_their_time_and_with_the_person_in_them(desk: Desk) -> None:
    llm, app = client(desk), desk.app
    done = ended(llm, begin(llm, line(1, user="ada"), line(2)))
    other = upload(llm, line(1))
    assert erase_files(app, PROJECT, {"ada"}) == 2, "the file, and what was made of it"
    assert [one.id for one in llm.files.list()] == [other]
    with pytest.raises(openai.NotFoundError):
        llm.files.content(done.output_file_id or "")
    app.store.llm_files.change(
        replace(
            app.store.llm_files.get(other),
            expires_at=app.clock.now() - timedelta(seconds=1),
            revision=1,
        )
    )
    assert not list(llm.files.list())
    assert delete_old_files(app, PROJECT) == 1
    assert not app.line_files.names(PROJECT, "")


def test_a_person_is_found_in_answers_whose_requests_were_deleted_before(desk: Desk) -> None:
    llm, app = client(desk), desk.app
    desk.model.script = lambda asked: (
        Refusal(status=400, message="too long")
        if asked.json["messages"][-1]["content"] == "question 2"
        else Answer()
    )
    done = ended(llm, begin(llm, line(1, user="ada"), line(2, safety_identifier="bob")))
    other = ended(llm, begin(llm, line(1, user="bob")))
    for batch in (done, other):
        llm.files.delete(batch.input_file_id)
    for path in (app.store.storage / "llm_files").rglob("*.people"):
        assert re.fullmatch(rb"(?:[0-9a-f]{32}\n)+", path.read_bytes()), "only hashes are kept"
    ada = frozenset({"ada", hash_of(app, PROJECT, "ada")})
    assert erase_files(app, PROJECT, ada) == 2, "the answers and the refusals"
    for gone in (done.output_file_id, done.error_file_id):
        with pytest.raises(openai.NotFoundError):
            llm.files.content(gone or "")
    assert [one.id for one in llm.files.list()] == [other.output_file_id]
    llm.files.delete(other.output_file_id or "")
    assert not app.line_files.names(PROJECT, "")


def test_a_token_that_is_bound_begins_no_batch(desk: Desk) -> None:
    file = upload(client(desk), line(1))
    me = desk.app.identities.resolve(USER)
    for bound in ({"run": "r-1"}, {"tools": ("search",)}):
        key = desk.app.tokens.issue(me, **bound)
        llm = openai.OpenAI(base_url=f"{desk.url}/v1", api_key=key, max_retries=0)
        with pytest.raises(openai.PermissionDeniedError, match="bound to a run or to tools"):
            llm.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")
    assert not list(client(desk).batches.list())


def test_nothing_is_made_of_a_file_whose_person_is_erased_meanwhile(desk: Desk) -> None:
    llm, app = client(desk), desk.app
    desk.model.script = Answer(delay_s=0.5)
    batch = begin(llm, line(0, user="ada"), *map(line, range(1, 12)))
    until(lambda: desk.model.asked)
    assert erase_files(app, PROJECT, {"ada"}) == 1
    done = ended(llm, batch)
    assert (done.status, done.output_file_id) == ("failed", None)
    assert app.line_files.names(PROJECT, "") == []


def test_a_batch_whose_day_is_over_is_not_asked(desk: Desk) -> None:
    app, llm = desk.app, client(desk)
    desk.model.script = Answer(delay_s=60.0)
    batch = begin(llm, line(1), line(2))
    until(lambda: app.store.llm_batches.get(batch.id).state == "in_progress")
    while True:
        standing: LlmBatch = app.store.llm_batches.get(batch.id)
        late = replace(standing, expires_at=app.clock.now(), revision=standing.revision + 1)
        with suppress(Conflict):  # its counts have moved meanwhile
            app.store.llm_batches.change(late)
            break
    done = ended(llm, batch)
    assert (done.status, done.output_file_id) == ("expired", None)
    codes = [one["error"]["code"] for one in results(llm, done.error_file_id).values()]
    assert codes == ["batch_expired"] * 2
