from __future__ import annotations

from typing import Any, get_args

import pytest

from headrace.app.overviews.glance import Glance
from headrace.app.overviews.lifecycle import Facts, lifecycle
from headrace.app.overviews.reading import ProjectReport
from headrace.core.release import Outcome4, Release, ReleaseState
from headrace.releases.states import ON_ITS_WAY
from headrace.testing.factories import (
    make_alert,
    make_approval,
    make_project,
    make_release,
    make_route,
    make_run,
    make_verdict,
)

STATES: tuple[ReleaseState, ...] = get_args(ReleaseState)


def _facts(newest: Release | None = None, live: Release | None = None, **changes: Any) -> Facts:
    n_open = changes.pop("n_open", 0)
    glance = Glance(
        name="cars", live=None, live_id=None, canary=None, waiting=[], health="idle", loss=None,
        last_finding=None, open_alerts=n_open,
    )  # fmt: skip
    canary = newest.id if newest is not None and newest.state == "rolling_out" else None
    report = ProjectReport(
        project=make_project(),
        glance=glance,
        route=None
        if live is None
        else make_route(live=live.id, canary=canary, canary_weight=0.1 if canary else 0.0),
        live=live,
        candidate=newest if newest is not None and newest.state in ON_ITS_WAY else None,
        rollout=None,
    )
    facts: dict[str, Any] = {
        "verdicts": [], "approvals": [], "runs": [make_run()] if newest else [], "alerts": [], "cases": [],
        "n_requests": 0, "n_windows": 0,
    }  # fmt: skip
    return Facts(report=report, newest=newest, **(facts | changes))


def _line(facts: Facts) -> dict[str, str]:
    return {stage.name: stage.state for stage in lifecycle(facts)}


def test_a_new_project_is_about_to_be_built() -> None:
    line = _line(_facts())
    assert line == {
        "declare": "done", "build": "now", "prove": "next", "approve": "next", "roll out": "next",
        "answer": "next", "watch": "next", "decide": "next",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "stage", "as_"),
    [
        ("proposed", "prove", "now"),
        ("refused", "prove", "stopped"),
        ("waiting", "approve", "now"),
        ("rejected", "approve", "stopped"),
        ("approved", "roll out", "now"),
        ("rolling_out", "roll out", "now"),
        ("aborted", "roll out", "stopped"),
        ("rolled_back", "roll out", "stopped"),
        ("live", "roll out", "done"),
    ],
)
def test_the_newest_release_says_where_the_project_stands(state: ReleaseState, stage: str, as_: str) -> None:
    newest = make_release(state=state)
    line = lifecycle(_facts(newest, newest if state == "live" else None))
    names = [one.name for one in line]
    place = names.index(stage)
    assert line[place].state == as_
    assert all(one.state == "done" for one in line[:place])


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("windows", [0, 3])
def test_something_is_always_now_or_stopped(state: ReleaseState, live: bool, windows: int) -> None:
    champion = make_release(state="live") if live else None
    line = lifecycle(_facts(make_release(state=state), champion, n_windows=windows))
    assert {"now", "stopped"} & {one.state for one in line}
    assert len(line) == 8


def test_a_model_elsewhere_is_neither_proved_nor_approved_here() -> None:
    line = _line(_facts(make_release(state="external"), n_requests=200))
    assert {line[name] for name in ("prove", "approve", "roll out")} == {"next"}
    assert line["answer"] == "now"


def test_details_tell_numbers_and_names() -> None:
    outcomes: tuple[Outcome4, ...] = ("passed", "failed")
    release, champion = make_release(state="rolling_out"), make_release(state="live")
    facts = _facts(
        release,
        champion,
        verdicts=[
            *[make_verdict(outcome=outcome) for outcome in outcomes],
            make_verdict(gate="canary look 1"),
        ],
        approvals=[make_approval(release)],
        runs=[make_run(), make_run(), make_run(state="failed")],
        alerts=[make_alert(state="closed", build_id="b"), make_alert(state="closed")],
        n_requests=1200,
        n_windows=1,
    )
    assert {stage.name: stage.detail for stage in lifecycle(facts)} == {
        "declare": "medium risk",
        "build": "2 runs",
        "prove": "1 of 2 gates passed",
        "approve": "by grace",
        "roll out": "canary at 10 %",
        "answer": "1,200 requests",
        "watch": "1 window",
        "decide": "1 retraining",
    }


def test_a_policys_approval_is_the_gates_and_an_open_alert_asks_for_a_decision() -> None:
    release = make_release(state="live")
    approval = make_approval(release, approver="policy:automatic")
    stages = lifecycle(_facts(release, release, approvals=[approval], alerts=[make_alert()], n_open=1))
    details = {stage.name: (stage.state, stage.detail) for stage in stages}
    assert details["approve"] == ("done", "by the gates")
    assert details["decide"] == ("now", "1 open alert")


def test_a_build_shows_its_runs() -> None:
    running = lifecycle(_facts(runs=[make_run(state="running"), make_run()]))
    assert (running[1].name, running[1].state, running[1].detail) == ("build", "now", "1 training")
    failed = lifecycle(_facts(runs=[make_run(state="failed")]))
    assert failed[1].state == "stopped"
