from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import insert, select

from headrace.core.errors import Conflict, InvalidInput, Unavailable
from headrace.core.settings import Settings
from headrace.store._sql.engine import Database
from headrace.store._sql.tables import audit_head, executors


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings.database_url)
    yield opened
    opened.close()


def _sequence(database: Database) -> int | None:
    with database.read() as connection:
        return connection.execute(select(audit_head.c.sequence)).scalar()


def test_a_write_is_committed_at_the_end(database: Database) -> None:
    with database.write("topic") as connection:
        connection.execute(insert(audit_head).values(id=1, sequence=7, hash="h"))
    assert _sequence(database) == 7


def test_a_write_that_raises_changes_nothing(database: Database) -> None:
    def fail_on_the_way() -> None:
        with database.write("topic") as connection:
            connection.execute(insert(audit_head).values(id=1, sequence=7, hash="h"))
            raise KeyError("user code")

    with pytest.raises(KeyError):
        fail_on_the_way()
    assert _sequence(database) is None


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.write("topic") as connection:
        connection.execute(insert(audit_head).values(id=1, sequence=7, hash="h"))
        found: list[int | None] = []
        reader = threading.Thread(target=lambda: found.append(_sequence(database)))
        reader.start()
        reader.join(10)
        assert found == [None]


def test_a_database_that_somebody_else_is_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite waits for no writer when it is asked for a write-ahead log: it says "locked" at once."""
    path = tmp_path / "made.sqlite"
    maker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    maker.execute("BEGIN IMMEDIATE")
    made = threading.Timer(0.2, lambda: maker.execute("COMMIT"))
    made.start()
    database = Database(f"sqlite:///{path}")
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    made.join()
    maker.close()
    database.close()


def test_writers_on_a_topic_take_turns(settings: Settings) -> None:
    """Read, add one, write back: without turns, increments are lost."""
    databases = [Database(settings.database_url) for _ in range(4)]
    with databases[0].write("setup") as connection:
        connection.execute(insert(audit_head).values(id=1, sequence=0, hash=""))

    def work(database: Database) -> None:
        for _ in range(10):
            with database.write("counter") as connection:
                present = connection.execute(select(audit_head.c.sequence)).scalar() or 0
                connection.execute(sqlalchemy.update(audit_head).values(sequence=present + 1))

    threads = [threading.Thread(target=work, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _sequence(databases[0]) == 40
    for database in databases:
        database.close()


def test_a_contradiction_is_a_conflict(database: Database) -> None:
    with database.write("topic") as connection:
        connection.execute(insert(audit_head).values(id=1, sequence=7, hash="h"))
    with (
        pytest.raises(Conflict, match="contradictory"),
        database.write("topic") as connection,
    ):
        connection.execute(insert(audit_head).values(id=1, sequence=8, hash="h"))


def test_a_database_that_went_away_is_unavailable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'absent' / 'x.sqlite'}")
    with pytest.raises(Unavailable, match="Nothing was written"), database.read():
        pass
    database.close()


@pytest.mark.parametrize("url", ["", "nonsense", "mysterydb://x/y"])
def test_an_address_that_cannot_be_read_is_told(url: str) -> None:
    with pytest.raises(InvalidInput, match="HEADRACE_DATABASE_URL"):
        Database(url)


def test_sqlite_is_set_up_to_keep_what_it_acknowledges(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    database.close()


def test_text_that_postgres_cannot_hold_is_told(postgres_url: str) -> None:
    database = Database(postgres_url)
    with database.write("topic") as connection:
        executors.create(connection)
    with pytest.raises(InvalidInput, match="cannot hold"), database.write("topic") as connection:
        connection.execute(select(executors).where(executors.c.role == "nul\x00"))
    database.close()


def test_writes_in_a_transaction_are_kept_together_or_not_at_all(database: Database) -> None:
    def write(sequence: int) -> None:
        with database.write("topic", str(sequence)) as connection:
            connection.execute(sqlalchemy.delete(audit_head))
            connection.execute(insert(audit_head).values(id=1, sequence=sequence, hash="h"))

    def fail_on_the_way() -> None:
        with database.transaction():
            write(7)
            assert _sequence(database) == 7, "a transaction sees what it has written"
            raise KeyError("user code")

    with pytest.raises(KeyError):
        fail_on_the_way()
    assert _sequence(database) is None
    with database.transaction():
        write(7)
        write(8)
        outside: list[int | None] = []
        reader = threading.Thread(target=lambda: outside.append(_sequence(database)))
        reader.start()
        reader.join(10)
        assert outside == [None]
    assert _sequence(database) == 8


def test_a_write_that_fails_in_a_transaction_takes_back_itself_only(database: Database) -> None:
    with database.transaction():
        with database.write("topic") as connection:
            connection.execute(insert(audit_head).values(id=1, sequence=7, hash="h"))
        with pytest.raises(Conflict, match="contradictory"), database.write("topic") as connection:
            connection.execute(insert(audit_head).values(id=1, sequence=8, hash="h"))
    assert _sequence(database) == 7


def test_what_comes_last_comes_last_and_effects_follow(database: Database) -> None:
    seen: list[object] = []

    def note() -> None:
        seen.append(_sequence(database))

    def last(items: list[str]) -> None:
        seen.append(items)
        with database.write("last") as connection:
            connection.execute(insert(audit_head).values(id=1, sequence=len(items), hash="h"))

    def fail() -> None:
        with database.transaction():
            database.lastly(last, "taken back")
            database.afterwards(note)
            raise KeyError

    assert not database.lastly(last, "nobody's")
    database.afterwards(note)
    with database.transaction():
        assert database.lastly(last, "first")
        database.afterwards(note)
        with pytest.raises(KeyError):
            fail()
        database.lastly(last, "second")
        assert seen == [None]
    assert seen == [None, ["first", "second"], 2]


def test_nothing_follows_a_transaction_that_failed(database: Database) -> None:
    seen: list[str] = []

    def fail() -> None:
        with database.transaction():
            database.afterwards(lambda: seen.append("effect"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with database.transaction():
        pass
    assert seen == []


def test_transactions_that_wait_for_each_other_end_with_a_conflict(settings: Settings) -> None:
    databases = [Database(settings.database_url) for _ in range(2)]
    both = threading.Barrier(2, timeout=5)
    outcomes: list[str] = []

    def run(database: Database, *topics: str) -> None:
        try:
            with database.transaction():
                with database.write(topics[0]):
                    if settings.database_url.startswith("postgresql"):
                        both.wait()
                with database.write(topics[1]):
                    pass
            outcomes.append("kept")
        except Conflict:
            outcomes.append("refused")

    threads = [
        threading.Thread(target=run, args=(databases[0], "a", "b")),
        threading.Thread(target=run, args=(databases[1], "b", "a")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for database in databases:
        database.close()
    # SQLite has one writer at a time: there they cannot meet.
    assert sorted(outcomes) in (["kept", "refused"], ["kept", "kept"])
    assert "refused" in outcomes or settings.database_url.startswith("sqlite")
