"""From findings to action: every trigger, every action, and no retraining storm."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.project import (
    DataGate,
    DataSpec,
    Gates,
    ModelGate,
    Owner,
    Project,
    Trigger,
    Value,
)
from headrace.core.record import Alert, Finding
from headrace.monitoring.triggers import Standing, answered, next_retraining, raise_alerts, standing_findings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = ("data_drift", "prediction_drift", "performance", "labels", "schedule", "code")


def project(*triggers: Trigger) -> Project:
    return Project(
        name="cars",
        task="regression",
        owner=Owner(name="Ann", contact="ann@localhost"),
        value=Value(hypothesis="h", kpi="k"),
        data=DataSpec(source="cars.csv", target="price"),
        gates=Gates(data=DataGate(), model=ModelGate(metric="mae")),
        variants=(),
        triggers=triggers,
    )


def finding(kind: str = "data_drift", *, release: str = "live", size: float = 1.0) -> Finding:
    return Finding(
        id=f"{kind}-{release}",
        project="cars",
        kind=kind,
        release_id=release,
        title=f"{kind} seen",
        window=(NOW - timedelta(days=7), NOW),
        evidence={},
        size=size,
        at=NOW,
    )


def standing(**changes: object) -> Standing:
    before = Standing(
        release_id="live",
        trained_until=NOW - timedelta(days=10),
        n_new_labels=0,
        code_changed=None,
        event_time=NOW,
    )
    return replace(before, **changes)  # type: ignore[arg-type]


@pytest.mark.requirement("RET-02")
@pytest.mark.parametrize(
    ("trigger", "state", "kind"),
    [
        (Trigger(when="labels", min_labels=100), standing(n_new_labels=100), "labels"),
        (Trigger(when="schedule", every_s=5 * 86_400), standing(), "schedule"),
        (Trigger(when="code"), standing(code_changed="abc"), "code"),
    ],
)
def test_the_state_alone_can_ask_for_a_retraining(trigger: Trigger, state: Standing, kind: str) -> None:
    found = standing_findings(project(trigger), state, NOW)
    assert [f.kind for f in found] == [kind]
    assert standing_findings(project(trigger), state, NOW)[0].id == found[0].id, "said once"
    assert standing_findings(project(), state, NOW) == [], "nobody asked to be told"


@pytest.mark.parametrize(
    "trigger", [Trigger(when="labels", min_labels=100), Trigger(when="schedule"), Trigger(when="code")]
)
def test_a_quiet_state_asks_for_nothing(trigger: Trigger) -> None:
    assert standing_findings(project(trigger), standing(n_new_labels=99), NOW) == []


@pytest.mark.requirement("RET-03")
@pytest.mark.parametrize(("do", "state"), [("warn", "closed"), ("review", "open"), ("automatic", "open")])
def test_the_policy_chooses_the_action(do: str, state: str) -> None:
    policy = project(Trigger(when="drift", do=do))  # type: ignore[arg-type]
    alert = raise_alerts(policy, [finding("data_drift")], NOW, NOW)[0]
    assert (alert.action, alert.state, alert.finding_id) == (do, state, "data_drift-live")


def test_a_finding_without_a_trigger_only_warns() -> None:
    assert raise_alerts(project(), [finding("performance")], NOW, NOW)[0].action == "warn"


def alerts_on(policy: Project, *found: Finding) -> tuple[list[Alert], dict[str, Finding]]:
    return raise_alerts(policy, found, NOW, NOW), {f.id: f for f in found}


@pytest.mark.requirement("RET-01")
def test_a_shift_starts_a_retraining() -> None:
    policy = project(Trigger(when="drift", do="automatic"))
    alerts, findings = alerts_on(policy, finding("data_drift"))
    chosen = next_retraining(policy, alerts, findings, standing=standing(n_new_labels=1000), in_flight=False)
    assert chosen.alert == alerts[0]


def test_degraded_performance_comes_before_drift() -> None:
    policy = project(Trigger(when="drift", do="automatic"), Trigger(when="performance", do="automatic"))
    alerts, findings = alerts_on(policy, finding("data_drift", size=9.0), finding("performance"))
    chosen = next_retraining(policy, alerts, findings, standing=standing(n_new_labels=1000), in_flight=False)
    assert chosen.alert is not None
    assert chosen.alert.finding_id == "performance-live"


def test_a_retraining_answers_all_that_is_about_a_window_that_began_before_it() -> None:
    policy = project(*(Trigger(when=when, do="automatic") for when in ("drift", "performance", "code")))
    later = replace(finding("concept_drift"), id="later", window=(NOW, NOW + timedelta(days=7)))
    found = [finding("performance"), finding("concept_drift"), later, finding("data_drift"), finding("code")]
    alerts, findings = alerts_on(policy, *found)
    assert answered(policy, alerts, findings) == []
    alerts[0] = replace(alerts[0], state="acting", build_id="b")
    (one,) = answered(policy, alerts, findings)
    assert one == replace(alerts[1], build_id="b")
    alerts[0] = replace(alerts[0], state="closed", event_time=NOW + timedelta(hours=1))
    assert [one.id for one in answered(policy, alerts, findings)] == [alerts[1].id, alerts[2].id]
    assert answered(project(), alerts, findings) == [], "the policy asks for nothing any more"


def test_code_that_changes_again_asks_again() -> None:
    policy = project(Trigger(when="code", do="automatic"))
    alerts, findings = alerts_on(policy, finding("code"), replace(finding("code"), id="again"))
    alerts[0] = replace(alerts[0], state="closed", build_id="b")
    assert answered(policy, alerts, findings) == []


def test_one_in_flight_is_enough() -> None:
    policy = project(Trigger(when="drift", do="automatic"))
    alerts, findings = alerts_on(policy, finding())
    chosen = next_retraining(policy, alerts, findings, standing=standing(n_new_labels=1000), in_flight=True)
    assert (chosen.alert, chosen.why_not) == (None, "one is in flight")


def test_a_finding_about_a_model_that_is_gone_asks_for_nothing() -> None:
    policy = project(Trigger(when="drift", do="automatic"))
    alerts, findings = alerts_on(policy, finding(release="old"))
    chosen = next_retraining(policy, alerts, findings, standing=standing(n_new_labels=1000), in_flight=False)
    assert chosen.alert is None


@pytest.mark.parametrize(("when", "starts"), [("drift", False), ("code", True)])
def test_without_new_labels_only_new_code_is_worth_a_retraining(when: str, starts: bool) -> None:
    policy = project(Trigger(when=when, do="automatic"))  # type: ignore[arg-type]
    alerts, findings = alerts_on(policy, finding("data_drift" if when == "drift" else "code"))
    chosen = next_retraining(policy, alerts, findings, standing=standing(n_new_labels=999), in_flight=False)
    assert (chosen.alert is not None) == starts
    assert starts or chosen.why_not == "999 of 1000 new labels to learn from"


@pytest.mark.requirement("RET-02")
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 100)), max_size=60),
    st.integers(1, 40),
)
def test_there_is_never_a_storm(arrivals: list[tuple[str, int]], cooldown_days: int) -> None:
    cooldown_s = cooldown_days * 86_400
    policy = project(
        Trigger(when="drift", do="automatic", cooldown_s=cooldown_s),
        Trigger(when="performance", do="automatic", cooldown_s=cooldown_s),
        Trigger(when="labels", do="automatic", cooldown_s=cooldown_s),
        Trigger(when="schedule", do="automatic", cooldown_s=cooldown_s),
        Trigger(when="code", do="automatic", cooldown_s=cooldown_s),
    )
    alerts: list[Alert] = []
    findings: dict[str, Finding] = {}
    started: list[datetime] = []
    for index, (kind, day) in enumerate(sorted(arrivals, key=lambda a: a[1])):
        moment = NOW + timedelta(days=day)
        seen = replace(finding(kind), id=f"f{index}")
        findings[seen.id] = seen
        alerts += raise_alerts(policy, [seen], moment, moment)
        chosen = next_retraining(
            policy, alerts, findings, standing=standing(n_new_labels=1000, event_time=moment), in_flight=False
        )
        if chosen.alert is not None:
            started.append(moment)
            place = alerts.index(chosen.alert)
            alerts[place] = replace(chosen.alert, state="acting", build_id="b", event_time=moment)
    gaps = [after - before for before, after in itertools.pairwise(started)]
    assert all(gap >= timedelta(days=cooldown_days) for gap in gaps)
