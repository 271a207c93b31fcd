"""Feedback comes in through one function, whoever sends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.app.composition import App, open_app
from headrace.app.labels.feedback import Event, import_feedback, record_feedback
from headrace.app.operations import declare as declare_folder
from headrace.app.operations import record_outcomes, watch_now
from headrace.app.overviews import reading
from headrace.core.errors import Denied, InvalidInput, NotFound
from headrace.core.project import PrivacySpec
from headrace.core.record import Feedback
from headrace.monitoring.feedback import linked_feedback
from headrace.monitoring.ingest import feedback_table, ingest
from headrace.monitoring.joining import labelled_rows
from headrace.monitoring.watch import Round, Watch
from headrace.store.records import decode_feedback
from headrace.testing import START, FakeClock, make_project, make_settings
from tests.app.small import Site, cars, labels

CLICKED = Event(kind="reaction", subject="car-1", name="clicked", happened_at=START)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path), FakeClock()) as app:
        app.me()
        declare(app, PrivacySpec(basis="not_personal"))
        yield app


def declare(app: App, privacy: PrivacySpec) -> None:
    app.store.projects.save(make_project(name="cars", privacy=privacy), str(app.settings.home))
    app.store.epoch.advance()


def stored(app: App) -> list[Feedback]:
    return [
        decode_feedback(record)
        for segment in app.store.events.segments("cars/feedback")
        for record in app.store.events.read("cars/feedback", segment.name, 0, 100_000)[0]
    ]


@pytest.mark.requirement("MON-22")
def test_an_event_is_kept_as_it_was_told(app: App) -> None:
    told = replace(
        CLICKED, value=3, page="/cars?colour=red", text="looked twice", source="shop", id="e-1",
        happened_at=START - timedelta(days=1),
    )  # fmt: skip
    ids = record_feedback(app, app.me(), "cars", [told, CLICKED])
    first, second = stored(app)
    assert [first.id, second.id] == ids
    assert (first.kind, first.subject, first.name, first.value) == ("reaction", "car-1", "clicked", 3.0)
    assert (first.page, first.text, first.source) == ("/cars?colour=red", "looked twice", "shop")
    assert (first.happened_at, first.at, first.principal) == (told.happened_at, START, app.me().name)
    assert (second.value, second.page, second.text, second.source) == (None, None, None, None)


def test_the_same_event_has_the_same_id_and_another_one_has_not(app: App) -> None:
    def identity(**changes: Any) -> str:
        return record_feedback(app, app.me(), "cars", [replace(CLICKED, **changes)])[0]

    assert identity() == identity()
    others: list[dict[str, Any]] = [
        {"kind": "action"},
        {"subject": "car-2"},
        {"name": "bought"},
        {"value": 1},
        {"value": True},
        {"value": "1.0"},
        {"happened_at": START - timedelta(seconds=1)},
        {"page": "/x"},
        {"text": "slow"},
        {"text": "rude"},
        {"source": "shop"},
        {"id": "1"},
        {"id": "1", "source": "shop"},
    ]
    assert len({identity(), *(identity(**other) for other in others)}) == 14
    assert identity(value=1) == identity(value=1.0)
    assert identity(value=True) != identity(value=1)
    assert identity(id="1") == identity(id="1", value=7, name="corrected")


def test_nobody_corrects_what_another_principal_has_sent(app: App) -> None:
    other = app.identities.add("till", ["developer"], actor=app.me().name)
    order = replace(CLICKED, id="7", source="crm", value=120)
    mine = record_feedback(app, app.me(), "cars", [order])
    assert record_feedback(app, other, "cars", [replace(order, value=0)]) != mine
    assert record_feedback(app, app.me(), "cars", [replace(order, value=90)]) == mine


def test_one_bad_event_is_named_and_none_is_stored(app: App) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({"subject": ""}, r"feedback\[1\]: subject is ''. Expected 1 to 300"),
        ({"name": "n" * 65}, r"name is 'n{64,}.*Expected 1 to 64"),
        ({"id": ""}, r"id is ''"),
        ({"source": "s" * 65}, "source is"),
        ({"page": "p" * 501}, "at most 500"),
        ({"text": "t" * 1_000_000}, r"text is 't{79}\.\.\.\. Expected at most 10,000"),
        ({"value": ""}, "value is ''"),
        ({"value": float("nan")}, "value is nan"),
        ({"value": float("-inf")}, "value is -inf"),
        ({"value": 10**400}, "value is 1000"),
        ({"happened_at": START + timedelta(hours=1)}, "not in the future; it is 2026-01-01 00:00 UTC"),
    ]
    for change, message in bad:
        with pytest.raises(InvalidInput, match=message):
            record_feedback(app, app.me(), "cars", [CLICKED, replace(CLICKED, **change)])
    twice = [replace(CLICKED, id="1"), CLICKED, replace(CLICKED, id="1", value=False)]
    with pytest.raises(InvalidInput, match=r"feedback\[2\] and feedback\[0\] have the same id"):
        record_feedback(app, app.me(), "cars", twice)
    assert stored(app) == []


def test_feedback_needs_a_project_and_the_right_to_write_labels(app: App) -> None:
    with pytest.raises(NotFound):
        record_feedback(app, app.me(), "nothing", [CLICKED])
    auditor = app.identities.add("olga", ["auditor"], actor=app.me().name)
    with pytest.raises(Denied, match="label.write"):
        record_feedback(app, auditor, "cars", [CLICKED])


@pytest.mark.requirement("PRV-01")
def test_of_data_about_people_keys_are_hashed_and_what_they_wrote_is_redacted(app: App) -> None:
    declare(app, PrivacySpec(basis="consent"))
    wrote = "Call me: jane@example.org"
    told = replace(CLICKED, subject="jane", text=wrote, page="/me/jane@example.org?token=abc#x", value=wrote)
    record_feedback(app, app.me(), "cars", [told])
    (kept,) = stored(app)
    assert kept.subject == app.access.privacy.rules("cars").hashed("jane")
    assert (kept.text, kept.value) == ("Call me: <EMAIL>", "Call me: <EMAIL>")
    assert kept.page == "/me/<EMAIL>"


def lines(*events: dict[str, Any] | str) -> str:
    return "\n".join(one if isinstance(one, str) else json.dumps(one) for one in events) + "\n"


TOLD = {"kind": "reaction", "subject": "car-1", "name": "clicked", "happened_at": "2026-01-01T00:00:00"}


def test_a_file_is_stored_once_however_often_it_is_sent(app: App, tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    many = [{**TOLD, "id": str(number)} for number in range(6_000)]
    path.write_text(lines(TOLD, "", {**TOLD, "happened_at": "2026-01-01T01:00:00+01:00", "value": 2}, *many))
    assert [import_feedback(app, app.me(), "cars", path) for _ in range(2)] == [6_002, 6_002]
    first, second, *_ = stored(app)
    assert first.happened_at == second.happened_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert len({one.id for one in stored(app)}) == 6_002
    ingest("cars", app.store.events, app.store.tables, numeric=frozenset())
    table = {"f": (feedback_table("cars"), None)}
    assert app.store.tables.query("select count(distinct id) as n from f", table)["n"][0] == 6_002


@pytest.mark.parametrize("n_between", [0, 5_000])
def test_of_lines_with_one_id_the_last_one_is_valid_however_far_apart(
    app: App, tmp_path: Path, n_between: int
) -> None:
    path = tmp_path / "feedback.jsonl"
    between = ({**TOLD, "id": str(number)} for number in range(n_between))
    later = {**TOLD, "id": "order", "value": 20, "happened_at": "2025-12-31T00:00:00"}
    path.write_text(lines({**TOLD, "id": "order", "value": 10}, *between, later))
    assert import_feedback(app, app.me(), "cars", path) == n_between + 2
    orders = [one for one in stored(app) if isinstance(one.value, float)]
    assert max(orders, key=lambda one: (one.at, one.happened_at)).value == 20.0


def test_a_line_that_is_no_event_is_named(app: App, tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    with pytest.raises(NotFound, match=r"no file.*feedback\.jsonl"):
        import_feedback(app, app.me(), "cars", path)
    faults: list[tuple[dict[str, Any] | str, str]] = [
        ("{", "Line 2 is no feedback"),
        ("[]", "Line 2 is no feedback"),
        ("[" * 100_000, "Line 2 is no feedback"),
        ({**TOLD, "colour": "red"}, "unknown field 'colour'"),
        ({**TOLD, "kind": "guess"}, "Line 2 is no feedback.*guess"),
        ({**TOLD, "happened_at": "yesterday"}, "happened_at"),
        ({**TOLD, "value": [1]}, "value"),
        ({"kind": "action"}, "missing required field"),
        ({**TOLD, "happened_at": "2999-01-01T00:00:00Z"}, "Line 2: happened_at is"),
        ({**TOLD, "happened_at": "0001-01-01T00:00:00+23:59"}, "Line 2 is no feedback"),
    ]
    for fault, message in faults:
        path.write_text(lines(TOLD, fault))
        with pytest.raises(InvalidInput, match=message):
            import_feedback(app, app.me(), "cars", path)
    assert stored(app) == []


@pytest.mark.requirement("FBK-09")
def test_inputs_and_truth_are_collected_from_the_first_prototype_on(shared: Site) -> None:
    project = shared.project("prototype")
    declare_folder(project.app, project.me, project.folder)
    rows = cars(30, seed=3)
    moment = START + timedelta(days=1)
    record_outcomes(project.app, project.me, project.name, labels(rows, moment))
    told = replace(CLICKED, subject=str(rows["car"][0]), happened_at=START + timedelta(days=2))
    first = project.released()
    assert [one.id for one in project.releases()] == [first.id], "nothing else was ever made"
    project.answered(rows, day=1, release=first.id, labelled=False)
    record_feedback(project.app, project.me, project.name, [told])
    watch_now(project.app, project.work, project.me, project.name)
    found = labelled_rows(project.name, project.app.store.tables)
    assert len(found) == 30
    assert sorted(found.truth) == pytest.approx(sorted(rows["price"]))
    assert sorted(found.columns["mileage"]) == sorted(rows["mileage"])
    assert reading.performance(project.app, project.me, project.name)[-1].n_rows == 30
    linked = linked_feedback(project.name, project.app.store.tables, names=["clicked"])
    assert linked["release_id"].tolist() == [first.id]


def test_kpis_are_worked_out_again_only_once_something_has_come(
    shared: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = shared.project("quiet")
    declare_folder(project.app, project.me, project.folder)
    looked: list[Watch] = []

    def look(watch: Watch) -> Round:
        looked.append(watch)
        return Round([], [])

    monkeypatch.setattr("headrace.app.watching._ALL", {"kpis": look})

    def looks() -> int:
        before = len(looked)
        watch_now(project.app, project.work, project.me, project.name)
        return len(looked) - before

    assert [looks(), looks()] == [1, 0]
    record_feedback(project.app, project.me, project.name, [CLICKED])
    assert [looks(), looks()] == [1, 0]
    record_outcomes(project.app, project.me, project.name, labels(cars(1, seed=3), START))
    assert [looks(), looks()] == [1, 0]
