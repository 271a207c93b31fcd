from __future__ import annotations

import json
from pathlib import Path

from headrace.app.composition import open_app
from headrace.testing import make_project, make_settings
from tests.cli.conftest import Cli

TOLD = {"kind": "result", "subject": "7", "name": "paid", "value": 120, "happened_at": "2026-01-01T00:00:00Z"}


def test_a_file_of_feedback_is_stored(cli: Cli) -> None:
    with open_app(make_settings(cli.home, user=cli.user)) as app:
        app.me()
        app.store.projects.save(make_project(name="cars"), str(cli.home))
    Path("feedback.jsonl").write_text(json.dumps(TOLD) + "\n")
    assert cli("monitor", "import-feedback", "cars", "feedback.jsonl").out.splitlines() == [
        "1 events stored.",
        "Next: headrace monitor watch cars",
    ]
    again = cli("monitor", "import-feedback", "cars", "feedback.jsonl", "--json")
    assert again.json == {"project": "cars", "stored": 1}
    Path("feedback.jsonl").write_text(json.dumps({**TOLD, "kind": "guess"}))
    refused = cli("monitor", "import-feedback", "cars", "feedback.jsonl")
    assert (refused.code, "Line 1 is no feedback" in refused.error) == (2, True)
