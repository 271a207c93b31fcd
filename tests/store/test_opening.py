from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.core.clock import SystemClock
from headrace.core.errors import InvalidInput
from headrace.core.settings import Settings
from headrace.store import Store, open_store, write_ahead
from headrace.testing import FakeClock, make_project, make_settings
from tests.store.children import Child, open_home, running


def test_a_new_home_is_for_this_user_only(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    open_store(make_settings(home), FakeClock()).close()
    assert home.stat().st_mode & 0o777 == 0o700


def test_what_was_kept_is_there_after_opening_again(settings: Settings, store: Store) -> None:
    store.projects.save(make_project(), "/cars")
    kept = store.artifacts.put(b"content", "text/plain")
    store.events.append("cars/predictions", [b"one"])
    store.audit.append("ada", "act", "thing", {})
    store.close()
    again = open_store(settings, FakeClock())
    assert again.projects.get("cars") == make_project()
    assert again.artifacts.get(kept.digest) == b"content"
    assert again.events.count("cars/predictions") == 1
    assert again.audit.verify().sequence == 1
    again.close()


def test_a_database_that_another_library_will_make_gets_a_write_ahead_log(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write_ahead, [f"sqlite:///{tmp_path / 'new.sqlite'}"] * 8))
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]


def test_a_database_that_is_in_use_keeps_the_log_it_has(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.sqlite")) as database:
        database.execute("CREATE TABLE kept (x)")
        write_ahead(f"sqlite:///{tmp_path / 'old.sqlite'}")
        assert database.execute("PRAGMA journal_mode").fetchall() == [("delete",)]
    write_ahead("postgresql://ann@db.invalid/headrace")


def test_storage_may_lie_elsewhere(tmp_path: Path) -> None:
    settings = replace(make_settings(tmp_path / "home"), storage_path=tmp_path / "storage")
    store = open_store(settings, FakeClock())
    store.artifacts.put(b"content", "text/plain")
    store.close()
    assert (tmp_path / "storage" / "artifacts").is_dir()
    assert not (tmp_path / "home" / "artifacts").exists()


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(InvalidInput, match="HEADRACE_HOME is .* which is a file. Expected a folder"):
        open_store(make_settings(tmp_path / "home"), FakeClock())


@pytest.mark.parametrize("home", ["/proc/1/headrace", "/sys/headrace", "/proc"])
def test_a_home_that_takes_no_file_is_told(home: str) -> None:
    """Folders in which even root cannot write."""
    with pytest.raises(InvalidInput, match="nothing can be written .* set HEADRACE_HOME to a folder"):
        open_store(make_settings(Path(home)), FakeClock())


def test_a_read_only_home_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    if _can_write(home):
        pytest.skip("needs a user whom file rights bind: root may write anywhere")
    with pytest.raises(InvalidInput, match="HEADRACE_HOME is .* nothing can be written"):
        open_store(make_settings(home), FakeClock())


def _can_write(folder: Path) -> bool:
    try:
        (folder / "probe").write_text("")
    except PermissionError:
        return False
    return True


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://ada:secret@127.0.0.1:1/headrace"
    with pytest.raises(InvalidInput, match="cannot be opened: .*refused.* HEADRACE_DATABASE_URL") as caught:
        open_store(make_settings(tmp_path / "home", database_url=url), FakeClock())
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are only notes\n" * 100)
    url = f"sqlite:///{tmp_path / 'notes.txt'}"
    with pytest.raises(InvalidInput, match="not a database"):
        open_store(make_settings(tmp_path / "home", database_url=url), FakeClock())


def test_a_database_in_a_missing_folder_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'absent' / 'headrace.sqlite'}"
    with pytest.raises(InvalidInput, match="unable to open"):
        open_store(make_settings(tmp_path / "home", database_url=url), FakeClock())


def test_processes_may_open_a_new_home_at_once(tmp_path: Path) -> None:
    children = [Child(open_home, make_settings(tmp_path / "home")) for _ in range(4)]
    with running(*children):
        assert [child.finish() for child in children] == [[0]] * 4


def test_processes_may_open_a_new_database_at_once(tmp_path: Path, postgres_url: str) -> None:
    settings = make_settings(tmp_path / "home", database_url=postgres_url)
    children = [Child(open_home, settings) for _ in range(4)]
    with running(*children):
        assert [child.finish() for child in children] == [[0]] * 4


_LOADED = """
import sys
from pathlib import Path
from headrace.store import open_store
from headrace.testing.clock import FakeClock
from headrace.core.settings import read_settings
open_store(read_settings({"HEADRACE_HOME": sys.argv[1]}), FakeClock()).close()
print([name for name in ("alembic", "deltalake", "duckdb", "pandas") if name in sys.modules])
"""


def test_opening_loads_nothing_heavy(prepared_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(prepared_home, tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, str(home)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_system_clock_serves_too(prepared_home: Path, tmp_path: Path) -> None:
    home = shutil.copytree(prepared_home, tmp_path / "home")
    store = open_store(make_settings(home), SystemClock())
    store.audit.append("ada", "act", "thing", {})
    assert store.audit.head().sequence == 1
    store.close()
