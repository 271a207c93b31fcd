"""What a demonstration says while it runs, where nobody sees a progress bar."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from headrace.cli.demo import Teller


def test_in_a_file_a_long_step_is_told_by_tenths(capsys: pytest.CaptureFixture[str]) -> None:
    tell = Teller(Progress(disable=True))
    tell("build", "reading flights")
    for day in range(124):
        tell("replay", f"day {day}", day / 123)
    tell("replay", "all answered", 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["build: reading flights", "replay: day 0", "replay: day 13"]
    assert lines[-2:] == ["replay: day 123", "replay: all answered"]
    assert len(lines) == 13
