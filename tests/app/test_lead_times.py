"""What is read for lead times does not grow with the number of releases."""

from __future__ import annotations

from pathlib import Path

from headrace.app.composition import open_app
from headrace.app.lead_times import lead_times
from headrace.testing import make_settings
from tests.app.statements import counting
from tests.web.seed import seed


def test_all_releases_are_read_with_as_many_queries_as_one(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path / "home")) as app:
        seed(app)
        me = app.me()
        lead_times(app, me, "flight-delay")  # who may is looked up once
        with counting() as of_one:
            (one,) = lead_times(app, me, "flight-delay", newest=1)
        with counting() as of_all:
            (found,) = lead_times(app, me, "flight-delay")
    assert (len(one.releases), len(found.releases)) == (1, 4)
    assert found.releases[0].release_id == one.releases[0].release_id
    assert len(of_all) == len(of_one)
    assert {step.name for time in found.releases for step in time.steps} >= {"train", "prove", "decide"}
