"""By which many projects are read at once: an alert's state, what a finding is about, a window."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns, fill them from the documents, and find measurements by their window too."""
    _add("hr_findings", "release_id")
    _add("hr_alerts", "state")
    op.create_index(op.f("ix_hr_measurements_project_name_window_start_us"), "hr_measurements",
                    ["project", "name", "window_start_us"])  # fmt: skip
    op.drop_index(op.f("ix_hr_measurements_project_name"), "hr_measurements")


def _add(table: str, name: str) -> None:
    # Rows that are there need a value until it is taken from their documents; new ones are given theirs.
    op.add_column(table, sa.Column(name, sa.Text, nullable=False, server_default=""))
    connection = op.get_bind()
    rows = sa.table(table, sa.column("position", sa.Integer), sa.column("document", sa.Text), sa.column(name))
    for position, document in connection.execute(sa.select(rows.c.position, rows.c.document)).all():
        found = {name: json.loads(document)[name]}
        connection.execute(sa.update(rows).where(rows.c.position == position).values(found))
    op.create_index(op.f(f"ix_{table}_{name}"), table, [name])
