"""When each process was heard of, kept after it has been taken over: downtime is what none of them covers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "hr_uptime",
        sa.Column("executor_id", sa.Text, nullable=False),
        sa.Column("started_us", sa.BigInteger, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=True),
        sa.Column("seen_us", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("executor_id", "started_us", name=op.f("pk_hr_uptime")),
    )
    op.create_index(op.f("ix_hr_uptime_role_seen_us"), "hr_uptime", ["role", "seen_us"])
