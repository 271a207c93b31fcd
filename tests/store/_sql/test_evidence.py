from __future__ import annotations

import pytest
import sqlalchemy
from sqlalchemy.exc import IntegrityError

from headrace.core.ports import EvidenceStore, ReleaseStore
from headrace.core.settings import Settings
from headrace.store import Store
from headrace.testing import EvidenceStoreSuite, make_approval, make_release


class TestSqlEvidenceStore(EvidenceStoreSuite):
    @pytest.fixture
    def evidence(self, store: Store) -> EvidenceStore:
        return store.evidence

    @pytest.fixture
    def releases(self, store: Store) -> ReleaseStore:
        return store.releases


@pytest.mark.requirement("GAT-14")
@pytest.mark.parametrize(
    "change",
    [
        {"approver": "ada"},
        {"approver": "ada", "author": "somebody"},
        {"digest": "0" * 64},
        {"release_id": "absent"},
        {"decision": "maybe"},
    ],
    ids=["own work", "own work under another author", "other digest", "no release", "no decision"],
)
def test_the_database_itself_refuses(store: Store, settings: Settings, change: dict[str, str]) -> None:
    """Also somebody who writes to the table past Headrace cannot record such an approval."""
    release = store.releases.add(make_release(author="ada"))
    store.evidence.approve(make_approval(release, approver="grace"))
    engine = sqlalchemy.create_engine(settings.database_url)
    sqlalchemy.event.listen(engine, "connect", _enforce_references)
    columns = {"id": "'forged'", "approver": "'hopper'"} | {k: f"'{v}'" for k, v in change.items()}
    names = ["id", "release_id", "digest", "author", "approver", "decision", "at_us"]
    picked = ", ".join(columns.get(name, name) for name in names)
    statement = (
        f"INSERT INTO hr_approvals ({', '.join(names)}, schema_version, document) "
        f"SELECT {picked}, schema_version, document FROM hr_approvals"
    )
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(sqlalchemy.text(statement))
    engine.dispose()
    assert len(store.evidence.approvals(release.id)) == 1


def _enforce_references(connection: object, _record: object) -> None:
    if "sqlite" in type(connection).__module__:
        connection.execute("PRAGMA foreign_keys = ON")  # type: ignore[attr-defined]
