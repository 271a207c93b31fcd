"""Less than one of what budgets count, and bodies that are no text, are refused at every door."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from headrace.core.errors import Unavailable
from headrace.testing.scripted_answers import Answer
from tests.pace import until
from tests.web.prompted import HELLO, PROJECT, PROMPT, Desk, client
from tests.web.test_llm_batches import begin, ended, line, results

DOORS: list[tuple[str, dict[str, Any], str]] = [
    ("chat/completions", {"messages": HELLO}, "max_tokens"),
    ("chat/completions", {"messages": HELLO}, "max_completion_tokens"),
    ("chat/completions", {"messages": HELLO}, "n"),
    ("responses", {"input": "Hello"}, "max_output_tokens"),
    ("messages", {"messages": HELLO}, "max_tokens"),
]
HELLO_BODY = json.dumps({"model": PROJECT, "messages": HELLO}).encode()
BUDGET = {"budgets": [{"per": "project", "of": "tokens", "most": 3_000, "period": "day"}]}


def _ask(desk: Desk, path: str, content: bytes) -> httpx.Response:
    headers = {"authorization": f"Bearer {desk.token()}", "content-type": "application/json"}
    return httpx.post(f"{desk.url}/v1/{path}", content=content, headers=headers, timeout=30)


@pytest.mark.requirement("LGW-04")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body", "name"), DOORS)
def test_no_budget_is_passed_by_asking_for_less_than_one(
    desk: Desk, path: str, body: dict[str, Any], name: str, stream: bool
) -> None:
    desk.release(PROMPT, llm=BUDGET)
    for n in (-100_000, -1, 0, 10**30):
        asked = {"model": PROJECT, "stream": stream, name: n} | body
        said = _ask(desk, path, json.dumps(asked).encode())
        got = "int" if n > 0 else str(n)
        most = "128" if name == "n" else "99,999,999"
        assert (said.status_code, said.json()["error"]["message"]) == (
            400,
            f"'{name}' is {got}. Expected a whole number from 1 to {most}.",
        )
    assert not desk.model.asked


@pytest.mark.requirement("LGW-04")
def test_a_line_of_a_batch_passes_no_budget_either(desk: Desk) -> None:
    desk.release(PROMPT, llm=BUDGET)
    llm = client(desk)
    batch = ended(llm, begin(llm, line(1, max_tokens=-100_000), line(2, max_tokens=5)))
    (refused,) = results(llm, batch.error_file_id).values()
    assert refused["response"]["status_code"] == 400
    assert "'max_tokens' is -100000" in refused["response"]["body"]["error"]["message"]
    assert len(desk.model.asked) == 1


def test_a_release_that_says_less_than_one_is_counted_as_one(desk: Desk) -> None:
    prompt = PROMPT.__class__(template="", models=("local/small",), parameters={"max_tokens": -100_000})
    desk.release(prompt, llm={"budgets": [BUDGET["budgets"][0] | {"most": 100}]})
    desk.model.script = Answer(completion_tokens=90)
    asked = json.dumps({"model": PROJECT, "messages": HELLO}).encode()
    assert [_ask(desk, "chat/completions", asked).status_code for _ in range(3)] == [200, 429, 429]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("chat/completions", '"messages": [{"role": "user", "content": "?"}]'),
        ("responses", '"input": "?"'),
        ("messages", '"max_tokens": 9, "messages": [{"role": "user", "content": "?"}]'),
        ("embeddings", '"input": "?"'),
        ("moderations", '"input": "?"'),
    ],
)
def test_a_body_that_is_no_utf_8_is_refused(desk: Desk, path: str, asked: str) -> None:
    desk.release(PROMPT)
    said = _ask(desk, path, f'{{"model": "{PROJECT}", {asked}}}'.encode().replace(b"?", b"caf\xe9 \xff"))
    assert said.status_code == 400
    assert "no UTF-8" in said.json()["error"]["message"]
    assert "caf" not in said.text


def test_a_line_that_is_no_utf_8_fails_its_batch_by_number(desk: Desk) -> None:
    desk.release(PROMPT)
    llm = client(desk)
    begun = begin(llm, line(1), line(2).replace(b"question", b"caf\xe9"))
    until(lambda: llm.batches.retrieve(begun.id).status == "failed")
    errors = llm.batches.retrieve(begun.id).errors
    assert errors is not None
    assert errors.data is not None
    assert [(one.code, one.line) for one in errors.data] == [("invalid_json_line", 2)]
    assert "no UTF-8" in str(errors.data[0].message)
    assert not desk.model.asked


def test_what_is_wrong_with_a_request_is_no_fault_of_the_server(desk: Desk) -> None:
    headers = {"authorization": f"Bearer {desk.token()}"}
    got = [
        httpx.get(f"{desk.url}/v1/chat/completions", headers=headers),
        httpx.post(f"{desk.url}/v1/files", headers=headers, content=b"a"),
        httpx.post(
            f"{desk.url}/v1/files",
            headers=headers | {"content-type": f"multipart/form-data; boundary={'a' * 5_000}"},
            content=b"--" + b"a" * 5_000,
        ),
    ]
    said = [(one.status_code, one.json()["error"]["type"]) for one in got]
    assert said == [(code, "invalid_request_error") for code in (405, 415, 400)]


@pytest.mark.parametrize("path", ["chat/completions", "files"])
def test_two_credentials_are_none(desk: Desk, path: str) -> None:
    desk.release(PROMPT)
    twice = [("authorization", "Bearer wrong"), ("authorization", f"Bearer {desk.token()}")]
    said = httpx.post(f"{desk.url}/v1/{path}", headers=twice, json={"model": PROJECT, "messages": HELLO})
    assert said.status_code == 400
    assert "Authorization" in said.json()["error"]["message"]
    assert not desk.model.asked


def test_a_server_that_cannot_store_answers_is_not_ready(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise Unavailable(f"Could not write {desk.app.settings.home}/events: No space left on device.")

    with monkeypatch.context() as patched:
        patched.setattr(desk.app.store.events, "append", full)
        for body in (HELLO_BODY, HELLO_BODY.replace(b"{", b'{"stream": true, ', 1)):
            said = _ask(desk, "chat/completions", body)
            assert "operator" in said.text
            assert str(desk.app.settings.home) not in said.text
        assert _ask(desk, "chat/completions", HELLO_BODY).status_code == 503
        assert httpx.get(f"{desk.url}/readyz").status_code == 503
    assert _ask(desk, "chat/completions", HELLO_BODY).status_code == 200
    assert httpx.get(f"{desk.url}/readyz").status_code == 200
