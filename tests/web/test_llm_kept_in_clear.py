"""What callers say where nobody expects data about people does not stand in clear in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pace import until
from tests.web.prompted import HELLO, PROMPT, Desk, client
from tests.web.test_llm_batches import CHAT, line

MAIL = "zora.quill@plantedmail.example"
KEY = "sk-proj-PLANTEDabcdefghijklmnopqrstuvwxyz0123456789AB"


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


def test_what_was_kept_before_is_still_read(desk: Desk) -> None:
    desk.release(PROMPT)
    llm = client(desk)
    file = llm.files.create(file=("sealed:odd.jsonl", line(1)), purpose="batch")
    desk.release(PROMPT, encrypt=True)
    assert llm.files.retrieve(file.id).filename == "sealed:odd.jsonl"
    assert json.loads(llm.files.content(file.id).text.splitlines()[0])["custom_id"] == "q-1"
