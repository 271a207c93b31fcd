"""A canary that has been looked at 120 times, by the comparison that is really made."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from headrace.app.composition import App
from headrace.releases.looks import kept_look
from headrace.releases.rollout import Shares, one_sided
from headrace.testing.factories import make_verdict


def rolled(app: App, release_id: str) -> str:
    """Keep the looks: 60 at each of two steps, a minute and ten labelled rows apart."""
    rollout = app.store.rollouts.get(release_id)
    shares = Shares.out_of(0.05, segments=True, slow=True)
    sequence, random = one_sided(shares.losses), np.random.default_rng(2)
    kept = []
    for look in range(120):
        sequence.update(random.normal(-8, 150, 10))
        found, step, in_step = sequence.interval(), look // 60, look % 60 + 1
        within = None if found is None else [found.low, found.high]
        seen = {
            "step": step, "share_percent": rollout.steps[step], "answered": in_step * (10, 50)[step],
            "failed": look // 50, "n_labels": sequence.n, "difference": within,
            "estimate": None if found is None else found.estimate, "champion_loss": 1204.0, "margin": 0.02,
            "slow": {"limit_ms": 20.0, "n": in_step * 10, "slow": look // 40, "champion_n": in_step * 90,
                     "champion_slow": look // 9, "share": rollout.steps[step] / 100},
            "segments": [
                {"column": "model", "name": "a3", "n_labels": look * 7, "champion_loss": 900.0,
                 "difference": [-61.5, 80.25]},
                {"column": "model", "name": "a name that is much longer than a column is wide, and goes on",
                 "n_labels": 12, "champion_loss": 2100.0, "difference": None},
            ],
        }  # fmt: skip
        judged = make_verdict(
            subject_id=release_id, gate=f"canary look {look + 1}", outcome="inconclusive", evidence=seen,
            at=rollout.started_at + timedelta(minutes=look + 1),
        )  # fmt: skip
        began = rollout.started_at + timedelta(minutes=60 * step)
        at_the_time = type(rollout)(**vars(rollout) | {"looks": look, "step": step, "step_started_at": began})
        kept.append(kept_look(at_the_time, judged, shares))
    app.store.evidence.measure(kept)
    return release_id
