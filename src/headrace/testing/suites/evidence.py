"""What every evidence store promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from headrace.core.errors import Conflict, Denied, NotFound
from headrace.core.ports import EvidenceStore, ReleaseStore
from headrace.core.release import ReleaseState
from headrace.testing.clock import START
from headrace.testing.factories import make_approval, make_measurement, make_release, make_verdict


class EvidenceStoreSuite:
    """Fixtures ``evidence`` and ``releases``: empty stores that belong together."""

    def test_verdicts_come_back_oldest_first(self, evidence: EvidenceStore) -> None:
        late = make_verdict(at=START + timedelta(seconds=1))
        early = make_verdict(at=START, outcome="inconclusive")
        for verdict in (late, early, make_verdict(subject_id="release-2")):
            evidence.add_verdict(verdict)
        assert evidence.verdicts("release-1") == [early, late]
        assert evidence.verdicts("absent") == []
        assert evidence.verdicts_of(["absent", "release-1"]) == [early, late]
        assert evidence.verdicts_of([]) == []

    def test_the_first_verdict_under_an_id_stands(self, evidence: EvidenceStore) -> None:
        verdict = make_verdict(outcome="failed")
        evidence.add_verdict(verdict)
        evidence.add_verdict(replace(verdict, outcome="passed"))
        assert evidence.verdicts("release-1") == [verdict]

    @pytest.mark.requirement("GAT-14")
    @pytest.mark.parametrize("decision", ["approved", "rejected"])
    def test_a_decision_is_recorded(
        self, evidence: EvidenceStore, releases: ReleaseStore, decision: str
    ) -> None:
        release = releases.add(make_release())
        approval = make_approval(release, decision=decision, comment="looks right")
        assert evidence.approve(approval) == approval
        assert evidence.approvals(release.id) == [approval]
        assert evidence.approvals_of([release.id, "absent"]) == [approval]
        assert evidence.approvals_of(["absent"]) == []

    @pytest.mark.requirement("GAT-14")
    def test_nobody_decides_on_their_own_work(self, evidence: EvidenceStore, releases: ReleaseStore) -> None:
        release = releases.add(make_release(author="ada"))
        for named_author in ("ada", "somebody-else"):
            own = make_approval(release, approver="ada", author=named_author)
            with pytest.raises(Denied, match="own work"):
                evidence.approve(own)
        assert evidence.approvals(release.id) == []

    @pytest.mark.requirement("GAT-14")
    def test_a_decision_about_another_digest_is_a_conflict(
        self, evidence: EvidenceStore, releases: ReleaseStore
    ) -> None:
        release = releases.add(make_release())
        with pytest.raises(Conflict, match="digest"):
            evidence.approve(make_approval(release, digest="0" * 64))
        assert evidence.approvals(release.id) == []

    @pytest.mark.requirement("GAT-14")
    @pytest.mark.parametrize(
        "state", ["proposed", "refused", "rejected", "rolling_out", "live", "superseded"]
    )
    def test_only_a_waiting_release_is_decided(
        self, evidence: EvidenceStore, releases: ReleaseStore, state: ReleaseState
    ) -> None:
        release = releases.add(make_release(state=state))
        with pytest.raises(Conflict, match="waiting"):
            evidence.approve(make_approval(release))
        assert evidence.approvals(release.id) == []

    def test_a_missing_release_is_not_found(self, evidence: EvidenceStore) -> None:
        with pytest.raises(NotFound):
            evidence.approve(make_approval(make_release()))

    @pytest.mark.requirement("GAT-14")
    def test_the_same_decision_again_is_the_same(
        self, evidence: EvidenceStore, releases: ReleaseStore
    ) -> None:
        release = releases.add(make_release())
        first = evidence.approve(make_approval(release))
        assert evidence.approve(make_approval(release, comment="again")) == first
        releases.move(release.id, "waiting", "approved")
        assert evidence.approve(make_approval(release)) == first
        assert evidence.approvals(release.id) == [first]

    @pytest.mark.requirement("GAT-14")
    @pytest.mark.parametrize("approver", ["grace", "hopper"])
    def test_a_different_decision_afterwards_is_a_conflict(
        self, evidence: EvidenceStore, releases: ReleaseStore, approver: str
    ) -> None:
        release = releases.add(make_release())
        first = evidence.approve(make_approval(release, approver="grace"))
        with pytest.raises(Conflict, match="already approved"):
            evidence.approve(make_approval(release, approver=approver, decision="rejected"))
        assert evidence.approvals(release.id) == [first]

    def test_a_second_person_may_agree(self, evidence: EvidenceStore, releases: ReleaseStore) -> None:
        release = releases.add(make_release())
        first = evidence.approve(make_approval(release, approver="grace"))
        second = evidence.approve(make_approval(release, approver="hopper"))
        with pytest.raises(Conflict, match="already approved"):
            evidence.approve(make_approval(release, approver="third", decision="rejected"), needed=2)
        assert evidence.approvals(release.id) == [first, second]

    def test_while_others_have_to_agree_somebody_else_may_reject(
        self, evidence: EvidenceStore, releases: ReleaseStore
    ) -> None:
        release = releases.add(make_release())
        first = evidence.approve(make_approval(release, approver="grace"), needed=2)
        with pytest.raises(Conflict, match="already approved"):
            evidence.approve(make_approval(release, approver="grace", decision="rejected"), needed=2)
        rejection = make_approval(release, approver="hopper", decision="rejected")
        assert evidence.approve(rejection, needed=2) == rejection
        with pytest.raises(Conflict, match="already rejected"):
            evidence.approve(make_approval(release, approver="third"), needed=2)
        assert evidence.approvals(release.id) == [first, rejection]

    @pytest.mark.requirement("GAT-14")
    def test_of_opposite_decisions_at_once_one_stands(
        self, evidence: EvidenceStore, releases: ReleaseStore
    ) -> None:
        release = releases.add(make_release())

        def decide(n: int) -> str | None:
            decision = "approved" if n % 2 else "rejected"
            try:
                return evidence.approve(
                    make_approval(release, approver=f"validator-{n}", decision=decision)
                ).decision
            except Conflict:
                return None

        with ThreadPoolExecutor(8) as threads:
            decided = list(threads.map(decide, range(8)))
        assert len({decision for decision in decided if decision}) == 1
        assert len({approval.decision for approval in evidence.approvals(release.id)}) == 1

    def test_measurements_are_ordered_by_window_then_time(self, evidence: EvidenceStore) -> None:
        week = timedelta(days=7)
        second = make_measurement(window=(START + week, START + 2 * week))
        first_later = make_measurement(window=(START, START + week), at=START + timedelta(hours=1))
        first = make_measurement(window=(START, START + week))
        gate = make_measurement(at=START + timedelta(days=99))
        evidence.measure([second, first_later])
        evidence.measure([first, gate])
        assert evidence.measurements("cars") == [gate, first, first_later, second]

    def test_measurements_can_be_narrowed(self, evidence: EvidenceStore) -> None:
        loss = make_measurement(name="mae", release_id="r-1", interval=(1.0, 2.0), confidence=0.95)
        shift = make_measurement(name="psi", release_id="r-1", value=None, feature="mileage")
        other = make_measurement(name="mae", release_id="r-2")
        evidence.measure([loss, shift, other, make_measurement(project="boats")])
        assert evidence.measurements("cars", name="mae") == [loss, other]
        assert evidence.measurements("cars", release_id="r-1") == [loss, shift]
        assert evidence.measurements("cars", name="psi", release_id="r-1") == [shift]
        hour = timedelta(hours=1)
        hours = [make_measurement(window=(START + n * hour, START + (n + 1) * hour)) for n in range(3)]
        evidence.measure(hours[::-1])
        assert evidence.measurements("cars", since=START + hour) == hours[1:]
        assert evidence.measurements("cars", name="psi", since=START) == []
        self._narrowed_to_the_newest(evidence)

    def _narrowed_to_the_newest(self, evidence: EvidenceStore) -> None:
        day = timedelta(days=1)
        windows = [(START + n * day, START + (n + 1) * day) for n in range(3)]
        vans = [
            make_measurement(project="vans", window=window, at=START + n * day)
            for n, window in enumerate(windows)
        ]
        again = make_measurement(project="vans", window=windows[2], at=START + 9 * day, n_rows=900)
        boats = make_measurement(project="boats", window=windows[0])
        evidence.measure(
            [*vans, again, boats, make_measurement(project="vans"), make_measurement(project="trains")]
        )
        shift = make_measurement(project="vans", name="shift", window=windows[0])
        evidence.measure([shift, make_measurement(project="vans", name="window", window=windows[2])])
        assert evidence.newest(["vans"], ["mae", "shift"], 1) == [shift, vans[2], again]
        found = evidence.newest(["vans", "boats"], ["mae"], 2)
        assert [one for one in found if one.project == "vans"] == [vans[1], vans[2], again]
        assert [one for one in found if one.project == "boats"] == [boats]

    def test_repeated_measurements_change_nothing(self, evidence: EvidenceStore) -> None:
        batch = [make_measurement() for _ in range(1200)]
        evidence.measure(batch[:700])
        evidence.measure([replace(measurement, value=0.0) for measurement in batch[:10]] + batch)
        evidence.measure([])
        assert evidence.measurements("cars") == batch
