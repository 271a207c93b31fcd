"""The looks at a canary that are kept so that its course can be drawn: some hundred, however long it goes."""

from __future__ import annotations

from headrace.core.ids import derived_id
from headrace.core.release import Measurement, Rollout, Verdict
from headrace.releases.rollout import Shares

NAME = "canary_look"
"""Name of the measurements; the window is the step so far, in the time of the wall's clock."""
ALL = 100
"""Looks that are all kept; up to twice as many every second one, up to four times every fourth, and so on."""


def is_kept(look: int) -> bool:
    """Whether a look that decides nothing is kept, by its number.

    >>> [sum(map(is_kept, range(1, most + 1))) for most in (100, 200, 400, 20_000)]
    [100, 150, 200, 478]
    """
    return look % (1 << ((look - 1) // ALL).bit_length()) == 0


def kept_look(rollout: Rollout, judged: Verdict, shares: Shares) -> Measurement:
    """A look as a measurement: the difference in loss with its interval, and beside it all that was seen.

    Args:
        rollout: as it was when it was looked at.
    """
    seen = judged.evidence
    loss, interval = seen["champion_loss"], seen["difference"]
    return Measurement(
        id=derived_id(judged.subject_id, NAME, str(rollout.looks + 1)),
        project=rollout.project,
        name=NAME,
        value=seen["estimate"],
        n_rows=seen["n_labels"],
        at=judged.at,
        release_id=judged.subject_id,
        interval=None if interval is None else (interval[0], interval[1]),
        confidence=1 - shares.losses,
        window=(min(rollout.step_started_at, judged.at), judged.at),
        detail={
            "look": rollout.looks + 1,
            "outcome": judged.outcome,
            "allowed": None if loss is None else seen["margin"] * loss,
            **{name: value for name, value in seen.items() if name not in ("difference", "estimate")},
        },
    )
