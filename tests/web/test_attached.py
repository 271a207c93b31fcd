"""An application that answers elsewhere, and a Headrace server that records what it answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.app.credentials import new_secret
from headrace.app.elsewhere.attaching import Foreign, attach_model
from headrace.serving.attached import Outbox, Server, read_rows
from headrace.store.records import decode_prediction
from tests.app.elsewhere.test_attaching import as_csv, log_of
from tests.app.small import CHARTER, CODE
from tests.web.conftest import Site
from tests.web.making import AUTHOR

NAMES = ("year", "mileage", "diesel", "listed", "guess")


def _attached(site: Site, folder: Path) -> str:
    """A project with an attached version ``v7``; its release."""
    folder.mkdir()
    (folder / "headrace.yaml").write_text(CHARTER.replace("NAME", "prices", 1), encoding="utf-8")
    (folder / "project.py").write_text(CODE, encoding="utf-8")
    reference = as_csv(folder / "reference.csv", log_of(100, seed=1))
    foreign = Foreign(version="v7", reference=reference, statement="by the old team")
    return attach_model(site.app, site.app.identities.resolve(AUTHOR), folder, foreign).id


def _answer(**changes: Any) -> dict[str, Any]:
    columns = {"year": 2012.0, "mileage": 10.0, "diesel": True, "listed": 9_000.0, "guess": 8_000.0}
    return {"id": "a-1", "at": "2026-03-01T08:00:00Z", "columns": columns, "prediction": 9_000.0} | changes


@pytest.mark.requirement("DEP-13")
def test_answers_that_are_given_elsewhere_are_in_the_record(
    own_site: Site, tmp_path: Path, listen: Callable[..., str]
) -> None:
    site = own_site
    release = _attached(site, tmp_path / "prices")
    me = site.app.identities.resolve(AUTHOR)
    service = site.app.identities.add(
        "pricing", ["operator"], actor=AUTHOR, kind="service", owner=AUTHOR, purpose="prices"
    )
    secret = new_secret(site.app, me, service.name).text
    server = Server(listen(site.server), "prices", "v7", service.name, secret)
    outbox = Outbox(server.post, read_rows, every_s=0.001)
    from tests.serving.test_attached import exchange

    for number in range(3):
        outbox.put(exchange(f"e{number}", {"record": _answer()["columns"]}, {"prediction": 9_000.0 + number}))
    outbox.close(20)
    assert outbox.counts.sent == 3
    events = site.app.store.events
    (segment,) = events.segments("prices/predictions")
    records = [decode_prediction(r) for r in events.read("prices/predictions", segment.name, 0, 10)[0]]
    assert [one.outputs["predict"] for one in records] == [[9_000.0], [9_001.0], [9_002.0]]
    assert {(one.release_id, one.principal) for one in records} == {(release, "pricing")}
    assert records[0].at == datetime(2026, 3, 1, tzinfo=UTC)
    assert set(records[0].columns) == set(NAMES)


def test_what_does_not_fit_is_refused_as_a_whole(own_site: Site, tmp_path: Path) -> None:
    site = own_site
    _attached(site, tmp_path / "prices")

    def post(*answers: dict[str, Any], version: str = "v7") -> tuple[int, str]:
        body = {"version": version, "answers": list(answers)}
        answer = site.post("/api/v1/projects/prices/answers", json=body)
        return answer.status_code, answer.text

    columns = _answer()["columns"]
    assert post(_answer(), version="v8")[0] == 404
    for wrong in (
        _answer(prediction="dear"),
        _answer(columns=columns | {"year": "old"}),
        _answer(columns={"year": 2012.0}),
    ):
        status, text = post(_answer(), wrong)
        assert status == 400
        assert "answers[1]" in text
    assert post(_answer(more=1))[0] in (400, 422)
    assert site.app.store.events.count("prices/predictions") == 0
    status, text = post(_answer())
    assert (status, site.app.store.events.count("prices/predictions")) == (200, 1)


def test_privacy_rules_hold_for_answers_from_elsewhere(own_site: Site, tmp_path: Path) -> None:
    site = own_site
    _attached(site, tmp_path / "prices")
    projects = site.app.store.projects
    declared = projects.get("prices")
    hidden = replace(declared, privacy=replace(declared.privacy, fields={"mileage": "drop"}))
    projects.save(hidden, projects.path("prices"))
    site.app.store.epoch.advance()
    body = {"version": "v7", "answers": [_answer()]}
    assert site.post("/api/v1/projects/prices/answers", json=body).status_code == 200
    events = site.app.store.events
    (segment,) = events.segments("prices/predictions")
    (record,) = [decode_prediction(r) for r in events.read("prices/predictions", segment.name, 0, 10)[0]]
    assert record.columns.get("mileage") in (None, [None])
