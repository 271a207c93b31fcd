"""The rules of a workspace: proposed by one, approved by another, inherited by every project from then on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.compliance import in_force, project_compliance, subject_of
from headrace.app.governance import controls, incidents
from headrace.app.governance.controls import RULES
from headrace.app.governance.policies import POLICY
from headrace.app.governance.reviewed_texts import Decided
from headrace.app.operations import decide as decide_release
from headrace.app.operations import declare
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, Denied, GateFailed, InvalidInput, NotFound
from headrace.projects.controls import house_rules
from tests.app.small import Site, site
from tests.app.test_compliance import person

NO_YEAR = "forbidden_inputs: [year]\n"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A home of this module's own: its rules hold for everything in it."""
    with site(tmp_path_factory.mktemp("rules")) as found:
        yield found


@pytest.fixture(autouse=True)
def as_before(own: Site) -> Iterator[None]:
    yield
    for text in own.app.store.policies.list(subject=subject_of("main")):
        own.app.store.policies.change(replace(text, state="refused", revision=text.revision + 1))


def enforce(own: Site, text: str) -> Decided:
    dev, vic = person(own, "dev", "developer"), person(own, "vic", "validator")
    return RULES.decide(own.app, vic, RULES.propose(own.app, dev, text).version, "approved")


@pytest.mark.requirement("GOV-16", "GOV-17")
def test_new_rules_hold_for_every_project_at_once_and_without_a_new_release(own: Site) -> None:
    otto = person(own, "otto", "operator")
    first, second = own.project("first"), own.project("second", ("name: year, role: numeric",
                                                              "name: year, role: ignored"))  # fmt: skip
    live, fine = first.released(), second.released()
    assert (live.state, fine.state) == ("live", "live")
    assert own.app.store.releases.get(live.id).digest == live.digest

    dev, vic = person(own, "dev", "developer"), person(own, "vic", "validator")
    proposed = RULES.propose(own.app, dev, NO_YEAR, "not by age")
    assert in_force(own.app, "main").version == 0, "it holds for nobody yet"
    with pytest.raises(Denied):
        RULES.decide(own.app, replace(vic, name="dev"), proposed.version, "approved")
    judged = RULES.decide(own.app, vic, proposed.version, "approved", "agreed")
    assert (judged.text.state, judged.text.approver) == ("live", "vic")
    assert "first" in judged.violating
    assert "second" not in judged.violating

    assert own.app.store.releases.get(live.id).digest == live.digest, "the release is the same"
    report = reading.release_report(own.app, vic, live.id)
    assert report.compliance is not None
    assert (report.compliance.outcome, report.compliance.evidence["rules version"]) == (
        "failed",
        proposed.version,
    )
    (raised,) = (i for i in incidents.incidents(own.app, otto) if i.subject == "project:first")
    assert "give year the role ignored" in raised.evidence["reason"]
    with pytest.raises(GateFailed, match=r"inputs: inputs: year"):
        first.build()
    assert project_compliance(own.app, vic, "second").violations == []
    named = f"policy:controls:main@{proposed.version}"
    actions = [e.action for e in own.app.store.audit.list() if e.resource == named]
    assert actions == ["controls.propose", "access.denied", "controls.decide"]


@pytest.mark.requirement("GOV-16")
def test_rules_that_change_while_a_release_waits_hold_for_its_approval(own: Site) -> None:
    vic = person(own, "vic", "validator")
    manual = own.project("waiting", ("approval: automatic", "approval: manual"))
    release = manual.released()
    three = "low: {approvals: 2}\nmedium: {approvals: 2, controls: [canary]}\n"
    enforce(own, three)
    assert decide_release(own.app, own.work, vic, release.id, "approved", "").state == "waiting"
    assert reading.quorum(own.app, vic, release).needed == 2
    val = person(own, "val", "validator")
    assert decide_release(own.app, own.work, val, release.id, "approved", "").state == "live"


def test_where_two_have_to_agree_the_gates_count_as_one(own: Site) -> None:
    enforce(own, "low: {approvals: 2}\nmedium: {approvals: 2}\n")
    automatic = own.project("both")
    declare(own.app, automatic.me, automatic.folder)
    release = own.app.store.releases.get(automatic.build()["release_id"])
    deadline_s = own.app.clock.monotonic_s() + 20
    while not own.app.store.evidence.approvals(release.id) and own.app.clock.monotonic_s() < deadline_s:
        own.app.clock.sleep(0.02)
    assert own.app.store.releases.get(release.id).state == "waiting"
    vic = person(own, "vic", "validator")
    assert decide_release(own.app, own.work, vic, release.id, "approved", "").state == "live"


def test_rules_are_refused_before_anybody_is_asked(own: Site) -> None:
    dev = person(own, "dev", "developer")
    for text, error in (("low: {controls: [magic]}", InvalidInput), (house_rules().text, Conflict)):
        with pytest.raises(error):
            RULES.propose(own.app, dev, text)
    with pytest.raises(InvalidInput, match="at most 65536"):
        RULES.propose(own.app, dev, "#" * 70_000)
    with pytest.raises(NotFound, match="controls ls"):
        RULES.decide(own.app, person(own, "vic", "validator"), 999, "approved")
    with pytest.raises(Denied):
        RULES.propose(own.app, person(own, "vera", "viewer"), NO_YEAR)


def test_a_refused_or_overtaken_text_never_holds(own: Site) -> None:
    dev, vic = person(own, "dev", "developer"), person(own, "vic", "validator")
    older = RULES.propose(own.app, dev, "forbidden_inputs: [a]\n")
    newer = RULES.propose(own.app, dev, "forbidden_inputs: [b]\n")
    assert newer.version == older.version + 1
    RULES.decide(own.app, vic, newer.version, "approved")
    with pytest.raises(Conflict, match="would be undone"):
        RULES.decide(own.app, vic, older.version, "approved")
    RULES.decide(own.app, vic, older.version, "rejected")
    with pytest.raises(Conflict, match="is refused; only one that waits"):
        RULES.decide(own.app, vic, older.version, "approved")
    assert controls.show(own.app, vic).rules.forbidden_inputs == ("b",)
    third = enforce(own, "forbidden_inputs: [c]\n").text
    states = {t.version: t.state for t in RULES.versions(own.app, vic)}
    assert (states[older.version], states[newer.version], states[third.version]) == (
        "refused",
        "superseded",
        "live",
    )


def test_a_text_that_cannot_be_used_any_more_leaves_the_one_before_in_force(
    own: Site, tmp_path: Path
) -> None:
    before = enforce(own, "forbidden_inputs: [b]\n").text
    broken = enforce(own, "forbidden_inputs: [d]\n").text
    own.app.store.policies.change(replace(broken, text="low: [", revision=broken.revision + 1))
    assert in_force(own.app, "main").version == before.version
    kinds = {i.kind for i in incidents.incidents(own.app, person(own, "otto", "operator"))}
    assert "rules_broken" in kinds


def test_the_access_policy_is_another_text(own: Site) -> None:
    enforce(own, NO_YEAR)
    vic = person(own, "vic", "validator")
    assert POLICY.show(own.app, vic).version == 0
    assert POLICY.versions(own.app, vic) == []
