"""What every finding store promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from headrace.core.ports import FindingStore
from headrace.testing.clock import START
from headrace.testing.factories import make_alert, make_finding


class FindingStoreSuite:
    """Fixture ``findings``: an empty store."""

    def test_a_finding_is_new_once(self, findings: FindingStore) -> None:
        finding = make_finding()
        assert findings.add(finding)
        assert not findings.add(replace(finding, size=9.0))
        assert findings.list("cars") == [finding]

    def test_findings_are_listed_oldest_first(self, findings: FindingStore) -> None:
        late, early = make_finding(at=START + timedelta(seconds=1)), make_finding(at=START)
        for finding in (late, early, make_finding(project="boats")):
            findings.add(finding)
        assert findings.list("cars") == [early, late]
        assert findings.list("trains") == []

    def test_an_alert_can_be_changed(self, findings: FindingStore) -> None:
        alert = make_alert()
        findings.save_alert(alert)
        findings.save_alert(alert)
        assert findings.alerts("cars") == [alert]
        acting = replace(alert, state="acting", build_id="build-2")
        findings.save_alert(acting)
        assert findings.alerts("cars") == [acting]

    def test_alerts_are_listed_oldest_first(self, findings: FindingStore) -> None:
        late, early = make_alert(at=START + timedelta(seconds=1)), make_alert(at=START)
        for alert in (late, early, make_alert(project="boats")):
            findings.save_alert(alert)
        findings.save_alert(replace(early, state="closed"))
        assert findings.alerts("cars") == [replace(early, state="closed"), late]

    def test_the_newest_about_each_release_and_of_each_kind_are_listed_oldest_first(
        self, findings: FindingStore
    ) -> None:
        of_one = [make_finding(at=START + timedelta(seconds=n)) for n in range(4)]
        of_other = make_finding(release_id="release-2", at=START - timedelta(days=1))
        of_a_kind = make_finding(kind="performance", at=START - timedelta(days=2))
        for finding in (*of_one, of_other, of_a_kind, make_finding(release_id="release-3")):
            findings.add(finding)
        assert findings.about(["release-1", "release-2"], newest=2) == [of_a_kind, of_other, *of_one[2:]]
        assert findings.about([], newest=2) == []

    def test_the_last_finding_of_each_project_and_kind_is_found(self, findings: FindingStore) -> None:
        late, early = make_finding(at=START + timedelta(seconds=1)), make_finding(at=START)
        of_a_kind = make_finding(kind="registration", at=START - timedelta(days=1))
        boats, trains = make_finding(project="boats"), make_finding(project="trains")
        for finding in (late, early, of_a_kind, boats, trains):
            findings.add(finding)
        assert {one.id for one in findings.last(["cars", "boats"])} == {late.id, of_a_kind.id, boats.id}

    def test_open_alerts_come_with_what_they_were_raised_on(self, findings: FindingStore) -> None:
        found = make_finding()
        findings.add(found)
        alert, other = make_alert(finding_id=found.id), make_alert(finding_id=found.id, project="boats")
        for one in (alert, other, make_alert(finding_id="never-found")):
            findings.save_alert(one)
        findings.save_alert(replace(other, state="closed"))
        assert findings.open() == [(alert, found)]
        assert findings.open([other.id]) == [(alert, found), (replace(other, state="closed"), found)]
        assert findings.open([other.id], "cars") == [(alert, found)]
