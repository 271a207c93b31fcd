"""What ``headrace doctor`` looks at."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from headrace.app.composition import open_app
from headrace.app.health import examine
from headrace.testing import make_settings


def test_a_new_home_is_healthy(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path / "home")) as app:
        app.me()
        found = {item.name: item for item in examine(app)}
    assert {name for name, item in found.items() if not item.healthy} <= {"disk"}
    assert found["home"].detail == str(tmp_path / "home")
    assert found["audit"].detail.endswith("entries, chain intact, sealed up to entry 0")
    assert found["server"].detail == "not running"
    assert found["[ml]"].detail == "installed"


def test_a_server_is_named_with_its_address(tmp_path: Path) -> None:
    with open_app(make_settings(tmp_path / "home")) as app:
        app.store.executors.register("one", "server", "http://127.0.0.1:8123")
        found = {item.name: item for item in examine(app)}
    assert found["server"].detail == "http://127.0.0.1:8123"


def test_an_edited_audit_log_is_ill(tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "home")
    with open_app(settings) as app:
        app.me()
        app.store.audit.append("ann", "release.approve", "release:1", {})
        with contextlib.closing(sqlite3.connect(settings.home / "headrace.sqlite")) as database, database:
            database.execute("update hr_audit set document = replace(document, 'ann', 'bob')")
        found = {item.name: item for item in examine(app)}
    assert not found["audit"].healthy
