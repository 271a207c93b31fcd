from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.core.release import Outcome4
from headrace.releases.promotion import PROMOTED, brought_by, promoted_gate
from headrace.testing import START, make_approval, make_verdict
from tests.releases.test_bundle import bundled


@pytest.mark.requirement("REG-04")
@pytest.mark.parametrize("outcome", ["passed", "inconclusive", "failed"])
def test_where_it_comes_from_stays_with_it_and_a_doubt_there_is_a_doubt_here(outcome: Outcome4) -> None:
    bundle = bundled()
    release = bundle.release
    gates = (
        make_verdict(subject_id=release.id, outcome="error", reason="not yet"),
        make_verdict(subject_id=release.id, outcome=outcome),
    )
    approval = make_approval(release, approver="vic", comment="looked at it")
    bundle = replace(bundle, verdicts=gates, approvals=(approval,))
    came = promoted_gate(bundle, key="k" * 43, digest="d" * 64, by="wim", at=START)
    assert (came.gate, came.outcome, came.subject_id) == (PROMOTED, outcome, release.id)
    assert came.reason == f"live where it comes from (key {'k' * 12}): 1 gates {outcome}, approved by vic"
    assert came.evidence["from"]["digest"] == release.digest
    assert came.evidence["gates there"] == [{"gate": "model", "outcome": outcome, "reason": gates[1].reason}]
    assert [one["comment"] for one in came.evidence["approvals there"]] == ["looked at it"]
    assert brought_by([*gates, came]) == "wim"
    assert brought_by(gates) is None
