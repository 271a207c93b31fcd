"""How answers to plain rows are recorded, and what becomes of them when they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.test_http_protocol import serving


def test_best_effort_answers_first_and_records_a_little_later(tmp_path: Path) -> None:
    with serving(tmp_path, durability="best_effort") as live:
        [(status, headers, _)] = live.ask(live.request())
        assert (status, headers["headrace-record"]) == (200, "best-effort; window=1")
    assert len(live.scene.predictions()) == 1


@pytest.mark.parametrize("durability", ["stored", "best_effort"])
def test_a_full_disk_is_never_silent(tmp_path: Path, durability: str) -> None:
    with serving(tmp_path, durability=durability) as live:
        live.scene.events.failing = OSError(28, "No space left on device")
        statuses = [0]
        while statuses[-1] != 503 and len(statuses) < 1_000:
            statuses.append(live.ask(live.request())[0][0])
        lost = live.scene.recorder.lost().get("cars/predictions", 0)
        assert statuses[-1] == 503
        assert statuses.count(200) == lost
        assert (lost == 0) == (durability == "stored")
        live.scene.events.failing = None
        assert live.ask(live.request())[0][0] == 200
    assert len(live.scene.predictions()) == 1


@pytest.mark.parametrize("durability", ["stored", "best_effort"])
def test_a_project_that_serves_without_record_says_so(tmp_path: Path, durability: str) -> None:
    with serving(tmp_path, durability=durability, on_record_failure="serve") as live:
        live.scene.events.failing = OSError(28, "No space left on device")
        said = [""]
        while said[-1] != "none" and len(said) < 1_000:
            [(status, headers, _)] = live.ask(live.request())
            assert status == 200
            said.append(headers["headrace-record"])
        assert said[-1] == "none"
        assert live.scene.recorder.forgone() == {"cars": 1}
        live.scene.events.failing = None
        assert live.ask(live.request())[0][0] == 200
    assert len(live.scene.predictions()) == 1
