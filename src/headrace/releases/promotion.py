"""Where a release that was brought from another installation comes from, as a verdict that stays with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headrace.core.release import ReleaseState, Verdict
from headrace.releases.bundle import Bundle
from headrace.releases.gates import verdict
from headrace.releases.states import overall

PROMOTED = "promoted"
"""The gate that a release has passed where it comes from."""
LEAVES: tuple[ReleaseState, ...] = ("approved", "rolling_out", "live", "superseded", "standing_by")
"""States in which a release may leave: people or its policy have approved it there."""
_BROUGHT_BY = "brought by"


def promoted_gate(bundle: Bundle, *, key: str, digest: str, by: str, at: datetime) -> Verdict:
    """What was proved and decided where the release comes from; a doubt there is a doubt here.

    Args:
        key: that has signed the bundle.
        digest: of the bundle's index.
        by: who brings it here.
    """
    release = bundle.release
    gates = {one.gate: one for one in bundle.verdicts}
    approved = [one for one in bundle.approvals if one.decision == "approved"]
    names = ", ".join(sorted({one.approver for one in approved})) or "nobody"
    outcome = overall(list(bundle.verdicts))
    reason = (
        f"{release.state.replace('_', ' ')} where it comes from (key {key[:12]}): {len(gates)} gates "
        f"{outcome}, approved by {names}"
    )
    evidence = {
        "from": {
            "key": key,
            "state there": release.state,
            "signature there": release.signature,
            "made there": release.created_at.isoformat(),
            "digest": release.digest,
            "bundle": digest,
            _BROUGHT_BY: by,
        },
        "gates there": [
            {"gate": name, "outcome": one.outcome, "reason": one.reason} for name, one in gates.items()
        ],
        "approvals there": [
            {"by": one.approver, "at": one.at.isoformat(), "comment": one.comment} for one in approved
        ],
    }
    return verdict(release.id, PROMOTED, outcome, reason, evidence=evidence, at=at)


def brought_by(verdicts: Sequence[Verdict]) -> str | None:
    """Who brought the release here; None if it was made here."""
    found = next((one for one in verdicts if one.gate == PROMOTED), None)
    return None if found is None else str(found.evidence["from"][_BROUGHT_BY])
