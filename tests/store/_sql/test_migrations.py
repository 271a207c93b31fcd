from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from headrace.core.errors import Conflict
from headrace.core.settings import Settings
from headrace.store import open_store
from headrace.store._sql import migrations
from headrace.store._sql.tables import metadata
from headrace.store.documents import dump
from headrace.testing import FakeClock
from headrace.testing.factories import make_alert, make_finding


@pytest.fixture
def engine(settings: Settings) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(settings.database_url)
    yield engine
    engine.dispose()


def test_the_steps_lead_to_the_tables_that_the_code_uses(engine: sqlalchemy.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": migrations.VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_steps_bring_the_guards_that_the_tables_declare(engine: sqlalchemy.Engine) -> None:
    found = sqlalchemy.inspect(engine)
    for table in metadata.tables.values():
        declared = {
            str(constraint.name)
            for constraint in table.constraints
            if isinstance(constraint, sqlalchemy.CheckConstraint)
        }
        assert {check["name"] for check in found.get_check_constraints(table.name)} == declared
    (reference,) = found.get_foreign_keys("hr_approvals")
    assert reference["constrained_columns"] == ["release_id", "digest", "author"]


def test_the_newest_step_is_the_one_that_opening_compares_with() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_a_database_of_a_newer_headrace_is_left_alone(settings: Settings, engine: sqlalchemy.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE hr_schema SET version_num = '9999'"))
    try:
        with pytest.raises(Conflict, match="9999.*Upgrade Headrace"):
            open_store(settings, FakeClock())
    finally:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"UPDATE hr_schema SET version_num = '{migrations.HEAD}'"))


def test_what_is_found_by_is_filled_from_what_was_kept_before(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    finding, alert = make_finding(kind="performance"), make_alert(state="acting")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
        for table, record in (("hr_findings", finding), ("hr_alerts", alert)):
            names = "id, project, at_us, schema_version, document"
            said = f"INSERT INTO {table} ({names}) VALUES (:id, :p, 0, 1, :d)"
            kept = {"id": record.id, "p": record.project, "d": dump(record)}
            connection.execute(sqlalchemy.text(said), kept)
        command.upgrade(config, "head")
        (found,) = connection.execute(sqlalchemy.text("SELECT release_id, kind FROM hr_findings")).all()
        assert tuple(found) == ("release-1", "performance")
        assert connection.execute(sqlalchemy.text("SELECT state FROM hr_alerts")).scalar() == "acting"
    engine.dispose()
