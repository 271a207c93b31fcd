"""What several servers share for a while: sessions, one-time links, wrong guesses, who was seen where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "hr_expiring",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("ends_us", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_hr_expiring")),
    )
    op.create_index(
        op.f("ix_hr_expiring_kind_subject_ends_us"), "hr_expiring", ["kind", "subject", "ends_us"]
    )
    op.create_index(op.f("ix_hr_expiring_ends_us"), "hr_expiring", ["ends_us"])
    op.create_table(
        "hr_sightings",
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_hr_sightings")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_hr_sightings_at_us"), "hr_sightings", ["at_us"])
