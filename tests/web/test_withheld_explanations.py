"""What explanations would say of values that nobody may keep, and of people."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.monitoring.ingest import ingest
from headrace.store.records import decode_prediction
from tests.app.small import INPUTS
from tests.web.explained import OPEN, serving


@pytest.mark.requirement("TRC-10")
def test_what_the_record_does_not_have_is_neither_kept_nor_sent(tmp_path: Path) -> None:
    hidden = "privacy: {basis: contract, purpose: to sell, fields: {mileage: drop}}"
    with serving(tmp_path, hidden) as (asked, collected):
        answer = asked.predict(explain="true")
        assert answer["explanation"]["rows"][0]["contributions"].keys() == set(INPUTS)
        assert (asked.kept(), asked.count("withheld")) == ({}, 1)
        (span,) = collected.explained()
        assert span.events == (), "the data is about people: nobody could erase it over there"
        assert not any("contribution" in name for name in span.attributes)
        change = ("gates:\n", "serving: {explain_share: 1}\ngates:\n")
        asked.declared((OPEN, hidden), change)
        asked.one()
        asked.predict()
        assert (asked.kept(), asked.count("withheld")) == ({}, 3)


@pytest.mark.requirement("TRC-10")
def test_of_people_contributions_are_kept_where_the_record_is_and_sent_nowhere(tmp_path: Path) -> None:
    with serving(tmp_path, "privacy: {basis: contract, purpose: to sell}") as (asked, collected):
        answer = asked.predict(explain="true")
        assert list(asked.kept()) == [answer["id"]]
        (span,) = collected.explained()
        assert span.events == ()
        events, tables = asked.app.store.events, asked.app.store.tables
        ingest("open", events, tables, numeric=frozenset())
        found = tables.query("select count(*) as n from t", {"t": ("open/explanations", None)})
        assert int(found["n"][0]) == 3 * len(INPUTS)
        (logged,) = [
            decode_prediction(record)
            for segment in events.segments("open/predictions")
            for record in events.read("open/predictions", segment.name, 0, 1 << 20)[0]
        ]
        assert logged.id == answer["id"]
