"""The flight check: what people tick, bound to the release, before any of it is deployed."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from headrace.app.flight import open_items, to_tick
from headrace.app.governance import waivers
from headrace.app.operations import decide
from headrace.app.overviews.reading import release_report
from headrace.app.ticking import approve_looked, tick, why_not_kept
from headrace.cli.main import app as command_line
from headrace.core.errors import Conflict, Denied, InvalidInput, NotFound
from headrace.core.release import Release
from headrace.projects.flight import TO_TICK
from tests.app.small import AUTHOR, VALIDATOR, Site, Small
from tests.app.test_compliance import person

LIST = (
    "kpi: days on the lot}",
    "kpi: days on the lot}\nproofs: {flight: {errors: the largest, told: the dealers}}",
)
MANUAL = ("approval: automatic", "approval: manual")


def _tick(project: Small, release: Release, *names: str, note: str = "looked at twenty rows") -> Release:
    return tick(project.app, project.work, project.me, release.id, names, note)


def _retrained(project: Small, build_id: str) -> Release:
    request = {
        "build_id": build_id, "folder": str(project.folder), "project": project.name,
        "author": "trigger:drift", "cause": "drift", "until": None,
        "approval": None, "with_production": False, "settings": "live",
    }  # fmt: skip
    project.work.durable.start("build", build_id, request)
    return project.app.store.releases.get(project.work.durable.result(build_id)["release_id"])


@pytest.mark.requirement("GAT-08")
def test_nothing_is_deployed_before_every_item_is_ticked_by_name_and_with_a_note(
    shared: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = shared.project("ticked", LIST)
    release = shared.app.store.releases.get(project.build()["release_id"])
    release = project.work_until_waiting(release)
    assert [one.approver for one in shared.app.store.evidence.approvals(release.id)] == ["policy:automatic"]
    assert project.route() is None, "the gates have approved it, and it does not start"
    assert open_items(shared.app, release) == ["errors", "told"]

    assert _tick(project, release, "errors").state == "waiting"
    assert project.route() is None
    live = _tick(project, release, "told", note="wrote to the dealers on Monday")
    assert project.delivered(live.id).state == "live"
    (first, second) = release_report(shared.app, project.me, release.id).flight
    assert (first.by, first.note, first.asks) == (AUTHOR, "looked at twenty rows", "the largest")
    assert (second.by, second.note) == (AUTHOR, "wrote to the dealers on Monday")
    monkeypatch.setenv("HEADRACE_HOME", str(shared.app.settings.home))
    monkeypatch.setenv("HEADRACE_USER", AUTHOR)
    printed = CliRunner().invoke(command_line, ["release", "show", release.id]).stdout
    assert (printed.count("looked at twenty rows"), printed.count("wrote to the dealers")) == (1, 1)
    entries = [e for e in shared.app.store.audit.list(limit=100_000) if e.action == "release.tick"]
    assert [(e.actor, e.detail["item"], e.detail["digest"]) for e in entries if release.id in e.resource] == [
        (AUTHOR, "errors", release.digest), (AUTHOR, "told", release.digest),
    ]  # fmt: skip


@pytest.mark.requirement("GAT-08")
def test_a_tick_is_for_one_release_and_an_approval_waits_for_it(shared: Site) -> None:
    project, grace = shared.project("each", LIST, MANUAL), shared.app.identities.resolve(VALIDATOR)
    first = project.work_until_waiting(project.released())
    decided = decide(shared.app, shared.work, grace, first.id, "approved", "fine")
    assert decided.state == "waiting", "approved, and not deployed"
    assert project.route() is None
    assert _tick(project, first).state in ("live", "approved", "rolling_out")
    assert project.delivered(first.id).state == "live"
    second = project.released()
    assert second.state == "waiting"
    assert open_items(shared.app, second) == ["errors", "told"], "a person's next release is looked at anew"


@pytest.mark.requirement("GAT-08")
def test_a_waiver_lets_through_what_nobody_has_ticked_and_each_item_says_so(shared: Site) -> None:
    project = shared.project("by-leave", LIST)
    release = project.work_until_waiting(shared.app.store.releases.get(project.build()["release_id"]))
    asked = waivers.ask(
        shared.app, project.me, "by-leave", "gate:flight_check", reason="urgent", days=1, size="small"
    )
    waivers.decide(shared.app, person(shared, "vic", "validator"), asked.id, "approved", "until Friday")
    assert _tick(project, release).state in ("live", "approved", "rolling_out")
    assert project.delivered(release.id).state == "live"
    assert all(asked.id in one.note for one in to_tick(shared.app, release))
    waivers.end(shared.app, project.me, asked.id, "it is Friday")
    again = project.work_until_waiting(_retrained(project, "build:by-leave:again"))
    assert open_items(shared.app, again) == ["errors", "told"], "nobody has ever ticked them"


@pytest.mark.requirement("GAT-08")
def test_a_retraining_takes_over_what_was_ticked_for_the_same_code(shared: Site) -> None:
    project = shared.project("again", LIST)
    first = project.work_until_waiting(shared.app.store.releases.get(project.build()["release_id"]))
    _tick(project, first)
    assert project.delivered(first.id).state == "live"

    second = project.delivered(_retrained(project, "build:again:one").id)
    assert second.state == "rolling_out"
    assert [one.by for one in to_tick(shared.app, second)] == [AUTHOR, AUTHOR]
    assert all("same code" in one.note for one in to_tick(shared.app, second))
    (project.folder / "project.py").write_text(
        (project.folder / "project.py").read_text(encoding="utf-8") + "\n# other code\n", encoding="utf-8"
    )
    third = project.work_until_waiting(_retrained(project, "build:again:two"))
    assert open_items(shared.app, third) == ["errors", "told"]


def test_what_cannot_be_ticked_is_said(shared: Site) -> None:
    project = shared.project("refusals", LIST, MANUAL)
    release = project.released()
    with pytest.raises(NotFound, match="has: errors, told"):
        _tick(project, release, "nothing")
    with pytest.raises(InvalidInput, match="says what they looked at"):
        _tick(project, release, "errors", note="  ")
    with pytest.raises(Denied):
        tick(shared.app, shared.work, person(shared, "vera", "viewer"), release.id, [], "mine")
    _tick(project, release, "errors")
    with pytest.raises(Conflict, match="ticked by 'ada' already"):
        _tick(project, release, "errors")
    decide(shared.app, shared.work, shared.app.identities.resolve(VALIDATOR), release.id, "rejected", "no")
    with pytest.raises(Conflict, match="is over"):
        _tick(project, project.delivered(release.id), "told")


@pytest.mark.requirement("GAT-08")
def test_each_template_brings_its_own_list() -> None:
    lists = [frozenset(items) for items in TO_TICK.values()]
    assert set(TO_TICK) == {"supervised", "forecasting", "unsupervised", "llm"}
    assert len(set(lists)) == len(lists)


@pytest.mark.requirement("GAT-08")
def test_a_refused_approval_ticks_nothing_and_an_allowed_one_ticks_all(shared: Site) -> None:
    project, grace = shared.project("together", LIST, MANUAL), shared.app.identities.resolve(VALIDATOR)
    release = project.work_until_waiting(project.released())
    with pytest.raises(Denied):
        approve_looked(shared.app, shared.work, project.me, release.id, "mine", "looked")
    with pytest.raises(InvalidInput, match="says what they looked at"):
        approve_looked(shared.app, shared.work, grace, release.id, "fine", "  ")
    assert open_items(shared.app, release) == ["errors", "told"]
    assert not shared.app.store.evidence.approvals(release.id)
    approve_looked(shared.app, shared.work, grace, release.id, "fine", "read twenty rows")
    assert why_not_kept(shared.app, grace, release, " read twenty rows ") == ""
    assert {(one.by, one.note) for one in to_tick(shared.app, release)} == {(VALIDATOR, "read twenty rows")}
    assert project.delivered(release.id).state == "live"
    approve_looked(shared.app, shared.work, grace, release.id, "fine", "read two hundred")
    lost = why_not_kept(shared.app, grace, release, "read two hundred")
    assert lost.startswith("Your note is not kept: nothing of the flight check")
    assert f"it was ticked by {VALIDATOR} already, and a tick stays as it was given" in lost
    assert {one.note for one in to_tick(shared.app, release)} == {"read twenty rows"}
    empty = shared.project("no-list").released()
    assert "it has no item that a person ticks" in why_not_kept(shared.app, grace, empty, "read it")
