"""What feedback changed, at a terminal."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.app.composition import open_app
from headrace.core.ids import new_id
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction, make_project, make_settings
from tests.cli.conftest import Cli


@pytest.mark.requirement("FBK-04", "FBK-05")
def test_releases_and_changes_are_listed(cli: Cli) -> None:
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.store.projects.save(make_project(name="cars"), str(cli.home))
        assert "Nothing was answered yet." in cli("feedback", "impact", "cars").out
        for number, release in enumerate(("r-1", "r-2")):
            at = START + timedelta(days=number)
            made = make_prediction(id=new_id(START), release_id=release, at=at, event_time=at)
            app.store.events.append("cars/predictions", [encode_prediction(made)])
    cli("feedback", "say", "cars", made.id, "--complaint", "It is wrong")
    shown = cli("feedback", "impact", "cars").out
    assert all(text in shown for text in ("SESSIONS", "BLAME", "CHANGE TO", "complaints", "unsure"))
    found = cli("feedback", "impact", "cars", "--json").json
    assert found["releases"][1]["comments"]["negative"] == 1
    (change,) = found["changes"]
    rates = {one["rate"]: one for one in change["moved"]}
    assert (change["before"], rates["complaints"]["after"]["hits"]) == ("r-1", 1)
