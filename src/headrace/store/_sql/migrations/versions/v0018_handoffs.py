"""Conversations that an AI hands to a person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op  # noqa: TID253  only alembic loads this file

revision = "0018"
down_revision = "0020"


def upgrade() -> None:
    """Create the table."""
    name = "hr_handoffs"
    op.create_table(
        name,
        sa.Column("position", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint("id", name=op.f(f"uq_{name}_id")),
    )
    op.create_index(op.f(f"ix_{name}_subject_state"), name, ["subject", "state"])
    op.create_index(op.f(f"ix_{name}_workspace_state"), name, ["workspace", "state"])
