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
