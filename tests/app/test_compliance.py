"""The rules of a workspace on the path to production: at run, at approval, and while a release is live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.app.alerting import cases
from headrace.app.compliance import judge_release, project_compliance, watch_compliance
from headrace.app.governance import incidents, waivers
from headrace.app.governance.accountable import accountable
from headrace.app.operations import decide, declare, watch_now
from headrace.app.overviews import reading
from headrace.core.errors import Conflict, Denied, GateFailed, InvalidInput, NotFound
from headrace.core.identity import Principal, Session
from headrace.core.project import Column
from headrace.core.release import Waiver
from tests.app.small import AUTHOR, NEED, Site, Small

STAGES = "".join(
    f"    - {{stage: {name}, business: Ada, engineering: Ada}}\n"
    for name in ("declare", "build", "prove", "approve", "roll out", "operate")
)
INTAKE = (
    "intake:\n  value: {expected: 12000, unit: EUR}\n"
    "  need: {why: it pays, complexity: low, alternatives: [{name: a rule, kind: rule, reached: little}]}\n"
    "  organisation: {data: by_hand, labels: some, process: repeated, people: informed, after: builder}\n"
    f"  ai_act: minimal\n  stages:\n{STAGES}"
)
HIGH = ("approval: automatic", f"approval: manual\nrisk: high\n{INTAKE}")
WATCHED = (
    "  - {when: drift, do: automatic, min_labels: 50}",
    "  - {when: drift, do: review, min_labels: 50}\n  - {when: performance, do: review}",
)


def person(site: Site, name: str, *roles: str) -> Principal:
    """Somebody who has just proved who they are."""
    made = site.app.identities.add(name, roles, actor=AUTHOR)
    until = site.app.clock.now() + timedelta(minutes=5)
    return replace(made, session=Session(token=f"t-{name}", proved_until=until))


def granted(project: Small, rule: str, *people: Principal, days: int = 30, size: str = "medium") -> Waiver:
    """A waiver that these people agree to."""
    asked = waivers.ask(project.app, project.me, project.name, rule, reason="r", days=days, size=size)  # type: ignore[arg-type]
    for one in people:
        asked = waivers.decide(project.app, one, asked.id, "approved")
    return asked


@pytest.mark.requirement("GOV-03")
@pytest.mark.requirement("GAT-16")
def test_a_high_risk_takes_two_people_and_says_how_far_it_is(shared: Site) -> None:
    vic, val = person(shared, "vic", "validator"), person(shared, "val", "validator")
    project = shared.project("two-people", (NEED, ""), HIGH, WATCHED)
    release = project.released()
    assert release.state == "waiting", release.reason
    first = decide(shared.app, shared.work, vic, release.id, "approved", "good")
    assert (first.state, project.route()) == ("waiting", None)
    report = reading.release_report(shared.app, vic, release.id)
    assert (report.quorum.given, report.quorum.needed) == (1, 2)
    assert report.compliance is not None
    assert (report.compliance.outcome, report.compliance.evidence["tier"]) == ("passed", "high")
    again = decide(shared.app, shared.work, vic, release.id, "approved", "good")
    assert again.state == "waiting", "the same person is one person"
    second = decide(shared.app, shared.work, val, release.id, "approved", "fine")
    assert (second.state, second.reason) == ("live", "first release: nothing to compare with")
    assert [a.approver for a in shared.app.store.evidence.approvals(release.id)] == ["vic", "val"]


@pytest.mark.requirement("GOV-02")
def test_of_two_people_one_may_reject(shared: Site) -> None:
    vic, val = person(shared, "vic", "validator"), person(shared, "val", "validator")
    project = shared.project("one-rejects", (NEED, ""), HIGH, WATCHED)
    release = project.released()
    decide(shared.app, shared.work, vic, release.id, "approved", "")
    rejected = decide(shared.app, shared.work, val, release.id, "rejected", "no")
    assert (rejected.state, rejected.reason) == ("rejected", "val: no")


@pytest.mark.requirement("GOV-03")
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("auto", ("approval: automatic", "approval: automatic\nrisk: high"), "people-approve: approval"),
        ("no-canary", ("steps: [50]", "steps: []"), "canary: all traffic at once.*--rule control:canary"),
        ("too-low", ("impact: minor", "impact: serious"), "tier: declared low; the answers give medium"),
        ("no-docs", ("documentation: made up", "documentation: ''"), "documentation: data.documentation"),
    ],
)
def test_what_could_never_be_released_is_not_built(
    shared: Site, name: str, change: tuple[str, str], message: str
) -> None:
    risk = ("approval: automatic", "approval: automatic\nrisk: low") if name == "too-low" else change
    project = shared.project(name, *dict.fromkeys((change, risk)))
    with pytest.raises(GateFailed, match=message):
        project.build()
    assert reading.runs(shared.app, project.me, name) == []


@pytest.mark.requirement("GOV-04")
def test_a_waived_control_lets_through_and_stays_in_the_record(shared: Site) -> None:
    vic, aud = person(shared, "vic", "validator"), person(shared, "aud", "auditor")
    project = shared.project("leave", ("steps: [50]", "steps: []"))
    declare(shared.app, project.me, project.folder)
    with pytest.raises(InvalidInput, match="--size medium"):
        granted(project, "control:canary", size="small")
    waiver = granted(project, "control:canary", vic)
    assert (waiver.state, waivers.waivers(shared.app, vic, "leave")[0].missing) == ("asked", "1 more person")
    with pytest.raises(GateFailed):
        project.build()
    waivers.decide(shared.app, aud, waiver.id, "approved", "once")
    release = project.released()
    assert release.state == "live", release.reason
    evidence = project.verdicts(release)["compliance"].evidence["controls"]["canary"]
    assert (evidence["status"], evidence["waiver"]) == ("waived", waiver.id)
    actions = [e.action for e in shared.app.store.audit.list() if e.detail.get("waiver") == waiver.id]
    assert actions == ["waiver.ask", "waiver.decide", "waiver.decide"]


@pytest.mark.requirement("GOV-04")
def test_a_waived_gate_names_its_waiver_and_keeps_what_it_measured(shared: Site) -> None:
    vic, val = person(shared, "vic", "validator"), person(shared, "val", "validator")
    project = shared.project("worse", ("metric: mae}", "metric: mae, max_loss: 1.0}"))
    assert project.released().state == "refused"
    waiver = granted(project, "gate:model", vic, val)
    release = project.released()
    assert release.state == "live", release.reason
    verdict = project.verdicts(release)["model"]
    assert verdict.outcome == "passed"
    assert waiver.id in verdict.reason
    assert "exceeds the limit 1" in verdict.reason
    assert verdict.evidence["outcome without the waiver"] == "failed"
    assert verdict.evidence["waiver"]["agreed by"] == "vic, val"


@pytest.mark.requirement("GOV-02")
def test_nobody_decides_about_their_own_waiver_nor_profits_from_one_they_agreed_to(shared: Site) -> None:
    project = shared.project("own", ("metric: mae}", "metric: mae, max_loss: 1.0}"))
    declare(shared.app, project.me, project.folder)
    waiver = granted(project, "gate:flight_check", size="small")
    with pytest.raises(Denied, match="own work"):
        waivers.decide(shared.app, project.me, waiver.id, "approved")
    for role in ("viewer", "developer", "operator", "admin"):
        with pytest.raises(Denied, match=r"waiver\.decide"):
            waivers.decide(shared.app, person(shared, f"a-{role}", role), waiver.id, "approved")
    dev, vic = person(shared, "dev", "developer"), person(shared, "vic", "validator")
    asked = waivers.ask(shared.app, dev, "own", "gate:model", reason="r", days=1, size="medium")
    for one in (project.me, vic):  # ada, who makes the release, is a validator too
        asked = waivers.decide(shared.app, one, asked.id, "approved")
    assert asked.state == "granted"
    assert project.released().state == "refused"


@pytest.mark.requirement("GOV-10")
@pytest.mark.requirement("GAT-16")
def test_a_live_release_that_no_longer_keeps_the_rules_is_an_incident_until_somebody_closes_it(
    shared: Site,
) -> None:
    vic, val = person(shared, "vic", "validator"), person(shared, "val", "validator")
    otto = person(shared, "otto", "operator")
    project = shared.project("drifts", ("steps: [50]", "steps: []"))
    declare(shared.app, project.me, project.folder)
    waiver = granted(project, "control:canary", vic, val)
    release = project.released()
    assert release.state == "live", release.reason
    assert watch_compliance(shared.app, "drifts") is None
    waivers.end(shared.app, project.me, waiver.id, "no longer wanted")
    watch_now(shared.app, shared.work, otto, "drifts")
    (raised,) = (i for i in incidents.incidents(shared.app, otto) if i.subject == "project:drifts")
    assert (raised.kind, raised.state) == ("compliance", "open")
    assert "canary" in raised.evidence["reason"]
    latest = reading.release_report(shared.app, vic, release.id).compliance
    assert latest is not None
    assert latest.outcome == "failed"
    assert [v.outcome for v in shared.app.store.evidence.verdicts(release.id) if v.gate == "compliance"] == [
        "passed",
        "failed",
    ]
    assert watch_compliance(shared.app, "drifts") == raised.id, "one incident, however often it is seen"
    (alert,) = cases.shown(shared.app, vic, "drifts")
    assert (alert.finding.kind, alert.state, alert.severity) == ("compliance", "open", "critical")
    assert alert.case is not None
    assert alert.case.due_at is not None
    assert {one.channel for one in alert.notices} == {"email"}, "and people are told"

    project.write()  # a canary again
    declare(shared.app, project.me, project.folder)
    assert watch_compliance(shared.app, "drifts") == raised.id, "declared is not released"
    assert project.amended().state == "live"
    watch_compliance(shared.app, "drifts")
    noted = incidents.incident(shared.app, otto, raised.id)
    assert "keeps the rules again" in noted.notes[-1]["text"]
    incidents.take(shared.app, otto, raised.id)
    closed = incidents.close(shared.app, otto, raised.id, "the canary is back")
    assert (closed.state, closed.resolution) == ("closed", "the canary is back")
    assert watch_compliance(shared.app, "drifts") is None


@pytest.mark.requirement("GAT-16")
def test_what_became_forbidden_while_it_waited_is_not_approved(shared: Site) -> None:
    vic = person(shared, "vic", "validator")
    project = shared.project("waits", ("approval: automatic", "approval: manual"))
    release = project.released()
    graver = (
        "impact: minor, scale: few, reversible: at_once",
        "impact: serious, scale: millions, reversible: never",
    )
    project.write(("approval: automatic", "approval: manual"), graver)
    declare(shared.app, project.me, project.folder)
    with pytest.raises(GateFailed, match="tier"):
        decide(shared.app, shared.work, vic, release.id, "approved", "")
    assert shared.app.store.releases.get(release.id).state == "waiting"
    project.write(("approval: automatic", "approval: manual"))
    declare(shared.app, project.me, project.folder)
    assert decide(shared.app, shared.work, vic, release.id, "approved", "").state == "live"
    assert judge_release(shared.app, release).outcome == "passed"
    assert [v.outcome for v in shared.app.store.evidence.verdicts(release.id) if v.gate == "compliance"] == [
        "passed", "failed", "passed",
    ]  # fmt: skip


def test_the_inputs_of_a_release_are_those_it_was_made_with(shared: Site) -> None:
    project = shared.project("inputs")
    release = project.released()
    declared = shared.app.store.projects.get("inputs")
    fewer = replace(declared.data, columns=(Column(name="year", role="numeric"),))
    shared.app.store.projects.save(replace(declared, data=fewer), str(project.folder))
    detail = judge_release(shared.app, release).evidence["controls"]["inputs"]["detail"]
    assert detail == "none of 0 forbidden columns among 5 inputs"


@pytest.mark.requirement("GOV-12")
def test_whom_to_call_about_a_project_a_model_and_an_agent(shared: Site) -> None:
    project = shared.project("called")
    project.released()
    changed = (
        "owner: {name: Ada, contact: ada@example.org}",
        "owner: {name: Bea, contact: +44 20 7946 0018}",
    )
    project.write(changed)
    declare(shared.app, project.me, project.folder)
    viewer = person(shared, "vera", "viewer")
    of_model = accountable(shared.app, viewer, "model:called@1")
    assert (of_model.name, of_model.contact) == ("Ada", "ada@example.org"), "as its release names"
    assert accountable(shared.app, viewer, "project:called").contact == "+44 20 7946 0018"
    shared.app.identities.add(
        "helper", ["viewer"], actor=AUTHOR, kind="agent", owner="vera", purpose="answers questions",
        expires_at=shared.app.clock.now() + timedelta(days=1),
        review_by=shared.app.clock.now() + timedelta(days=1),
    )  # fmt: skip
    assert accountable(shared.app, viewer, "agent:helper").name == "vera"
    for wrong, error in (("model:called@9", NotFound), ("agent:nobody", NotFound), ("thing:x", InvalidInput)):
        with pytest.raises(error):
            accountable(shared.app, viewer, wrong)


def test_waivers_are_seen_and_found_by_how_they_begin(shared: Site) -> None:
    vic = person(shared, "vic", "validator")
    project = shared.project("listed")
    declare(shared.app, project.me, project.folder)
    asked = granted(project, "gate:flight_check", size="small", days=1)
    assert waivers.find(shared.app, project.me, asked.id[:-1]).id == asked.id
    for text in ("", "zzz-none"):
        with pytest.raises(NotFound, match="headrace project waivers"):
            waivers.find(shared.app, project.me, text)
    with pytest.raises(InvalidInput, match="needs a reason"):
        waivers.ask(shared.app, project.me, "listed", "gate:model", reason=" ", days=1, size="medium")
    refused = waivers.decide(shared.app, vic, asked.id, "rejected", "not needed")
    assert (refused.state, refused.decisions[0]["comment"]) == ("refused", "not needed")
    with pytest.raises(Conflict):
        waivers.decide(shared.app, vic, asked.id, "approved")
    everything = waivers.waivers(shared.app, vic)
    assert asked.id in {one.waiver.id for one in everything}
    assert project_compliance(shared.app, vic, "listed").violations == []
