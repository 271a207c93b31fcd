"""What callers say where nobody expects data about people does not stand in clear in the store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pace import until
from tests.web.prompted import HELLO, PROMPT, Desk, client
from tests.web.test_llm_batches import CHAT, line

MAIL = "zora.quill@plantedmail.example"
KEY = "sk-proj-PLANTEDabcdefghijklmnopqrstuvwxyz0123456789AB"

ABOUT = {KEY: KEY}
SAID = [{"role": "user", "content": f"Is {KEY} mine?"}]


def _files_with(home: Path, text: str) -> list[str]:
    return [str(path) for path in home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("said", [MAIL, KEY, f"{MAIL} " + "x" * 300, "y" * 70 + KEY])
def test_a_secret_sent_as_a_project_is_neither_kept_nor_said_again(desk: Desk, said: str) -> None:
    desk.release(PROMPT)
    headers = {"authorization": f"Bearer {desk.token()}"}
    asked = {"model": said, "messages": HELLO}
    answer = httpx.post(f"{desk.url}/v1/chat/completions", headers=headers, json=asked)
    assert answer.status_code == 404
    assert not [one for one in (MAIL, KEY, KEY[:20]) if one in answer.text]
    wanted = desk.server.parts.gateway.permits.shadow.take()
    assert len(wanted) == 1
    assert not [one for one in (MAIL, KEY, KEY[:20]) if one in repr(wanted)]
    desk.app.access.uses.flush()
    assert not _files_with(desk.app.settings.home, said)


def test_names_of_files_and_words_on_batches_lie_sealed_as_their_lines(desk: Desk) -> None:
    desk.release(PROMPT, encrypt=True)
    llm = client(desk)
    name, about = f"{MAIL}.jsonl", {"for": MAIL}
    file = llm.files.create(file=(name, line(1)), purpose="batch")
    made: Any = llm.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata=about
    )
    until(lambda: llm.batches.retrieve(made.id).status == "completed")
    assert (file.filename, llm.files.retrieve(file.id).filename, made.metadata) == (name, name, about)
    assert [one.metadata for one in llm.batches.list()] == [about]
    assert name in [one.filename for one in llm.files.list()]
    assert not _files_with(desk.app.settings.home, MAIL)
    llm.files.delete(file.id)
    assert not _files_with(desk.app.settings.home, MAIL)


@pytest.mark.parametrize("faces", ["staff", "customers"])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (
            "chat/completions",
            {"messages": SAID, "user": KEY, "prompt_cache_key": KEY, "metadata": ABOUT},
        ),
        ("chat/completions", {"messages": SAID, "safety_identifier": f"ada {KEY}", "stream": True}),
        ("responses", {"input": f"Is {KEY} mine?", "user": KEY, "metadata": {"for": KEY}}),
        ("messages", {"messages": SAID, "max_tokens": 9, "metadata": {"user_id": KEY}}),
        ("embeddings", {"input": KEY, "user": KEY}),
        ("moderations", {"input": KEY, "user": KEY}),
    ],
)
def test_no_secret_is_written_down_whatever_its_project_declares(
    desk: Desk, path: str, asked: dict[str, Any], faces: str
) -> None:
    prompt = replace(PROMPT, embeddings=("local/small",), moderations=("local/small",))
    desk.release(prompt, llm={"oversight": {"faces": faces}})
    headers = {"authorization": f"Bearer {desk.token()}", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    answer = httpx.post(f"{desk.url}/v1/{path}", headers=headers, json={"model": "support"} | asked)
    assert answer.status_code == 200, answer.text
    kind = path if path in ("embeddings", "moderations") else "predictions"
    until(lambda: list(desk.records(kind)))
    until(lambda: list(desk.records("spans")))
    desk.app.access.uses.flush()
    assert not _files_with(desk.app.settings.home, KEY)


def test_no_secret_is_written_down_beside_a_file(desk: Desk) -> None:
    desk.release(PROMPT)
    llm = client(desk)
    file = llm.files.create(file=(f"{KEY}.jsonl", line(1)), purpose="batch")
    made = llm.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"for": KEY, KEY: "x"}
    )
    assert (file.filename, made.metadata) == ("<SECRET>.jsonl", {"for": "<SECRET>", "<SECRET>": "x"})
    until(lambda: llm.batches.retrieve(made.id).status == "completed")
    assert not _files_with(desk.app.settings.home, KEY)


def test_whom_a_secret_stands_for_is_found_by_its_hash(desk: Desk) -> None:
    desk.release(PROMPT)
    llm = client(desk)
    for user in (KEY, KEY, "ada"):
        llm.chat.completions.create(model="support", messages=HELLO, user=user)
    until(lambda: len(desk.answers()) == 3)
    first, second, third = (one.keys for one in desk.answers())
    assert first == second
    assert first not in ([KEY], None)
    assert third == ["ada"]


def test_what_was_kept_before_is_still_read(desk: Desk) -> None:
    desk.release(PROMPT)
    llm = client(desk)
    file = llm.files.create(file=("sealed:odd.jsonl", line(1)), purpose="batch")
    desk.release(PROMPT, encrypt=True)
    assert llm.files.retrieve(file.id).filename == "sealed:odd.jsonl"
    assert json.loads(llm.files.content(file.id).text.splitlines()[0])["custom_id"] == "q-1"
