"""Labels of a class that the model does not know: kept, said to whoever sends them, and counted."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from headrace.app.operations import label_notes, record_outcomes, watch_now
from headrace.app.overviews.reading import performance
from headrace.cli.main import app as command_line
from headrace.core.ids import new_id
from headrace.store.records import encode_prediction
from headrace.testing import START, make_prediction
from tests.app.business.test_backtesting import LOGISTIC, worth
from tests.app.small import AUTHOR, CODE, INPUTS, Site, cars


def test_a_label_of_a_class_that_the_model_does_not_know_is_kept_and_said(
    shared: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        ("task: regression", "task: classification"),
        ("{metric: mae}", "{metric: log_loss}"),
        ("trainer: listed", "trainer: logistic, params: {strength: 1.0}"),
    ]
    project = shared.project("unheard", *changes, code=CODE + LOGISTIC, rows=worth(200, 0))
    release = project.released()
    assert release.state == "live"
    app, name, prediction = project.app, project.name, new_id(project.app.clock.now())
    made = make_prediction(
        id=prediction, project=name, release_id=release.id, n_rows=4, at=START, event_time=START, keys=None,
        columns={column: values for column, values in cars(4, seed=6).items() if column in INPUTS},
        outputs={"predict": ["dear"] * 4, "probability": [0.9] * 4},
    )  # fmt: skip
    app.store.events.append(f"{name}/predictions", [encode_prediction(made)])
    told = ["dear", " cheap ", "priceless", "priceless"]
    items = [{"subject": f"{prediction}:{row}", "value": value} for row, value in enumerate(told)]
    assert len(set(record_outcomes(app, project.me, name, items))) == 4
    assert label_notes(app, name, items[:2]) == []
    assert label_notes(app, name, [{"subject": "x", "value": "odd", "kind": "rating"}]) == []
    (note,) = label_notes(app, name, items)
    assert "2 labels are of a class that the live model does not know: 'priceless'." in note
    assert "It knows 'cheap', 'dear'." in note

    watch_now(app, project.work, project.me, name)
    (measured,) = performance(app, project.me, name)
    assert (measured.n_rows, measured.detail["n_unknown"]) == (4, 2)
    monkeypatch.setenv("HEADRACE_HOME", str(app.settings.home))
    monkeypatch.setenv("HEADRACE_USER", AUTHOR)
    printed = CliRunner().invoke(command_line, ["monitor", "performance", name])
    assert "2 labels are of a class that the model does not know" in printed.stdout
