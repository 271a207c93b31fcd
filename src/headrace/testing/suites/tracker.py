"""What every experiment tracker promises."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from headrace.core.data import Point
from headrace.core.errors import Conflict
from headrace.core.ports import Tracker
from headrace.testing.factories import make_model, make_run


class TrackerSuite:
    """Fixture ``tracker``: an empty tracker."""

    @pytest.fixture
    def package(self, tmp_path: Path) -> Path:
        """A model package to register."""
        path = tmp_path / "package.zip"
        path.write_bytes(b"package")
        return path

    def test_a_run_has_one_id(self, tracker: Tracker) -> None:
        run = make_run()
        first = tracker.log_run(run)
        assert first
        assert tracker.log_run(run) == first
        assert tracker.log_run(make_run()) != first

    def test_a_run_is_logged_with_its_metrics_by_step(self, tracker: Tracker) -> None:
        run = make_run()
        points = [Point(step=step, at=run.started_at, value=1.0 / (step + 1)) for step in range(3)]
        first = tracker.log_run(run, {"loss": [*points, Point(step=3, at=run.started_at, value=math.nan)]})
        assert tracker.log_run(run, {"loss": points}) == first

    def test_a_failed_run_is_logged_too(self, tracker: Tracker) -> None:
        assert tracker.log_run(make_run(state="failed"))

    def test_a_run_has_one_number_in_the_registry(self, tracker: Tracker, package: Path) -> None:
        models = []
        for version in (1, 2):
            run = make_run()
            tracker.log_run(run)
            models.append(make_model(run_id=run.id, version=version))
        numbers = [tracker.register(model, package) for model in models]
        assert len(set(numbers)) == 2
        assert [tracker.register(model, package) for model in models] == numbers

    def test_a_version_can_be_made_live_and_replaced(self, tracker: Tracker, package: Path) -> None:
        for version in (1, 2):
            run = make_run()
            tracker.log_run(run)
            number = tracker.register(make_model(run_id=run.id, version=version), package)
            tracker.set_live("cars", number)
            tracker.set_live("cars", number)

    def test_what_was_never_registered_cannot_be_fetched(self, tracker: Tracker, tmp_path: Path) -> None:
        tracker.log_run(make_run())
        with pytest.raises(Conflict):
            tracker.fetch("cars", "cars", "77", tmp_path / "absent")

    def test_a_registered_version_can_be_annotated_again_and_again(
        self, tracker: Tracker, package: Path
    ) -> None:
        run = make_run()
        tracker.log_run(run)
        number = tracker.register(make_model(run_id=run.id), package)
        for reason in ("not yet", "a" * 6000, "not yet\nwith more"):
            tracker.annotate("cars", "cars", number, {"headrace.reason": reason})
        with pytest.raises(Conflict):
            tracker.annotate("cars", "cars", "77", {"headrace.reason": "absent"})
