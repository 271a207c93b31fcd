"""The realised value of a project, as far as its charter and the record tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.app.business.value import value
from headrace.app.composition import App, open_app
from headrace.testing import make_project, make_settings
from tests.projects.test_intake import FULL, full
from tests.web.promised import BEGUN, add_promised


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(make_settings(tmp_path / "home")) as opened:
        yield opened


@pytest.mark.requirement("ORG-04")
def test_what_the_kpi_has_brought_stands_beside_the_hypothesis(app: App) -> None:
    add_promised(app)
    found = value(app, app.me(), "promised")
    sold = sum(130 + week - 100 for week in range(16))
    assert found.total == pytest.approx(sold * 35)
    assert found.months[0].start == BEGUN
    assert found.interval is not None
    assert found.interval[0] < sold * 35 < found.interval[1]
    assert found.conclusion == "above"
    add_promised(app, "modest", expected=1_000_000)
    assert value(app, app.me(), "modest").conclusion == "below"


def test_it_says_why_it_cannot_tell(app: App) -> None:
    for name, project, why in (
        ("a", make_project(), "no number is expected"),
        ("b", full(value={"expected": 5, "unit": "EUR"}), "no KPI measures it"),
        ("c", full(value=FULL["value"]), "it has not answered yet"),
    ):
        app.store.projects.save(replace(project, name=name), f"/nowhere/{name}")
        found = value(app, app.me(), name)
        assert (found.conclusion, found.total) == ("unmeasured", None)
        assert why in found.why
