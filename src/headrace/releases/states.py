"""The states of a release, and the only steps between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from headrace.core.errors import IllegalTransition
from headrace.core.release import Outcome4, ReleaseState, Verdict

ReleaseEvent = Literal[
    "gates_passed",
    "gates_refused",
    "approve",
    "reject",
    "start_rollout",
    "promote",
    "abort",
    "supersede",
    "roll_back",
    "restore",
    "stand_by",
    "stand_in",
]

ON_ITS_WAY: frozenset[ReleaseState] = frozenset(("proposed", "waiting", "approved", "rolling_out"))
"""States of a release that is on its way to the traffic."""
_STEPS: dict[tuple[ReleaseState, ReleaseEvent], ReleaseState] = {
    ("proposed", "gates_passed"): "waiting",
    ("proposed", "gates_refused"): "refused",
    ("waiting", "approve"): "approved",
    ("waiting", "reject"): "rejected",
    ("approved", "start_rollout"): "rolling_out",
    ("rolling_out", "promote"): "live",
    ("rolling_out", "abort"): "aborted",
    ("live", "supersede"): "superseded",
    ("live", "roll_back"): "rolled_back",
    ("superseded", "restore"): "live",
    ("approved", "stand_by"): "standing_by",
    ("live", "stand_by"): "standing_by",
    ("standing_by", "stand_in"): "live",
    ("superseded", "stand_in"): "live",
    ("standing_by", "restore"): "live",
    ("standing_by", "supersede"): "superseded",
}


_WORST_FIRST: tuple[Outcome4, ...] = ("failed", "error", "inconclusive", "passed")


def next_state(state: ReleaseState, event: ReleaseEvent) -> ReleaseState:
    """The state that ``event`` leads to.

    >>> next_state("waiting", "approve")
    'approved'

    Raises:
        IllegalTransition: there is no such step.
    """
    to = _STEPS.get((state, event))
    if to is None:
        possible = [known for (start, known) in _STEPS if start == state]
        raise IllegalTransition(
            f"A release that is {state} cannot {event.replace('_', ' ')}. "
            f"From here it can: {', '.join(possible) or 'nothing, it has ended'}."
        )
    return to


def overall(verdicts: list[Verdict]) -> Outcome4:
    """The four values of many gates as one: the worst that was measured decides.

    Of a gate that judged more than once the last verdict counts; verdicts come oldest first. A failure
    outweighs everything; an error (could not be measured) outweighs a doubt.
    """
    return worst({verdict.gate: verdict.outcome for verdict in verdicts}.values())


def worst(outcomes: Iterable[Outcome4]) -> Outcome4:
    """The gravest of several outcomes; of none it is ``error``, because nothing was measured."""
    found = set(outcomes)
    return next((outcome for outcome in _WORST_FIRST if outcome in found), "error")
