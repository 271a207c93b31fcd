"""``headrace llm costs``."""

from __future__ import annotations

from datetime import timedelta

import pytest

from headrace.app.composition import open_app
from headrace.core.ids import new_id
from headrace.store.records import encode_prediction
from headrace.testing import make_prediction, make_project, make_settings
from tests.cli.conftest import Cli

ASKED = (
    "llm",
    "costs",
    "support",
    "--self-hosted",
    "own/llama",
    "--per-hour",
    "2.5",
    "--tokens-per-s",
    "900",
)


@pytest.mark.requirement("LGW-07")
def test_costs_are_compared_and_what_is_left_out_is_said(cli: Cli) -> None:
    with open_app(make_settings(cli.home)) as app:
        at = app.clock.now() - timedelta(days=1)
        app.store.projects.save(make_project(name="support", task="text_generation"), "")
        outputs = {
            "predict": ["Yes."],
            "input_tokens": [3_000_000],
            "output_tokens": [1_000_000],
            "cost": [20.0],
        }
        made = make_prediction(
            id=new_id(at), project="support", at=at, n_rows=1, columns={"question": ["?"]}, outputs=outputs
        )
        app.store.events.append("support/predictions", [encode_prediction(made)])
    shown = cli(*ASKED)
    assert shown.code == 0, shown.error
    assert "takes 2 machine(s) for own/llama at 2.5 an hour" in shown.out
    # 2 x 24 x 2.50 a day, at 5 a million
    assert "cheaper from 24,000,000 tokens a day on" in shown.out
    assert "Quality is not compared" in shown.out
    found = cli(*ASKED, "--json").json
    day, today = found["days"]
    assert (day["name"], day["cost"], day["own"]) == (f"{at:%Y-%m-%d}", 20.0, 120.0)
    assert (today["n"], today["hours"] <= 24) == (0, True)
    assert found["total"]["cost"] == sum(month["cost"] for month in found["months"]) == 20.0


def test_a_number_that_cannot_be_is_refused(cli: Cli) -> None:
    with open_app(make_settings(cli.home)) as app:
        app.store.projects.save(make_project(name="support", task="text_generation"), "")
    assert "--per-hour is -1.0" in cli(*ASKED, "--per-hour", "-1").error
    assert "No call of 'support'" in cli(*ASKED).error
