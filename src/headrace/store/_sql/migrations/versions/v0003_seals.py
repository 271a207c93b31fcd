"""Seals of the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "hr_audit_seals",
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_hr_audit_seals")),
        sa.UniqueConstraint("number", name=op.f("uq_hr_audit_seals_number")),
    )
