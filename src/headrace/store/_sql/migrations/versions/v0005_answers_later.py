"""Requests that are answered later, and the built-in queue in which they wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "hr_jobs",
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended_us", sa.BigInteger, nullable=True),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_hr_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_hr_jobs_id")),
    )
    op.create_index(op.f("ix_hr_jobs_project_state"), "hr_jobs", ["project", "state"])
    op.create_index(op.f("ix_hr_jobs_ended_us"), "hr_jobs", ["ended_us"])
    op.create_table(
        "hr_queue",
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("available_us", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("receipt", sa.Text, nullable=True),
        sa.Column("buried", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_hr_queue")),
        sa.UniqueConstraint("item", name=op.f("uq_hr_queue_item")),
    )
    op.create_index(op.f("ix_hr_queue_buried_available_us"), "hr_queue", ["buried", "available_us"])
