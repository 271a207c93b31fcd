"""What is read for lead times does not grow with the number of releases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.composition import open_app
from headrace.app.overviews.lead_times import lead_times
from headrace.core.project import Delivery
from headrace.testing import make_settings
from tests.app.statements import counting
from tests.web.seed import seed


@pytest.mark.requirement("ORG-12")
def test_a_project_declares_what_a_release_may_take_and_when_it_has_stalled(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path / "home")) as app:
        seed(app)
        me = app.me()
        (before,) = lead_times(app, me, "flight-delay")
        assert (before.target_s, before.late, before.stalled) == (None, [], None)
        slow = max((one for one in before.releases if one.live_at), key=lambda one: one.took_s)
        days = slow.took_s / 86_400
        project = app.store.projects.get("flight-delay")
        promised: dict[Delivery, float] = {
            "target_days": days * 0.999,
            "stalled_days": 1e-9,
            "person_step_price": 5,
        }
        app.store.projects.save(replace(project, delivery=promised), app.store.projects.path("flight-delay"))
        (found,) = lead_times(app, me, "flight-delay")
        assert found.late == [slow.subject], "one that was aborted is not late"
        assert found.stalled is not None
        assert found.stalled.state == "waiting"
        assert sum(one.cost or 0 for one in found.stages) >= 5
        (by_hand,) = lead_times(app, me, "flight-delay", stalled_days=1000)
        assert by_hand.stalled is None


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
