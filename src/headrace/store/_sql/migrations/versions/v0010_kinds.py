"""The kind of each finding, so that many of one kind hide none of another."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0010"
down_revision = "0009"

_AT_ONCE = 1_000


def upgrade() -> None:
    """Add the column, fill it from the documents, and find findings by it too."""
    # Rows that are there need a value until it is taken from their documents; new ones are given theirs.
    op.add_column("hr_findings", sa.Column("kind", sa.Text, nullable=False, server_default=""))
    _fill()
    for name in ("project", "release_id"):
        op.create_index(op.f(f"ix_hr_findings_{name}_kind"), "hr_findings", [name, "kind"])
        op.drop_index(op.f(f"ix_hr_findings_{name}"), "hr_findings")


def _fill() -> None:
    connection, columns = op.get_bind(), ("position", "document", "kind")
    rows = sa.table("hr_findings", *(sa.column(name) for name in columns))
    after: int | None = -1
    while after is not None:
        found = connection.execute(
            sa.select(rows.c.position, rows.c.document)
            .where(rows.c.position > after)
            .order_by(rows.c.position)
            .limit(_AT_ONCE)
        ).all()
        for position, document in found:
            kind = json.loads(document)["kind"]
            connection.execute(sa.update(rows).where(rows.c.position == position).values(kind=kind))
        after = found[-1].position if found else None
