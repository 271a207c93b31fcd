"""Files on their way in, and what is kept of them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from headrace.app.composition import App, open_app
from headrace.app.llm import kept_files
from headrace.app.llm.kept_files import (
    Incoming,
    content,
    delete_old_files,
    erase_files,
    find_file,
    list_files,
)
from headrace.core.clock import SystemClock
from headrace.core.errors import Denied, InvalidInput, Unavailable
from headrace.core.ids import new_id
from headrace.testing.factories import make_settings
from tests.pace import times_as_long
from tests.web.prompted import PROJECT, STRANGER, USER, prompted

_LINE = (
    json.dumps(
        {
            "custom_id": "q",
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"model": PROJECT, "input": "x" * 1_000},
        }
    ).encode()
    + b"\n"
)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A home with a live prompt, and no server."""
    with prompted(tmp_path / "home", lambda _: ""):
        pass
    with open_app(make_settings(tmp_path / "home")) as opened:
        yield opened


def test_memory_does_not_grow_with_the_file(app: App) -> None:
    me = app.identities.resolve(USER)
    incoming = Incoming(app, me)
    tracemalloc.start()
    try:
        for _ in range(300):
            incoming.add(_LINE * 60)
            if incoming.is_due:
                incoming.write()
        file = incoming.finish("batch", "long.jsonl")
        incoming.drop()
        n_bytes = sum(len(block) for block in content(app, me, file.id))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_bytes == file.size_bytes == 300 * 60 * len(_LINE) > 18_000_000
    assert peak < 8_000_000


def test_bounds_hold_while_it_comes(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    me = app.identities.resolve(USER)
    monkeypatch.setattr(kept_files, "MAX_FILE_BYTES", 5_000)
    incoming = Incoming(app, me)
    for _ in range(3):
        incoming.add(_LINE)
    with pytest.raises(InvalidInput, match="longer than"):
        incoming.add(_LINE * 5)
    monkeypatch.setattr(kept_files, "MAX_LINE_BYTES", 100)
    endless = Incoming(app, me)
    endless.add(b"x" * 200)
    with pytest.raises(InvalidInput, match="no whole line with a request"):
        endless.write()
    blank = Incoming(app, me)
    blank.add(b"\n" * 101)
    with pytest.raises(InvalidInput, match="no whole line with a request"):
        blank.write()
    monkeypatch.setattr(kept_files, "MAX_KEPT_BYTES", 100)
    full = Incoming(app, me)
    full.add(_LINE)
    with pytest.raises(Unavailable, match="Delete files"):
        full.write()
    assert not app.line_files.names(PROJECT, "")


def test_what_comes_before_the_first_request_is_looked_at_once(app: App) -> None:
    me = app.identities.resolve(USER)

    def send(sent: bytes) -> str:
        incoming = Incoming(app, me)
        for start in range(0, len(sent), 2_048):
            incoming.add(sent[start : start + 2_048])
            if incoming.is_due:
                incoming.write()
        file = incoming.finish("batch", "a.jsonl")
        incoming.drop()
        return file.id

    half, whole = (b" \n" * n + _LINE for n in (1 << 20, 1 << 21))
    assert times_as_long(lambda: send(whole), lambda: send(half), rounds=3) < 3, "looking at all each time: 4"
    assert b"".join(content(app, me, send(whole))) == whole, "as it came"


@pytest.mark.parametrize("body", [{"user": 7, "safety_identifier": "ada"}, {"user": "ada"}])
def test_a_person_is_found_beside_what_is_no_name(app: App, body: dict[str, Any]) -> None:
    incoming = Incoming(app, app.identities.resolve(USER))
    asked = json.loads(_LINE)
    incoming.add(_LINE + json.dumps(asked | {"body": asked["body"] | body}).encode())
    incoming.finish("batch", "a.jsonl")
    incoming.drop()
    assert erase_files(app, PROJECT, {"bob"}) == 0
    assert erase_files(app, PROJECT, {"ada"}) == 1


def test_who_may_not_ask_the_project_keeps_nothing(app: App) -> None:
    incoming = Incoming(app, app.identities.resolve(STRANGER))
    incoming.add(_LINE)
    with pytest.raises(Denied):
        incoming.write()
    incoming.drop()
    assert not app.line_files.names(PROJECT, "")


def test_what_a_killed_process_left_is_tidied_away(app: App) -> None:
    me = app.identities.resolve(USER)
    incoming = Incoming(app, me)
    incoming.add(_LINE)
    kept = incoming.finish("batch", "a.jsonl")
    incoming.drop()
    now = SystemClock().now()
    two_days_ms = 2 * 86_400_000
    old = UUID(int=UUID(new_id(now)).int - (two_days_ms << 80))
    for name in (f"file-{old}", f"file-{new_id(now)}", "batch_gone.000001"):
        app.line_files.create(PROJECT, name).close()
    assert delete_old_files(app, PROJECT) == 0
    assert len(app.line_files.names(PROJECT, "")) == 2, "the one that is kept, and one that may still come"
    assert find_file(app, me, kept.id) == list_files(app, me)[0]
