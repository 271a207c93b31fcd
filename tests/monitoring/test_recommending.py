"""The decision from what was measured, and how often chance makes it."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.monitoring.recommending import ERROR, Rival, Role, recommend, rival_of


def rival(role: Role = "before", *, high: float | None = None, difference: float = -1.0) -> Rival:
    low = None if high is None else high - 2
    return Rival(
        release_id=role,
        subject=f"cars@{role}",
        role=role,
        n_rows=99,
        difference=difference,
        low=low,
        high=high,
    )


@pytest.mark.requirement("RET-09")
@pytest.mark.parametrize(
    ("worse", "rivals", "do", "chosen"),
    [
        ([], [], "keep", None),
        ([], [rival(high=0.2)], "keep", None),
        (["mae is worse"], [], "retrain", None),
        (["mae is worse"], [rival(high=0.2), rival("next")], "retrain", None),
        (["mae is worse"], [rival(high=-0.1)], "roll_back", "before"),
        ([], [rival(high=-0.1)], "roll_back", "before"),
        ([], [rival(high=-0.1), rival("next", high=-0.3, difference=-2.0)], "roll_out", "next"),
        ([], [rival(high=-0.1, difference=-3.0), rival("next", high=-0.3)], "roll_back", "before"),
    ],
)
def test_what_follows(worse: list[str], rivals: list[Rival], do: str, chosen: str | None) -> None:
    found = recommend("cars@5", "mae", worse, rivals)
    assert (found.do, found.release_id) == (do, chosen)
    assert found.worse == tuple(worse)
    assert found.why.endswith(".")


def test_what_was_only_estimated_is_not_said_as_if_it_was_known() -> None:
    known = recommend("cars@5", "mae", ["mae is worse"], [])
    guessed = recommend("cars@5", "mae", ["mae is worse"], [], measured=False)
    assert known.why == "Train again: cars@5 is worse than it was, and there is no other release."
    assert guessed.why == "Train again: cars@5 is probably worse than it was, and there is no other release."


@pytest.mark.requirement("RET-09")
def test_chance_names_a_better_release_in_fewer_projects_than_stated_however_often_one_looks() -> None:
    random, n_projects, named = np.random.default_rng(0), 200, 0
    for _ in range(n_projects):
        live, others = random.exponential(1.0, 1_000), random.exponential(1.0, (2, 1_000))
        looks = (
            rival_of("r", "cars@1", "before", (other[:n], live[:n]), 2).high
            for n in range(50, 1_001, 50)
            for other in others
        )
        named += any(high is not None and high < 0 for high in looks)
    assert named <= n_projects * ERROR


def test_what_cannot_be_measured_is_left_out() -> None:
    nothing = np.full(60, np.nan)
    found = rival_of("r", "cars@1", "before", (nothing, np.ones(60)), 1)
    assert (found.n_rows, found.difference) == (0, None)
    same = rival_of("r", "cars@1", "before", (np.ones(60), np.ones(60)), 1)
    assert same.why == "it answers as the live release does"
