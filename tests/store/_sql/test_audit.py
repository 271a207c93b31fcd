from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from sqlalchemy.engine import Connection

from headrace.core.errors import InternalError
from headrace.core.ports import AuditLog
from headrace.core.settings import Settings
from headrace.store import Store
from headrace.store._sql.audit import SqlAudit
from headrace.store._sql.engine import Database
from headrace.testing import AuditLogSuite, FakeClock
from tests.store.children import Child, append_audit, running


class TestSqlAuditLog(AuditLogSuite):
    @pytest.fixture
    def audit(self, store: Store) -> AuditLog:
        return store.audit


@pytest.fixture
def intruder(settings: Settings, store: Store) -> Iterator[Callable[..., None]]:
    """Somebody who writes to the database past Headrace, after five entries were made."""
    for n in range(5):
        store.audit.append("ada", "act", f"thing:{n}", {"n": n})
    engine = sqlalchemy.create_engine(settings.database_url)

    def execute(*statements: str) -> None:
        with engine.begin() as connection:
            _execute(connection, statements)

    yield execute
    engine.dispose()


def _execute(connection: Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(sqlalchemy.text(statement))


def test_an_edited_entry_is_named(store: Store, intruder: Callable[..., None]) -> None:
    intruder("UPDATE hr_audit SET document = replace(document, '\"ada\"', '\"eve\"') WHERE sequence = 3")
    with pytest.raises(InternalError, match="entry 3 was edited"):
        store.audit.verify()


def test_an_entry_deleted_in_the_middle_is_named(store: Store, intruder: Callable[..., None]) -> None:
    intruder("DELETE FROM hr_audit WHERE sequence = 2")
    with pytest.raises(InternalError, match="entry 2 was deleted"):
        store.audit.verify()


def test_an_entry_deleted_and_the_rest_renumbered_is_named(
    store: Store, intruder: Callable[..., None]
) -> None:
    intruder(
        "DELETE FROM hr_audit WHERE sequence = 2",
        "UPDATE hr_audit SET sequence = 2 WHERE sequence = 3",
    )
    with pytest.raises(InternalError, match="entry 2 stands where entry 3 was written"):
        store.audit.verify()


def test_entries_cut_off_at_the_start_are_named(store: Store, intruder: Callable[..., None]) -> None:
    intruder("DELETE FROM hr_audit WHERE sequence <= 2")
    with pytest.raises(InternalError, match="entry 1 was deleted"):
        store.audit.verify()


def test_entries_cut_off_at_the_end_are_noticed(store: Store, intruder: Callable[..., None]) -> None:
    intruder("DELETE FROM hr_audit WHERE sequence >= 4")
    with pytest.raises(InternalError, match="follows entry 3 was deleted"):
        store.audit.verify()


def test_a_log_emptied_altogether_is_noticed(store: Store, intruder: Callable[..., None]) -> None:
    intruder("DELETE FROM hr_audit")
    with pytest.raises(InternalError, match="follows entry 0 was deleted"):
        store.audit.verify()


def test_a_head_taken_away_is_noticed(store: Store, intruder: Callable[..., None]) -> None:
    intruder("DELETE FROM hr_audit_head")
    with pytest.raises(InternalError, match="tampered"):
        store.audit.verify()


def test_entries_that_changed_places_are_named(store: Store, intruder: Callable[..., None]) -> None:
    intruder(
        "UPDATE hr_audit SET sequence = 99 WHERE sequence = 2",
        "UPDATE hr_audit SET sequence = 2 WHERE sequence = 4",
        "UPDATE hr_audit SET sequence = 4 WHERE sequence = 99",
    )
    with pytest.raises(InternalError, match="entry 2 stands where entry 4 was written"):
        store.audit.verify()


@pytest.mark.parametrize(
    ("sequence", "said"), [(0, "entry 0 was added"), (6, "entry 6 stands where entry 5")]
)
def test_an_added_entry_is_named(
    store: Store, intruder: Callable[..., None], sequence: int, said: str
) -> None:
    intruder(
        "INSERT INTO hr_audit (sequence, hash, schema_version, document) "
        f"SELECT {sequence}, hash, schema_version, document FROM hr_audit WHERE sequence = 5"
    )
    with pytest.raises(InternalError, match=said):
        store.audit.verify()


@pytest.mark.parametrize("page", [1, 2, 5, 6])
def test_a_log_longer_than_a_page_verifies(store: Store, settings: Settings, page: int) -> None:
    for n in range(5):
        store.audit.append("ada", "act", "thing", {"n": n})
    database = Database(settings.database_url)
    assert SqlAudit(database, FakeClock(), page=page).verify().sequence == 5
    database.close()


def test_processes_make_one_chain(store: Store, settings: Settings) -> None:
    children = [Child(append_audit, settings, 40) for _ in range(2)]
    with running(*children):
        acknowledged = [message for child in children for message in child.finish()]
    assert len(set(acknowledged)) == 80
    assert store.audit.verify().sequence == 80
    assert sorted(acknowledged) == sorted((entry.actor, entry.detail["n"]) for entry in store.audit.list())


def test_kill_9_loses_no_entry_that_was_acknowledged(store: Store, settings: Settings) -> None:
    acknowledged = []
    for _ in range(5):
        child = Child(append_audit, settings, 100_000)
        with running(child):
            acknowledged += [child.next() for _ in range(5)]
            acknowledged += child.kill()
    assert store.audit.verify().sequence >= len(acknowledged)
    kept = [(entry.actor, entry.detail["n"]) for entry in store.audit.list(limit=100_000)]
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
