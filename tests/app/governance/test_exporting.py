from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.app.composition import App, open_app
from headrace.app.governance import auditing, exporting
from headrace.core.canonical import digest_of
from headrace.core.errors import Denied, InvalidInput
from headrace.core.identity import AuditEntry, Principal
from headrace.testing import START, FakeClock, make_settings

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def made(**changes: Any) -> AuditEntry:
    """One entry."""
    fields: dict[str, Any] = {
        "sequence": 7,
        "at": START,
        "actor": "ada",
        "action": "release.approve",
        "resource": "release:r-1",
        "detail": {"comment": "fine", "digest": "d" * 64},
        "previous": "p" * 64,
        "hash": "h" * 64,
    }
    return AuditEntry(**(fields | changes))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A home with an auditor, and one entry an hour."""
    clock = FakeClock()
    with open_app(make_settings(tmp_path / "home"), clock) as app:
        app.identities.add("otto", ["auditor"], actor="ada")
        for number in range(5):
            clock.advance(3600)
            app.store.audit.append("ada", "act", "thing:one", {"n": number})
        yield app


def otto(app: App) -> Principal:
    return app.identities.resolve("otto")


@pytest.mark.requirement("GOV-01")
def test_an_event_has_what_the_schema_requires() -> None:
    event = exporting.event(made())
    assert (event["category_uid"], event["class_uid"]) == (3, 3004)
    assert (event["activity_id"], event["activity_name"], event["type_uid"]) == (3, "Update", 300_403)
    assert event["time"] == int(START.timestamp() * 1000)
    assert (event["severity_id"], event["status_id"], event["status"]) == (1, 1, "Success")
    assert event["actor"]["user"]["name"] == "ada"
    assert event["entity"] == {"name": "r-1", "type": "release", "uid": "release:r-1"}
    assert event["comment"] == "fine"
    metadata = event["metadata"]
    assert metadata["version"] == "1.3.0"
    assert (metadata["product"]["name"], metadata["product"]["vendor_name"]) == ("Headrace", "Headrace")
    assert (metadata["sequence"], metadata["uid"], metadata["event_code"]) == (7, "h" * 64, "release.approve")


@pytest.mark.parametrize(
    ("action", "activity", "status", "severity"),
    [
        ("policy.propose", 1, 1, 1),
        ("data.read", 2, 1, 1),
        ("grant.end", 4, 1, 1),
        ("access.denied", 99, 2, 2),
        ("artefact.refused", 99, 2, 3),
        ("grant.break_glass", 99, 1, 3),
    ],
)
def test_what_was_done_decides_activity_status_and_severity(
    action: str, activity: int, status: int, severity: int
) -> None:
    event = exporting.event(made(action=action))
    assert (event["activity_id"], event["status_id"], event["severity_id"]) == (activity, status, severity)
    assert event["type_uid"] == 300_400 + activity
    assert (event["activity_name"] == action) == (activity == 99), "another activity has its own name"


@pytest.mark.requirement("GOV-01")
@given(actor=TEXT, resource=TEXT, said=TEXT, key=TEXT)
def test_whatever_stands_in_an_entry_it_is_one_line_of_plain_ascii(
    actor: str, resource: str, said: str, key: str
) -> None:
    line = exporting.line(made(actor=actor, resource=resource, detail={"comment": said, key: [said]}))
    assert line.endswith("\n")
    assert line[:-1].isascii()
    assert line[:-1].isprintable()
    back = json.loads(line)
    assert back["actor"]["user"]["name"] == actor
    assert back["entity"]["uid"] == resource
    assert back["unmapped"]["detail"][key] == [said]


@pytest.mark.requirement("GOV-01")
def test_the_chain_can_be_verified_on_the_exported_lines_alone(app: App) -> None:
    previous = ""
    for line in map(exporting.line, auditing.follow(app, otto(app))):
        event = json.loads(line)
        metadata = event["metadata"]
        entry = {
            "sequence": metadata["sequence"],
            "at": metadata["original_time"],
            "actor": event["actor"]["user"]["name"],
            "action": metadata["event_code"],
            "resource": event["entity"]["uid"],
            "detail": event["unmapped"]["detail"],
            "previous": previous,
        }
        assert event["unmapped"]["previous"] == previous
        assert digest_of(entry) == event["unmapped"]["hash"] == metadata["uid"]
        previous = metadata["uid"]
    assert previous == app.store.audit.head().hash


def test_an_export_is_of_a_time_and_goes_on_after_a_number(app: App) -> None:
    def numbers(**wanted: Any) -> list[int]:
        return [entry.sequence for entry in auditing.follow(app, otto(app), **wanted)]

    def after(hours: int) -> datetime:
        return START + timedelta(hours=hours)

    assert numbers() == [1, 2, 3, 4, 5, 6]
    assert numbers(after=4) == [5, 6]
    assert numbers(since=after(2), until=after(4)) == [3, 4]
    assert numbers(after=6) == numbers(since=after(9)) == []


def test_what_is_exported_is_sealed_first(app: App) -> None:
    list(auditing.follow(app, otto(app)))
    assert auditing.sealing(app, otto(app)).n_unsealed == 0


def test_the_log_is_for_those_who_may_read_it_before_anything_is_sent(app: App) -> None:
    vera = app.identities.add("vera", ["viewer"], actor="ada")
    with pytest.raises(Denied):
        auditing.follow(app, vera)
    assert app.seals.last() is None


def test_a_file_goes_on_where_it_ends(app: App, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    assert exporting.exported_until(path) == 0
    assert (
        exporting.append_lines(path, auditing.follow(app, otto(app), until=START + timedelta(hours=3))) == 3
    )
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("a") as file:
        file.write('{"activity_id":99,"act')  # a killed export
    until = exporting.exported_until(path)
    assert until == 3
    assert exporting.append_lines(path, auditing.follow(app, otto(app), after=until)) == 3
    assert exporting.append_lines(path, auditing.follow(app, otto(app), after=6)) == 0
    sequences = [json.loads(line)["metadata"]["sequence"] for line in path.read_text().splitlines()]
    assert sequences == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", ["hello\n", '{"metadata": 3}\n', "[]\n", "\n"])
def test_a_file_that_is_no_export_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(InvalidInput, match="does not end with an exported entry"):
        exporting.exported_until(path)
    assert path.read_text() == content


@pytest.mark.requirement("PRV-01")
def test_nothing_recognised_enters_by_a_resource_or_a_name_in_a_detail(app: App) -> None:
    app.store.audit.append("ada", "act", "project:ada@example.org", {"eve@example.org": {"n": 1}})
    entry = app.store.audit.list(limit=100)[-1]
    assert (entry.resource, entry.detail) == ("project:<EMAIL>", {"<EMAIL>": {"n": 1}})
