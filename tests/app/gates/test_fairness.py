"""The fairness gate of a build: groups that are no input of the model are judged on the test rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.app.small import CHARTER, Site

CODE = """\
import headrace


@headrace.trainer
def baseline(data):
    from headrace.training.baselines import ConstantModel

    return ConstantModel(task=data.task).fit(data.X, data.y)


@headrace.trainer
def listed(data):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(data.X, data.y)
"""
DECLARED = "fairness: {groups: [gender], favourable: granted, max_difference: 0.15}"
COLUMNS = CHARTER[CHARTER.index("    - {name: year") : CHARTER.index("    - {name: car")]


def loans(gap: float) -> dict[str, list[Any]]:
    """Loans by income alone, which one of two groups has less of."""
    random = np.random.default_rng(4)
    group = random.choice(["a", "b"], 1200)
    income = random.normal(0, 1, 1200) - gap * (group == "b")
    granted = income + random.normal(0, 0.3, 1200) > 0
    return {
        "car": list(range(1200)),
        "income": income.round(4).tolist(),
        "gender": group.tolist(),
        "price": ["granted" if one else "denied" for one in granted],
    }


@pytest.mark.requirement("EVA-09")
@pytest.mark.requirement("DAT-20")
@pytest.mark.parametrize(("gap", "outcome"), [(1.0, "failed"), (0.0, "passed")])
def test_a_model_that_never_sees_the_group_is_judged_by_it(shared: Site, gap: float, outcome: str) -> None:
    project = shared.project(
        f"loans-{outcome}",
        ("task: regression", f"task: classification\n{DECLARED}"),
        ("metric: mae", "metric: log_loss"),
        (COLUMNS, "    - {name: income, role: numeric}\n"),
        code=CODE, rows=loans(gap),
    )  # fmt: skip
    verdicts = {v["gate"]: v for v in project.build()["verdicts"]}
    judged = verdicts["fairness"]
    assert judged["outcome"] == outcome, judged["reason"]
    groups = {one["group"]: one for one in judged["evidence"]["groups"]}
    assert set(groups) == {"a", "b"}
    low, high = groups["a"]["selection_rate interval"]
    assert low < groups["a"]["selection_rate"] < high
    assert {one["rate"] for one in judged["evidence"]["gaps"]} >= {"selection_rate"}
    data = verdicts["data"]["evidence"]["groups"]
    assert {one["group"] for one in data} == {"a", "b"}
    assert sum(one["share"] for one in data) == pytest.approx(1)
    if outcome == "failed":
        assert "gender" in judged["reason"]
        assert data[0]["label_rate"] != data[1]["label_rate"]
