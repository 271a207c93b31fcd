"""What has been spent of each budget, and what processes hold of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0014"
down_revision = "0010"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "hr_budgets",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("start_us", sa.BigInteger, nullable=False),
        sa.Column("ends_us", sa.BigInteger, nullable=False),
        sa.Column("spent", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", "start_us", name=op.f("pk_hr_budgets")),
    )
    op.create_index(op.f("ix_hr_budgets_ends_us"), "hr_budgets", ["ends_us"])
    op.create_table(
        "hr_budget_holds",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("start_us", sa.BigInteger, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", "start_us", name=op.f("pk_hr_budget_holds")),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_hr_budget_holds_not_negative")),
    )
    op.create_index(op.f("ix_hr_budget_holds_key_start_us"), "hr_budget_holds", ["key", "start_us"])
