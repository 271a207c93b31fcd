"""The loop's own tables: from projects to the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    _declared()
    _made()
    _released()
    _watched()
    _kept()


def _declared() -> None:
    _documents("hr_projects", _text("name"), _text("path"), _unique("hr_projects", "name"))
    _documents("hr_principals", _text("name"), _unique("hr_principals", "name"))


def _made() -> None:
    _documents(
        "hr_snapshots",
        _text("id"),
        _text("project"),
        _text("digest"),
        _moment("created_us"),
        _unique("hr_snapshots", "id"),
    )
    _index("hr_snapshots", "project", "digest")
    _documents(
        "hr_runs",
        _text("id"),
        _text("project"),
        _text("build_id"),
        _text("state"),
        _text("fingerprint"),
        _moment("started_us"),
        _unique("hr_runs", "id"),
    )
    _index("hr_runs", "project", "fingerprint")
    _index("hr_runs", "project", "started_us")
    _documents(
        "hr_models",
        _text("project"),
        _whole("version"),
        _text("run_id"),
        _unique("hr_models", "project", "version"),
        _unique("hr_models", "project", "run_id"),
        sa.CheckConstraint("version > 0", name=op.f("ck_hr_models_numbered")),
    )


def _released() -> None:
    _documents(
        "hr_releases",
        _text("id"),
        _text("project"),
        _text("digest"),
        _text("author"),
        _text("state"),
        _moment("created_us"),
        _unique("hr_releases", "id"),
        _unique("hr_releases", "id", "digest", "author"),
    )
    _index("hr_releases", "project", "created_us")
    _documents(
        "hr_verdicts", _text("id"), _text("subject_id"), _moment("at_us"), _unique("hr_verdicts", "id")
    )
    _index("hr_verdicts", "subject_id")
    _documents(
        "hr_approvals",
        _text("id"),
        _text("release_id"),
        _text("digest"),
        _text("author"),
        _text("approver"),
        _text("decision"),
        _moment("at_us"),
        _unique("hr_approvals", "id"),
        _unique("hr_approvals", "release_id", "approver"),
        sa.ForeignKeyConstraint(
            ["release_id", "digest", "author"],
            ["hr_releases.id", "hr_releases.digest", "hr_releases.author"],
            name=op.f("fk_hr_approvals_release_id_digest_author"),
        ),
        sa.CheckConstraint("approver <> author", name=op.f("ck_hr_approvals_not_own_work")),
        sa.CheckConstraint("decision IN ('approved', 'rejected')", name=op.f("ck_hr_approvals_decision")),
    )
    _documents(
        "hr_rollouts",
        _text("release_id"),
        _text("project"),
        _text("state"),
        _whole("revision"),
        _moment("started_us"),
        _unique("hr_rollouts", "release_id"),
    )
    _index("hr_rollouts", "project", "state")
    _documents("hr_routes", _text("project"), _whole("revision"), _unique("hr_routes", "project"))


def _watched() -> None:
    _documents(
        "hr_measurements",
        _text("id"),
        _text("project"),
        _text("name"),
        sa.Column("release_id", sa.Text, nullable=True),
        _moment("window_start_us", nullable=True),
        _moment("window_end_us", nullable=True),
        _moment("at_us"),
        _unique("hr_measurements", "id"),
    )
    _index("hr_measurements", "project", "name")
    for name in ("hr_findings", "hr_alerts"):
        _documents(name, _text("id"), _text("project"), _moment("at_us"), _unique(name, "id"))
        _index(name, "project")


def _kept() -> None:
    op.create_table(
        "hr_audit",
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        _text("hash"),
        _whole("schema_version"),
        _text("document"),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_hr_audit")),
    )
    op.create_table(
        "hr_audit_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        _whole("sequence"),
        _text("hash"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hr_audit_head")),
        sa.CheckConstraint("id = 1", name=op.f("ck_hr_audit_head_single")),
    )
    op.create_table(
        "hr_executors",
        _text("executor_id"),
        _text("role"),
        sa.Column("address", sa.Text, nullable=True),
        _text("host"),
        _whole("pid"),
        _text("process_started"),
        _moment("registered_us"),
        _moment("heartbeat_us"),
        _moment("ended_us", nullable=True),
        sa.Column("claimed_by", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_hr_executors")),
    )
    _index("hr_executors", "role")


def _documents(name: str, *items: SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        *items,
        _whole("schema_version"),
        _text("document"),
        sa.PrimaryKeyConstraint("position", name=op.f(f"pk_{name}")),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f("_".join(("uq", table, *columns))))


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f("_".join(("ix", table, *columns))), table, list(columns))
