"""Who can be told, and whether anybody tells them."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.app.alerting.telling import is_sending
from tests.app.alarm import home


@pytest.mark.parametrize(("role", "sends"), [("server", True), ("monitor", True), ("worker", False)])
def test_a_server_or_a_process_that_watches_sends(tmp_path: Path, role: str, *, sends: bool) -> None:
    with home(tmp_path) as app:
        assert not is_sending(app)
        app.store.executors.register("e-1", role, None)
        assert is_sending(app) == sends
        app.store.executors.release("e-1")
        assert not is_sending(app)
