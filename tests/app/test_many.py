"""Many models as a set: listed, rolled back and approved, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.app.many import ALL, approve_many, roll_back_many
from headrace.app.overviews.active import active
from headrace.core.errors import NotFound
from headrace.core.ids import new_id
from headrace.testing.factories import make_project, make_verdict
from tests.web.conftest import Site, serving
from tests.web.making import AUTHOR, VALIDATOR, add_release, add_verdicts, go_live
from tests.web.seed import BY_HAND


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Site]:
    """``flight-delay`` (two releases, one waits), ``cars`` (a canary), ``cars-old`` (one)."""
    with serving(tmp_path / "home") as site:
        project, now = make_project(name="cars-old"), site.app.clock.now()
        site.app.store.projects.save(project, "/nowhere/cars-old")
        only = add_release(site.app, project, 1, BY_HAND, at=now, loss=1_204.0)
        add_verdicts(site.app, project, only)
        go_live(site.app, project, only, now)
        yield site


def _live(site: Site) -> dict[str, str]:
    found = active(site.app, site.app.identities.resolve(AUTHOR))
    return {one.project: one.release_id for one in found if one.environment == "production"}


@pytest.mark.requirement("DEP-12")
def test_all_are_listed_and_rolled_back_each_with_its_outcome(fleet: Site) -> None:
    me = fleet.app.identities.resolve(AUTHOR)
    before = _live(fleet)
    assert set(before) == {"flight-delay", "cars", "cars-old"}
    assert {one.project for one in active(fleet.app, me) if one.open_alerts} == {"flight-delay"}
    planned = roll_back_many(fleet.app, fleet.work, me, [ALL], dry_run=True)
    assert _live(fleet) == before, "a dry run does nothing"
    done = roll_back_many(fleet.app, fleet.work, me, [ALL])
    assert [(one.project, one.release, one.done) for one in planned] == [
        (one.project, one.release, one.done) for one in done
    ]
    assert {one.project: one.done for one in done} == {"flight-delay": True, "cars": True, "cars-old": False}
    assert "first release" in next(one.said for one in done if not one.done)
    after = _live(fleet)
    assert (after["cars"], after["cars-old"]) == (fleet.seeded.cars_live, before["cars-old"])
    assert after["flight-delay"] != before["flight-delay"]
    assert fleet.app.store.rollouts.route("cars").canary is None  # type: ignore[union-attr]


@pytest.mark.requirement("DEP-12")
def test_a_pattern_selects_and_nobody_does_by_it_what_they_may_not(fleet: Site) -> None:
    grace, me = (fleet.app.identities.resolve(name) for name in (VALIDATOR, AUTHOR))
    before = _live(fleet)
    for dry_run in (True, False):
        refused = roll_back_many(fleet.app, fleet.work, grace, ["cars*"], dry_run=dry_run)
        assert [(one.project, one.done) for one in refused] == [("cars", False), ("cars-old", False)]
        assert all("release.rollback" in one.said for one in refused)
    assert _live(fleet) == before
    with pytest.raises(NotFound, match="'vans-.' selects no project of which something is live.*cars"):
        roll_back_many(fleet.app, fleet.work, me, ["vans-*"])
    (gone,) = roll_back_many(fleet.app, fleet.work, me, ["no-such-project"])
    assert not gone.done


@pytest.mark.requirement("DEP-12")
def test_many_are_approved_never_ones_own(fleet: Site) -> None:
    grace, me = (fleet.app.identities.resolve(name) for name in (VALIDATOR, AUTHOR))
    store, waiting = fleet.app.store, fleet.seeded.waiting

    def approve(who: str = VALIDATOR, *, dry_run: bool = False) -> tuple[bool, str]:
        principal = grace if who == VALIDATOR else me
        (one,) = approve_many(fleet.app, fleet.work, principal, ["flight-*"], "together", dry_run=dry_run)
        return one.done, one.said

    assert (approve(AUTHOR, dry_run=True)[0], approve(AUTHOR)[0]) == (False, False)
    done, said = approve(dry_run=True)
    assert (done, said.startswith("would approve model:flight-delay@4")) == (True, True)
    assert store.releases.get(waiting).state == "waiting"
    assert store.evidence.approvals(waiting) == []
    assert approve()[0]
    assert store.releases.get(waiting).state == "rolling_out"
    assert [(a.approver, a.comment) for a in store.evidence.approvals(waiting)] == [(VALIDATOR, "together")]


def test_what_is_in_doubt_is_approved_by_its_id_alone(fleet: Site) -> None:
    grace, waiting = fleet.app.identities.resolve(VALIDATOR), fleet.seeded.waiting
    now = fleet.app.clock.now()
    doubt = make_verdict(id=new_id(now), subject_id=waiting, gate="champion", outcome="inconclusive", at=now)
    fleet.app.store.evidence.add_verdict(doubt)
    (refused,) = approve_many(fleet.app, fleet.work, grace, ["flight-*"], "together")
    assert (refused.done, "a gate is inconclusive" in refused.said) == (False, True)
    assert fleet.app.store.releases.get(waiting).state == "waiting"
    (named,) = approve_many(fleet.app, fleet.work, grace, [waiting], "looked at")
    assert named.done, named.said
