from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.ids import derived_id
from headrace.testing.clock import START
from headrace.testing.factories import make_alert, make_finding, make_measurement, make_release
from headrace.web.pages.findings import grouped

WEEK = timedelta(days=7)


def test_what_was_found_together_stands_together_with_the_largest_shift_first() -> None:
    findings = [
        make_finding(release_id="live", feature="mileage", size=0.3, evidence={"psi": 0.3}),
        make_finding(release_id="live", feature="model", size=0.9, evidence={"psi": 0.9, "ks": 0.4}),
        make_finding(release_id="live", kind="performance", feature=None, title="mae is 1.2 times"),
        make_finding(release_id="live", feature="mileage", window=(START + WEEK, START + 2 * WEEK)),
    ]
    latest, *rest = grouped(findings, [], [], "live")
    assert latest.title == "mileage has shifted"
    assert latest.asked == ""
    both, worse = sorted(rest, key=lambda group: group.kind)
    assert both.title == "2 inputs have shifted, most 'model': by 0.90 standard deviations"
    assert both.blocks[0].heads == ["feature", "psi", "ks"]
    assert both.blocks[0].rows == [["model", 0.9, 0.4], ["mileage", 0.3, None]]
    assert worse.title == "mae is 1.2 times"


def test_a_word_that_no_finding_says_is_no_column() -> None:
    one, other = (
        make_finding(kind="data_drift", feature=name, evidence={"came": "", "course": name}) for name in "ab"
    )
    (group,) = grouped([one, other], [], [], "live")
    assert group.blocks[0].heads == ["feature", "course"]
    (group,) = grouped([one, replace(other, evidence={"came": "suddenly"})], [], [], "live")
    assert group.blocks[0].heads == ["feature", "course", "came"]


def test_metrics_and_rates_that_have_a_feature_are_not_called_shifted_inputs() -> None:
    findings = [
        make_finding(kind=kind, feature=name, title=f"{name} exceeds its limit")
        for kind in ("metric", "fairness")
        for name in ("money_lost", "late")
    ]
    titles = [group.title for group in grouped(findings, [], [], "live")]
    assert sorted(titles) == ["late exceeds its limit"] * 2 + ["money_lost exceeds its limit"] * 2


def test_what_is_about_no_input_stands_alone() -> None:
    findings = [make_finding(kind="code", feature=None, title=f"change {n}") for n in (1, 2)]
    assert sorted(group.title for group in grouped(findings, [], [], "live")) == ["change 1", "change 2"]


def test_an_alert_says_what_was_asked_and_what_became_of_it() -> None:
    finding = make_finding(release_id="live")

    def state(live: str, **changes: object) -> str:
        (group,) = grouped([finding], [make_alert(finding_id=finding.id, **changes)], [], live)
        return group.state

    assert state("live", state="open") == "open"
    assert state("another", state="open") == "lapsed"
    assert state("live", state="acting", build_id="b") == "acting"
    assert state("another", state="closed", build_id="b") == "done"
    assert state("live", state="closed") == "closed"


def test_a_retraining_leads_to_its_release_once_there_is_one() -> None:
    finding = make_finding(release_id="live")
    alert = make_alert(finding_id=finding.id, state="acting", build_id="build-7", action="automatic")
    (under_way,) = grouped([finding], [alert], [], "live")
    assert under_way.building
    assert under_way.release is None
    assert under_way.refused == ""
    (refused,) = grouped([finding], [alert], [], "live", refusals={"build-7": "data: 3 good rows"})
    assert refused.refused == "data: 3 good rows"
    made = make_release(id=derived_id("release", "build-7"))
    (done,) = grouped([finding], [alert], [made], "live")
    assert not done.building
    assert done.release == made
    assert done.asked == "retraining"


@pytest.mark.requirement("MON-16")
def test_how_a_shift_came_is_told_by_the_newest_window_that_knows() -> None:
    found = make_finding(kind="data_drift", feature="mileage", release_id="live", evidence={"came": ""})
    detail = {"kind": "data_drift", "came": "slowly since 2026-01-05"}
    later = make_measurement(name="shift", release_id="live", feature="mileage", detail=detail)
    (group,) = grouped([found], [], [], "live", [later])
    assert group.came == "slowly since 2026-01-05"
    (group,) = grouped([replace(found, evidence={"came": detail["came"]})], [], [], "live", [later])
    assert not group.came, "the finding's own title says it"
